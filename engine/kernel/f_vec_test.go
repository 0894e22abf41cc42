package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

var (
	inf32 = float32(math.Inf(1))
	nan32 = float32(math.NaN())
)

// elementwise lists the functions of one argument with their exact values.
var elementwise = []struct {
	name  string
	do    func(isa kernel.ISA, x []float32)
	exact func(x float64) float64
	ulps  float64 // allowed error, in units in the last place
	floor float64 // allowed error where the result is tiny
	lo    float32 // range of the test
	hi    float32
}{
	{"Exp", func(i kernel.ISA, x []float32) { kernel.ExpISA(i, x, x) }, math.Exp, 1, 0x1p-125, -110, 90},
	{"Tanh", kernel.TanhISA, math.Tanh, 2, 0, -12, 12},
	{"GELU", kernel.GELUISA, func(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) }, 8, 0x1p-120, -15, 15},
	{"GELUTanh", kernel.GELUTanhISA, func(x float64) float64 {
		return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	}, 8, 1e-8, -15, 15},
	{"SiLU", func(i kernel.ISA, x []float32) {
		one := make([]float32, len(x))
		for i := range one {
			one[i] = 1
		}
		kernel.SiLUMulISA(i, x, x, one)
	}, func(x float64) float64 { return x / (1 + math.Exp(-x)) }, 3, 0x1p-120, -80, 80},
}

func TestElementwiseAccuracy(t *testing.T) {
	t.Parallel()
	for _, f := range elementwise {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			const n = 200_000
			in, out := make([]float32, n), make([]float32, n)
			for i := range in {
				in[i] = f.lo + (f.hi-f.lo)*float32(i)/n
				if i%4 == 0 {
					in[i] *= float32(math.Exp2(-float64(i%120) / 4)) // small ones too
				}
			}
			copy(out, in)
			f.do(kernel.Current(), out)
			worst := 0.0
			for i, x := range in {
				want := f.exact(float64(x))
				if float32(want) == inf32 && out[i] == inf32 {
					continue
				}
				diff := math.Abs(float64(out[i]) - want)
				e := max(0, diff-f.floor) / ulp(want)
				worst = max(worst, e)
				if !(e <= f.ulps) {
					t.Fatalf("%s(%v) = %v, want %v: %.2f units off", f.name, x, out[i], want, e)
				}
			}
			t.Logf("largest error %.2f units in the last place", worst)
		})
	}
}

// ulp returns the distance of float32 numbers at x.
func ulp(x float64) float64 {
	_, e := math.Frexp(x)
	return math.Ldexp(1, max(e, -125)-24)
}

func TestElementwiseSpecialValues(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		in, want []float32
	}{
		{"Exp", []float32{0, inf32, -inf32, nan32, 88.72, 89, 1e30, -86.9, -87.2, -1e30}, []float32{1, inf32, 0, nan32, 3.3931806e38, inf32, inf32, 1.8189e-38, 0, 0}},
		{"Tanh", []float32{0, inf32, -inf32, nan32, 1e30, -1e-30}, []float32{0, 1, -1, nan32, 1, -1e-30}},
		{"GELU", []float32{0, inf32, -inf32, nan32, 1e30, -1e30}, []float32{0, inf32, 0, nan32, 1e30, 0}},
		{"GELUTanh", []float32{0, inf32, nan32, 1e30, -1e30}, []float32{0, inf32, nan32, 1e30, 0}},
		{"SiLU", []float32{0, inf32, nan32, 1e30, -1e30}, []float32{0, inf32, nan32, 1e30, 0}},
	}
	for _, c := range cases {
		for _, f := range elementwise {
			if f.name != c.name {
				continue
			}
			for _, isa := range kernel.Supported() {
				got := make([]float32, 32) // long enough for vector code
				copy(got, c.in)
				f.do(isa, got)
				for i, want := range c.want {
					if math.Abs(float64(got[i]-want)) > 1e-4*math.Abs(float64(want)) || (got[i] != got[i]) != (want != want) {
						t.Errorf("%s %v(%v) = %v, want %v", isa, c.name, c.in[i], got[i], want)
					}
				}
			}
		}
	}
}

// vectorLengths cover whole vectors, tails and both.
var vectorLengths = []int{1, 2, 15, 16, 17, 31, 32, 33, 48, 64, 100, 384, 1000}

