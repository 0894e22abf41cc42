package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// moves writes the functions that rearrange images. AVX2 has those alone that take long
// without.
func (g *gen) moves() {
	g.transpose("convTranspose16", 16)
	g.transpose("convTranspose9", 9)
	if !g.Wide() {
		return
	}
	g.Open("convPick", "func(dst, a, b *float32, index *[16]int32, n int)",
		"writes n <= 16 elements of the 32 in a and b, chosen by index, to dst.")
	dst, a, b, index, n := pointer("dst"), pointer("a"), pointer("b"), pointer("index"), pointer("n")
	mask := mask(n)
	from := g.Load(Mem{Base: index})
	first := g.Load(Mem{Base: a})
	VPERMT2PS(Mem{Base: b}, from, first)
	VMOVUPS(first, mask, Mem{Base: dst})
	VZEROUPPER()
	RET()

	g.Open("convZip", "func(dst *float32, places *int, a, b *float32, n int)",
		"writes group i of a and of b, of 16 elements each, in turns to dst[places[i]:].")
	g.zip()
	g.Open("convRows", "func(dst *float32, stride int, src *float32, width, rows int)",
		"copies rows whose width is a multiple of 16; stride is that of dst in bytes.")
	g.copyRows()
	g.Open("convSplit", "func(even, odd *float32, stride int, src *float32, width, rows int)",
		"deals out the elements of rows, whose width is a multiple of 16; stride is that of even and odd in bytes.")
	g.split()
	g.Open("convSpread", "func(dst *float32, places *int32, src *float32, n int)",
		"writes element i of src to dst[places[i]]; n is a multiple of 16.")
	g.spread()
}

