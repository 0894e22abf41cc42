package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// reduction writes a function that sums something over its operands.
func (g *gen) reduction(name, params, doc string, body func(p *part, acc reg.VecVirtual, ps []reg.Register), names ...string) {
	g.Open(name, "func("+params+") float32", doc)
	ps := simd.Pointers(names...)
	acc := g.vectors()
	clearAll(acc)
	g.sweep(ps[len(ps)-1], func(p *part) { body(p, acc[p.n], ps) })
	endWith(g.tree(acc, VADDPS))
}

func (g *gen) losses() {
	g.rowMax()
	g.reduction("rowSum", "x *float32, n int", "is the twin of rowSum.",
		func(p *part, acc reg.VecVirtual, ps []reg.Register) { VADDPS(p.load(ps[0]), acc, acc) }, "x", "n")
	g.reduction("rowDot", "a, b *float32, n int", "is the twin of rowDot.",
		func(p *part, acc reg.VecVirtual, ps []reg.Register) { VFMADD231PS(p.load(ps[0]), p.load(ps[1]), acc) }, "a", "b", "n")

	g.Open("rowExpSum", "func(x *float32, n int, m float32) float32", "is the twin of rowExpSum.")
	ps, m, acc := simd.Pointers("x", "n"), g.Scalar("m"), g.vectors()
	clearAll(acc)
	g.sweep(ps[1], func(p *part) {
		v := p.load(ps[0])
		VSUBPS(m, v, v)
		e := g.Exp(v)
		p.keep(e)
		VADDPS(e, acc[p.n], acc[p.n])
	})
	endWith(g.tree(acc, VADDPS))

	g.Open("rowExpScale", "func(dst, x *float32, n int, m, k, c float32)", "is the twin of rowExpScale.")
	ps = simd.Pointers("dst", "x", "n")
	m, k, c := g.Scalar("m"), g.Scalar("k"), g.Scalar("c")
	g.sweep(ps[2], func(p *part) {
		v := p.load(ps[1])
		VSUBPS(m, v, v)
		e := g.Exp(v)
		VFMADD213PS(c, k, e)
		p.store(e, ps[0])
	})
	end()

	g.Open("scaleDifference", "func(dst, a, b *float32, n int, s float32)", "writes (a-b) * s.")
	ps, s := simd.Pointers("dst", "a", "b", "n"), g.Scalar("s")
	g.sweep(ps[3], func(p *part) {
		v := p.load(ps[1])
		VSUBPS(p.load(ps[2]), v, v)
		VMULPS(s, v, v)
		p.store(v, ps[0])
	})
	end()

	g.squares("sumSquares", "x *float32", "adds the squares of x to 16 lanes.", "x")
	g.squares("sumSquareDifferences", "x, y *float32", "adds the squares of x-y to 16 lanes.", "x", "y")
}

// rowMax compares blocks of 64 elements with as many lanes, to hide the latency of
// comparisons, and the rest with the first 16.
func (g *gen) rowMax() {
	g.Open("rowMax", "func(x *float32, n int) float32", "is the twin of rowMax.")
	ps, acc := simd.Pointers("x", "n"), make([]reg.VecVirtual, 4*g.Parts())
	for i := range acc {
		acc[i] = g.Load(g.Bits(0xff800000))
	}
	Label("many")
	CMPQ(ps[1], U32(4*lanes))
	JLT(LabelRef("few"))
	for i, v := range acc {
		VMAXPS(simd.At(ps[0]).Offset(i*g.Bytes), v, v)
	}
	ADDQ(U32(16*lanes), ps[0])
	SUBQ(U32(4*lanes), ps[1])
	JMP(LabelRef("many"))
	Label("few")
	for i, v := range acc[g.Parts():] {
		VMAXPS(v, acc[i%g.Parts()], acc[i%g.Parts()])
	}
	g.sweep(ps[1], func(p *part) { VMAXPS(p.over(ps[0], acc[p.n]), acc[p.n], acc[p.n]) })
	endWith(g.tree(acc[:g.Parts()], VMAXPS))
}

// squares writes a function that sums squares in float64. It takes a multiple of 16
// elements.
func (g *gen) squares(name, params, doc string, names ...string) {
	g.Open(name, "func(acc *[16]float64, "+params+", n int)", doc)
	ps := simd.Pointers(append([]string{"acc", "n"}, names...)...)
	acc := make([]reg.VecVirtual, 2*g.Parts())
	for i := range acc {
		acc[i] = g.Load(simd.At(ps[0]).Offset(i * g.Bytes))
	}
	Label("loop")
	for i := range acc {
		half := XMM().(reg.VecVirtual)
		if g.Wide() {
			half = YMM()
		}
		VMOVUPS(simd.At(ps[2]).Offset(i*g.Bytes/2), half)
		if len(names) > 1 {
			VSUBPS(simd.At(ps[3]).Offset(i*g.Bytes/2), half, half)
		}
		v := g.Vec()
		VCVTPS2PD(half, v)
		VFMADD231PD(v, v, acc[i])
	}
	for _, p := range ps[2:] {
		ADDQ(U32(4*lanes), p)
	}
	SUBQ(U32(lanes), ps[1])
	JNZ(LabelRef("loop"))
	for i := range acc {
		VMOVUPS(acc[i], simd.At(ps[0]).Offset(i*g.Bytes))
	}
	end()
}
