package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/tensor"
)

func newPool(tb testing.TB, threads int) *kernel.Pool {
	tb.Helper()
	p := kernel.NewPool(threads)
	tb.Cleanup(p.Close)
	return p
}

func newMatrix(tb testing.TB, d tensor.DType, rows, cols int, data []byte) *kernel.Matrix {
	tb.Helper()
	m, err := kernel.NewMatrix(d, rows, cols, data)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func TestQuantMatMulAgainstFloat64(t *testing.T) {
	t.Parallel()
	for _, d := range quantTypes {
		for _, isa := range kernel.Supported() {
			t.Run(fmt.Sprintf("%v/%v", d, isa), func(t *testing.T) {
				t.Parallel()
				const rows, cols, n = 37, 512, 3
				rng := rand.New(rand.NewPCG(1, uint64(d)))
				data := randomBlocks(rng, d, rows, cols)
				x := randomFloats(rng, n*cols)
				want, bound := referenceProduct(d, data, rows, cols, x, n)
				got := make([]float32, n*rows)
				var a kernel.Acts
				kernel.MatMulISA(isa, newPool(t, 2), got, x, n, newMatrix(t, d, rows, cols, data), &a)
				var sumErr, sumRef float64
				for i := range got {
					e := math.Abs(float64(got[i]) - want[i])
					if !(e <= bound[i]) {
						t.Fatalf("row %d token %d: %v, want %v within %v", i%rows, i/rows, got[i], want[i], bound[i])
					}
					sumErr, sumRef = sumErr+e*e, sumRef+want[i]*want[i]
				}
				if rms := math.Sqrt(sumErr / sumRef); rms > 0.015 {
					t.Errorf("relative rms error %.4f, want at most 0.015", rms)
				}
			})
		}
	}
}

func TestQuantMatMulSameBits(t *testing.T) {
	t.Parallel()
	t.Logf("instruction sets covered: %v", kernel.Supported())
	for _, d := range quantTypes {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(2, uint64(d)))
			pools := []*kernel.Pool{newPool(t, 1), newPool(t, 2), newPool(t, 3)}
			for n := 1; n <= 19; n++ {
				rows, cols := 1+rng.IntN(70), (1+rng.IntN(4))*d.BlockLen()
				data := randomBlocks(rng, d, rows, cols)
				x := randomFloats(rng, n*cols)
				m := newMatrix(t, d, rows, cols, data)
				want := make([]float32, n*rows) // one token at a time in pure Go
				var one kernel.Acts
				for i := range n {
					kernel.MatMulISA(kernel.Generic, pools[0], want[i*rows:(i+1)*rows], x[i*cols:(i+1)*cols], 1, m, &one)
				}
				for _, isa := range kernel.Supported() {
					for _, p := range pools {
						got := make([]float32, n*rows)
						var a kernel.Acts
						kernel.MatMulISA(isa, p, got, x, n, m, &a)
						requireSameBits(t, got, want, "%v, %d threads, %d x %d, n %d", isa, p.Threads(), rows, cols, n)
					}
				}
			}
		})
	}
}

