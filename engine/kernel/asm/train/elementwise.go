package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

func (g *gen) elementwise() {
	g.binary("addVectors", "adds.", func(a, b reg.VecVirtual) reg.VecVirtual {
		VADDPS(b, a, a)
		return a
	})
	g.binary("addReLU", "adds and is the twin of reluf then.", func(a, b reg.VecVirtual) reg.VecVirtual {
		VADDPS(b, a, a)
		return g.relu(a)
	})

	g.Open("swigluForward", "func(y, gate, up *float32, n int)", "writes siluValue(gate) * up.")
	ps := simd.Pointers("y", "gate", "up", "n")
	g.sweep(ps[3], func(p *part) {
		x := g.silu(p.load(ps[1]))
		VMULPS(p.load(ps[2]), x, x)
		p.store(x, ps[0])
	})
	end()
	g.swigluBackward()
	g.sumRows()
}

func (g *gen) swigluBackward() {
	g.Open("swigluBackward", "func(dgate, dup, dy, gate, up *float32, n int)", "is the twin of swigluBack.")
	ps := simd.Pointers("dgate", "dup", "dy", "gate", "up", "n")
	g.sweep(ps[5], func(p *part) {
		x := p.load(ps[3])
		value := g.atLeast(x, -80)
		c, s, q := g.siluParts(x)
		VMULPS(s, value, value)
		VFMADD213PS(g.Constant(1), q, c)
		VMULPS(c, s, s)
		dy, up := p.load(ps[2]), p.load(ps[4])
		VMULPS(dy, up, up)
		VMULPS(s, up, up)
		VMULPS(value, dy, dy)
		p.store(up, ps[0])
		p.store(dy, ps[1])
	})
	end()
}

// sumRows sums columns over rows: 64 at a time to hide the latency of additions, then 16.
func (g *gen) sumRows() {
	g.Open("sumRows", "func(dst, x *float32, stride, rows, n int)", "sums columns over rows; the stride is in bytes.")
	ps := simd.Pointers("dst", "x", "stride", "n")
	dst, x, stride, n := ps[0], ps[1], ps[2], ps[3]
	rows, at := GP64(), GP64()
	Label("many")
	CMPQ(n, U32(4*lanes))
	JLT(LabelRef("few"))
	acc := make([]reg.VecVirtual, 4*g.Parts())
	for i := range acc {
		acc[i] = g.Zero()
	}
	Load(Param("rows"), rows)
	MOVQ(x, at)
	Label("row")
	for i, v := range acc {
		VADDPS(simd.At(at).Offset(i*g.Bytes), v, v)
	}
	ADDQ(stride, at)
	DECQ(rows)
	JNZ(LabelRef("row"))
	for i, v := range acc {
		VMOVUPS(v, simd.At(dst).Offset(i*g.Bytes))
	}
	ADDQ(U32(16*lanes), dst)
	ADDQ(U32(16*lanes), x)
	SUBQ(U32(4*lanes), n)
	JMP(LabelRef("many"))
	Label("few")
	g.sweep(n, func(p *part) {
		loop, v := g.label("row"), g.Zero()
		Load(Param("rows"), rows)
		MOVQ(x, at)
		Label(loop)
		VADDPS(p.load(at), v, v)
		ADDQ(stride, at)
		DECQ(rows)
		JNZ(LabelRef(loop))
		p.store(v, dst)
	})
	end()
}
