package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// bnBlocks is the number of blocks of 16 lanes that sums over a channel run in.
const bnBlocks = 4

// batchNorm writes the functions of batch normalisation.
func (g *gen) batchNorm() {
	g.Open("bnSum", "func(acc *[64]float32, x *float32, n int)", "adds x to the lanes.")
	g.sums([]string{"acc"}, []string{"x"}, func(acc []reg.VecVirtual, at []Mem) { VADDPS(at[0], acc[0], acc[0]) })

	g.Open("bnSquares", "func(acc *[64]float32, x *float32, mean float32, n int)", "adds the squares of x - mean to the lanes.")
	mean := g.Scalar("mean")
	g.sums([]string{"acc"}, []string{"x"}, func(acc []reg.VecVirtual, at []Mem) {
		v := g.Load(at[0])
		VSUBPS(mean, v, v)
		VFMADD231PS(v, v, acc[0])
	})

	g.Open("bnApply", "func(y, x *float32, mean, scale, shift, floor float32, n int)", "writes (x-mean)*scale + shift, floor at least, to y.")
	mean, scale, shift, floor := g.Scalar("mean"), g.Scalar("scale"), g.Scalar("shift"), g.Scalar("floor")
	g.loop([]string{"y", "x"}, func(at []Mem) {
		v := g.Load(at[1])
		VSUBPS(mean, v, v)
		VFMADD213PS(shift, scale, v)
		VMAXPS(v, floor, v)
		VMOVUPS(v, at[0])
	})

	for _, relu := range []bool{false, true} {
		g.gradSums(relu)
		g.gradApply(relu)
	}
}

// gradNames returns a suffix, the declaration of the arrays of a gradient and their list.
func gradNames(relu bool) (suffix, arrays string, list []string) {
	if relu {
		return "ReLU", "dy, x, y", []string{"dy", "x", "y"}
	}
	return "", "dy, x", []string{"dy", "x"}
}

func (g *gen) gradSums(relu bool) {
	suffix, arrays, list := gradNames(relu)
	g.Open("bnGradSums"+suffix, "func(sum, product *[64]float32, "+arrays+" *float32, mean float32, n int)",
		"adds dy and dy*(x-mean) to the lanes.")
	mean, zero := g.Scalar("mean"), g.Zero()
	g.sums([]string{"sum", "product"}, list, func(acc []reg.VecVirtual, at []Mem) {
		dy, x := g.passed(at, zero), g.Load(at[1])
		VADDPS(dy, acc[0], acc[0])
		VSUBPS(mean, x, x)
		VFMADD231PS(dy, x, acc[1])
	})
}

func (g *gen) gradApply(relu bool) {
	suffix, arrays, list := gradNames(relu)
	g.Open("bnGradApply"+suffix, "func(dx, "+arrays+" *float32, mean, shift, slope, scale float32, n int)",
		"writes (dy - shift + (x-mean)*slope)*scale to dx.")
	mean, shift, slope, scale, zero := g.Scalar("mean"), g.Scalar("shift"), g.Scalar("slope"), g.Scalar("scale"), g.Zero()
	g.loop(append([]string{"dx"}, list...), func(at []Mem) {
		dy, x := g.passed(at[1:], zero), g.Load(at[2])
		VSUBPS(shift, dy, dy)
		VSUBPS(mean, x, x)
		VFMADD231PS(slope, x, dy)
		VMULPS(scale, dy, dy)
		VMOVUPS(dy, at[0])
	})
}

// passed loads dy from at[0], with 0 where y in at[2], if there, is not positive.
func (g *gen) passed(at []Mem, zero reg.VecVirtual) reg.VecVirtual {
	if len(at) < 3 {
		return g.Load(at[0])
	}
	const notLessOrEqual = 22 // unordered, quiet
	dy := g.Vec()
	if g.Wide() {
		k := K()
		VCMPPS(U8(notLessOrEqual), zero, g.Load(at[2]), k)
		VMOVUPS_Z(at[0], k, dy)
		return dy
	}
	VCMPPS(U8(notLessOrEqual), zero, g.Load(at[2]), dy)
	VANDPS(at[0], dy, dy)
	return dy
}

// loop emits body for each register of n floats of the arrays, n being a positive multiple of 16.
func (g *gen) loop(arrays []string, body func(at []Mem)) {
	var ps []reg.GPVirtual
	for _, a := range arrays {
		ps = append(ps, pointer(a))
	}
	n := pointer("n")
	Label("loop")
	for i := 0; i < lanes*4; i += g.Bytes {
		body(places(ps, i))
	}
	for _, p := range ps {
		ADDQ(U32(4*lanes), p)
	}
	SUBQ(U32(lanes), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func places(ps []reg.GPVirtual, disp int) []Mem {
	var at []Mem
	for _, p := range ps {
		at = append(at, Mem{Base: p, Disp: disp})
	}
	return at
}

// sums emits body for each register of n floats of the arrays, n being a multiple of 16, with
// the sums in 64 lanes that it goes to. AVX2 has registers for half of the lanes and passes twice.
func (g *gen) sums(sums, arrays []string, body func(acc []reg.VecVirtual, at []Mem)) {
	step := bnBlocks
	if !g.Wide() {
		step = bnBlocks / 2
	}
	for first := 0; first < bnBlocks; first += step {
		g.sumsOf(first, step, sums, arrays, body)
	}
	VZEROUPPER()
	RET()
}

// sumsOf does some of the blocks of lanes.
func (g *gen) sumsOf(first, blocks int, sums, arrays []string, body func(acc []reg.VecVirtual, at []Mem)) {
	parts := g.Parts()
	acc := make([][]reg.VecVirtual, blocks*parts) // by register and sum
	each := func(visit func(Mem, reg.VecVirtual)) {
		for s, name := range sums {
			p := pointer(name)
			for i := range acc {
				visit(Mem{Base: p, Disp: first*4*lanes + i*g.Bytes}, acc[i][s])
			}
		}
	}
	for i := range acc {
		for range sums {
			acc[i] = append(acc[i], g.Vec())
		}
	}
	each(func(m Mem, v reg.VecVirtual) { VMOVUPS(m, v) })
	var ps []reg.GPVirtual
	for _, a := range arrays {
		ps = append(ps, pointer(a))
	}
	n := pointer("n")
	loop, tail, end := fmt.Sprintf("loop%d", first), fmt.Sprintf("tail%d", first), fmt.Sprintf("end%d", first)
	block := func(b int) {
		for i := range parts {
			body(acc[b*parts+i], places(ps, (first+b)*4*lanes+i*g.Bytes))
		}
	}
	Label(loop)
	CMPQ(n, U32(bnBlocks*lanes))
	JLT(LabelRef(tail))
	for b := range blocks {
		block(b)
	}
	for _, p := range ps {
		ADDQ(U32(4*bnBlocks*lanes), p)
	}
	SUBQ(U32(bnBlocks*lanes), n)
	JMP(LabelRef(loop))
	Label(tail)
	for b := 0; b < blocks && first+b < bnBlocks-1; b++ {
		CMPQ(n, U32((first+b+1)*lanes))
		JLT(LabelRef(end))
		block(b)
	}
	Label(end)
	each(func(m Mem, v reg.VecVirtual) { VMOVUPS(v, m) })
}
