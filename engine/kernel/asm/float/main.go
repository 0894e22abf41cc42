package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

const lanes = simd.Lanes

// gen writes functions for one instruction set.
type gen struct{ *simd.Gen }

// half returns a new vector register of half the size.
func (g *gen) half() reg.VecVirtual {
	if g.Wide() {
		return YMM()
	}
	return XMM()
}

// loop emits body for each register of n floats; it advances the pointers.
func (g *gen) loop(step int, body func(), ps ...reg.Register) {
	n := Load(Param("n"), GP64())
	Label("loop")
	body()
	for _, p := range ps {
		ADDQ(U32(4*step), p)
	}
	SUBQ(U32(step), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func main() {
	g := &gen{simd.New("float")}
	g.elementwise()
	g.activations()
	g.reductions()
	g.products()
	g.packs()
	Generate()
}
