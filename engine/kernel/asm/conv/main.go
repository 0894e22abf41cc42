package main

import (
	"flag"
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lanes is the number of floats that kernels handle at a time, whatever the register.
const lanes = 16

// gen writes functions for one instruction set.
type gen struct {
	suffix string
	floats int // in a register
	bytes  int // of a register
	tables map[string]Mem
}

// vec returns a new vector register.
func (g *gen) vec() reg.VecVirtual {
	if g.floats == lanes {
		return ZMM()
	}
	return YMM()
}

// load returns a register with the content of memory.
func (g *gen) load(m Mem) reg.VecVirtual {
	v := g.vec()
	VMOVUPS(m, v)
	return v
}

// open begins a function.
func (g *gen) open(name, signature, doc string) {
	TEXT(name+g.suffix, NOSPLIT, signature)
	Doc(name + g.suffix + " " + doc)
	Pragma("noescape")
}

// pointer loads a pointer or integer parameter.
func pointer(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// param returns where a parameter lies in memory.
func param(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

func main() {
	isa := flag.String("isa", "", "instruction set: avx512 or avx2")
	flag.Parse()
	ConstraintExpr("!noasm")
	g := &gen{tables: map[string]Mem{}}
	switch *isa {
	case "avx512":
		g.suffix, g.floats, g.bytes = "AVX512", 16, 64
	case "avx2":
		g.suffix, g.floats, g.bytes = "AVX2", 8, 32
	default:
		fmt.Fprintln(os.Stderr, "conv: -isa must be avx512 or avx2")
		os.Exit(2)
	}
	g.tiles()
	g.batchNorm()
	g.moves()
	g.pools()
	Generate()
}
