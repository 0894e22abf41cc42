package kernel_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/tensor"
)

var floatTypes = []tensor.DType{tensor.F32, tensor.F16, tensor.BF16}

// floatWeights returns random weights of a type and what they stand for.
func floatWeights(rng *rand.Rand, d tensor.DType, n int) (data []byte, values []float32) {
	values = randoms(rng, n, 1)
	for i, v := range values {
		switch d {
		case tensor.F32:
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		case tensor.F16:
			h := tensor.F32ToF16(v)
			data, values[i] = binary.LittleEndian.AppendUint16(data, h), tensor.F16ToF32(h)
		case tensor.BF16:
			h := tensor.F32ToBF16(v)
			data, values[i] = binary.LittleEndian.AppendUint16(data, h), tensor.BF16ToF32(h)
		}
	}
	return data, values
}

func TestFloatMatMul(t *testing.T) {
	t.Parallel()
	t.Logf("instruction sets covered: %v", kernel.Supported())
	shapes := []struct{ rows, cols int }{{1, 1}, {16, 16}, {17, 3}, {64, 33}, {65, 256}, {129, 300}, {31, 521}, {200, 64}}
	for _, d := range floatTypes {
		for _, s := range shapes {
			t.Run(fmt.Sprintf("%s/%dx%d", d, s.rows, s.cols), func(t *testing.T) {
				t.Parallel()
				testFloatMatMul(t, d, s.rows, s.cols)
			})
		}
	}
}

func testFloatMatMul(t *testing.T, d tensor.DType, rows, cols int) {
	const most = 13
	rng := rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
	data, w := floatWeights(rng, d, rows*cols)
	m, err := kernel.NewMatrix(d, rows, cols, data)
	if err != nil {
		t.Fatal(err)
	}
	x := randoms(rng, most*cols, 1)
	want := make([]float32, most*rows) // twin: a chain of fused multiply-adds
	for i := range most {
		for r := range rows {
			var acc float32
			exact, size := 0.0, 0.0
			for k := range cols {
				a, b := x[i*cols+k], w[r*cols+k]
				acc = kernel.FMA32(a, b, acc)
				exact += float64(a) * float64(b)
				size += math.Abs(float64(a) * float64(b))
			}
			want[i*rows+r] = acc
			if math.Abs(float64(acc)-exact) > size*float64(cols)*0x1p-24 {
				t.Fatalf("row %d: %v is too far from %v", r, acc, exact)
			}
		}
	}
	for _, isa := range kernel.Supported() {
		var a kernel.Acts
		for threads := 1; threads <= 3; threads++ {
			p := kernel.NewPool(threads)
			for n := 1; n <= most; n++ {
				got := make([]float32, n*rows)
				for i := range got {
					got[i] = nan32
				}
				kernel.FloatMatMulISA(isa, p, got, x, n, m, &a)
				sameBits(t, fmt.Sprintf("%s, %d threads, %d tokens", isa, threads, n), got, want[:n*rows])
			}
			p.Close()
		}
	}
}

func TestFloatMatrixChecksItsInput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d          tensor.DType
		rows, cols int
		bytes      int
	}{{tensor.F32, 0, 4, 0}, {tensor.F32, 2, 2, 15}, {tensor.F16, 2, 2, 16}, {tensor.F32, 1 << 40, 1 << 40, 4}, {tensor.DType(200), 1, 1, 4}} {
		if _, err := kernel.NewMatrix(c.d, c.rows, c.cols, make([]byte, c.bytes)); err == nil {
			t.Errorf("NewMatrix(%v, %d, %d, %d bytes) gave no error", c.d, c.rows, c.cols, c.bytes)
		}
	}
	m, err := kernel.NewMatrix(tensor.F16, 20, 10, make([]byte, 400))
	if err != nil || m.Rows() != 20 || m.Cols() != 10 || m.DType() != tensor.F16 || m.Bytes() != 32*10*2 {
		t.Errorf("NewMatrix: %v, %d x %d %s, %d bytes", err, m.Rows(), m.Cols(), m.DType(), m.Bytes())
	}
}

func TestFloatMatMulDoesNotAllocate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	p := kernel.NewPool(2)
	defer p.Close()
	for _, d := range floatTypes {
		data, _ := floatWeights(rng, d, 100*64)
		m, err := kernel.NewMatrix(d, 100, 64, data)
		if err != nil {
			t.Fatal(err)
		}
		var a kernel.Acts
		x, dst, dsts, ms := randoms(rng, 7*64, 1), make([]float32, 700), [][]float32{nil}, []*kernel.Matrix{m}
		dsts[0] = dst
		for _, n := range []int{1, 7} {
			kernel.MatMulN(p, dsts, x, n, ms, &a)
			if got := testing.AllocsPerRun(20, func() { kernel.MatMulN(p, dsts, x, n, ms, &a) }); got != 0 {
				t.Errorf("%s, %d tokens: %v allocations", d, n, got)
			}
		}
	}
}
