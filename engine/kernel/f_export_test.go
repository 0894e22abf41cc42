package kernel

// The float functions on a chosen instruction set.
var (
	AddISA       = add
	MulISA       = mul
	ScaleISA     = scaleTo
	ExpISA       = exp
	SiLUMulISA   = siluMul
	GELUISA      = gelu
	GELUTanhISA  = geluTanh
	TanhISA      = tanh
	RopeISA      = rope
	RMSNormISA   = rmsNorm
	LayerNormISA = layerNorm
	SoftmaxISA   = softmax
	AttendISA    = attend
	PeakISA      = peak
)

// FloatMatMulISA is MatMul on a chosen instruction set, for float types.
func FloatMatMulISA(isa ISA, p *Pool, dst, x []float32, n int, m *Matrix, a *Acts) {
	a.float.prepare(p, x, n, m.cols)
	m.float.matMul(isa, p, dst, n, &a.float)
}

// GemmISA is Gemm.Run on a chosen instruction set.
func GemmISA(isa ISA, p *Pool, g *Gemm) { g.run(isa, p) }
