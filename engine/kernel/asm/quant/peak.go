package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peaks generates the loops that show what the machine can do at most: reads, 8-bit dot
// products and fused multiply-adds as the kernels issue them, but from registers alone.
func peaks(isa string, regs []reg.VecPhysical, bytes int) {
	vector := func(i int) reg.VecPhysical { return regs[i] }
	TEXT("peakRead"+isa, NOSPLIT, "func(data *byte, n int)")
	Doc("peakRead" + isa + " loads n bytes, a multiple of 512.")
	Pragma("noescape")
	data, n := Load(Param("data"), reg.RDX), Load(Param("n"), reg.RCX)
	Label("loop")
	for i := 0; i < 512; i += 64 {
		PREFETCHT0(Mem{Base: data, Disp: prefetchAhead + i})
	}
	for i := 0; i < 512; i += bytes {
		VMOVUPS(Mem{Base: data, Disp: i}, vector(i/bytes%16))
	}
	ADDQ(U32(512), data)
	SUBQ(U32(512), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()

	body := func(name, what string, chains int, step func(acc, tmp reg.VecPhysical)) {
		TEXT(name+isa, NOSPLIT, "func(rounds int)")
		Doc(name + isa + " runs rounds of " + what + ".")
		rounds := Load(Param("rounds"), reg.RCX)
		for i := range 16 {
			VXORPS(vector(i), vector(i), vector(i))
		}
		Label("loop")
		for range 2 {
			for i := range chains {
				step(vector(i), vector(14+i%2))
			}
		}
		DECQ(rounds)
		JNZ(LabelRef("loop"))
		VZEROUPPER()
		RET()
	}
	code, act := vector(12), vector(13)
	dot := func(acc, tmp reg.VecPhysical) {
		VPMADDUBSW(act, code, tmp)
		VPADDW(tmp, acc, acc)
	}
	if bytes == 64 {
		dot = func(acc, _ reg.VecPhysical) { VPDPBUSD(act, code, acc) }
	}
	body("peakDot", "24 dot products of bytes", 12, dot)
	body("peakFMA", "24 fused multiply-adds of floats", 12, func(acc, _ reg.VecPhysical) { VFMADD231PS(act, code, acc) })
}
