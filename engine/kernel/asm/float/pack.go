package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// packs writes the functions that lay out the operands of products.
func (g *gen) packs() {
	g.packRows()
	g.packBlocks("packWide", 16, "")
	g.packBlocks("packTiles", 6, " It reads and writes 2 elements beyond each block.")
}

// packBlocks cuts rows into blocks of some elements and writes each block's rows one after
// the other. Blocks of 6 are moved as 8: the next row of the block covers the rest.
func (g *gen) packBlocks(name string, width int, note string) {
	g.Open(name, "func(dst *float32, dstStride int, src *float32, srcStride, blocks, n int)",
		fmt.Sprintf("writes n rows of blocks of %d elements, a block's rows together; strides are in bytes.%s", width, note))
	ps := simd.Pointers("dst", "dstStride", "src", "srcStride", "n")
	dst, dstStride, src, srcStride, n := ps[0], ps[1], ps[2], ps[3], ps[4]
	to, from, left := GP64(), GP64(), GP64()
	move := func(offset int, v reg.VecVirtual) {
		VMOVUPS(Mem{Base: from, Disp: offset}, v)
		VMOVUPS(v, Mem{Base: to, Disp: offset})
	}
	Label("row")
	MOVQ(dst, to)
	MOVQ(src, from)
	Load(Param("blocks"), left)
	Label("block")
	if width%g.Floats == 0 {
		for i := 0; i < width; i += g.Floats {
			move(4*i, g.Vec())
		}
	} else {
		move(0, YMM())
	}
	ADDQ(U32(4*width), from)
	ADDQ(dstStride, to)
	DECQ(left)
	JNZ(LabelRef("block"))
	ADDQ(U32(4*width), dst)
	ADDQ(srcStride, src)
	DECQ(n)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// packRows writes 16 rows as columns. Four columns at a time: part j of a register holds
// four values of row 4j+i, so that transposing 4 x 4 values in each part by itself leaves
// the rows in order. It takes half the shuffles of transposing 16 x 16 values.
func (g *gen) packRows() {
	g.Open("packRows", "func(dst *float32, rows *[16]*float32, n int)",
		"writes n columns, a multiple of 4, of 16 rows as (n, 16).")
	ps := simd.Pointers("dst", "rows", "n")
	dst, rows, n, at := ps[0], ps[1], ps[2], GP64()
	SHLQ(U8(2), n)
	XORQ(at, at)
	Label("loop")
	for first := 0; first < lanes; first += g.Floats {
		in := make([]reg.VecVirtual, 4)
		for i := range in {
			in[i] = g.gather(rows, first+i, at)
		}
		for i, v := range g.transpose4(in) {
			VMOVUPS(v, Mem{Base: dst, Disp: 4 * (i*lanes + first)})
		}
	}
	ADDQ(U32(4*4*lanes), dst)
	ADDQ(U32(16), at)
	CMPQ(at, n)
	JNE(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// gather returns four values each of the rows row, row+4, ... that fill a register.
func (g *gen) gather(rows reg.Register, row int, at reg.GPVirtual) reg.VecVirtual {
	place := func(i int) Mem {
		p := GP64()
		MOVQ(Mem{Base: rows, Disp: 8 * (row + 4*i)}, p)
		return Mem{Base: p, Index: at, Scale: 1}
	}
	v := g.Vec()
	VMOVUPS(place(0), v.AsX())
	for i := 1; i < g.Floats/4; i++ {
		if g.Wide() {
			VINSERTF32X4(U8(i), place(i), v, v)
		} else {
			VINSERTF128(U8(i), place(i), v, v)
		}
	}
	return v
}

// transpose4 transposes 4 x 4 values in each 16 bytes of four registers.
func (g *gen) transpose4(in []reg.VecVirtual) (out []reg.VecVirtual) {
	mixed := make([]reg.VecVirtual, 4)
	for i := range mixed {
		mixed[i] = g.Vec()
		out = append(out, g.Vec())
	}
	VUNPCKLPS(in[1], in[0], mixed[0])
	VUNPCKLPS(in[3], in[2], mixed[1])
	VUNPCKHPS(in[1], in[0], mixed[2])
	VUNPCKHPS(in[3], in[2], mixed[3])
	for i := range 2 {
		VUNPCKLPD(mixed[2*i+1], mixed[2*i], out[2*i])
		VUNPCKHPD(mixed[2*i+1], mixed[2*i], out[2*i+1])
	}
	return out
}
