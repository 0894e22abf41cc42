package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

func (g *gen) updates() {
	g.dropout()
	g.adam("adamStep", "is a step of Adam, decay apart.", false)
	g.adam("adamL2Step", "is a step of Adam, decay in the gradient.", true)
	g.sgd("sgdStep", "is a step without momentum.", false, false)
	g.sgd("sgdMomentumStep", "is a step with momentum.", true, false)
	g.sgd("sgdNesterovStep", "is a step with Nesterov's momentum.", true, true)
}

func (g *gen) dropout() {
	g.Open("dropRow", "func(y, x *float32, n int, start, key, threshold uint32, scale float32)", "is the twin of dropRow.")
	ps := simd.Pointers("y", "x", "n")
	key, threshold, scale := g.Scalar("key"), g.Scalar("threshold"), g.Scalar("scale")
	const step = 0x9e3779b9
	counters := make([]reg.VecVirtual, g.Parts())
	for i := range counters {
		counters[i] = g.Scalar("start")
		lane := GLOBL(g.label("steps")+g.Suffix, RODATA|NOPTR)
		for j := range g.Floats {
			DATA(4*j, U32(uint32(i*g.Floats+j)*step))
		}
		VPADDD(lane, counters[i], counters[i])
	}
	g.sweep(ps[2], func(p *part) {
		w, t := g.dup(counters[p.n]), g.Vec()
		VPADDD(g.Bits(step*lanes&0xffffffff), counters[p.n], counters[p.n])
		VPSRLD(U8(16), w, t)
		g.xor(t, w)
		VPMULLD(g.Bits(0x85ebca6b), w, w)
		VPSRLD(U8(13), w, t)
		g.xor(key, t)
		g.xor(t, w)
		VPMULLD(g.Bits(0xc2b2ae35), w, w)
		VPSRLD(U8(16), w, t)
		g.xor(t, w)
		v := p.load(ps[1])
		VMULPS(scale, v, v)
		if g.Wide() {
			k := K()
			VPCMPUD(U8(notLess), threshold, w, k)
			VMOVAPS_Z(v, k, v)
		} else {
			VPMAXUD(threshold, w, t)
			VPCMPEQD(t, w, w)
			VANDPS(w, v, v)
		}
		p.store(v, ps[0])
	})
	end()
}

// xor changes the bits of v that are set in x.
func (g *gen) xor(x, v reg.VecVirtual) {
	if g.Wide() {
		VPXORD(x, v, v)
	} else {
		VPXOR(x, v, v)
	}
}

// Places in the factors of a step, as in package kernel.
const (
	adamScale = iota
	adamL2
	adamC1
	adamBeta2
	adamC2
	adamRoot
	adamEps
	adamKeep
	adamLR
)

func (g *gen) adam(name, doc string, l2 bool) {
	g.Open(name, "func(p, grad, m, v *float32, n int, factors *[10]float32)", doc)
	ps := simd.Pointers("p", "grad", "m", "v", "n", "factors")
	factor := func(i int) reg.VecVirtual { return g.broadcast(simd.At(ps[5]).Offset(4 * i)) }
	g.sweep(ps[4], func(p *part) {
		w, d, m, v := p.load(ps[0]), p.load(ps[1]), p.load(ps[2]), p.load(ps[3])
		VMULPS(factor(adamScale), d, d)
		if l2 {
			VFMADD231PS(factor(adamL2), w, d)
		}
		t := g.Vec()
		VSUBPS(m, d, t)
		VFMADD231PS(factor(adamC1), t, m)
		p.store(m, ps[2])
		VMULPS(factor(adamBeta2), v, v)
		VMULPS(factor(adamC2), d, t)
		VFMADD231PS(d, t, v)
		p.store(v, ps[3])
		VSQRTPS(v, v)
		VFMADD213PS(factor(adamEps), factor(adamRoot), v)
		VDIVPS(v, m, m)
		VMULPS(factor(adamKeep), w, w)
		VFMADD231PS(factor(adamLR), m, w)
		p.store(w, ps[0])
	})
	end()
}

func (g *gen) sgd(name, doc string, momentum, nesterov bool) {
	g.Open(name, "func(p, grad, m *float32, n int, lr, mu, decay, scale float32)", doc)
	ps := simd.Pointers("p", "grad", "m", "n")
	lr, mu, decay, scale := g.Scalar("lr"), g.Scalar("mu"), g.Scalar("decay"), g.Scalar("scale")
	g.negate(lr)
	g.sweep(ps[3], func(p *part) {
		w, d := p.load(ps[0]), p.load(ps[1])
		VMULPS(scale, d, d)
		VFMADD231PS(w, decay, d)
		if momentum {
			m := p.load(ps[2])
			VFMADD213PS(d, mu, m)
			p.store(m, ps[2])
			if nesterov {
				VFMADD231PS(m, mu, d)
			} else {
				d = m
			}
		}
		VFMADD231PS(d, lr, w)
		p.store(w, ps[0])
	})
	end()
}
