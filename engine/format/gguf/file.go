package gguf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/covey-network/covey/engine/format/folder"
	"github.com/covey-network/covey/engine/tensor"
)

// magic is how a file begins.
const magic = "GGUF"

// Limits of a file.
const (
	maxKeys    = 1 << 16
	maxTensors = 1 << 16
	maxString  = 1 << 20
	maxArray   = 4 << 20 // items; the largest published vocabularies have 262,144 tokens
	maxDepth   = 2       // arrays in arrays
	maxRank    = 4
	maxName    = 1 << 10
	maxAlign   = 4096
	maxMemory  = 256 << 20 // of what a header decodes to; published ones take under 40 MB
)

// TensorInfo tells what a tensor is and where it lies.
type TensorInfo struct {
	Name   string
	DType  tensor.DType
	Shape  tensor.Shape // outermost first; the file has it the other way round
	Offset int64        // in the file
	Bytes  int64
}

// File is an open model: one GGUF file, or all files of one that is split.
type File struct {
	Version int
	Meta    map[string]Value
	Tensors []TensorInfo

	files []*os.File
	at    []int // of a split model: the file of each tensor
}

// Open reads the header of a file: metadata and tensor table. Of a model that is split it
// takes any file, and reads the headers of all.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open GGUF file: %w", err)
	}
	out, err := openFile(f)
	if err != nil {
		return nil, fmt.Errorf("read GGUF file %q: %w", path, err)
	}
	n, _, err := out.parts()
	if err == nil && n <= 1 {
		return out, nil
	}
	f.Close()
	if err == nil {
		out, err = openParts(path, n)
	}
	if err != nil {
		return nil, fmt.Errorf("read GGUF file %q: %w", path, err)
	}
	return out, nil
}

// Is reports whether a file begins as GGUF files do.
func Is(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var begin [len(magic)]byte
	_, err = f.ReadAt(begin[:], 0)
	return err == nil && string(begin[:]) == magic
}

// openFile reads the header of an open file, which it closes if that fails.
func openFile(f *os.File) (_ *File, err error) {
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if err := folder.CheckPointer(f); err != nil {
		return nil, err
	}
	out, err := read(f, info.Size(), maxMemory)
	if err != nil {
		return nil, err
	}
	out.files = []*os.File{f}
	return out, nil
}

// Section returns a reader of the bytes of tensor i.
func (f *File) Section(i int) *io.SectionReader {
	t, file := f.Tensors[i], f.files[0]
	if f.at != nil {
		file = f.files[f.at[i]]
	}
	return io.NewSectionReader(file, t.Offset, t.Bytes)
}

// read parses a header from r, which holds size bytes in all. What it decodes to may take
// budget bytes.
func read(r io.Reader, size, budget int64) (*File, error) {
	d := &decoder{r: bufio.NewReaderSize(r, 256<<10), size: size, budget: budget}
	f := &File{Meta: map[string]Value{}}
	tensors, err := f.readHead(d)
	if err != nil {
		return nil, fmt.Errorf("at byte %d: %w", d.at, err)
	}
	for i := range tensors {
		t, err := readTensor(d)
		if err != nil {
			return nil, fmt.Errorf("at byte %d: tensor %d: %w", d.at, i, err)
		}
		f.Tensors = append(f.Tensors, t)
	}
	return f, f.layOut(d.at, size)
}

// readHead reads what comes before the tensor table and returns the number of tensors.
func (f *File) readHead(d *decoder) (uint64, error) {
	begin, err := d.bytes(len(magic))
	if err != nil {
		return 0, err
	}
	if string(begin) != magic {
		return 0, fmt.Errorf("file begins with %q, not with GGUF", begin)
	}
	version, err := d.uint(4)
	if err != nil {
		return 0, err
	}
	if version != 2 && version != 3 {
		return 0, fmt.Errorf("version %d is not supported: want 2 or 3, little-endian", version)
	}
	f.Version = int(version)
	tensors, err := d.uint(8)
	if err != nil {
		return 0, err
	}
	keys, err := d.uint(8)
	if err != nil {
		return 0, err
	}
	if tensors > maxTensors || keys > maxKeys {
		return 0, fmt.Errorf("%d tensors and %d keys, at most %d and %d", tensors, keys, maxTensors, maxKeys)
	}
	for range keys {
		key, err := d.text(maxName)
		if err != nil {
			return 0, err
		}
		v, err := d.value()
		if err == nil {
			err = d.spend(valueCost)
		}
		if err != nil {
			return 0, fmt.Errorf("key %.100q: %w", key, err)
		}
		if _, twice := f.Meta[key]; twice {
			return 0, fmt.Errorf("key %.100q stands twice", key)
		}
		f.Meta[key] = v
	}
	return tensors, nil
}

