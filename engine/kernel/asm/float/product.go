package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// weights says how a product reads 16 weights: their size and, for those that are not
// float32, the instructions that widen a register of them.
type weights struct {
	name  string
	size  int
	widen func(Mem, reg.VecVirtual)
}

// products writes the functions that compute rows of x times groups of 16 outputs.
func (g *gen) products() {
	single := weights{name: "F32", size: 4}
	for _, rows := range []int{1, 2, 4, 6} {
		g.product(single, rows)
	}
	g.product(weights{"F16", 2, widenF16}, 1)
	g.product(weights{"BF16", 2, widenBF16}, 1)
}

// groupsAtOnce lists how many groups of outputs are kept in registers, largest first.
func (g *gen) groupsAtOnce(rows int) []int {
	switch {
	case g.Wide() || rows == 1:
		return []int{4, 3, 2, 1}
	case rows == 2:
		return []int{2, 1}
	}
	return []int{1}
}

// pass is the state of a product function.
type pass struct {
	*gen
	weights
	rows                              int
	dst, dstStride, w, wStride, wStep reg.Register
	x, xStride, xStep, wTriple        reg.Register
	weightAt, rowAt, row3At, counter  reg.GPVirtual
}

// product writes the function for a number of rows. It takes as many groups at once as
// fit and then fewer.
func (g *gen) product(w weights, rows int) {
	typ := map[int]string{2: "uint16", 4: "float32"}[w.size]
	g.Open(fmt.Sprintf("product%sx%d", w.name, rows),
		"func(dst *float32, dstStride int, w *"+typ+", wStride, wStep int, x *float32, xStride, xStep, k, groups, more int)",
		fmt.Sprintf("computes %d rows of x times groups of 16 outputs; strides and steps are in bytes.", rows))
	ps := simd.Pointers("dst", "dstStride", "w", "wStride", "wStep", "x", "xStride", "xStep")
	p := &pass{
		gen: g, weights: w, rows: rows,
		dst: ps[0], dstStride: ps[1], w: ps[2], wStride: ps[3], wStep: ps[4],
		x: ps[5], xStride: ps[6], xStep: ps[7],
		weightAt: GP64(), rowAt: GP64(), row3At: GP64(), counter: GP64(),
	}
	if g.groupsAtOnce(rows)[0] == 4 {
		p.wTriple = GP64()
		LEAQ(Mem{Base: p.wStride, Index: p.wStride, Scale: 2}, p.wTriple)
	}
	left, err := Param("groups").Resolve() // too rare a use for a register
	if err != nil {
		panic(err)
	}
	for _, groups := range g.groupsAtOnce(rows) {
		next := fmt.Sprintf("less%d", groups)
		start := fmt.Sprintf("groups%d", groups)
		Label(start)
		CMPQ(left.Addr, U32(groups))
		JLT(LabelRef(next))
		p.section(groups)
		ADDQ(U32(64*groups), p.dst)
		for range groups {
			ADDQ(p.wStride, p.w)
		}
		SUBQ(U32(groups), left.Addr)
		JMP(LabelRef(start))
		Label(next)
	}
	VZEROUPPER()
	RET()
}

// section computes a number of groups.
func (p *pass) section(groups int) {
	parts := lanes / p.Floats
	acc := make([][]reg.VecVirtual, p.rows) // by row and register of a group
	for r := range acc {
		for range groups * parts {
			acc[r] = append(acc[r], p.Vec())
		}
	}
	p.begin(acc, groups)

	MOVQ(p.w, p.weightAt)
	MOVQ(p.x, p.rowAt)
	if p.rows > 3 {
		LEAQ(Mem{Base: p.x, Index: p.xStride, Scale: 2}, p.row3At)
		ADDQ(p.xStride, p.row3At)
	}
	Load(Param("k"), p.counter)
	loop := fmt.Sprintf("columns%d", groups)
	Label(loop)
	p.column(acc)
	ADDQ(p.wStep, p.weightAt)
	ADDQ(p.xStep, p.rowAt)
	if p.rows > 3 {
		ADDQ(p.xStep, p.row3At)
	}
	DECQ(p.counter)
	JNZ(LabelRef(loop))

	p.eachOutput(acc, func(v reg.VecVirtual, m Mem) { VMOVUPS(v, m) })
}

// begin sets the sums to zero, or to what dst holds if more is set.
func (p *pass) begin(acc [][]reg.VecVirtual, groups int) {
	zero, ready := fmt.Sprintf("zero%d", groups), fmt.Sprintf("ready%d", groups)
	more := Load(Param("more"), GP64())
	TESTQ(more, more)
	JZ(LabelRef(zero))
	p.eachOutput(acc, func(v reg.VecVirtual, m Mem) { VMOVUPS(m, v) })
	JMP(LabelRef(ready))
	Label(zero)
	for _, row := range acc {
		for _, v := range row {
			VXORPS(v, v, v)
		}
	}
	Label(ready)
}

// eachOutput visits all sums with their places in dst.
func (p *pass) eachOutput(acc [][]reg.VecVirtual, visit func(reg.VecVirtual, Mem)) {
	MOVQ(p.dst, p.rowAt)
	for r, row := range acc {
		for i, v := range row {
			visit(v, Mem{Base: p.rowAt, Disp: i * p.Bytes})
		}
		if r < len(acc)-1 {
			ADDQ(p.dstStride, p.rowAt)
		}
	}
}

// column adds one column's products: weights into registers, then each row's value. With
// one row a weight is read when it is used, which takes fewer registers.
func (p *pass) column(acc [][]reg.VecVirtual) {
	if p.rows == 1 {
		x := p.Vec()
		VBROADCASTSS(p.value(0), x)
		for i, v := range acc[0] {
			VFMADD231PS(p.wide(i), x, v)
		}
		return
	}
	w := make([]reg.VecVirtual, len(acc[0]))
	for i := range w {
		w[i] = p.Load(p.weight(i))
	}
	for r := range acc {
		x := p.Vec()
		VBROADCASTSS(p.value(r), x)
		for i, v := range acc[r] {
			VFMADD231PS(w[i], x, v)
		}
	}
}

// wide returns register i of a column's weights as float32, still in memory if it is so.
func (p *pass) wide(i int) Op {
	if p.widen == nil {
		return p.weight(i)
	}
	v := p.Vec()
	p.widen(p.weight(i), v)
	return v
}

// weight returns where register i of a column's weights lies.
func (p *pass) weight(i int) Mem {
	parts := lanes / p.Floats
	group, part := i/parts, i%parts
	m := Mem{Base: p.weightAt, Disp: part * p.Floats * p.size}
	switch group {
	case 1, 2:
		m.Index, m.Scale = p.wStride, uint8(group)
	case 3:
		m.Index, m.Scale = p.wTriple, 1
	}
	return m
}

// value returns where a row's value lies.
func (p *pass) value(row int) Mem {
	m := Mem{Base: p.rowAt}
	if row >= 3 {
		m.Base = p.row3At
	}
	if row%3 > 0 {
		m.Index, m.Scale = p.xStride, uint8(row%3)
	}
	return m
}
