package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// elementwise writes the functions that handle each element alone and need no exp.
func (g *gen) elementwise() {
	for _, op := range []struct {
		name, doc string
		do        func(...Op)
	}{
		{"vecAdd", "adds x to dst.", VADDPS},
		{"vecMul", "multiplies dst by x.", VMULPS},
	} {
		g.Open(op.name, "func(dst, x *float32, n int)", op.doc)
		p := simd.Pointers("dst", "x")
		g.loop(g.Floats, func() {
			v := g.Load(simd.At(p[0]))
			op.do(simd.At(p[1]), v, v)
			VMOVUPS(v, simd.At(p[0]))
		}, p...)
	}
	g.Open("vecScale", "func(dst, x *float32, s float32, n int)", "writes x*s + 0 to dst.")
	p, s := simd.Pointers("dst", "x"), g.Scalar("s")
	g.loop(g.Floats, func() {
		v := g.Vec()
		VXORPS(v, v, v)
		VFMADD231PS(simd.At(p[1]), s, v)
		VMOVUPS(v, simd.At(p[0]))
	}, p...)

	g.rope()
	g.normApply()
	g.conversions()
}

func (g *gen) rope() {
	g.Open("vecRope", "func(a, b, cos, sin *float32, n int)", "rotates the pairs (a, b).")
	p := simd.Pointers("a", "b", "cos", "sin")
	sign := g.Load(g.Bits(1 << 31))
	g.loop(g.Floats, func() {
		a, b, cos, sin := g.Load(simd.At(p[0])), g.Load(simd.At(p[1])), g.Load(simd.At(p[2])), g.Load(simd.At(p[3]))
		x, y := g.Vec(), g.Vec()
		VMULPS(sin, b, x)
		VXORPS(sign, x, x)
		VFMADD231PS(cos, a, x)
		VMULPS(sin, a, y)
		VFMADD231PS(cos, b, y)
		VMOVUPS(x, simd.At(p[0]))
		VMOVUPS(y, simd.At(p[1]))
	}, p...)
}

// normApply writes the second passes of the norms.
func (g *gen) normApply() {
	g.Open("vecRMSApply", "func(dst, x, weight *float32, inv float32, n int)", "writes x*inv*weight to dst.")
	p, inv := simd.Pointers("dst", "x", "weight"), g.Scalar("inv")
	g.loop(g.Floats, func() {
		v := g.Vec()
		VMULPS(simd.At(p[1]), inv, v)
		VMULPS(simd.At(p[2]), v, v)
		VMOVUPS(v, simd.At(p[0]))
	}, p...)

	g.Open("vecLayerApply", "func(dst, x, weight, bias *float32, mean, inv float32, n int)", "writes (x-mean)*inv*weight + bias to dst.")
	p = simd.Pointers("dst", "x", "weight", "bias")
	mean, inv := g.Scalar("mean"), g.Scalar("inv")
	g.loop(g.Floats, func() {
		v, b := g.Load(simd.At(p[1])), g.Load(simd.At(p[3]))
		VSUBPS(mean, v, v)
		VMULPS(inv, v, v)
		VFMADD231PS(simd.At(p[2]), v, b)
		VMOVUPS(b, simd.At(p[0]))
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
		g.Open(c.name, "func(dst *float32, src *uint16, n int)", c.doc)
		p := simd.Pointers("dst", "src")
		g.loop(g.Floats, func() {
			v := g.Vec()
			c.widen(simd.At(p[1]), v)
			VMOVUPS(v, simd.At(p[0]))
			SUBQ(U32(2*g.Floats), p[1]) // half of what the loop advances
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
	parts := g.Parts()
	// reduce emits a loop; body adds register i of x to its lanes.
	reduce := func(ps []reg.Register, body func(i int, acc reg.VecVirtual, x Mem)) {
		acc := make([]reg.VecVirtual, parts)
		for i := range acc {
			acc[i] = g.Load(simd.At(ps[0]).Offset(i * g.Bytes))
		}
		n := Load(Param("n"), GP64())
		Label("loop")
		for i := range acc {
			body(i, acc[i], simd.At(ps[1]).Offset(i*g.Bytes))
		}
		ADDQ(U32(4*lanes), ps[1])
		SUBQ(U32(lanes), n)
		JNZ(LabelRef("loop"))
		for i := range acc {
			VMOVUPS(acc[i], simd.At(ps[0]).Offset(i*g.Bytes))
		}
		VZEROUPPER()
		RET()
	}

	g.Open("vecSum", "func(acc *[16]float32, x *float32, n int)", "adds x to the lanes.")
	reduce(simd.Pointers("acc", "x"), func(_ int, acc reg.VecVirtual, x Mem) { VADDPS(x, acc, acc) })

	g.Open("vecMax", "func(acc *[16]float32, x *float32, n int)", "compares x with the lanes.")
	reduce(simd.Pointers("acc", "x"), func(_ int, acc reg.VecVirtual, x Mem) { VMAXPS(x, acc, acc) })

	g.Open("vecSquares", "func(acc *[16]float32, x *float32, mean float32, n int)", "adds the squares of x-mean to the lanes.")
	mean := g.Scalar("mean")
	reduce(simd.Pointers("acc", "x"), func(_ int, acc reg.VecVirtual, x Mem) {
		v := g.Load(x)
		VSUBPS(mean, v, v)
		VFMADD231PS(v, v, acc)
	})

	g.Open("vecExpSum", "func(acc *[16]float32, x *float32, m float32, n int)", "replaces x by exp(x-m) and adds it to the lanes.")
	m := g.Scalar("m")
	reduce(simd.Pointers("acc", "x"), func(_ int, acc reg.VecVirtual, x Mem) {
		v := g.Load(x)
		VSUBPS(m, v, v)
		e := g.Exp(v)
		VMOVUPS(e, x)
		VADDPS(e, acc, acc)
	})
}
