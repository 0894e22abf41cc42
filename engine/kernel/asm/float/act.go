package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// poly returns the polynomial of x with the given coefficients, highest power first.
func (g *gen) poly(x reg.VecVirtual, coefficients ...float64) reg.VecVirtual {
	p := g.load(g.constant(coefficients[0]))
	for _, c := range coefficients[1:] {
		VFMADD213PS(g.constant(c), x, p)
	}
	return p
}

// exp returns e to the power x, and overwrites x: the twin of expf.
func (g *gen) exp(x reg.VecVirtual) reg.VecVirtual {
	limit, n := g.load(g.constant(89)), g.vec()
	VMINPS(x, limit, x)
	VMOVUPS(g.constant(-87.5), limit)
	VMAXPS(x, limit, x)
	t := g.load(g.constant(0x1.8p23))
	VFMADD231PS(g.constant(math.Log2E), x, t)
	VSUBPS(g.constant(0x1.8p23), t, n)
	VFMADD231PS(g.constant(-0x1.62e43p-1), n, x)
	VFMADD231PS(g.constant(0x1.05c61p-29), n, x)
	p := g.poly(x, 0.00276736570208, 0.0167496479011, 0.0833364526298, 0.333328401473, 0.999999841492, 2.00000007269, 2.00000000111)
	VPSLLD(U8(23), t, t)
	VPADDD(g.bits(126<<23), t, t)
	VMULPS(t, p, p)
	return p
}

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
		a, u, v := g.load(at(ps[0])), g.load(g.constant(1)), g.vec()
		VANDPS(g.bits(1<<31-1), a, a)
		limit := g.load(g.constant(20))
		VMINPS(a, limit, a)
		VMOVUPS(u, v)
		VFMADD231PS(g.constant(0.3), a, v)
		VDIVPS(v, u, u)
		VSUBPS(g.constant(0.625), u, v)
		p := g.poly(v, -0.0206128663311, -0.00357140670244, 0.0439434750029, 0.000172364067863, -0.0915985022657,
			-0.0252472624416, 0.223403088461, 0.430580454468, 0.426245490423, 0.268963202813)
		VMULPS(u, p, p)
		s, low := g.vec(), g.vec()
		VMULPS(a, a, s)
		VXORPS(g.bits(1<<31), s, low)
		VFMADD231PS(a, a, low)
		VMULPS(g.constant(-0.5), s, s)
		VMULPS(g.constant(-0.5), low, low)
		e := g.exp(s)
		VFMADD213PS(e, e, low)
		VMULPS(low, p, p)
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
	g.loop(g.floats, func() {
		x, s, a := g.load(at(ps[0])), g.vec(), g.vec()
		VMULPS(x, x, s)
		small := g.poly(s, -0.00513865949686, 0.0200919668211, -0.0535588598741, 0.133291107107, -0.333331898983)
		VMULPS(x, s, s)
		VFMADD213PS(x, s, small)
		VANDPS(g.bits(1<<31-1), x, a)
		twice := g.vec()
		VADDPS(a, a, twice)
		e := g.exp(twice)
		VADDPS(g.constant(1), e, e)
		q := g.load(g.constant(2))
		VDIVPS(e, q, q)
		big := g.load(g.constant(1))
		VSUBPS(q, big, big)
		VANDPS(g.bits(1<<31), x, x)
		VORPS(x, big, big)
		const less = 17 // ordered, quiet
		if g.floats == lanes {
			k := K()
			VCMPPS(U8(less), g.constant(0.7), a, k)
			VBLENDMPS(small, big, k, big)
		} else {
			VCMPPS(U8(less), g.constant(0.7), a, a)
			VBLENDVPS(a, small, big, big)
		}
		VMOVUPS(big, at(ps[0]))
	}, ps...)
}
