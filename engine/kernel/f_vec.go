package kernel

import "fmt"

// checkLen panics if one of the operands of an elementwise function is shorter than n.
func checkLen(name string, n int, others ...int) {
	for _, o := range others {
		if o < n {
			panic(fmt.Sprintf("kernel: %s of %d elements got an operand of %d", name, n, o))
		}
	}
}

// Add adds x to dst, which has the length that counts.
func Add(dst, x []float32) { add(current, dst, x) }

func add(isa ISA, dst, x []float32) {
	checkLen("Add", len(dst), len(x))
	for i := addSIMD(isa, dst, x); i < len(dst); i++ {
		dst[i] += x[i]
	}
}

// AddBias adds bias to each of the n rows of x (n, len(bias)).
func AddBias(x, bias []float32, n int) {
	w := len(bias)
	for i := range n {
		add(current, x[i*w:(i+1)*w], bias)
	}
}

// Mul multiplies dst by x, element by element.
func Mul(dst, x []float32) { mul(current, dst, x) }

func mul(isa ISA, dst, x []float32) {
	checkLen("Mul", len(dst), len(x))
	for i := mulSIMD(isa, dst, x); i < len(dst); i++ {
		dst[i] *= x[i]
	}
}

// Scale multiplies x by s.
func Scale(x []float32, s float32) { scaleTo(current, x, x, s) }

// scaleTo writes x*s + 0 to dst: the sum turns a negative zero into zero.
func scaleTo(isa ISA, dst, x []float32, s float32) {
	checkLen("Scale", len(dst), len(x))
	for i := scaleSIMD(isa, dst, x, s); i < len(dst); i++ {
		dst[i] = fma32(x[i], s, 0)
	}
}

// Exp writes e to the power of each x to dst, which may be x. Results below 2^-125.5 are 0.
func Exp(dst, x []float32) { exp(current, dst, x) }

func exp(isa ISA, dst, x []float32) {
	checkLen("Exp", len(dst), len(x))
	for i := expSIMD(isa, dst, x); i < len(dst); i++ {
		dst[i] = expf(x[i])
	}
}

// SiLUMul writes gate / (1 + exp(-gate)) * up to dst, which may be gate or up.
func SiLUMul(dst, gate, up []float32) { siluMul(current, dst, gate, up) }

func siluMul(isa ISA, dst, gate, up []float32) {
	checkLen("SiLUMul", len(dst), len(gate), len(up))
	for i := siluMulSIMD(isa, dst, gate, up); i < len(dst); i++ {
		dst[i] = siluf(gate[i]) * up[i]
	}
}

// GELU replaces each x by x times the normal distribution function of x.
func GELU(x []float32) { gelu(current, x) }

func gelu(isa ISA, x []float32) {
	for i := geluSIMD(isa, x); i < len(x); i++ {
		x[i] = geluf(x[i])
	}
}

// GELUTanh replaces each x by the approximation of GELU with the hyperbolic tangent that
// some models are trained with.
func GELUTanh(x []float32) { geluTanh(current, x) }

func geluTanh(isa ISA, x []float32) {
	for i := geluTanhSIMD(isa, x); i < len(x); i++ {
		x[i] = geluTanhf(x[i])
	}
}

// Tanh replaces each x by its hyperbolic tangent.
func Tanh(x []float32) { tanh(current, x) }

func tanh(isa ISA, x []float32) {
	for i := tanhSIMD(isa, x); i < len(x); i++ {
		x[i] = tanhf(x[i])
	}
}

// Rope rotates each of the heads of one row x (heads, headDim) by the angles whose
// cosines and sines are given: element i and element i + len(cos) form a pair, and
// elements from 2*len(cos) on stay as they are. len(cos) is headDim/2 for a full rotation.
func Rope(x []float32, heads, headDim int, cos, sin []float32) {
	rope(current, x, heads, headDim, cos, sin)
}

func rope(isa ISA, x []float32, heads, headDim int, cos, sin []float32) {
	half := len(cos)
	if 2*half > headDim || len(sin) < half || len(x) < heads*headDim {
		panic(fmt.Sprintf("kernel: Rope of %d heads of %d with %d cosines, %d sines, %d elements", heads, headDim, half, len(sin), len(x)))
	}
	for h := range heads {
		a := x[h*headDim : h*headDim+half]
		b := x[h*headDim+half : h*headDim+2*half]
		for i := ropeSIMD(isa, a, b, cos, sin); i < half; i++ {
			p, q := a[i], b[i]
			a[i] = fma32(p, cos[i], -float32(q*sin[i]))
			b[i] = fma32(q, cos[i], float32(p*sin[i]))
		}
	}
}
