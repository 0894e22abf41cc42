package safetensors

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"github.com/covey-network/covey/engine/tensor"
)

// Tensor is a tensor to be written, as F32. Data is row-major and as long as the shape
// says.
type Tensor struct {
	Name  string
	Shape tensor.Shape
	Data  []float32
}

// Write writes a file with tensors in the order given and with metadata, which may be nil.
// What Open would refuse is an error.
func Write(w io.Writer, metadata map[string]string, tensors []Tensor) error {
	header, err := writeHeader(metadata, tensors)
	if err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	out := bufio.NewWriterSize(w, 1<<16)
	_, _ = out.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) // Flush has the error
	_, _ = out.Write(header)
	var b [4]byte
	for _, t := range tensors {
		for _, v := range t.Data {
			binary.LittleEndian.PutUint32(b[:], math.Float32bits(v))
			_, _ = out.Write(b[:])
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	return nil
}

// writeHeader makes the JSON object, filled up with spaces so that the data begins at a
// multiple of 8 bytes.
func writeHeader(metadata map[string]string, tensors []Tensor) ([]byte, error) {
	if len(tensors) > maxTensors {
		return nil, fmt.Errorf("%d tensors, at most %d", len(tensors), maxTensors)
	}
	out := []byte{'{'}
	seen := map[string]bool{"__metadata__": true}
	add := func(name string, v any) error {
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		value, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, key...), ':'), value...)
		return nil
	}
	if len(metadata) > 0 {
		if err := add("__metadata__", metadata); err != nil {
			return nil, err
		}
	}
	var at int64
	for _, t := range tensors {
		n, err := t.Shape.Elems()
		switch {
		case err != nil:
			return nil, fmt.Errorf("tensor %.100q: %w", t.Name, err)
		case n != int64(len(t.Data)):
			return nil, fmt.Errorf("tensor %.100q: %d elements for shape %v", t.Name, len(t.Data), t.Shape)
		case seen[t.Name] || len(t.Name) > maxName || !utf8.ValidString(t.Name) || len(t.Shape) > maxRank:
			return nil, fmt.Errorf("tensor %.100q: name stands twice, is too long or not UTF-8, or more than %d dimensions", t.Name, maxRank)
		}
		seen[t.Name] = true
		shape := t.Shape
		if shape == nil {
			shape = tensor.Shape{}
		}
		end := at + 4*n
		if err := add(t.Name, entry{DType: "F32", Shape: shape, Offsets: []int64{at, end}}); err != nil {
			return nil, err
		}
		at = end
	}
	out = append(out, '}')
	for len(out)%8 != 0 {
		out = append(out, ' ')
	}
	if len(out) > maxHeader {
		return nil, errors.New("header is too long")
	}
	return out, nil
}
