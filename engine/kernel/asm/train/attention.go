package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// column is a register of queries and what goes with it: bodies run over rows of keys.
type column struct {
	*gen
	part   int
	lane   Mem            // numbers of the lanes of this part
	hidden reg.VecVirtual // the row's number: lanes below it are hidden
}

// mem returns where the part lies after a pointer.
func (c *column) mem(r reg.Register) Mem { return simd.At(r).Offset(c.part * c.Bytes) }

// mask sets hidden lanes of v to minus infinity.
func (c *column) mask(v reg.VecVirtual) {
	if c.Wide() {
		k := K()
		VPCMPGTD(c.lane, c.hidden, k)
		VBLENDMPS(c.Bits(0xff800000), v, k, v)
		return
	}
	m := c.Vec()
	VPCMPGTD(c.lane, c.hidden, m)
	VBLENDVPS(m, c.Bits(0xff800000), v, v)
}

// eachRow emits a loop over the rows of the parameter n; rows are stride bytes apart.
func (c *column) eachRow(stride reg.Register, rows []reg.Register, body func(at []reg.Register)) {
	n, at := Load(Param("n"), GP64()), make([]reg.Register, len(rows))
	for i, r := range rows {
		at[i] = GP64()
		MOVQ(r, at[i])
	}
	VPBROADCASTD(simd.Parameter("first"), c.hidden)
	loop := c.label("row")
	Label(loop)
	body(at)
	VPADDD(c.Bits(1), c.hidden, c.hidden)
	for _, r := range at {
		ADDQ(stride, r)
	}
	DECQ(n)
	JNZ(LabelRef(loop))
}

// columns returns the parts of a group of 16 queries.
func (g *gen) columns() []*column {
	out := make([]*column, g.Parts())
	for i := range out {
		lane := GLOBL(g.label("lane")+g.Suffix, RODATA|NOPTR)
		for j := 0; j < g.Floats; j++ {
			DATA(4*j, U32(i*g.Floats+j))
		}
		out[i] = &column{gen: g, part: i, lane: lane, hidden: g.Vec()}
	}
	return out
}

func (g *gen) attention() {
	g.Open("softmaxColumns", "func(s *float32, stride, n, first int, state *float32)", "is the twin of softmaxColumns; the stride is in bytes.")
	ps := simd.Pointers("s", "stride", "state")
	s, stride, state := ps[0], ps[1], ps[2]
	for _, c := range g.columns() {
		before, top := g.Load(c.mem(state)), g.Load(c.mem(state))
		c.eachRow(stride, []reg.Register{s}, func(at []reg.Register) {
			v := g.Load(c.mem(at[0]))
			c.mask(v)
			VMAXPS(v, top, top)
		})
		VMOVUPS(top, c.mem(state))
		sum := g.Zero()
		c.eachRow(stride, []reg.Register{s}, func(at []reg.Register) {
			v := g.Load(c.mem(at[0]))
			c.mask(v)
			VSUBPS(top, v, v)
			e := g.Exp(v)
			VMOVUPS(e, c.mem(at[0]))
			VADDPS(e, sum, sum)
		})
		VSUBPS(top, before, before)
		f := g.Exp(before)
		VMOVUPS(f, c.mem(state).Offset(8*lanes))
		VFMADD231PS(c.mem(state).Offset(4*lanes), f, sum)
		VMOVUPS(sum, c.mem(state).Offset(4*lanes))
	}
	end()

	g.Open("gradColumns", "func(s, ds *float32, stride, n, first int, state *float32, scale float32)", "is the twin of gradColumns; the stride is in bytes.")
	ps = simd.Pointers("s", "ds", "stride", "state")
	s, stride, state = ps[0], ps[2], ps[3]
	scale := g.Scalar("scale")
	for _, c := range g.columns() {
		top := g.Load(c.mem(state))
		c.eachRow(stride, []reg.Register{s, ps[1]}, func(at []reg.Register) {
			v := g.Load(c.mem(at[0]))
			c.mask(v)
			VSUBPS(top, v, v)
			e := g.Exp(v)
			VMULPS(c.mem(state).Offset(4*lanes), e, e)
			VMOVUPS(e, c.mem(at[0]))
			d := g.Load(c.mem(at[1]))
			VSUBPS(c.mem(state).Offset(8*lanes), d, d)
			VMULPS(e, d, d)
			VMULPS(scale, d, d)
			VMOVUPS(d, c.mem(at[1]))
		})
	}
	end()
	g.transpose()
}

