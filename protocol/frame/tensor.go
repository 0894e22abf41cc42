package frame

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/covey-network/covey/protocol"
)

// DType is the element type of a tensor on the wire. Numbers are never reused.
type DType uint8

// The element types, little-endian.
const (
	F32  DType = 1
	F16  DType = 2
	BF16 DType = 3
	I32  DType = 4
	I8   DType = 5
)

// Bytes returns the size of one element, 0 for an unknown type.
func (d DType) Bytes() int {
	switch d {
	case F32, I32:
		return 4
	case F16, BF16:
		return 2
	case I8:
		return 1
	}
	return 0
}

// Tensor is the payload of a tensor frame: dtype byte, rank byte, each dimension as a
// shortest uvarint (outermost first), then the raw little-endian elements.
type Tensor struct {
	DType DType
	Shape []int
	Data  []byte
}

// ErrTensor is a tensor payload that contradicts itself.
var ErrTensor = errors.New("malformed tensor frame")

// Header returns the bytes in front of the data; a frame is written as
// w.Write(type, header, t.Data). It errs where ParseTensor would.
func (t Tensor) Header() ([]byte, error) {
	size, err := tensorBytes(t.DType, t.Shape)
	if err != nil {
		return nil, err
	}
	if size != len(t.Data) {
		return nil, fmt.Errorf("%w: shape %v of type %d takes %d bytes, data has %d", ErrTensor, t.Shape, t.DType, size, len(t.Data))
	}
	h := append(make([]byte, 0, protocol.MaxTensorHeader), byte(t.DType), byte(len(t.Shape)))
	for _, d := range t.Shape {
		h = binary.AppendUvarint(h, uint64(d))
	}
	return h, nil
}

// ParseTensor reads a tensor payload. Data points into payload.
func ParseTensor(payload []byte) (Tensor, error) {
	if len(payload) < 2 {
		return Tensor{}, fmt.Errorf("%w: %d bytes", ErrTensor, len(payload))
	}
	t := Tensor{DType: DType(payload[0])}
	rank, rest := int(payload[1]), payload[2:]
	if rank > protocol.MaxTensorRank {
		return Tensor{}, fmt.Errorf("%w: rank %d", ErrTensor, rank)
	}
	t.Shape = make([]int, rank)
	for i := range t.Shape {
		d, n := binary.Uvarint(rest)
		if n <= 0 || n > 1 && rest[n-1] == 0 || d > protocol.MaxTensor {
			return Tensor{}, fmt.Errorf("%w: dimension %d", ErrTensor, i)
		}
		t.Shape[i], rest = int(d), rest[n:]
	}
	size, err := tensorBytes(t.DType, t.Shape)
	if err != nil {
		return Tensor{}, err
	}
	if size != len(rest) {
		return Tensor{}, fmt.Errorf("%w: shape %v of type %d takes %d bytes, frame has %d", ErrTensor, t.Shape, t.DType, size, len(rest))
	}
	t.Data = rest
	return t, nil
}

func tensorBytes(d DType, shape []int) (int, error) {
	size := int64(d.Bytes())
	if size == 0 {
		return 0, fmt.Errorf("%w: element type %d", ErrTensor, d)
	}
	if len(shape) == 0 || len(shape) > protocol.MaxTensorRank {
		return 0, fmt.Errorf("%w: rank %d", ErrTensor, len(shape))
	}
	for _, n := range shape {
		if n <= 0 || int64(n) > protocol.MaxTensor/size { // empty dimensions say nothing
			return 0, fmt.Errorf("%w: shape %v of type %d", ErrTensor, shape, d)
		}
		size *= int64(n)
	}
	return int(size), nil
}
