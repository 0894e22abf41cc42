// Package simd is what the generators of float kernels share: vector registers of one
// instruction set, constants, and the polynomials of package kernel's f_math.go. Only the
// generators beside it import it.
package simd

import (
	"flag"
	"fmt"
	"math"
	"os"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Lanes is the number of floats that kernels handle at a time, whatever the register.
const Lanes = 16

// Gen writes functions for one instruction set.
type Gen struct {
	Suffix string // of the names of functions
	Floats int    // in a register
	Bytes  int    // of a register

	constants map[uint32]Mem
}

// New reads the instruction set from the command line and sets the file up; name is the
// program's.
func New(name string) *Gen {
	isa := flag.String("isa", "", "instruction set: avx512 or avx2")
	flag.Parse()
	ConstraintExpr("!noasm")
	switch *isa {
	case "avx512":
		return &Gen{Suffix: "AVX512", Floats: 16, Bytes: 64, constants: map[uint32]Mem{}}
	case "avx2":
		return &Gen{Suffix: "AVX2", Floats: 8, Bytes: 32, constants: map[uint32]Mem{}}
	}
	fmt.Fprintf(os.Stderr, "%s: -isa must be avx512 or avx2\n", name)
	os.Exit(2)
	return nil
}

// Wide reports whether a register holds all lanes: AVX-512.
func (g *Gen) Wide() bool { return g.Floats == Lanes }

// Parts is the number of registers that hold all lanes.
func (g *Gen) Parts() int { return Lanes / g.Floats }

// Vec returns a new vector register.
func (g *Gen) Vec() reg.VecVirtual {
	if g.Wide() {
		return ZMM()
	}
	return YMM()
}

// Zero returns a register of zeros.
func (g *Gen) Zero() reg.VecVirtual {
	v := g.Vec()
	VXORPS(v, v, v)
	return v
}

// Constant returns memory with a float in every lane.
func (g *Gen) Constant(v float64) Mem { return g.Bits(math.Float32bits(float32(v))) }

// Bits returns memory with an integer in every lane.
func (g *Gen) Bits(v uint32) Mem {
	if m, ok := g.constants[v]; ok {
		return m
	}
	m := GLOBL(fmt.Sprintf("float%08x%s", v, g.Suffix), RODATA|NOPTR)
	for i := 0; i < g.Bytes; i += 8 {
		DATA(i, U64(uint64(v)<<32|uint64(v)))
	}
	g.constants[v] = m
	return m
}

// Load returns a register with the content of memory.
func (g *Gen) Load(m Op) reg.VecVirtual {
	v := g.Vec()
	VMOVUPS(m, v)
	return v
}

// Scalar returns a register with a parameter of 4 bytes in every lane.
func (g *Gen) Scalar(name string) reg.VecVirtual {
	v := g.Vec()
	VBROADCASTSS(Parameter(name), v)
	return v
}

// Open begins a function.
func (g *Gen) Open(name, signature, doc string) {
	TEXT(name+g.Suffix, NOSPLIT, signature)
	Doc(name + g.Suffix + " " + doc)
	Pragma("noescape")
}

// Pointers loads pointer or integer parameters.
func Pointers(names ...string) []reg.Register {
	out := make([]reg.Register, len(names))
	for i, n := range names {
		out[i] = Load(Param(n), GP64())
	}
	return out
}

// At returns the memory a register points to.
func At(r reg.Register) Mem { return Mem{Base: r} }

// Poly returns the polynomial of x with the given coefficients, highest power first.
func (g *Gen) Poly(x reg.VecVirtual, coefficients ...float64) reg.VecVirtual {
	p := g.Load(g.Constant(coefficients[0]))
	for _, c := range coefficients[1:] {
		VFMADD213PS(g.Constant(c), x, p)
	}
	return p
}

// Exp returns e to the power x, and overwrites x: the twin of expf.
func (g *Gen) Exp(x reg.VecVirtual) reg.VecVirtual {
	limit, n := g.Load(g.Constant(89)), g.Vec()
	VMINPS(x, limit, x)
	VMOVUPS(g.Constant(-87.5), limit)
	VMAXPS(x, limit, x)
	t := g.Load(g.Constant(0x1.8p23))
	VFMADD231PS(g.Constant(math.Log2E), x, t)
	VSUBPS(g.Constant(0x1.8p23), t, n)
	VFMADD231PS(g.Constant(-0x1.62e43p-1), n, x)
	VFMADD231PS(g.Constant(0x1.05c61p-29), n, x)
	p := g.Poly(x, 0.00276736570208, 0.0167496479011, 0.0833364526298, 0.333328401473, 0.999999841492, 2.00000007269, 2.00000000111)
	VPSLLD(U8(23), t, t)
	VPADDD(g.Bits(126<<23), t, t)
	VMULPS(t, p, p)
	return p
}

// NormalTail returns the parts p and e of the upper tail p*e of the normal distribution at
// |x|, and |x|: the first half of the twin of geluf.
func (g *Gen) NormalTail(x Op) (a, p, e reg.VecVirtual) {
	a = g.Load(x)
	u, v := g.Load(g.Constant(1)), g.Vec()
	VANDPS(g.Bits(1<<31-1), a, a)
	limit := g.Load(g.Constant(20))
	VMINPS(a, limit, a)
	VMOVUPS(u, v)
	VFMADD231PS(g.Constant(0.3), a, v)
	VDIVPS(v, u, u)
	VSUBPS(g.Constant(0.625), u, v)
	p = g.Poly(v, -0.0206128663311, -0.00357140670244, 0.0439434750029, 0.000172364067863, -0.0915985022657,
		-0.0252472624416, 0.223403088461, 0.430580454468, 0.426245490423, 0.268963202813)
	VMULPS(u, p, p)
	s, low := g.Vec(), g.Vec()
	VMULPS(a, a, s)
	VXORPS(g.Bits(1<<31), s, low)
	VFMADD231PS(a, a, low)
	VMULPS(g.Constant(-0.5), s, s)
	VMULPS(g.Constant(-0.5), low, low)
	e = g.Exp(s)
	VFMADD213PS(e, e, low)
	return a, p, low
}

// Tanh returns the hyperbolic tangent of x, and overwrites x: the twin of tanhf.
func (g *Gen) Tanh(x reg.VecVirtual) reg.VecVirtual {
	s, a := g.Vec(), g.Vec()
	VMULPS(x, x, s)
	small := g.Poly(s, -0.00513865949686, 0.0200919668211, -0.0535588598741, 0.133291107107, -0.333331898983)
	VMULPS(x, s, s)
	VFMADD213PS(x, s, small)
	VANDPS(g.Bits(1<<31-1), x, a)
	twice := g.Vec()
	VADDPS(a, a, twice)
	e := g.Exp(twice)
	VADDPS(g.Constant(1), e, e)
	q := g.Load(g.Constant(2))
	VDIVPS(e, q, q)
	big := g.Load(g.Constant(1))
	VSUBPS(q, big, big)
	VANDPS(g.Bits(1<<31), x, x)
	VORPS(x, big, big)
	const less = 17 // ordered, quiet
	if g.Wide() {
		k := K()
		VCMPPS(U8(less), g.Constant(0.7), a, k)
		VBLENDMPS(small, big, k, big)
	} else {
		VCMPPS(U8(less), g.Constant(0.7), a, a)
		VBLENDVPS(a, small, big, big)
	}
	return big
}

// Parameter returns where a parameter of the function lies. Reading it as an operand of a vector
// instruction matters: what avo's Load emits for a float is an SSE instruction of the old
// form, which costs hundreds of nanoseconds once a wider register is in use.
func Parameter(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}