// transpose writes blocks of 8 by 8, in 256-bit registers on both instruction sets: rows i
// and i+4 share a register, so that what is left are transposes of 4 by 4 in its halves.
func (g *gen) transpose() {
	g.Open("transpose8", "func(dst *float32, dstRow int, src *float32, srcRow, blocks int, scale float32)",
		"transposes 8 rows of blocks of 8 columns, times scale; strides are in bytes.")
	ps := simd.Pointers("dst", "dstRow", "src", "srcRow", "blocks")
	dst, dstRow, src, srcRow, blocks := ps[0], ps[1], ps[2], ps[3], ps[4]
	scale := YMM()
	VBROADCASTSS(simd.Parameter("scale"), scale)
	src3, dst3, dst6, dst7 := GP64(), GP64(), GP64(), GP64()
	src4 := GP64()
	LEAQ(Mem{Base: srcRow, Index: srcRow, Scale: 2}, src3)
	LEAQ(Mem{Base: src, Index: srcRow, Scale: 4}, src4)
	LEAQ(Mem{Base: dstRow, Index: dstRow, Scale: 2}, dst3)
	LEAQ(Mem{Base: dst3, Index: dst3, Scale: 1}, dst6)
	LEAQ(Mem{Base: dst6, Index: dstRow, Scale: 1}, dst7)
	Label("block")
	for half := range 2 {
		a := make([]reg.VecVirtual, 4)
		for i := range a {
			a[i] = YMM()
			VMOVUPS(rowOf(src, srcRow, src3, i).Offset(16*half), a[i].AsX())
			VINSERTF128(U8(1), rowOf(src4, srcRow, src3, i).Offset(16*half), a[i], a[i])
			VMULPS(scale, a[i], a[i])
		}
		l01, l23, h01, h23, c := YMM(), YMM(), YMM(), YMM(), YMM()
		VUNPCKLPS(a[1], a[0], l01)
		VUNPCKLPS(a[3], a[2], l23)
		VUNPCKHPS(a[1], a[0], h01)
		VUNPCKHPS(a[3], a[2], h23)
		to := func(j int) Mem {
			m := Mem{Base: dst}
			switch col := 4*half + j; col {
			case 0:
			case 1, 2, 4:
				m.Index, m.Scale = dstRow, uint8(col)
			case 3:
				m.Index, m.Scale = dst3, 1
			case 6:
				m.Index, m.Scale = dst6, 1
			case 7:
				m.Index, m.Scale = dst7, 1
			case 5: // one column back from 6
				five := GP64()
				MOVQ(dst6, five)
				SUBQ(dstRow, five)
				m.Index, m.Scale = five, 1
			}
			return m
		}
		VUNPCKLPD(l23, l01, c)
		VMOVUPS(c, to(0))
		VUNPCKHPD(l23, l01, c)
		VMOVUPS(c, to(1))
		VUNPCKLPD(h23, h01, c)
		VMOVUPS(c, to(2))
		VUNPCKHPD(h23, h01, c)
		VMOVUPS(c, to(3))
	}
	ADDQ(U32(32), src)
	ADDQ(U32(32), src4)
	LEAQ(Mem{Base: dst, Index: dstRow, Scale: 8}, dst)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	end()
}

// rowOf returns where row i of 4 begins.
func rowOf(base, stride, triple reg.Register, i int) Mem {
	m := Mem{Base: base}
	switch i {
	case 1, 2:
		m.Index, m.Scale = stride, uint8(i)
	case 3:
		m.Index, m.Scale = triple, 1
	}
	return m
}
