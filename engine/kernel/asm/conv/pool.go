package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// pools writes the max pool of 2 x 2, and for AVX-512 its gradient: with AVX2 that is less than
// a hundredth of a step in Go.
func (g *gen) pools() {
	g.Open("maxPairs", "func(y *float32, index *int32, x *float32, width, rows int)",
		"computes rows of width/2 results and where they were; width is a multiple of 32.")
	g.maxPairs()
	if !g.Wide() {
		return
	}
	g.Open("maxPairsBack", "func(dx *float32, index *int32, dy *float32, width, rows int)",
		"writes two rows of dx for each row of dy, whose places index tells.")
	g.maxPairsBack()
}

// table returns 16 integers in memory.
func (g *gen) table(name string, at func(i int) int) Mem {
	if m, ok := g.tables[name]; ok {
		return m
	}
	m := GLOBL(name, RODATA|NOPTR)
	g.tables[name] = m
	for i := range lanes {
		DATA(4*i, U32(at(i)))
	}
	return m
}

// pairs is what both functions keep in registers; base are the places of the first of each
// four elements.
type pairs struct {
	width                     reg.GPVirtual // in bytes
	base, step, one, down, dn reg.VecVirtual
}

func (g *gen) pairs() *pairs {
	p := &pairs{width: pointer("width"), down: g.Vec(), dn: g.Vec()}
	p.base = g.Load(g.table("evens", func(i int) int { return 2 * i }))
	p.step, p.one = g.Load(g.Bits(uint32(2*g.Floats))), g.Load(g.Bits(1))
	VPBROADCASTD(simd.Parameter("width"), p.down)
	VPADDD(p.one, p.down, p.dn)
	SHLQ(U8(2), p.width)
	return p
}

// rows emits the loops: body for each register of results; next is run after each row of
// results.
func (p *pairs) rows(g *gen, body func(), next func()) {
	rows, n := pointer("rows"), GP64()
	Label("row")
	MOVQ(p.width, n)
	Label("part")
	body()
	VPADDD(p.step, p.base, p.base)
	SUBQ(U32(2*g.Bytes), n)
	JNZ(LabelRef("part"))
	next()
	VPADDD(p.down, p.base, p.base)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

func (g *gen) maxPairs() {
	y, index, x := pointer("y"), pointer("index"), pointer("x")
	p := g.pairs()
	deal := g.dealer()
	p.rows(g, func() {
		best, second := deal(Mem{Base: x})
		third, fourth := deal(Mem{Base: x, Index: p.width, Scale: 1})
		at := g.Vec()
		VMOVUPS(p.base, at)
		for i, v := range []reg.VecVirtual{second, third, fourth} {
			g.better(best, at, v, p.base, []reg.VecVirtual{p.one, p.down, p.dn}[i])
		}
		VMOVUPS(best, Mem{Base: y})
		VMOVUPS(at, Mem{Base: index})
		ADDQ(U32(g.Bytes), y)
		ADDQ(U32(g.Bytes), index)
		ADDQ(U32(2*g.Bytes), x)
	}, func() { ADDQ(p.width, x) })
}

// dealer returns a function that loads two registers of a row and returns their even and
// their odd elements.
func (g *gen) dealer() func(m Mem) (even, odd reg.VecVirtual) {
	if g.Wide() {
		evens, odds := g.Load(g.table("evens", nil)), g.Load(g.table("odds", func(i int) int { return 2*i + 1 }))
		return func(m Mem) (reg.VecVirtual, reg.VecVirtual) {
			a, b := g.Load(m), g.Load(m)
			VPERMT2PS(m.Offset(g.Bytes), evens, a)
			VPERMT2PS(m.Offset(g.Bytes), odds, b)
			return a, b
		}
	}
	return func(m Mem) (reg.VecVirtual, reg.VecVirtual) {
		const evens, odds, middle = 0x88, 0xdd, 0xd8 // of four, twice; of quarters: 0, 2, 1, 3
		a, b, odd := g.Load(m), g.Load(m.Offset(g.Bytes)), g.Vec()
		VSHUFPS(U8(odds), b, a, odd)
		VSHUFPS(U8(evens), b, a, a)
		VPERMPD(U8(middle), a, a)
		VPERMPD(U8(middle), odd, odd)
		return a, odd
	}
}

// better takes v over, and base + distance as where it is, where it is larger than best or
// the first NaN.
func (g *gen) better(best, at, v, base, distance reg.VecVirtual) {
	const ordered, notLessOrEqual = 7, 22
	if g.Wide() {
		known, better := K(), K()
		VCMPPS(U8(ordered), best, best, known)
		VCMPPS(U8(notLessOrEqual), best, v, known, better)
		VMOVAPS(v, better, best)
		VPADDD(distance, base, better, at)
		return
	}
	known, better, place := g.Vec(), g.Vec(), g.Vec()
	VCMPPS(U8(ordered), best, best, known)
	VCMPPS(U8(notLessOrEqual), best, v, better)
	VANDPS(known, better, better)
	VBLENDVPS(better, v, best, best)
	VPADDD(distance, base, place)
	VBLENDVPS(better, place, at, at)
}

func (g *gen) maxPairsBack() {
	dx, index, dy := pointer("dx"), pointer("index"), pointer("dy")
	p := g.pairs()
	low := g.Load(g.table("zipLow", func(i int) int { return i/2 + i%2*lanes }))
	high := g.Load(g.table("zipHigh", func(i int) int { return lanes/2 + i/2 + i%2*lanes }))
	p.rows(g, func() {
		v, at := g.Load(Mem{Base: dy}), ZMM()
		VMOVDQU32(Mem{Base: index}, at)
		VPSUBD(p.base, at, at)
		zero := ZMM()
		VPXORD(zero, zero, zero)
		VADDPS(zero, v, v) // a sum that starts at zero is never -0
		// of returns v where the largest was at a distance from the first.
		of := func(distance reg.VecVirtual) reg.VecVirtual {
			k, part := K(), ZMM()
			VPCMPEQD(distance, at, k)
			VMOVAPS_Z(v, k, part)
			return part
		}
		zip := func(a, b reg.VecVirtual, m Mem) {
			for i, order := range []reg.VecVirtual{low, high} {
				out := ZMM()
				VMOVAPS(a, out)
				VPERMT2PS(b, order, out)
				VMOVUPS(out, m.Offset(4*lanes*i))
			}
		}
		zip(of(zero), of(p.one), Mem{Base: dx})
		zip(of(p.down), of(p.dn), Mem{Base: dx, Index: p.width, Scale: 1})
		ADDQ(U32(4*lanes), dy)
		ADDQ(U32(4*lanes), index)
		ADDQ(U32(8*lanes), dx)
	}, func() { ADDQ(p.width, dx) })
}
