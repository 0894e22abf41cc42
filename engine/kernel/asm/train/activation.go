package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

const (
	lessEqual    = 18 // ordered, quiet
	notLessEqual = 22 // unordered, quiet
	notLess      = 5  // of unsigned integers
)

// unary writes a function of one operand.
func (g *gen) unary(name, doc string, body func(x reg.VecVirtual) reg.VecVirtual) {
	g.Open(name, "func(y, x *float32, n int)", doc)
	ps := simd.Pointers("y", "x", "n")
	g.sweep(ps[2], func(p *part) { p.store(body(p.load(ps[1])), ps[0]) })
	end()
}

// binary writes a function of two operands.
func (g *gen) binary(name, doc string, body func(a, b reg.VecVirtual) reg.VecVirtual) {
	g.Open(name, "func(y, a, b *float32, n int)", doc)
	ps := simd.Pointers("y", "a", "b", "n")
	g.sweep(ps[3], func(p *part) { p.store(body(p.load(ps[1]), p.load(ps[2])), ps[0]) })
	end()
}

// negate changes the sign of v.
func (g *gen) negate(v reg.VecVirtual) { VXORPS(g.Bits(1<<31), v, v) }

func (g *gen) relu(x reg.VecVirtual) reg.VecVirtual {
	z := g.Zero()
	VMAXPS(x, z, z)
	return z
}

// dup returns another register with the content of v.
func (g *gen) dup(v reg.VecVirtual) reg.VecVirtual {
	c := g.Vec()
	VMOVAPS(v, c)
	return c
}

// reciprocal returns 1 / d: the twin of reciprocal.
func (g *gen) reciprocal(d reg.VecVirtual) reg.VecVirtual {
	r := g.Load(g.Bits(0x7ef311c7))
	VPSUBD(d, r, r)
	for range 2 {
		t := g.Load(g.Constant(1))
		VFNMADD231PS(r, d, t)
		VFMADD213PS(t, t, t)
		VFMADD231PS(t, r, r)
	}
	return r
}

// clamp limits v to [-limit, limit]; NaN stays.
func (g *gen) clamp(v reg.VecVirtual, limit float64) {
	c := g.Load(g.Constant(limit))
	VMINPS(v, c, v)
	VMOVUPS(g.Constant(-limit), c)
	VMAXPS(v, c, v)
}

func (g *gen) activations() {
	g.unary("reluForward", "is the twin of reluf.", g.relu)
	g.unary("geluForward", "is the twin of geluf.", func(v reg.VecVirtual) reg.VecVirtual {
		x := g.Zero()
		VMAXPS(v, x, x)
		a, p, e := g.NormalTail(v)
		VMULPS(e, p, p)
		VFNMADD231PS(p, a, x)
		return x
	})
	g.unary("geluTanhForward", "is the twin of geluTanhValue.", func(x reg.VecVirtual) reg.VecVirtual {
		value := g.atLeast(x, -9)
		g.clamp(x, 9)
		s := g.Vec()
		VMULPS(x, x, s)
		v := g.Load(g.Constant(-1.5957691216057308))
		VFMADD231PS(g.Bits(math.Float32bits(geluTanhC3)), s, v)
		VMULPS(x, v, v)
		e := g.Exp(v)
		VADDPS(g.Constant(1), e, e)
		VMULPS(g.reciprocal(e), value, value)
		return value
	})
	g.unary("siluForward", "is the twin of siluValue.", g.silu)
	g.unary("tanhForward", "is the twin of tanhf.", g.Tanh)
	g.unary("sigmoidForward", "is the twin of sigmoidf.", func(x reg.VecVirtual) reg.VecVirtual {
		_, s, _ := g.siluParts(x)
		return s
	})
	g.slopes()
}

