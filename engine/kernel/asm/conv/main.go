package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

const lanes = simd.Lanes

// gen writes functions for one instruction set.
type gen struct {
	*simd.Gen
	tables map[string]Mem
}

// pointer loads a pointer or integer parameter.
func pointer(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

func main() {
	g := &gen{Gen: simd.New("conv"), tables: map[string]Mem{}}
	g.tiles()
	g.batchNorm()
	g.moves()
	g.pools()
	Generate()
}
