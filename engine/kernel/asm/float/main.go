package main

import (
	"flag"
	"fmt"
	"math"
	"os"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lanes is the number of floats that kernels handle at a time, whatever the register.
const lanes = 16

// gen writes functions for one instruction set.
type gen struct {
	suffix    string
	floats    int // in a register
	bytes     int // of a register
	constants map[uint32]Mem
}

// vec returns a new vector register.
func (g *gen) vec() reg.VecVirtual {
	if g.floats == lanes {
		return ZMM()
	}
	return YMM()
}

// half returns a new vector register of half the size.
func (g *gen) half() reg.VecVirtual {
	if g.floats == lanes {
		return YMM()
	}
	return XMM()
}

// constant returns memory with a float in every lane.
func (g *gen) constant(v float64) Mem { return g.bits(math.Float32bits(float32(v))) }

// bits returns memory with an integer in every lane.
func (g *gen) bits(v uint32) Mem {
	if m, ok := g.constants[v]; ok {
		return m
	}
	m := GLOBL(fmt.Sprintf("float%08x%s", v, g.suffix), RODATA|NOPTR)
	for i := 0; i < g.bytes; i += 8 {
		DATA(i, U64(uint64(v)<<32|uint64(v)))
	}
	g.constants[v] = m
	return m
}

// load returns a register with the content of memory.
func (g *gen) load(m Mem) reg.VecVirtual {
	v := g.vec()
	VMOVUPS(m, v)
	return v
}

// scalar returns a register with a float parameter in every lane.
func (g *gen) scalar(name string) reg.VecVirtual {
	x, v := XMM(), g.vec()
	Load(Param(name), x)
	VBROADCASTSS(x, v)
	return v
}

// open begins a function.
func (g *gen) open(name, signature, doc string) {
	TEXT(name+g.suffix, NOSPLIT, signature)
	Doc(name + g.suffix + " " + doc)
	Pragma("noescape")
}

// pointers loads pointer or integer parameters.
func pointers(names ...string) []reg.Register {
	out := make([]reg.Register, len(names))
	for i, n := range names {
		out[i] = Load(Param(n), GP64())
	}
	return out
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
	isa := flag.String("isa", "", "instruction set: avx512 or avx2")
	flag.Parse()
	ConstraintExpr("!noasm")
	g := &gen{constants: map[uint32]Mem{}}
	switch *isa {
	case "avx512":
		g.suffix, g.floats, g.bytes = "AVX512", 16, 64
	case "avx2":
		g.suffix, g.floats, g.bytes = "AVX2", 8, 32
	default:
		fmt.Fprintln(os.Stderr, "float: -isa must be avx512 or avx2")
		os.Exit(2)
	}
	g.elementwise()
	g.activations()
	g.reductions()
	g.products()
	g.packs()
	Generate()
}