// slopes writes the gradients: a is that of the result, b is the argument or the result.
func (g *gen) slopes() {
	g.binary("reluBackward", "is the twin of reluBack.", func(dy, y reg.VecVirtual) reg.VecVirtual {
		z := g.Zero()
		if g.Wide() {
			k := K()
			VCMPPS(U8(notLessEqual), z, y, k)
			VMOVAPS_Z(dy, k, dy)
		} else {
			VCMPPS(U8(notLessEqual), z, y, y)
			VANDPS(y, dy, dy)
		}
		return dy
	})
	times := func(slope func(x reg.VecVirtual) reg.VecVirtual) func(dy, x reg.VecVirtual) reg.VecVirtual {
		return func(dy, x reg.VecVirtual) reg.VecVirtual {
			s := slope(x)
			VMULPS(s, dy, dy)
			return dy
		}
	}
	g.binary("geluBackward", "multiplies by geluSlope.", times(g.geluSlope))
	g.binary("geluTanhBackward", "multiplies by geluTanhSlope.", times(g.geluTanhSlope))
	g.binary("siluBackward", "multiplies by siluSlope.", times(func(x reg.VecVirtual) reg.VecVirtual {
		c, s, q := g.siluParts(x)
		VFMADD213PS(g.Constant(1), q, c)
		VMULPS(c, s, s)
		return s
	}))
	g.binary("tanhBackward", "multiplies by tanhSlope.", times(func(y reg.VecVirtual) reg.VecVirtual {
		s := g.Load(g.Constant(1))
		VFNMADD231PS(y, y, s)
		return s
	}))
	g.binary("sigmoidBackward", "multiplies by sigmoidSlope.", times(func(y reg.VecVirtual) reg.VecVirtual {
		s := g.dup(y)
		VFNMADD231PS(y, y, s)
		return s
	}))
}

// siluParts is the twin of siluParts; c is x.
func (g *gen) siluParts(x reg.VecVirtual) (c, s, q reg.VecVirtual) {
	g.clamp(x, 80)
	v := g.dup(x)
	g.negate(v)
	q = g.Exp(v)
	e := g.Vec()
	VADDPS(g.Constant(1), q, e)
	s = g.reciprocal(e)
	VMULPS(s, q, q)
	return x, s, q
}

// silu is the twin of siluValue.
func (g *gen) silu(x reg.VecVirtual) reg.VecVirtual {
	value := g.atLeast(x, -80)
	_, s, _ := g.siluParts(x)
	VMULPS(s, value, value)
	return value
}

// atLeast returns the larger of x and a limit; NaN stays.
func (g *gen) atLeast(x reg.VecVirtual, limit float64) reg.VecVirtual {
	v := g.Load(g.Constant(limit))
	VMAXPS(x, v, v)
	return v
}

func (g *gen) geluTanhSlope(c reg.VecVirtual) reg.VecVirtual {
	g.clamp(c, 9)
	sq, v, d := g.Vec(), g.Load(g.Constant(-1.5957691216057308)), g.Load(g.Constant(-1.5957691216057308))
	VMULPS(c, c, sq)
	VFMADD231PS(g.Bits(math.Float32bits(geluTanhC3)), sq, v)
	VMULPS(c, v, v)
	VFMADD231PS(g.Bits(math.Float32bits(geluTanhC3*3)), sq, d)
	VMULPS(d, c, c)
	q := g.Exp(v)
	e := g.Vec()
	VADDPS(g.Constant(1), q, e)
	s := g.reciprocal(e)
	VMULPS(s, q, q)
	r := g.Load(g.Constant(1))
	VFNMADD231PS(q, c, r)
	VMULPS(r, s, s)
	return s
}

func (g *gen) geluSlope(x reg.VecVirtual) reg.VecVirtual {
	a, p, e := g.NormalTail(x)
	// r = (density * a - p) * e
	r := g.Vec()
	VMOVAPS(p, r)
	VFMSUB231PS(g.Constant(0.3989422804014327), a, r)
	VMULPS(e, r, r)
	// 1 + r, or 0 - r where the sign of x is set.
	base := g.Vec()
	VPSRAD(U8(31), x, base)
	if g.Wide() {
		VPANDND(g.Constant(1), base, base)
	} else {
		VPANDN(g.Constant(1), base, base)
	}
	VANDPS(g.Bits(1<<31), x, x)
	VXORPS(x, r, r)
	VADDPS(base, r, r)
	return r
}

// geluTanhC3 is the constant of that name in package kernel.
const geluTanhC3 float32 = -0.07135481627260025
