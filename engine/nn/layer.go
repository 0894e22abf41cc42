package nn

import (
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/tensor"
)

// Linear is a matrix with an optional bias.
type Linear struct {
	Weight *kernel.Matrix
	Bias   []float32
}

// AddBias adds the bias, if there is one, to each of the n rows of x.
func (l Linear) AddBias(x []float32, n int) {
	if l.Bias != nil {
		kernel.AddBias(x, l.Bias, n)
	}
}

// Table is a matrix of which single rows are looked up, in the type of the file.
type Table struct {
	data       []byte
	dtype      tensor.DType
	rows, cols int
	rowBytes   int
}

// Rows returns the number of rows.
func (t Table) Rows() int { return t.rows }

// Row writes row i to dst as floats. It panics if there is no such row: callers check.
func (t Table) Row(dst []float32, i int) {
	if i < 0 || i >= t.rows {
		panic(fmt.Sprintf("nn: row %d of a table of %d", i, t.rows))
	}
	if err := tensor.Dequantize(dst[:t.cols], t.dtype, t.data[i*t.rowBytes:(i+1)*t.rowBytes]); err != nil {
		panic(fmt.Sprintf("nn: row %d: %v", i, err)) // sizes were checked when it was loaded
	}
}
