package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tiles writes the functions that compute rows times groups of 16 outputs. AVX2 has
// registers for one group of six rows.
func (g *gen) tiles() {
	most := 4
	if g.floats < lanes {
		most = 1
	}
	for _, rows := range []int{1, 2, 4, 6} {
		for groups := 1; groups <= most; groups++ {
			g.tile(rows, groups)
		}
	}
}

// tile is the state of a tile function.
type tile struct {
	*gen
	rows, groups       int
	acc                [][]reg.VecVirtual // by row and register of the groups
	x                  []reg.GPVirtual    // by group
	w, wStride, w3     reg.GPVirtual
	taps, n, outer, at reg.GPVirtual
	row, row3          reg.GPVirtual
}

func (g *gen) tile(rows, groups int) {
	g.open(fmt.Sprintf("convTile%dx%d", rows, groups),
		"func(dst *float32, dstStride int, groups *int, x *float32, xOuter int, w *float32, wStride, wOuter int, taps *int, n, outer, more int)",
		fmt.Sprintf("computes %d rows of %d groups of 16 outputs; strides are in bytes, the tables in elements.", rows, groups))
	t := &tile{gen: g, rows: rows, groups: groups}
	for range rows {
		var regs []reg.VecVirtual
		for range groups * lanes / g.floats {
			regs = append(regs, g.vec())
		}
		t.acc = append(t.acc, regs)
	}
	t.begin()
	t.pointers()
	Label("outer")
	t.taps, t.n = pointer("taps"), pointer("n")
	Label("tap")
	t.step()
	ADDQ(U32(16), t.taps)
	DECQ(t.n)
	JNZ(LabelRef("tap"))
	ADDQ(param("wOuter"), t.w)
	for _, x := range t.x {
		ADDQ(param("xOuter"), x)
	}
	DECQ(t.outer)
	JNZ(LabelRef("outer"))
	t.eachOutput(func(v reg.VecVirtual, m Mem) { VMOVUPS(v, m) })
	VZEROUPPER()
	RET()
}

// begin sets the sums to zero, or to what dst holds if more is set.
func (t *tile) begin() {
	more := pointer("more")
	TESTQ(more, more)
	JZ(LabelRef("zero"))
	t.eachOutput(func(v reg.VecVirtual, m Mem) { VMOVUPS(m, v) })
	JMP(LabelRef("ready"))
	Label("zero")
	for _, row := range t.acc {
		for _, v := range row {
			VXORPS(v, v, v)
		}
	}
	Label("ready")
}

// eachOutput visits all sums with their places in dst.
func (t *tile) eachOutput(visit func(reg.VecVirtual, Mem)) {
	dst, stride, groups := pointer("dst"), pointer("dstStride"), pointer("groups")
	parts := lanes / t.floats
	for g := range t.groups {
		p := GP64()
		MOVQ(Mem{Base: groups, Disp: 16*g + 8}, p)
		LEAQ(Mem{Base: dst, Index: p, Scale: 4}, p)
		for r := range t.acc {
			for i := range parts {
				visit(t.acc[r][g*parts+i], Mem{Base: p, Disp: i * t.bytes})
			}
			if r < len(t.acc)-1 {
				ADDQ(stride, p)
			}
		}
	}
}

// pointers loads what the loops need.
func (t *tile) pointers() {
	groups, x := pointer("groups"), pointer("x")
	for g := range t.groups {
		p := GP64()
		MOVQ(Mem{Base: groups, Disp: 16 * g}, p)
		LEAQ(Mem{Base: x, Index: p, Scale: 4}, p)
		t.x = append(t.x, p)
	}
	t.w, t.wStride, t.outer = pointer("w"), pointer("wStride"), pointer("outer")
	t.at, t.row = GP64(), GP64()
	if t.rows > 3 {
		t.w3, t.row3 = GP64(), GP64()
		LEAQ(Mem{Base: t.wStride, Index: t.wStride, Scale: 2}, t.w3)
	}
}

// step adds the products of one tap of one outer step.
func (t *tile) step() {
	MOVQ(Mem{Base: t.taps, Disp: 8}, t.row)
	LEAQ(Mem{Base: t.w, Index: t.row, Scale: 4}, t.row)
	MOVQ(Mem{Base: t.taps}, t.at)
	if t.rows > 3 {
		LEAQ(Mem{Base: t.row, Index: t.w3, Scale: 1}, t.row3)
	}
	parts := lanes / t.floats
	var x []reg.VecVirtual
	for _, p := range t.x {
		for i := range parts {
			x = append(x, t.load(Mem{Base: p, Index: t.at, Scale: 4, Disp: i * t.bytes}))
		}
	}
	for r, row := range t.acc {
		w := t.vec()
		VBROADCASTSS(t.value(r), w)
		for i, v := range row {
			VFMADD231PS(x[i], w, v)
		}
	}
}

// value returns where a row's value lies.
func (t *tile) value(row int) Mem {
	m := Mem{Base: t.row}
	if row >= 3 {
		m.Base = t.row3
	}
	if row%3 > 0 {
		m.Index, m.Scale = t.wStride, uint8(row%3)
	}
	return m
}
