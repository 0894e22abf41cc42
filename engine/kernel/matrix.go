package kernel

import (
	"fmt"

	"github.com/covey-network/covey/engine/tensor"
)

// lanes is the number of output rows that are packed and computed together: one AVX-512
// register of float32 or int32, two AVX2 registers.
const lanes = 16

// Matrix is a weight matrix (rows, cols) packed for the kernels: groups of 16 output rows
// side by side, k sequential. Quantised blocks keep their precision. It is read-only.
type Matrix struct {
	dtype      tensor.DType
	rows, cols int
	float      *floatMatrix // F32, F16, BF16
	quant      *quantMatrix // block types
}

// NewMatrix packs row-major weights of the file's type; data is not kept. It returns an
// error if the type has no kernel or data does not have the size that rows, cols and d ask for.
func NewMatrix(d tensor.DType, rows, cols int, data []byte) (*Matrix, error) {
	if rows < 1 || cols < 1 {
		return nil, fmt.Errorf("matrix of %d rows and %d columns: both must be positive", rows, cols)
	}
	want, err := d.Bytes(tensor.Shape{rows, cols})
	if err != nil {
		return nil, err
	}
	if want != int64(len(data)) {
		return nil, fmt.Errorf("matrix of %d x %d %s takes %d bytes, got %d", rows, cols, d, want, len(data))
	}
	m := &Matrix{dtype: d, rows: rows, cols: cols}
	if d.Quantized() {
		m.quant, err = packQuant(d, rows, cols, data)
	} else {
		m.float, err = packFloat(d, rows, cols, data)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Rows returns the number of output rows.
func (m *Matrix) Rows() int { return m.rows }

// Cols returns the number of columns, the length of an input row.
func (m *Matrix) Cols() int { return m.cols }

// DType returns the type of the weights.
func (m *Matrix) DType() tensor.DType { return m.dtype }

// Bytes returns the memory the packed weights take.
func (m *Matrix) Bytes() int64 {
	if m.quant != nil {
		return m.quant.bytes()
	}
	return m.float.bytes()
}

// Acts holds the buffers a product needs for its input. The zero value is ready; it grows
// to the largest input seen and is then free of allocations. It is for one goroutine at a time.
type Acts struct {
	float floatActs
	quant quantActs
}

// MatMul computes dst = x · mᵀ: x is (n, cols), dst is (n, rows), both row-major.
func MatMul(p *Pool, dst, x []float32, n int, m *Matrix, a *Acts) {
	MatMulN(p, [][]float32{dst}, x, n, []*Matrix{m}, a)
}

// MatMulN computes dsts[i] = x · ms[i]ᵀ for matrices of the same number of columns, and
// prepares x only once. Matrices of different types may be mixed.
func MatMulN(p *Pool, dsts [][]float32, x []float32, n int, ms []*Matrix, a *Acts) {
	if len(dsts) != len(ms) || len(ms) == 0 {
		panic(fmt.Sprintf("kernel: %d outputs for %d matrices", len(dsts), len(ms)))
	}
	for i, m := range ms {
		if m.cols != ms[0].cols || len(x) < n*m.cols || len(dsts[i]) < n*m.rows {
			panic(fmt.Sprintf("kernel: product %d of %d x %d with n=%d: x has %d, dst %d elements", i, m.rows, m.cols, n, len(x), len(dsts[i])))
		}
	}
	a.quant.mul.jobs = a.quant.mul.jobs[:0] // not empty if a product has panicked
	float := false
	for i, m := range ms {
		if m.quant != nil {
			a.quant.mul.add(m.quant, dsts[i])
			continue
		}
		if !float {
			a.float.prepare(p, x, n, m.cols)
			float = true
		}
		m.float.matMul(current, p, dsts[i], n, &a.float)
	}
	if len(a.quant.mul.jobs) > 0 {
		a.quant.prepare(current, p, x, n, ms[0].cols)
		a.quant.matMul(current, p)
	}
}
