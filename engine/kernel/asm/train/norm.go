package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// norms writes functions over rows of n elements. The number of rows is at least 1.
func (g *gen) norms() {
	g.rmsForward()
	g.rmsBackward()
	g.layerForward()
	g.layerBackward()
}

// rows emits a loop over rows: body handles one, then the pointers to rows and to numbers
// of rows move on. It needs a parameter called rows.
func (g *gen) rows(n reg.Register, rows, numbers []reg.Register, body func()) {
	count, bytes := Load(Param("rows"), GP64()), GP64()
	Label("rows")
	body()
	MOVQ(n, bytes)
	SHLQ(U8(2), bytes)
	for _, r := range rows {
		ADDQ(bytes, r)
	}
	for _, r := range numbers {
		ADDQ(U32(4), r)
	}
	DECQ(count)
	JNZ(LabelRef("rows"))
	end()
}

// inverseRoot turns a sum into 1 / sqrt(sum/n + eps), in every lane: the twin of
// inverseRoot. It stores the number.
func (g *gen) inverseRoot(sum reg.Register, n, to reg.Register) reg.VecVirtual {
	one, t := XMM(), XMM()
	VDIVSS(float(n), sum, t)
	VADDSS(param("eps"), t, t)
	VSQRTSS(t, t, t)
	VMOVSS(g.Constant(1), one)
	VDIVSS(t, one, one)
	VMOVSS(one, simd.At(to))
	return g.broadcast(one)
}

func (g *gen) rmsForward() {
	g.Open("rmsForward", "func(y, x, w, inv *float32, rows, n int, eps float32)", "is the twin of rmsRows.")
	ps := simd.Pointers("y", "x", "w", "inv", "n")
	y, x, w, inv, n := ps[0], ps[1], ps[2], ps[3], ps[4]
	acc := g.vectors()
	g.rows(n, []reg.Register{y, x}, []reg.Register{inv}, func() {
		clearAll(acc)
		g.sweep(n, func(p *part) {
			v := p.load(x)
			VFMADD231PS(v, v, acc[p.n])
		})
		s := g.inverseRoot(g.tree(acc, VADDPS), n, inv)
		g.sweep(n, func(p *part) {
			v := p.load(x)
			VMULPS(s, v, v)
			VMULPS(p.load(w), v, v)
			p.store(v, y)
		})
	})
}

func (g *gen) rmsBackward() {
	g.Open("rmsBackward", "func(dx, dw, dy, x, w, inv *float32, rows, n int)", "is the twin of rmsRowsBack.")
	ps := simd.Pointers("dx", "dw", "dy", "x", "w", "inv", "n")
	dx, dw, dy, x, w, inv, n := ps[0], ps[1], ps[2], ps[3], ps[4], ps[5], ps[6]
	acc := g.vectors()
	g.rows(n, []reg.Register{dx, dy, x}, []reg.Register{inv}, func() {
		clearAll(acc)
		g.sweep(n, func(p *part) {
			a := p.load(dy)
			VMULPS(p.load(w), a, a)
			VFMADD231PS(p.load(x), a, acc[p.n])
		})
		sum, sq := g.tree(acc, VADDPS), XMM()
		VMOVSS(simd.At(inv), sq)
		VMULSS(sq, sq, sq)
		VMULSS(sum, sq, sq)
		VDIVSS(float(n), sq, sq)
		k, s := g.broadcast(sq), g.broadcast(simd.At(inv))
		g.sweep(n, func(p *part) {
			v, d, sum, h := p.load(x), p.load(dy), p.load(dw), g.Vec()
			VMULPS(s, v, h)
			VFMADD231PS(h, d, sum)
			p.store(sum, dw)
			VMULPS(p.load(w), d, d)
			VFNMADD231PS(v, k, d)
			VMULPS(s, d, d)
			p.store(d, dx)
		})
	})
}

func (g *gen) layerForward() {
	g.Open("layerForward", "func(y, x, w, b, mean, inv *float32, rows, n int, eps float32)", "is the twin of layerRows.")
	ps := simd.Pointers("y", "x", "w", "b", "mean", "inv", "n")
	y, x, w, b, mean, inv, n := ps[0], ps[1], ps[2], ps[3], ps[4], ps[5], ps[6]
	acc := g.vectors()
	g.rows(n, []reg.Register{y, x}, []reg.Register{mean, inv}, func() {
		clearAll(acc)
		g.sweep(n, func(p *part) { VADDPS(p.load(x), acc[p.n], acc[p.n]) })
		t := XMM()
		VDIVSS(float(n), g.tree(acc, VADDPS), t)
		VMOVSS(t, simd.At(mean))
		m := g.broadcast(t)
		clearAll(acc)
		g.sweep(n, func(p *part) {
			v := p.load(x)
			VSUBPS(m, v, v)
			p.keep(v)
			VFMADD231PS(v, v, acc[p.n])
		})
		s := g.inverseRoot(g.tree(acc, VADDPS), n, inv)
		g.sweep(n, func(p *part) {
			v, shift := p.load(x), p.load(b)
			VSUBPS(m, v, v)
			VMULPS(s, v, v)
			VFMADD231PS(p.load(w), v, shift)
			p.store(shift, y)
		})
	})
}

func (g *gen) layerBackward() {
	g.Open("layerBackward", "func(dx, dw, db, dy, x, w, mean, inv *float32, rows, n int)", "is the twin of layerRowsBack.")
	ps := simd.Pointers("dx", "dw", "db", "dy", "x", "w", "mean", "inv")
	dx, dw, db, dy, x, w, mean, inv := ps[0], ps[1], ps[2], ps[3], ps[4], ps[5], ps[6], ps[7]
	n := Load(Param("n"), GP64())
	sums, dots := g.vectors(), g.vectors()
	g.rows(n, []reg.Register{dx, dy, x}, []reg.Register{mean, inv}, func() {
		clearAll(sums)
		clearAll(dots)
		m, s := g.broadcast(simd.At(mean)), g.broadcast(simd.At(inv))
		g.sweep(n, func(p *part) {
			h, a := p.load(x), p.load(dy)
			VSUBPS(m, h, h)
			VMULPS(s, h, h)
			p.keep(h)
			VMULPS(p.load(w), a, a)
			VADDPS(a, sums[p.n], sums[p.n])
			VFMADD231PS(h, a, dots[p.n])
		})
		count, k1, k2 := float(n), XMM(), XMM()
		VDIVSS(count, g.tree(sums, VADDPS), k1)
		VDIVSS(count, g.tree(dots, VADDPS), k2)
		v1, v2 := g.broadcast(k1), g.broadcast(k2)
		g.sweep(n, func(p *part) {
			h, d, sum := p.load(x), p.load(dy), p.load(dw)
			VSUBPS(m, h, h)
			VMULPS(s, h, h)
			VFMADD231PS(h, d, sum)
			p.store(sum, dw)
			sum = p.load(db)
			VADDPS(d, sum, sum)
			p.store(sum, db)
			VMULPS(p.load(w), d, d)
			VSUBPS(v1, d, d)
			VFNMADD231PS(h, v2, d)
			VMULPS(s, d, d)
			p.store(d, dx)
		})
	})
}
