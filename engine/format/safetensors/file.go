package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"slices"
	"strings"

	"github.com/covey-network/covey/engine/format/folder"
	"github.com/covey-network/covey/engine/tensor"
)

// Limits of a header.
const (
	maxHeader  = 16 << 20 // 100 MB are allowed by the format; published files stay below 1 MB
	maxTensors = 1 << 16
	maxRank    = 8
	maxName    = 1 << 10
)

// TensorInfo tells what a tensor is and where it lies. DType is 0 for element types that
// no weight has, such as I64; Type always has the file's word.
type TensorInfo struct {
	Name   string
	DType  tensor.DType
	Type   string
	Shape  tensor.Shape
	Offset int64 // in the file
	Bytes  int64
}

// File is an open safetensors file.
type File struct {
	Tensors  []TensorInfo // in the order of their data
	Metadata map[string]string

	f *os.File
}

// ErrTruncated is wrapped by the error of a file that has not as many bytes as its header says.
var ErrTruncated = errors.New("truncated or damaged")

// Open reads the header of a file.
func Open(path string) (*File, error) { return open(path, os.Open) }

// OpenIn is Open within a folder.
func OpenIn(root Opener, name string) (*File, error) { return open(name, root.Open) }

func open(path string, opener func(string) (*os.File, error)) (_ *File, err error) {
	f, err := opener(path)
	if err != nil {
		return nil, fmt.Errorf("open safetensors file: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open safetensors file %q: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open safetensors file %q: not a regular file", path)
	}
	if err := folder.CheckPointer(f); err != nil {
		return nil, fmt.Errorf("open safetensors file %q: %w", path, err)
	}
	out := &File{f: f}
	if err := out.readHeader(f, info.Size()); err != nil {
		return nil, fmt.Errorf("read safetensors file %q: %w", path, err)
	}
	return out, nil
}

// Section returns a reader of the bytes of tensor i.
func (f *File) Section(i int) *io.SectionReader {
	t := f.Tensors[i]
	return io.NewSectionReader(f.f, t.Offset, t.Bytes)
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

func (f *File) readHeader(r io.ReaderAt, size int64) error {
	var n [8]byte
	if size < int64(len(n)) {
		return fmt.Errorf("file of %d bytes is too short for a header: %w", size, ErrTruncated)
	}
	if _, err := r.ReadAt(n[:], 0); err != nil {
		return err
	}
	length := binary.LittleEndian.Uint64(n[:])
	if length > maxHeader || int64(length) > size-int64(len(n)) {
		return fmt.Errorf("header of %d bytes in a file of %d, at most %d are read", length, size, maxHeader)
	}
	header := make([]byte, length)
	if _, err := r.ReadAt(header, int64(len(n))); err != nil {
		return err
	}
	if err := f.parse(header); err != nil {
		return err
	}
	return f.layOut(int64(len(n))+int64(length), size)
}

// entry is a tensor in the header.
type entry struct {
	DType   string  `json:"dtype"`
	Shape   []int   `json:"shape"`
	Offsets []int64 `json:"data_offsets"`
}

// parse reads the header object. It goes token by token at the top, so that a name that
// stands twice is seen.
func (f *File) parse(header []byte) error {
	dec := json.NewDecoder(bytes.NewReader(header))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("header is not a JSON object: %v", err)
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return fmt.Errorf("header: %w", err)
		}
		name, ok := t.(string)
		if !ok || len(name) > maxName {
			return fmt.Errorf("header: name at byte %d is not a text of at most %d bytes", dec.InputOffset(), maxName)
		}
		if seen[name] {
			return fmt.Errorf("header: %.100q stands twice", name)
		}
		seen[name] = true
		if name == "__metadata__" {
			if err := dec.Decode(&f.Metadata); err != nil {
				return fmt.Errorf("header: __metadata__: %w", err)
			}
			continue
		}
		var e entry
		if err := dec.Decode(&e); err != nil {
			return fmt.Errorf("header: tensor %.100q: %w", name, err)
		}
		if len(f.Tensors) == maxTensors {
			return fmt.Errorf("header: more than %d tensors", maxTensors)
		}
		info, err := e.info(name)
		if err != nil {
			return fmt.Errorf("header: tensor %.100q: %w", name, err)
		}
		f.Tensors = append(f.Tensors, info)
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("header: more than one value")
	}
	return nil
}

// elementBytes gives the size of an element of the format's types; the floats that
// weights have also have a tensor type.
func elementBytes(name string) (d tensor.DType, bytes int64) {
	switch name {
	case "F32":
		return tensor.F32, 4
	case "F16":
		return tensor.F16, 2
	case "BF16":
		return tensor.BF16, 2
	case "F64", "I64", "U64", "C64":
		return 0, 8
	case "I32", "U32":
		return 0, 4
	case "I16", "U16":
		return 0, 2
	case "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0":
		return 0, 1
	}
	return 0, 0
}

func (e *entry) info(name string) (TensorInfo, error) {
	d, size := elementBytes(e.DType)
	if size == 0 {
		return TensorInfo{}, fmt.Errorf("type %.40q is unknown", e.DType)
	}
	if len(e.Shape) > maxRank || len(e.Offsets) != 2 {
		return TensorInfo{}, fmt.Errorf("%d dimensions and %d offsets, want at most %d and 2", len(e.Shape), len(e.Offsets), maxRank)
	}
	n, err := tensor.Shape(e.Shape).Elems()
	if err != nil {
		return TensorInfo{}, err
	}
	hi, lo := bits.Mul64(uint64(n), uint64(size))
	begin, end := e.Offsets[0], e.Offsets[1]
	if begin < 0 || end < begin || hi != 0 || lo != uint64(end-begin) {
		return TensorInfo{}, fmt.Errorf("data from %d to %d does not hold shape %v of %s", begin, end, e.Shape, e.DType)
	}
	return TensorInfo{Name: name, DType: d, Type: e.DType, Shape: e.Shape, Offset: begin, Bytes: end - begin}, nil
}

// layOut checks that the data fills the file without gap or overlap, and makes offsets
// relative to the file.
func (f *File) layOut(start, size int64) error {
	slices.SortStableFunc(f.Tensors, func(a, b TensorInfo) int {
		switch {
		case a.Offset != b.Offset && a.Offset < b.Offset:
			return -1
		case a.Offset != b.Offset:
			return 1
		case a.Bytes != b.Bytes && a.Bytes < b.Bytes:
			return -1
		case a.Bytes != b.Bytes:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	var at int64
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if t.Offset != at {
			return fmt.Errorf("tensor %.100q begins at %d of the data, want %d: gap or overlap", t.Name, t.Offset, at)
		}
		at += t.Bytes
		t.Offset += start
	}
	if at != size-start {
		return fmt.Errorf("tensors have %d bytes, the file has %d after the header: %w", at, size-start, ErrTruncated)
	}
	return nil
}