// typeOf translates ggml's type numbers (enum ggml_type).
func typeOf(n uint64) (tensor.DType, error) {
	switch n {
	case 0:
		return tensor.F32, nil
	case 1:
		return tensor.F16, nil
	case 2:
		return tensor.Q4_0, nil
	case 3:
		return tensor.Q4_1, nil
	case 6:
		return tensor.Q5_0, nil
	case 7:
		return tensor.Q5_1, nil
	case 8:
		return tensor.Q8_0, nil
	case 10:
		return tensor.Q2_K, nil
	case 11:
		return tensor.Q3_K, nil
	case 12:
		return tensor.Q4_K, nil
	case 13:
		return tensor.Q5_K, nil
	case 14:
		return tensor.Q6_K, nil
	case 20:
		return tensor.IQ4_NL, nil
	case 21:
		return tensor.IQ3_S, nil
	case 23:
		return tensor.IQ4_XS, nil
	case 30:
		return tensor.BF16, nil
	case 35:
		return tensor.TQ2_0, nil
	case 39:
		return tensor.MXFP4, nil
	}
	return 0, fmt.Errorf("type %d is not supported", n)
}

// readTensor reads an entry of the table. Its offset is relative to the data for now.
func readTensor(d *decoder) (TensorInfo, error) {
	name, err := d.text(maxName)
	if err != nil {
		return TensorInfo{}, err
	}
	fail := func(err error) (TensorInfo, error) { return TensorInfo{}, fmt.Errorf("%.100q: %w", name, err) }
	if err := d.spend(tensorCost); err != nil {
		return fail(err)
	}
	rank, err := d.uint(4)
	if err != nil {
		return fail(err)
	}
	if rank < 1 || rank > maxRank {
		return fail(fmt.Errorf("%d dimensions, want 1 to %d", rank, maxRank))
	}
	t := TensorInfo{Name: name, Shape: make(tensor.Shape, rank)}
	for i := range t.Shape {
		n, err := d.uint(8)
		if err != nil {
			return fail(err)
		}
		if n < 1 || n > 1<<40 {
			return fail(fmt.Errorf("dimension %d is %d", i, n))
		}
		t.Shape[len(t.Shape)-1-i] = int(n)
	}
	kind, err := d.uint(4)
	if err != nil {
		return fail(err)
	}
	if t.DType, err = typeOf(kind); err != nil {
		return fail(err)
	}
	if t.Bytes, err = t.DType.Bytes(t.Shape); err != nil {
		return fail(err)
	}
	offset, err := d.uint(8)
	if err != nil {
		return fail(err)
	}
	if offset > 1<<62 {
		return fail(fmt.Errorf("offset %d", offset))
	}
	t.Offset = int64(offset)
	return t, nil
}

// layOut makes offsets relative to the file, and checks that no tensor leaves it and no
// two overlap or share a name.
func (f *File) layOut(end, size int64) error {
	align := int64(32)
	if v, ok := f.Meta["general.alignment"]; ok {
		n, ok := v.V.(uint64)
		if !ok || n < 1 || n > maxAlign || n&(n-1) != 0 {
			return fmt.Errorf("general.alignment is %v, want a power of 2 up to %d", v.V, maxAlign)
		}
		align = int64(n)
	}
	start := (end + align - 1) / align * align
	names := make(map[string]bool, len(f.Tensors))
	order := make([]*TensorInfo, len(f.Tensors))
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if names[t.Name] {
			return fmt.Errorf("tensor %.100q stands twice", t.Name)
		}
		names[t.Name], order[i] = true, t
		if t.Offset%align != 0 {
			return fmt.Errorf("tensor %.100q at offset %d, not a multiple of %d", t.Name, t.Offset, align)
		}
		if t.Offset > size-start || t.Bytes > size-start-t.Offset {
			return fmt.Errorf("tensor %.100q of %d bytes at %d leaves the file of %d bytes: truncated or damaged", t.Name, t.Bytes, start+t.Offset, size)
		}
		t.Offset += start
	}
	slices.SortFunc(order, func(a, b *TensorInfo) int {
		if a.Offset < b.Offset {
			return -1
		}
		return 1
	})
	for i := 1; i < len(order); i++ {
		if a, b := order[i-1], order[i]; a.Offset+a.Bytes > b.Offset {
			return fmt.Errorf("tensors %.100q and %.100q overlap", a.Name, b.Name)
		}
	}
	return nil
}

var (
	errShort  = errors.New("file ends within its header")
	errBudget = fmt.Errorf("header takes more than %d MiB of memory", maxMemory>>20)
)
