package main

import (
	. "github.com/mmcloughlin/avo/build"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// activations writes the functions built on exp.
func (g *gen) activations() {
	g.Open("vecExp", "func(dst, x *float32, n int)", "writes e to the power x to dst.")
	p := simd.Pointers("dst", "x")
	g.loop(g.Floats, func() { VMOVUPS(g.Exp(g.Load(simd.At(p[1]))), simd.At(p[0])) }, p...)

	g.Open("vecSiLUMul", "func(dst, gate, up *float32, n int)", "writes gate / (1 + exp(-gate)) * up to dst.")
	p = simd.Pointers("dst", "gate", "up")
	g.loop(g.Floats, func() {
		v := g.Load(simd.At(p[1]))
		VXORPS(g.Bits(1<<31), v, v)
		e := g.Exp(v)
		VADDPS(g.Constant(1), e, e)
		v = g.Load(simd.At(p[1]))
		VDIVPS(e, v, v)
		VMULPS(simd.At(p[2]), v, v)
		VMOVUPS(v, simd.At(p[0]))
	}, p...)

	g.Open("vecGELUTanh", "func(x *float32, n int)", "is the twin of geluTanhf.")
	p = simd.Pointers("x")
	g.loop(g.Floats, func() {
		x, s := g.Load(simd.At(p[0])), g.Vec()
		VMULPS(x, x, s)
		v := g.Load(g.Constant(-1.5957691216057308))
		VFMADD231PS(g.Constant(-0.07135481627260025), s, v)
		VMULPS(x, v, v)
		e := g.Exp(v)
		VADDPS(g.Constant(1), e, e)
		VDIVPS(e, x, x)
		VMOVUPS(x, simd.At(p[0]))
	}, p...)

	g.gelu()
	g.tanh()
}

func (g *gen) gelu() {
	g.Open("vecGELU", "func(x *float32, n int)", "is the twin of geluf.")
	ps := simd.Pointers("x")
	g.loop(g.Floats, func() {
		a, p, e := g.NormalTail(simd.At(ps[0]))
		VMULPS(e, p, p)
		x := g.Vec()
		VXORPS(x, x, x)
		VMAXPS(simd.At(ps[0]), x, x)
		VFNMADD231PS(p, a, x)
		VMOVUPS(x, simd.At(ps[0]))
	}, ps...)
}

func (g *gen) tanh() {
	g.Open("vecTanh", "func(x *float32, n int)", "is the twin of tanhf.")
	ps := simd.Pointers("x")
	g.loop(g.Floats, func() { VMOVUPS(g.Tanh(g.Load(simd.At(ps[0]))), simd.At(ps[0])) }, ps...)
}
