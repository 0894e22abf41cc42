package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// tile is the state of a function that computes rows of a tileProduct.
type tile struct {
	*gen
	rows                                int
	dst, dstRow, w, wRow, x, xRow, xCol reg.Register
	groups                              reg.Register
	weightAt, rowAt, row3At, counter    reg.GPVirtual
}

// tiles writes the functions for 1, 2, 4 and 6 rows.
func (g *gen) tiles() {
	for _, rows := range []int{1, 2, 4, 6} {
		g.Open(fmt.Sprintf("tile%d", rows),
			"func(dst *float32, dstRow int, w *float32, wRow int, x *float32, xRow, xCol, k, groups, more int)",
			fmt.Sprintf("computes %d rows of a tileProduct; strides are in bytes.", rows))
		ps := simd.Pointers("dst", "dstRow", "w", "wRow", "x", "xRow", "xCol", "groups")
		t := &tile{
			gen: g, rows: rows, dst: ps[0], dstRow: ps[1], w: ps[2], wRow: ps[3],
			x: ps[4], xRow: ps[5], xCol: ps[6], groups: ps[7],
			weightAt: GP64(), rowAt: GP64(), row3At: GP64(), counter: GP64(),
		}
		t.write()
	}
}

// write takes as many groups of 16 outputs at once as the registers hold, then fewer.
func (t *tile) write() {
	most := []int{4, 2, 1}
	if !t.Wide() && t.rows > 1 {
		most = most[1:]
	}
	if !t.Wide() && t.rows > 2 {
		most = most[1:]
	}
	for _, groups := range most {
		start, next := fmt.Sprintf("groups%d", groups), fmt.Sprintf("less%d", groups)
		Label(start)
		CMPQ(t.groups, U32(groups))
		JLT(LabelRef(next))
		t.section(groups)
		ADDQ(U32(4*lanes*groups), t.dst)
		ADDQ(U32(4*lanes*groups), t.w)
		SUBQ(U32(groups), t.groups)
		JMP(LabelRef(start))
		Label(next)
	}
	end()
}

func (t *tile) section(groups int) {
	acc := make([][]reg.VecVirtual, t.rows) // by row and register
	for r := range acc {
		for range groups * t.Parts() {
			acc[r] = append(acc[r], t.Vec())
		}
	}
	t.begin(acc)
	MOVQ(t.w, t.weightAt)
	MOVQ(t.x, t.rowAt)
	if t.rows > 3 {
		LEAQ(Mem{Base: t.x, Index: t.xRow, Scale: 2}, t.row3At)
		ADDQ(t.xRow, t.row3At)
	}
	Load(Param("k"), t.counter)
	loop := t.label("k")
	Label(loop)
	w := make([]Op, len(acc[0])) // in registers if more than one row takes them
	for i := range w {
		w[i] = simd.At(t.weightAt).Offset(i * t.Bytes)
		if t.rows > 1 {
			w[i] = t.Load(w[i])
		}
	}
	for r := range acc {
		x := t.broadcast(t.value(r))
		for i, v := range acc[r] {
			VFMADD231PS(w[i], x, v)
		}
	}
	ADDQ(t.wRow, t.weightAt)
	ADDQ(t.xCol, t.rowAt)
	if t.rows > 3 {
		ADDQ(t.xCol, t.row3At)
	}
	DECQ(t.counter)
	JNZ(LabelRef(loop))
	t.eachOutput(acc, func(v reg.VecVirtual, m Mem) { VMOVUPS(v, m) })
}

// begin sets the sums to zero, or to what dst holds if more is set.
func (t *tile) begin(acc [][]reg.VecVirtual) {
	zero, ready := t.label("zero"), t.label("ready")
	more := Load(Param("more"), GP64())
	TESTQ(more, more)
	JZ(LabelRef(zero))
	t.eachOutput(acc, func(v reg.VecVirtual, m Mem) { VMOVUPS(m, v) })
	JMP(LabelRef(ready))
	Label(zero)
	for _, row := range acc {
		clearAll(row)
	}
	Label(ready)
}

// eachOutput visits all sums with their places in dst.
func (t *tile) eachOutput(acc [][]reg.VecVirtual, visit func(reg.VecVirtual, Mem)) {
	MOVQ(t.dst, t.rowAt)
	for r, row := range acc {
		for i, v := range row {
			visit(v, simd.At(t.rowAt).Offset(i*t.Bytes))
		}
		if r < len(acc)-1 {
			ADDQ(t.dstRow, t.rowAt)
		}
	}
}

// value returns where a row's value lies.
func (t *tile) value(row int) Mem {
	m := Mem{Base: t.rowAt}
	if row >= 3 {
		m.Base = t.row3At
	}
	if row%3 > 0 {
		m.Index, m.Scale = t.xRow, uint8(row%3)
	}
	return m
}