func requireSameBits(t *testing.T, got, want []float32, format string, args ...any) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && !(got[i] != got[i] && want[i] != want[i]) {
			t.Fatalf("%s: element %d is %v (%#x), want %v (%#x)", fmt.Sprintf(format, args...), i,
				got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// TestQuantMatMulExtremes has the largest codes and activations that there are, and
// values that are zero, tiny, infinite and NaN.
func TestQuantMatMulExtremes(t *testing.T) {
	t.Parallel()
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	inputs := map[string][]float32{
		"same": {1}, "opposite": {-1, 1}, "negative": {-1}, "zero": {0, float32(math.Copysign(0, -1))}, "tiny": {0x1p-111, 0x1p-149},
		"small": {0x1p-110, -0x1p-111}, "large": {math.MaxFloat32, -math.MaxFloat32, 1}, "inf": {1, inf, 2}, "nan": {nan, 1}, "-inf": {-inf, 3},
		"ties": {127, 0.5, 1.5, 2.5, -0.5, -1.5},
	}
	for _, d := range quantTypes {
		for _, fill := range []byte{0, 0x7f, 0x80, 0xff} {
			for name, pattern := range inputs {
				t.Run(fmt.Sprintf("%v/%#x/%s", d, fill, name), func(t *testing.T) {
					t.Parallel()
					const rows, cols, n = 16, 512, 2
					data := randomBlocks(rand.New(rand.NewPCG(3, 3)), d, rows, cols)
					for i := range data {
						if at := i % d.BlockBytes(); !inScales(d, at) {
							data[i] = fill
						}
					}
					x := make([]float32, n*cols)
					for i := range x {
						x[i] = pattern[i%len(pattern)]
					}
					m, p := newMatrix(t, d, rows, cols, data), newPool(t, 1)
					want, got := make([]float32, n*rows), make([]float32, n*rows)
					var a kernel.Acts
					kernel.MatMulISA(kernel.Generic, p, want, x, n, m, &a)
					for _, isa := range kernel.Supported() {
						kernel.MatMulISA(isa, p, got, x, n, m, &a)
						requireSameBits(t, got, want, "%v", isa)
					}
					if bad := name == "nan" || name == "inf" || name == "-inf"; bad && want[0] == want[0] {
						t.Errorf("result %v, want NaN", want[0])
					}
				})
			}
		}
	}
}

func inScales(d tensor.DType, at int) bool {
	for _, o := range scaleOffsets[d] {
		if at == o || at == o+1 {
			return true
		}
	}
	return false
}

func TestQuantMatMulDoesNotAllocate(t *testing.T) { // not parallel: counts allocations
	for _, d := range []tensor.DType{tensor.Q4_0, tensor.Q6_K} {
		for _, n := range []int{1, 5, 33} {
			const rows, cols = 40, 256
			rng := rand.New(rand.NewPCG(4, 4))
			m, p := newMatrix(t, d, rows, cols, randomBlocks(rng, d, rows, cols)), newPool(t, 2)
			x, dst := randomFloats(rng, n*cols), make([]float32, n*rows)
			var a kernel.Acts
			run := func() { kernel.MatMul(p, dst, x, n, m, &a) }
			run()
			if got := testing.AllocsPerRun(20, run); got != 0 {
				t.Errorf("%v n %d: %v allocations, want 0", d, n, got)
			}
		}
	}
}

func TestQuantMatrixSize(t *testing.T) {
	t.Parallel()
	for _, d := range quantTypes {
		const rows, cols = 256, 2048
		data := make([]byte, rows*cols/d.BlockLen()*d.BlockBytes())
		m := newMatrix(t, d, rows, cols, data)
		if limit := int64(len(data)) * 105 / 100; m.Bytes() > limit {
			t.Errorf("%v: packed %d bytes, want at most %d", d, m.Bytes(), limit)
		}
	}
}

func TestNewMatrixRefusesTypesWithoutKernel(t *testing.T) {
	t.Parallel()
	for _, d := range []tensor.DType{tensor.MXFP4, tensor.TQ2_0, tensor.IQ3_S} {
		data := make([]byte, d.BlockBytes()*256/d.BlockLen())
		if _, err := kernel.NewMatrix(d, 1, 256, data); err == nil {
			t.Errorf("NewMatrix accepted %v", d)
		}
	}
}

// TestMatMulNMixesTypes has matrices of several types and heights in one call.
func TestMatMulNMixesTypes(t *testing.T) {
	t.Parallel()
	const cols, n = 512, 5
	rng := rand.New(rand.NewPCG(5, 5))
	p := newPool(t, 3)
	x := randomFloats(rng, n*cols)
	var ms []*kernel.Matrix
	var got, want [][]float32
	var a kernel.Acts
	for i, d := range []tensor.DType{tensor.Q4_K, tensor.F32, tensor.Q6_K, tensor.Q8_0, tensor.F16} {
		rows := 7 + 20*i
		size, err := d.Bytes(tensor.Shape{rows, cols})
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, size)
		if d.Quantized() {
			data = randomBlocks(rng, d, rows, cols)
		}
		m := newMatrix(t, d, rows, cols, data)
		one := make([]float32, n*rows)
		kernel.MatMul(p, one, x, n, m, &a)
		ms, want, got = append(ms, m), append(want, one), append(got, make([]float32, n*rows))
	}
	kernel.MatMulN(p, got, x, n, ms, &a)
	for i := range ms {
		requireSameBits(t, got[i], want[i], "matrix %d", i)
	}
}
