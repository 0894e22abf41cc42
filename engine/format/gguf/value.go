package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Value is a value of the metadata. V is a uint64, int64, float64, bool or string, for the
// numbers of all widths; or, for an array, []uint64, []int64, []float64, []bool, []string
// or []Value.
type Value struct{ V any }

// Strings returns the value if it is an array of texts.
func (v Value) Strings() ([]string, bool) { s, ok := v.V.([]string); return s, ok }

// Ints returns the value if it is an array of integers that fit.
func (v Value) Ints() ([]int64, bool) {
	switch x := v.V.(type) {
	case []int64:
		return x, true
	case []uint64:
		out := make([]int64, len(x))
		for i, n := range x {
			if n > math.MaxInt64 {
				return nil, false
			}
			out[i] = int64(n)
		}
		return out, true
	}
	return nil, false
}

// Floats returns the value if it is an array of floats.
func (v Value) Floats() ([]float64, bool) { f, ok := v.V.([]float64); return f, ok }

// The types of values (enum gguf_metadata_value_type).
const (
	typeUint8 = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

// width returns the bytes of a number, 0 for the other types.
func width(kind uint64) int64 {
	switch kind {
	case typeUint8, typeInt8, typeBool:
		return 1
	case typeUint16, typeInt16:
		return 2
	case typeUint32, typeInt32, typeFloat32:
		return 4
	case typeUint64, typeInt64, typeFloat64:
		return 8
	}
	return 0
}

// decoder reads a header and counts what is left of the file, and of the memory that what
// is decoded may take.
type decoder struct {
	r        *bufio.Reader
	at, size int64
	budget   int64
	buf      [8]byte
}

// What a text and a value take besides their contents, and what an entry of the tensor table does, in bytes.
const (
	textCost  = 16
	valueCost = 48

	tensorCost = 256 // name apart; an entry of the table, of the map of names and of the order
)

// spend counts memory before it is taken.
func (d *decoder) spend(n int) error {
	if d.budget -= int64(n); d.budget < 0 {
		return errBudget
	}
	return nil
}

func (d *decoder) fill(b []byte) error {
	if int64(len(b)) > d.size-d.at {
		return errShort
	}
	n, err := io.ReadFull(d.r, b)
	d.at += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errShort
	}
	return err
}

func (d *decoder) bytes(n int) ([]byte, error) {
	b := d.buf[:n]
	return b, d.fill(b)
}

// uint reads a little-endian unsigned integer of 1, 2, 4 or 8 bytes.
func (d *decoder) uint(n int) (uint64, error) {
	d.buf = [8]byte{}
	_, err := d.bytes(n)
	return binary.LittleEndian.Uint64(d.buf[:]), err
}

func (d *decoder) text(most uint64) (string, error) {
	n, err := d.uint(8)
	if err != nil {
		return "", err
	}
	if n > most {
		return "", fmt.Errorf("text of %d bytes, at most %d", n, most)
	}
	if int64(n) > d.size-d.at {
		return "", errShort
	}
	if err := d.spend(int(n) + textCost); err != nil {
		return "", err
	}
	b := make([]byte, n)
	if err := d.fill(b); err != nil {
		return "", err
	}
	return string(b), nil
}

func (d *decoder) value() (Value, error) {
	kind, err := d.uint(4)
	if err != nil {
		return Value{}, err
	}
	return d.valueOf(kind, 0)
}

func (d *decoder) valueOf(kind uint64, depth int) (Value, error) {
	switch kind {
	case typeString:
		s, err := d.text(maxString)
		return Value{s}, err
	case typeArray:
		return d.array(depth)
	}
	n := width(kind)
	if n == 0 {
		return Value{}, fmt.Errorf("type %d of a value is unknown", kind)
	}
	bits, err := d.uint(int(n))
	if err != nil {
		return Value{}, err
	}
	return number(kind, bits)
}

func number(kind, bits uint64) (Value, error) {
	switch kind {
	case typeInt8, typeInt16, typeInt32, typeInt64:
		n, err := signed(kind, bits)
		return Value{n}, err
	case typeFloat32, typeFloat64:
		f, err := float(kind, bits)
		return Value{f}, err
	case typeBool:
		b, err := boolean(kind, bits)
		return Value{b}, err
	}
	return Value{bits}, nil
}

func unsigned(_, bits uint64) (uint64, error) { return bits, nil }

func signed(kind, bits uint64) (int64, error) {
	switch kind {
	case typeInt8:
		return int64(int8(bits)), nil
	case typeInt16:
		return int64(int16(bits)), nil
	case typeInt32:
		return int64(int32(bits)), nil
	}
	return int64(bits), nil
}

func float(kind, bits uint64) (float64, error) {
	if kind == typeFloat32 {
		return float64(math.Float32frombits(uint32(bits))), nil
	}
	return math.Float64frombits(bits), nil
}

func boolean(_, bits uint64) (bool, error) {
	if bits > 1 {
		return false, fmt.Errorf("boolean is %d", bits)
	}
	return bits == 1, nil
}

// array reads an array. A count proves nothing: numbers are known to be in the file before
// memory is taken for them, texts and arrays are gathered as they come.
func (d *decoder) array(depth int) (Value, error) {
	kind, err := d.uint(4)
	if err != nil {
		return Value{}, err
	}
	n, err := d.uint(8)
	if err != nil {
		return Value{}, err
	}
	least := width(kind)
	if least == 0 {
		least = 8 // a text or an array has at least a length
	}
	if n > maxArray || int64(n) > (d.size-d.at)/least || depth == maxDepth {
		return Value{}, fmt.Errorf("array of %d items of type %d with %d bytes left, nested %d deep", n, kind, d.size-d.at, depth)
	}
	var all any
	switch kind {
	case typeInt8, typeInt16, typeInt32, typeInt64:
		all, err = numbers(d, kind, int(n), signed)
	case typeFloat32, typeFloat64:
		all, err = numbers(d, kind, int(n), float)
	case typeBool:
		all, err = numbers(d, kind, int(n), boolean)
	case typeString:
		all, err = d.texts(int(n))
	case typeArray:
		all, err = d.arrays(int(n), depth+1)
	default:
		if width(kind) == 0 {
			return Value{}, fmt.Errorf("type %d of items is unknown", kind)
		}
		all, err = numbers(d, kind, int(n), unsigned)
	}
	return Value{all}, err
}

func numbers[T any](d *decoder, kind uint64, n int, number func(kind, bits uint64) (T, error)) ([]T, error) {
	if err := d.spend(8 * n); err != nil {
		return nil, err
	}
	out := make([]T, n)
	for i := range out {
		bits, err := d.uint(int(width(kind)))
		if err == nil {
			out[i], err = number(kind, bits)
		}
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
	}
	return out, nil
}

func (d *decoder) texts(n int) ([]string, error) {
	var out []string
	for i := range n {
		s, err := d.text(maxString)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func (d *decoder) arrays(n, depth int) ([]Value, error) {
	var out []Value
	for i := range n {
		v, err := d.array(depth)
		if err == nil {
			err = d.spend(valueCost)
		}
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		out = append(out, v)
	}
	return out, nil
}