func TestVectorFunctionsHaveTheSameBits(t *testing.T) {
	t.Parallel()
	t.Logf("instruction sets covered: %v", kernel.Supported())
	ops := map[string]func(isa kernel.ISA, x, y, z []float32){
		"Add":       func(i kernel.ISA, x, y, _ []float32) { kernel.AddISA(i, x, y) },
		"Mul":       func(i kernel.ISA, x, y, _ []float32) { kernel.MulISA(i, x, y) },
		"Scale":     func(i kernel.ISA, x, y, _ []float32) { kernel.ScaleISA(i, x, x, y[0]) },
		"SiLUMul":   func(i kernel.ISA, x, y, _ []float32) { kernel.SiLUMulISA(i, x, x, y) },
		"RMSNorm":   func(i kernel.ISA, x, y, _ []float32) { kernel.RMSNormISA(i, x, x, y, 1e-5) },
		"LayerNorm": func(i kernel.ISA, x, y, z []float32) { kernel.LayerNormISA(i, x, x, y, z, 1e-12) },
		"Softmax":   func(i kernel.ISA, x, _, _ []float32) { kernel.SoftmaxISA(i, x) },
		"Rope": func(i kernel.ISA, x, y, z []float32) {
			if n := len(x) / 2; n > 0 {
				kernel.RopeISA(i, x, 1, len(x), y[:n], z[:n])
			}
		},
	}
	for _, f := range elementwise {
		ops[f.name] = func(i kernel.ISA, x, _, _ []float32) { f.do(i, x) }
	}
	for name, op := range ops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, spread := range []float64{1, 20, 1000} {
				for _, n := range vectorLengths {
					rng := rand.New(rand.NewPCG(uint64(n), 7))
					x, y, z := randoms(rng, n, spread), randoms(rng, n, 1), randoms(rng, n, 1)
					if n == 100 { // NaN and infinities propagate alike
						x[3], x[99] = nan32, inf32
					}
					want := append([]float32(nil), x...)
					op(kernel.Generic, want, y, z)
					for _, isa := range kernel.Supported() {
						got := append([]float32(nil), x...)
						op(isa, got, y, z)
						sameBits(t, fmt.Sprintf("%s of %d, %s", name, n, isa), got, want)
					}
				}
			}
		})
	}
}

func randoms(rng *rand.Rand, n int, spread float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * spread)
	}
	return x
}

func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s: element %d is %v (%#x), want %v (%#x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

func TestNormsAgainstFloat64(t *testing.T) {
	t.Parallel()
	for _, n := range vectorLengths {
		rng := rand.New(rand.NewPCG(uint64(n), 1))
		x, w, b := randoms(rng, n, 3), randoms(rng, n, 1), randoms(rng, n, 1)
		var sum, squares float64
		for _, v := range x {
			sum += float64(v)
			squares += float64(v) * float64(v)
		}
		mean := sum / float64(n)
		var variance float64
		for _, v := range x {
			variance += (float64(v) - mean) * (float64(v) - mean) / float64(n)
		}
		rms, layer := make([]float32, n), make([]float32, n)
		kernel.RMSNorm(rms, x, w, 1e-5)
		kernel.LayerNorm(layer, x, w, b, 1e-5)
		for i, v := range x {
			near(t, "RMSNorm", rms[i], float64(v)/math.Sqrt(squares/float64(n)+1e-5)*float64(w[i]), 1e-6)
			near(t, "LayerNorm", layer[i], (float64(v)-mean)/math.Sqrt(variance+1e-5)*float64(w[i])+float64(b[i]), 2e-6)
		}
	}
}

// near checks that got is within a tolerance that is relative above 1 and absolute below.
func near(t *testing.T, what string, got float32, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(float64(got)-want) <= tolerance*max(1, math.Abs(want))) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func TestSoftmaxAgainstFloat64(t *testing.T) {
	t.Parallel()
	for _, n := range vectorLengths {
		x := randoms(rand.New(rand.NewPCG(uint64(n), 2)), n, 10)
		top, sum := math.Inf(-1), 0.0
		for _, v := range x {
			top = max(top, float64(v))
		}
		for _, v := range x {
			sum += math.Exp(float64(v) - top)
		}
		got := append([]float32(nil), x...)
		kernel.Softmax(got)
		for i, v := range x {
			near(t, "Softmax", got[i], math.Exp(float64(v)-top)/sum, 5e-7)
		}
	}
	kernel.Softmax(nil)
}

func TestRopeRotatesPairs(t *testing.T) {
	t.Parallel()
	const heads, headDim, half = 3, 38, 17 // the last 4 elements of a head stay
	rng := rand.New(rand.NewPCG(3, 4))
	x := randoms(rng, heads*headDim, 1)
	cos, sin := make([]float32, half), make([]float32, half)
	for i := range cos {
		s, c := math.Sincos(float64(i) * 0.3)
		cos[i], sin[i] = float32(c), float32(s)
	}
	got := append([]float32(nil), x...)
	kernel.Rope(got, heads, headDim, cos, sin)
	for h := range heads {
		for i := range headDim {
			at := h*headDim + i
			want := float64(x[at])
			switch c, s := i%half, i%half; {
			case i < half:
				want = want*float64(cos[c]) - float64(x[at+half])*float64(sin[s])
			case i < 2*half:
				want = want*float64(cos[c]) + float64(x[at-half])*float64(sin[s])
			}
			near(t, "Rope", got[at], want, 3e-7)
		}
	}
}

func TestSmallVectorFunctions(t *testing.T) {
	t.Parallel()
	x := []float32{1, 2, 3, 4, 5, 6}
	kernel.AddBias(x, []float32{10, 20, 30}, 2)
	sameBits(t, "AddBias", x, []float32{11, 22, 33, 14, 25, 36})
	kernel.Scale(x, 2)
	sameBits(t, "Scale", x, []float32{22, 44, 66, 28, 50, 72})
	kernel.Mul(x, x)
	sameBits(t, "Mul", x, []float32{484, 1936, 4356, 784, 2500, 5184})
	defer func() {
		if recover() == nil {
			t.Error("Add of unequal lengths did not panic")
		}
	}()
	kernel.Add(x, x[:3])
}
