package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pools writes the max pool of 2 x 2. It exists for AVX-512 only.
func (g *gen) pools() {
	if !g.Wide() {
		return
	}
	g.Open("maxPairs", "func(y *float32, index *int32, x *float32, width, rows int)",
		"computes rows of width/2 results and where they were; width is a multiple of 32.")
	g.maxPairs()
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

// pairs is what both functions keep in registers.
type pairs struct {
	width                     reg.GPVirtual // in bytes
	base, step, one, down, dn reg.VecVirtual
}

func (g *gen) pairs() *pairs {
	p := &pairs{width: pointer("width"), step: ZMM(), one: ZMM(), down: ZMM(), dn: ZMM()}
	p.base = g.Load(g.table("evens", func(i int) int { return 2 * i }))
	n := GP64()
	MOVQ(U32(32), n)
	VPBROADCASTD(n.As32(), p.step)
	MOVQ(U32(1), n)
	VPBROADCASTD(n.As32(), p.one)
	VPBROADCASTD(p.width.As32(), p.down)
	VPADDD(p.one, p.down, p.dn)
	SHLQ(U8(2), p.width)
	return p
}

// rows emits the loops: body for each 16 results; next is run after each row of results.
func (p *pairs) rows(body func(), next func()) {
	rows, n := pointer("rows"), GP64()
	Label("row")
	MOVQ(p.width, n)
	Label("part")
	body()
	VPADDD(p.step, p.base, p.base)
	SUBQ(U32(8*lanes), n)
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
	even, odd := g.Load(g.table("evens", nil)), g.Load(g.table("odds", func(i int) int { return 2*i + 1 }))
	p.rows(func() {
		// two returns the even and odd elements of 32 of a row.
		two := func(m Mem) (reg.VecVirtual, reg.VecVirtual) {
			a, b := g.Load(m), g.Load(m)
			VPERMT2PS(m.Offset(4*lanes), even, a)
			VPERMT2PS(m.Offset(4*lanes), odd, b)
			return a, b
		}
		best, second := two(Mem{Base: x})
		third, fourth := two(Mem{Base: x, Index: p.width, Scale: 1})
		at := ZMM()
		VMOVDQA32(p.base, at)
		for i, v := range []reg.VecVirtual{second, third, fourth} {
			const ordered, notLessOrEqual = 7, 22
			known, better := K(), K()
			VCMPPS(U8(ordered), best, best, known)
			VCMPPS(U8(notLessOrEqual), best, v, known, better)
			VMOVAPS(v, better, best)
			VPADDD([]reg.VecVirtual{p.one, p.down, p.dn}[i], p.base, better, at)
		}
		VMOVUPS(best, Mem{Base: y})
		VMOVDQU32(at, Mem{Base: index})
		ADDQ(U32(4*lanes), y)
		ADDQ(U32(4*lanes), index)
		ADDQ(U32(8*lanes), x)
	}, func() { ADDQ(p.width, x) })
}

func (g *gen) maxPairsBack() {
	dx, index, dy := pointer("dx"), pointer("index"), pointer("dy")
	p := g.pairs()
	low := g.Load(g.table("zipLow", func(i int) int { return i/2 + i%2*lanes }))
	high := g.Load(g.table("zipHigh", func(i int) int { return lanes/2 + i/2 + i%2*lanes }))
	p.rows(func() {
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
