package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func at(r reg.Register) Mem { return Mem{Base: r} }

// elementwise writes the functions that handle each element alone and need no exp.
func (g *gen) elementwise() {
	for _, op := range []struct {
		name, doc string
		do        func(...Op)
	}{
		{"vecAdd", "adds x to dst.", VADDPS},
		{"vecMul", "multiplies dst by x.", VMULPS},
	} {
		g.open(op.name, "func(dst, x *float32, n int)", op.doc)
		p := pointers("dst", "x")
		g.loop(g.floats, func() {
			v := g.load(at(p[0]))
			op.do(at(p[1]), v, v)
			VMOVUPS(v, at(p[0]))
		}, p...)
	}
	g.open("vecScale", "func(dst, x *float32, s float32, n int)", "writes x*s + 0 to dst.")
	p, s := pointers("dst", "x"), g.scalar("s")
	g.loop(g.floats, func() {
		v := g.vec()
		VXORPS(v, v, v)
		VFMADD231PS(at(p[1]), s, v)
		VMOVUPS(v, at(p[0]))
	}, p...)

	g.rope()
	g.normApply()
	g.conversions()
}

func (g *gen) rope() {
	g.open("vecRope", "func(a, b, cos, sin *float32, n int)", "rotates the pairs (a, b).")
	p := pointers("a", "b", "cos", "sin")
	sign := g.load(g.bits(1 << 31))
	g.loop(g.floats, func() {
		a, b, cos, sin := g.load(at(p[0])), g.load(at(p[1])), g.load(at(p[2])), g.load(at(p[3]))
		x, y := g.vec(), g.vec()
		VMULPS(sin, b, x)
		VXORPS(sign, x, x)
		VFMADD231PS(cos, a, x)
		VMULPS(sin, a, y)
		VFMADD231PS(cos, b, y)
		VMOVUPS(x, at(p[0]))
		VMOVUPS(y, at(p[1]))
	}, p...)
}

// normApply writes the second passes of the norms.
func (g *gen) normApply() {
	g.open("vecRMSApply", "func(dst, x, weight *float32, inv float32, n int)", "writes x*inv*weight to dst.")
	p, inv := pointers("dst", "x", "weight"), g.scalar("inv")
	g.loop(g.floats, func() {
		v := g.vec()
		VMULPS(at(p[1]), inv, v)
		VMULPS(at(p[2]), v, v)
		VMOVUPS(v, at(p[0]))
	}, p...)

	g.open("vecLayerApply", "func(dst, x, weight, bias *float32, mean, inv float32, n int)", "writes (x-mean)*inv*weight + bias to dst.")
	p = pointers("dst", "x", "weight", "bias")
	mean, inv := g.scalar("mean"), g.scalar("inv")
	g.loop(g.floats, func() {
		v, b := g.load(at(p[1])), g.load(at(p[3]))
		VSUBPS(mean, v, v)
		VMULPS(inv, v, v)
		VFMADD231PS(at(p[2]), v, b)
		VMOVUPS(b, at(p[0]))
	}, p...)
}

// conversions writes the functions that widen half-precision numbers.
func (g *gen) conversions() {
	for _, c := range []struct {
		name, doc string
		widen     func(Mem, reg.VecVirtual)
	}{
		{"vecF16", "widens half-precision numbers.", widenF16},
		{"vecBF16", "widens bfloat16 numbers.", widenBF16},
	} {
		g.open(c.name, "func(dst *float32, src *uint16, n int)", c.doc)
		p := pointers("dst", "src")
		g.loop(g.floats, func() {
			v := g.vec()
			c.widen(at(p[1]), v)
			VMOVUPS(v, at(p[0]))
			SUBQ(U32(2*g.floats), p[1]) // half of what the loop advances
		}, p...)
	}
}

func widenF16(m Mem, v reg.VecVirtual) { VCVTPH2PS(m, v) }

func widenBF16(m Mem, v reg.VecVirtual) {
	VPMOVZXWD(m, v)
	VPSLLD(U8(16), v, v)
}

// reductions writes the functions that sum or compare in 16 lanes.
func (g *gen) reductions() {
	parts := lanes / g.floats
	// reduce emits a loop; body adds register i of x to its lanes.
	reduce := func(ps []reg.Register, body func(i int, acc reg.VecVirtual, x Mem)) {
		acc := make([]reg.VecVirtual, parts)
		for i := range acc {
			acc[i] = g.load(at(ps[0]).Offset(i * g.bytes))
		}
		n := Load(Param("n"), GP64())
		Label("loop")
		for i := range acc {
			body(i, acc[i], at(ps[1]).Offset(i*g.bytes))
		}
		ADDQ(U32(4*lanes), ps[1])
		SUBQ(U32(lanes), n)
		JNZ(LabelRef("loop"))
		for i := range acc {
			VMOVUPS(acc[i], at(ps[0]).Offset(i*g.bytes))
		}
		VZEROUPPER()
		RET()
	}

	g.open("vecSum", "func(acc *[16]float32, x *float32, n int)", "adds x to the lanes.")
	reduce(pointers("acc", "x"), func(_ int, acc reg.VecVirtual, x Mem) { VADDPS(x, acc, acc) })

	g.open("vecMax", "func(acc *[16]float32, x *float32, n int)", "compares x with the lanes.")
	reduce(pointers("acc", "x"), func(_ int, acc reg.VecVirtual, x Mem) { VMAXPS(x, acc, acc) })

	g.open("vecSquares", "func(acc *[16]float32, x *float32, mean float32, n int)", "adds the squares of x-mean to the lanes.")
	mean := g.scalar("mean")
	reduce(pointers("acc", "x"), func(_ int, acc reg.VecVirtual, x Mem) {
		v := g.load(x)
		VSUBPS(mean, v, v)
		VFMADD231PS(v, v, acc)
	})

	g.open("vecExpSum", "func(acc *[16]float32, x *float32, m float32, n int)", "replaces x by exp(x-m) and adds it to the lanes.")
	m := g.scalar("m")
	reduce(pointers("acc", "x"), func(_ int, acc reg.VecVirtual, x Mem) {
		v := g.load(x)
		VSUBPS(m, v, v)
		e := g.exp(v)
		VMOVUPS(e, x)
		VADDPS(e, acc, acc)
	})
}
