package tensor

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Shape holds the dimensions of a tensor, outermost first: a weight matrix is
// (rows, cols), the columns of a row contiguous. An empty shape is a scalar.
type Shape []int

// Elems returns the product of the dimensions, 1 for a scalar. It returns an error if a
// dimension is negative or the product overflows int64.
func (s Shape) Elems() (int64, error) {
	n := uint64(1)
	for _, d := range s {
		if d < 0 {
			return 0, fmt.Errorf("count elements of %v: a dimension is negative", s)
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("count elements of %v: too many", s)
		}
		n = lo
	}
	return int64(n), nil
}

// Equal reports whether both shapes have the same dimensions.
func (s Shape) Equal(o Shape) bool { return slices.Equal(s, o) }

// Tensor is a named array of elements. Data is little-endian, row after row, as in the
// file it came from; who holds a Tensor must not change Data.
type Tensor struct {
	Name  string
	DType DType
	Shape Shape
	Data  []byte
}

// Check returns an error if the type is not valid or Data does not have the size that the
// type and the shape ask for.
func (t Tensor) Check() error {
	want, err := t.DType.Bytes(t.Shape)
	if err != nil {
		return fmt.Errorf("check tensor %.100q: %w", t.Name, err)
	}
	if int64(len(t.Data)) != want {
		return fmt.Errorf("check tensor %.100q: %v %v takes %d bytes, got %d", t.Name, t.DType, t.Shape, want, len(t.Data))
	}
	return nil
}

// Floats returns all elements of the tensor as float32.
func (t Tensor) Floats() ([]float32, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	out := make([]float32, len(t.Data)/t.DType.BlockBytes()*t.DType.BlockLen())
	return out, Dequantize(out, t.DType, t.Data)
}