// zip writes the body of convZip.
func (g *gen) zip() {
	dst, places, a, b, n := pointer("dst"), pointer("places"), pointer("a"), pointer("b"), pointer("n")
	var order []reg.VecVirtual
	for half := range 2 {
		order = append(order, g.Load(g.table([]string{"zipLow", "zipHigh"}[half], func(i int) int { return half*lanes/2 + i/2 + i%2*lanes })))
	}
	Label("loop")
	at, odd := GP64(), g.Load(Mem{Base: b})
	MOVQ(Mem{Base: places}, at)
	for half, index := range order {
		v := g.Load(Mem{Base: a})
		VPERMT2PS(odd, index, v)
		VMOVUPS(v, Mem{Base: dst, Index: at, Scale: 4, Disp: 4 * lanes * half})
	}
	ADDQ(U32(8), places)
	ADDQ(U32(4*lanes), a)
	ADDQ(U32(4*lanes), b)
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// copyRows writes the body of convRows.
func (g *gen) copyRows() {
	dst, stride, src, rows := pointer("dst"), pointer("stride"), pointer("src"), pointer("rows")
	width, at := GP64(), GP64()
	Label("row")
	MOVQ(simd.Parameter("width"), width)
	XORQ(at, at)
	Label("part")
	VMOVUPS(g.Load(Mem{Base: src}), Mem{Base: dst, Index: at, Scale: 1})
	ADDQ(U32(4*lanes), src)
	ADDQ(U32(4*lanes), at)
	SUBQ(U32(lanes), width)
	JNZ(LabelRef("part"))
	ADDQ(stride, dst)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// split writes the body of convSplit.
func (g *gen) split() {
	even, odd, stride, src, rows := pointer("even"), pointer("odd"), pointer("stride"), pointer("src"), pointer("rows")
	order := g.table("evenThenOdd", func(i int) int { return 2*i%lanes + 2*i/lanes })
	index, width, at := g.Load(order), GP64(), GP64()
	Label("row")
	MOVQ(simd.Parameter("width"), width)
	XORQ(at, at)
	Label("part")
	v, high := ZMM(), YMM()
	VPERMPS(Mem{Base: src}, index, v)
	VEXTRACTF32X8(U8(1), v, high)
	VMOVUPS(v.AsY(), Mem{Base: even, Index: at, Scale: 1})
	VMOVUPS(high, Mem{Base: odd, Index: at, Scale: 1})
	ADDQ(U32(4*lanes), src)
	ADDQ(U32(2*lanes), at)
	SUBQ(U32(lanes), width)
	JNZ(LabelRef("part"))
	ADDQ(stride, even)
	ADDQ(stride, odd)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// spread writes the body of convSpread.
func (g *gen) spread() {
	dst, places, src, n := pointer("dst"), pointer("places"), pointer("src"), pointer("n")
	Label("loop")
	at, v, k := g.Load(Mem{Base: places}), g.Load(Mem{Base: src}), K()
	KXNORW(k, k, k)
	VSCATTERDPS(v, k, Mem{Base: dst, Index: at, Scale: 4})
	ADDQ(U32(4*lanes), places)
	ADDQ(U32(4*lanes), src)
	SUBQ(U32(lanes), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// mask returns a mask of the first n lanes.
func mask(n reg.GPVirtual) reg.OpmaskVirtual {
	ones, k := GP64(), K()
	MOVQ(I64(-1), ones)
	BZHIQ(n, ones, ones)
	KMOVW(ones.As32(), k)
	return k
}

// transpose writes a function that transposes rows of 16 elements.
func (g *gen) transpose(name string, rows int) {
	g.Open(name, "func(dst *float32, places *int, src *float32, stride int)",
		"writes column i of the rows of src, which are stride bytes apart, to dst[places[i]:].")
	dst, places, src, stride := pointer("dst"), pointer("places"), pointer("src"), pointer("stride")
	if !g.Wide() {
		for half := range 2 {
			g.transposeHalf(rows, half, dst, places, src, stride)
		}
		VZEROUPPER()
		RET()
		return
	}
	in := make([]reg.VecVirtual, lanes)
	zero := g.Vec()
	if rows < lanes {
		VXORPS(zero, zero, zero)
	}
	for i := range in {
		in[i] = zero
		if i < rows {
			in[i] = g.Load(Mem{Base: src})
			ADDQ(stride, src)
		}
	}
	var k reg.OpmaskVirtual
	if rows < lanes {
		n := GP64()
		MOVQ(U32(rows), n)
		k = mask(n)
	}
	store := func(i int, v reg.VecVirtual) {
		at := GP64()
		MOVQ(Mem{Base: places, Disp: 8 * i}, at)
		m := Mem{Base: dst, Index: at, Scale: 4}
		if rows < lanes {
			VMOVUPS(v, k, m)
		} else {
			VMOVUPS(v, m)
		}
	}
	g.columns(in, zero, store)
	VZEROUPPER()
	RET()
}

// transposeHalf transposes 8 columns with AVX2: squares of 8 rows, and then single elements.
func (g *gen) transposeHalf(rows, half int, dst, places, src, stride reg.GPVirtual) {
	row, at := GP64(), GP64()
	LEAQ(Mem{Base: src, Disp: half * g.Bytes}, row)
	to := func(c, r int) Mem {
		MOVQ(Mem{Base: places, Disp: 8 * (half*g.Floats + c)}, at)
		return Mem{Base: dst, Index: at, Scale: 4, Disp: 4 * r}
	}
	r := 0
	for ; r+g.Floats <= rows; r += g.Floats {
		in := make([]reg.VecVirtual, g.Floats)
		for i := range in {
			in[i] = g.Load(Mem{Base: row})
			ADDQ(stride, row)
		}
		g.columns(in, nil, func(c int, v reg.VecVirtual) { VMOVUPS(v, to(c, r)) })
	}
	for ; r < rows; r++ {
		for c := range g.Floats {
			v := GP32()
			MOVL(Mem{Base: row, Disp: 4 * c}, v)
			MOVL(v, to(c, r))
		}
		ADDQ(stride, row)
	}
}

// columns calls store for each column of as many registers as they have elements; a register
// that is zero is left out of the work. The registers are overwritten.
func (g *gen) columns(in []reg.VecVirtual, zero reg.VecVirtual, store func(int, reg.VecVirtual)) {
	two := func(op func(...Op), a, b reg.VecVirtual) reg.VecVirtual {
		if a == zero && b == zero {
			return zero
		}
		v := g.Vec()
		op(b, a, v)
		return v
	}
	n := len(in)
	t, u := make([]reg.VecVirtual, n), make([]reg.VecVirtual, n)
	for i := 0; i < n; i += 2 { // pairs of rows
		t[i], t[i+1] = two(VUNPCKLPS, in[i], in[i+1]), two(VUNPCKHPS, in[i], in[i+1])
	}
	for i := 0; i < n; i += 4 { // four rows; quarter q of u[i+c] is column 4q+c
		u[i], u[i+1] = two(VUNPCKLPD, t[i], t[i+2]), two(VUNPCKHPD, t[i], t[i+2])
		u[i+2], u[i+3] = two(VUNPCKLPD, t[i+1], t[i+3]), two(VUNPCKHPD, t[i+1], t[i+3])
	}
	if !g.Wide() {
		halves := func(which uint8, a, b reg.VecVirtual) reg.VecVirtual {
			v := g.Vec()
			VPERM2F128(U8(which), b, a, v)
			return v
		}
		for c := range 4 {
			store(c, halves(0x20, u[c], u[4+c]))
			store(4+c, halves(0x31, u[c], u[4+c]))
		}
		return
	}
	quarters := func(which uint8, a, b reg.VecVirtual) reg.VecVirtual {
		return two(func(ops ...Op) { VSHUFF32X4(append([]Op{U8(which)}, ops...)...) }, a, b)
	}
	const even, odd = 0x88, 0xdd
	for c := range 4 {
		lowEven, lowOdd := quarters(even, u[c], u[4+c]), quarters(odd, u[c], u[4+c])
		highEven, highOdd := quarters(even, u[8+c], u[12+c]), quarters(odd, u[8+c], u[12+c])
		store(c, quarters(even, lowEven, highEven))
		store(8+c, quarters(odd, lowEven, highEven))
		store(4+c, quarters(even, lowOdd, highOdd))
		store(12+c, quarters(odd, lowOdd, highOdd))
	}
}
