package kernel

// MatMulISA is MatMul on a chosen instruction set, for block types.
func MatMulISA(isa ISA, p *Pool, dst, x []float32, n int, m *Matrix, a *Acts) {
	a.quant.mul.add(m.quant, dst)
	a.quant.prepare(isa, p, x, n, m.cols)
	a.quant.matMul(isa, p)
}

// FMA32 is fma32.
func FMA32(a, b, c float32) float32 { return fma32(a, b, c) }
