package model

import (
	"bytes"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/engine/tensor"
)

// chunkBytes is about how much of a tensor one worker converts at a time.
const chunkBytes = 1 << 20

// TensorSource is a tensor of a checkpoint that has not been read yet. Read fills dst,
// which must have Bytes bytes, with the tensor in the type and layout told here.
type TensorSource struct {
	Part  Part
	Name  string // canonical: the same for every file format
	File  string // its name in the file
	DType tensor.DType
	Shape tensor.Shape
	Bytes int64
	Read  func(dst []byte) error
}

// rawTensor is a tensor as it lies in a file.
type rawTensor struct {
	name  string
	dtype tensor.DType // 0 for a type that no weight has
	word  string       // what the file calls the type
	shape tensor.Shape
	bytes int64
	data  io.ReaderAt // offset 0 is the tensor's first byte
}

// same reports whether two tensors hold the same bytes of one type.
func (t rawTensor) same(other rawTensor) (bool, error) {
	if t.word != other.word || !t.shape.Equal(other.shape) || t.bytes != other.bytes {
		return false, nil
	}
	a, b := make([]byte, chunkBytes), make([]byte, chunkBytes)
	for at := int64(0); at < t.bytes; at += chunkBytes {
		n := min(chunkBytes, t.bytes-at)
		if err := t.readAt(a[:n], at); err != nil {
			return false, err
		}
		if err := other.readAt(b[:n], at); err != nil {
			return false, err
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return false, nil
		}
	}
	return true, nil
}

// readAt fills dst from an offset of the tensor.
func (t rawTensor) readAt(dst []byte, offset int64) error {
	if n, err := t.data.ReadAt(dst, offset); n < len(dst) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read tensor %q at %d: %w", t.name, offset, err)
	}
	return nil
}

// conversion reads a raw tensor in another type, or with the rows of each head in another
// order.
type conversion struct {
	raw    rawTensor
	to     tensor.DType
	unpair int // rows of a head whose interleaved halves are to be put apart; 0 for none
}

// source makes the conversion a TensorSource. Vectors are a single row. What read relies on
// is checked here: the raw bytes are those of type and shape, and rows hold whole blocks.
func (c conversion) source(part Part, name string) (TensorSource, error) {
	want, err := c.raw.dtype.Bytes(c.raw.shape)
	if err != nil {
		return TensorSource{}, fmt.Errorf("tensor %q: %w", c.raw.name, err)
	}
	if want != c.raw.bytes {
		return TensorSource{}, fmt.Errorf("tensor %q has %d bytes, want %d", c.raw.name, c.raw.bytes, want)
	}
	if c.unpair > 0 && len(c.raw.shape) == 1 && c.raw.dtype.Quantized() {
		return TensorSource{}, fmt.Errorf("tensor %q is a vector of %v whose elements are to be moved: want a float type", c.raw.name, c.raw.dtype)
	}
	size, err := c.to.Bytes(c.raw.shape)
	if err != nil {
		return TensorSource{}, err
	}
	return TensorSource{Part: part, Name: name, File: c.raw.name, DType: c.to, Shape: c.raw.shape, Bytes: size, Read: c.read}, nil
}

func (c conversion) read(dst []byte) error {
	rows := c.rows()
	src, out := c.raw.bytes/int64(rows), int64(len(dst))/int64(rows)
	if want, err := c.to.Bytes(c.raw.shape); err != nil || want != int64(len(dst)) {
		return fmt.Errorf("read tensor %q: destination has %d bytes, want %d", c.raw.name, len(dst), want)
	}
	if c.unpair == 0 && c.to == c.raw.dtype {
		return c.raw.readAt(dst, 0)
	}
	step := int(max(1, chunkBytes/src))
	if c.unpair > 0 {
		step = max(1, step/c.unpair) * c.unpair
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for lo := 0; lo < rows; lo += step {
		hi := min(lo+step, rows)
		g.Go(func() error {
			return c.chunk(dst[int64(lo)*out:int64(hi)*out], int64(lo)*src, hi-lo)
		})
	}
	return g.Wait()
}

// chunk converts a number of rows that lie at an offset of the raw tensor.
func (c conversion) chunk(dst []byte, offset int64, rows int) error {
	buf := make([]byte, int64(rows)*(c.raw.bytes/int64(c.rows())))
	if err := c.raw.readAt(buf, offset); err != nil {
		return err
	}
	if c.unpair > 0 {
		apart := dst
		if c.to != c.raw.dtype {
			apart = make([]byte, len(buf))
		}
		unpairRows(apart, buf, rows, c.unpair)
		buf = apart
	}
	if c.to == c.raw.dtype {
		return nil
	}
	floats := make([]float32, len(buf)/c.raw.dtype.BlockBytes()*c.raw.dtype.BlockLen())
	if err := tensor.Dequantize(floats, c.raw.dtype, buf); err != nil {
		return fmt.Errorf("convert tensor %q: %w", c.raw.name, err)
	}
	if err := tensor.Quantize(dst, c.to, floats); err != nil {
		return fmt.Errorf("convert tensor %q: %w", c.raw.name, err)
	}
	return nil
}

// rows returns the number of rows a conversion works in: a vector is one row unless its
// elements are to be moved.
func (c conversion) rows() int {
	if len(c.raw.shape) > 1 || c.unpair > 0 {
		return c.raw.shape[0]
	}
	return 1
}

// unpairRows undoes what llama.cpp's converter does to queries and keys of the llama
// architecture: there the two halves of a head's rows, which turn together, alternate.
func unpairRows(dst, src []byte, rows, head int) {
	size := len(src) / rows
	for base := 0; base < rows; base += head {
		for i := range head {
			from := base + 2*(i%(head/2)) + i/(head/2)
			copy(dst[(base+i)*size:(base+i+1)*size], src[from*size:(from+1)*size])
		}
	}
}
