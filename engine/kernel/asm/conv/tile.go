package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// tiles writes the functions that compute rows times groups of 16 outputs. AVX2 has
// registers for one group of six rows.
func (g *gen) tiles() {
	most := 4
	if !g.Wide() {
		most = 1
	}
	for _, rows := range []int{1, 2, 4, 6} {
		for groups := 1; groups <= most; groups++ {
			g.tile(rows, groups)
		}
	}
}

// unroll is how many steps a tile does between jumps: the FMA units share their ports with
// the counting.
const unroll = 4

// tile is the state of a tile function.
type tile struct {
	*gen
	rows, groups       int
	acc                [][]reg.VecVirtual // by row and register of the groups
	x, w               []reg.GPVirtual    // by group, by row
	steps, n, xAt, wAt reg.GPVirtual
}

func (g *gen) tile(rows, groups int) {
	g.Open(fmt.Sprintf("convTile%dx%d", rows, groups),
		"func(dst *float32, dstStride int, groups *int, x, w *float32, wStride int, steps *int32, n, ahead, more int)",
		fmt.Sprintf("computes %d rows of %d groups of 16 outputs; strides are in bytes, the tables in elements.", rows, groups))
	t := &tile{gen: g, rows: rows, groups: groups}
	for range rows {
		var regs []reg.VecVirtual
		for range groups * g.Parts() {
			regs = append(regs, g.Vec())
		}
		t.acc = append(t.acc, regs)
	}
	t.begin()
	t.pointers()
	SUBQ(U32(unroll), t.n)
	JLT(LabelRef("few"))
	Label("loop")
	t.prefetch()
	for i := range unroll {
		t.step(i)
	}
	ADDQ(U32(8*unroll), t.steps)
	SUBQ(U32(unroll), t.n)
	JGE(LabelRef("loop"))
	Label("few")
	ADDQ(U32(unroll), t.n)
	JZ(LabelRef("done"))
	Label("single")
	t.step(0)
	ADDQ(U32(8), t.steps)
	DECQ(t.n)
	JNZ(LabelRef("single"))
	Label("done")
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
	parts := t.Parts()
	for g := range t.groups {
		p := GP64()
		MOVQ(Mem{Base: groups, Disp: 16*g + 8}, p)
		LEAQ(Mem{Base: dst, Index: p, Scale: 4}, p)
		for r := range t.acc {
			for i := range parts {
				visit(t.acc[r][g*parts+i], Mem{Base: p, Disp: i * t.Bytes})
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
	t.w = []reg.GPVirtual{pointer("w")}
	for r := 1; r < t.rows; r++ {
		p := GP64()
		MOVQ(t.w[r-1], p)
		ADDQ(simd.Parameter("wStride"), p)
		t.w = append(t.w, p)
	}
	t.steps, t.n = pointer("steps"), pointer("n")
	t.xAt, t.wAt = GP64(), GP64()
}

// prefetch asks for what the next rows will read in these steps: they may lie in memory, and
// too far apart for the processor to guess.
func (t *tile) prefetch() {
	if t.rows < 4 {
		return
	}
	MOVLQSX(Mem{Base: t.steps, Disp: 4}, t.wAt)
	SHLQ(U8(2), t.wAt)
	ADDQ(simd.Parameter("ahead"), t.wAt)
	for _, w := range t.w {
		PREFETCHT0(Mem{Base: w, Index: t.wAt, Scale: 1})
	}
}

// step adds the products of one step.
func (t *tile) step(i int) {
	MOVLQSX(Mem{Base: t.steps, Disp: 8 * i}, t.xAt)
	MOVLQSX(Mem{Base: t.steps, Disp: 8*i + 4}, t.wAt)
	parts := t.Parts()
	var x []reg.VecVirtual
	for _, p := range t.x {
		for i := range parts {
			x = append(x, t.Load(Mem{Base: p, Index: t.xAt, Scale: 4, Disp: i * t.Bytes}))
		}
	}
	for r, row := range t.acc {
		w := t.Vec()
		VBROADCASTSS(Mem{Base: t.w[r], Index: t.wAt, Scale: 4}, w)
		for i, v := range row {
			VFMADD231PS(x[i], w, v)
		}
	}
}
