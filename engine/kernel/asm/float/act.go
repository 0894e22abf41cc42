package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// shared returns what this generator shares with others.
func (g *gen) shared() *simd.Gen { return simd.Sharing(g.suffix, g.floats, g.bytes, g.constants) }

// exp returns e to the power x, and overwrites x: the twin of expf.
func (g *gen) exp(x reg.VecVirtual) reg.VecVirtual { return g.shared().Exp(x) }

// activations writes the functions built on exp.
func (g *gen) activations() {
	g.open("vecExp", "func(dst, x *float32, n int)", "writes e to the power x to dst.")
	p := pointers("dst", "x")
	g.loop(g.floats, func() { VMOVUPS(g.exp(g.load(at(p[1]))), at(p[0])) }, p...)

	g.open("vecSiLUMul", "func(dst, gate, up *float32, n int)", "writes gate / (1 + exp(-gate)) * up to dst.")
	p = pointers("dst", "gate", "up")
	g.loop(g.floats, func() {
		v := g.load(at(p[1]))
		VXORPS(g.bits(1<<31), v, v)
		e := g.exp(v)
		VADDPS(g.constant(1), e, e)
		v = g.load(at(p[1]))
		VDIVPS(e, v, v)
		VMULPS(at(p[2]), v, v)
		VMOVUPS(v, at(p[0]))
	}, p...)

	g.open("vecGELUTanh", "func(x *float32, n int)", "is the twin of geluTanhf.")
	p = pointers("x")
	g.loop(g.floats, func() {
		x, s := g.load(at(p[0])), g.vec()
		VMULPS(x, x, s)
		v := g.load(g.constant(-1.5957691216057308))
		VFMADD231PS(g.constant(-0.07135481627260025), s, v)
		VMULPS(x, v, v)
		e := g.exp(v)
		VADDPS(g.constant(1), e, e)
		VDIVPS(e, x, x)
		VMOVUPS(x, at(p[0]))
	}, p...)

	g.gelu()
	g.tanh()
}

func (g *gen) gelu() {
	g.open("vecGELU", "func(x *float32, n int)", "is the twin of geluf.")
	ps := pointers("x")
	g.loop(g.floats, func() {
		a, p, e := g.shared().NormalTail(at(ps[0]))
		VMULPS(e, p, p)
		x := g.vec()
		VXORPS(x, x, x)
		VMAXPS(at(ps[0]), x, x)
		VFNMADD231PS(p, a, x)
		VMOVUPS(x, at(ps[0]))
	}, ps...)
}

func (g *gen) tanh() {
	g.open("vecTanh", "func(x *float32, n int)", "is the twin of tanhf.")
	ps := pointers("x")
	g.loop(g.floats, func() { VMOVUPS(g.shared().Tanh(g.load(at(ps[0]))), at(ps[0])) }, ps...)
}
