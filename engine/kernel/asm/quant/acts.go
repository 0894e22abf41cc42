package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// acts generates the function that quantises one row of activations, the twin of
// quantizeRowGeneric in package kernel.
func acts() {
	abs := constant("quantAbs", repeat(32, 0xff, 0xff, 0xff, 0x7f))
	order := constant("quantOrder", []byte{
		0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 6, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0,
	})
	f127 := constant("quant127", repeat(8, 0, 0, 0xfe, 0x42))
	TEXT("quantizeRowAVX2", NOSPLIT, "func(values, fields *byte, x *float32, blocks, recordBytes, fieldBytes int)")
	Doc("quantizeRowAVX2 writes blocks of 32 of x; values and fields are the token's places in the first record.")
	Pragma("noescape")
	values, fields, x := reg.RDI, reg.RSI, reg.RDX
	blocks, record, field := reg.RCX, reg.R8, reg.R9
	for i, p := range []string{"values", "fields", "x", "blocks", "recordBytes", "fieldBytes"} {
		Load(Param(p), []reg.GPPhysical{values, fields, x, blocks, record, field}[i])
	}
	far := reg.R10 // three fields on
	LEAQ(Mem{Base: field, Index: field, Scale: 2}, far)
	VMOVDQU(abs, ymm[15])
	VMOVDQU(order, ymm[14])
	VMOVSS(f127, reg.X13)

	Label("block")
	for i := range 4 {
		VMOVUPS(Mem{Base: x, Disp: 32 * i}, ymm[i])
		VPAND(ymm[15], ymm[i], ymm[4+i])
	}
	VPMAXUD(ymm[4], ymm[5], ymm[4])
	VPMAXUD(ymm[6], ymm[7], ymm[6])
	VPMAXUD(ymm[4], ymm[6], ymm[4])
	VEXTRACTI128(Imm(1), ymm[4], reg.X5)
	VPMAXUD(reg.X4, reg.X5, reg.X4)
	VPSHUFD(Imm(0x4e), reg.X4, reg.X5)
	VPMAXUD(reg.X4, reg.X5, reg.X4)
	VPSHUFD(Imm(0xb1), reg.X4, reg.X5)
	VPMAXUD(reg.X4, reg.X5, reg.X4)
	VMOVD(reg.X4, reg.EAX)
	CMPL(reg.EAX, U32(0x08800000)) // 0x1p-110, tinyAct
	JCS(LabelRef("tiny"))
	CMPL(reg.EAX, U32(0x7f800000))
	JCC(LabelRef("notFinite"))
	VDIVSS(reg.X13, reg.X4, reg.X6) // amax / 127
	VDIVSS(reg.X4, reg.X13, reg.X7) // 127 / amax
	VMOVSS(reg.X6, Mem{Base: fields})
	VBROADCASTSS(reg.X7, ymm[7])
	for i := range 4 {
		VMULPS(ymm[7], ymm[i], ymm[i])
		VCVTPS2DQ(ymm[i], ymm[i])
	}
	Label("store")
	VPADDD(ymm[0], ymm[1], ymm[4])
	VPADDD(ymm[2], ymm[3], ymm[5])
	VPACKSSDW(ymm[1], ymm[0], ymm[0])
	VPACKSSDW(ymm[3], ymm[2], ymm[2])
	VPACKSSWB(ymm[2], ymm[0], ymm[0])
	VPERMD(ymm[0], ymm[14], ymm[0])
	VMOVDQU(ymm[0], Mem{Base: values})
	VPHADDD(ymm[5], ymm[4], ymm[4]) // in both halves: first, first, second, second
	VEXTRACTI128(Imm(1), ymm[4], reg.X5)
	VPADDD(reg.X4, reg.X5, reg.X4)
	VPHADDD(reg.X4, reg.X4, reg.X4) // first, second, first, second
	VPHADDD(reg.X4, reg.X4, reg.X5) // both
	VCVTDQ2PS(reg.X5, reg.X6)
	VMOVSS(reg.X6, Mem{Base: fields, Index: field, Scale: 2})
	VPXOR(reg.X6, reg.X6, reg.X6)
	VPSUBD(reg.X4, reg.X6, reg.X4)
	VPSUBD(reg.X5, reg.X6, reg.X5)
	VMOVD(reg.X5, Mem{Base: fields, Index: field, Scale: 1})
	VMOVD(reg.X4, Mem{Base: fields, Index: far, Scale: 1})
	VPEXTRD(Imm(1), reg.X4, Mem{Base: fields, Index: field, Scale: 4})
	ADDQ(U32(4*subLen), x)
	ADDQ(record, values)
	ADDQ(record, fields)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()

	Label("tiny")
	MOVL(U32(0), Mem{Base: fields})
	JMP(LabelRef("zeros"))
	Label("notFinite")
	MOVL(U32(0x7fc00000), Mem{Base: fields})
	Label("zeros")
	for i := range 4 {
		VPXOR(ymm[i], ymm[i], ymm[i])
	}
	JMP(LabelRef("store"))
}
