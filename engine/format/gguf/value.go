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

// decoder reads a header and counts what is left of the file.
type decoder struct {
	r        *bufio.Reader
	at, size int64
	buf      [8]byte
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
	case typeInt8:
		return Value{int64(int8(bits))}, nil
	case typeInt16:
		return Value{int64(int16(bits))}, nil
	case typeInt32:
		return Value{int64(int32(bits))}, nil
	case typeInt64:
		return Value{int64(bits)}, nil
	case typeFloat32:
		return Value{float64(math.Float32frombits(uint32(bits)))}, nil
	case typeFloat64:
		return Value{math.Float64frombits(bits)}, nil
	case typeBool:
		if bits > 1 {
			return Value{}, fmt.Errorf("boolean is %d", bits)
		}
		return Value{bits == 1}, nil
	}
	return Value{bits}, nil
}

// array reads an array, growing as it reads: a count proves nothing.
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
	var all list
	for i := range n {
		v, err := d.valueOf(kind, depth+1)
		if err != nil {
			return Value{}, fmt.Errorf("item %d: %w", i, err)
		}
		all.add(v)
	}
	return Value{all.value(kind)}, nil
}

// list gathers the items of an array by type.
type list struct {
	uints  []uint64
	ints   []int64
	floats []float64
	bools  []bool
	texts  []string
	values []Value
}

func (l *list) add(v Value) {
	switch x := v.V.(type) {
	case uint64:
		l.uints = append(l.uints, x)
	case int64:
		l.ints = append(l.ints, x)
	case float64:
		l.floats = append(l.floats, x)
	case bool:
		l.bools = append(l.bools, x)
	case string:
		l.texts = append(l.texts, x)
	default:
		l.values = append(l.values, v)
	}
}

func (l *list) value(kind uint64) any {
	switch kind {
	case typeInt8, typeInt16, typeInt32, typeInt64:
		return l.ints
	case typeFloat32, typeFloat64:
		return l.floats
	case typeBool:
		return l.bools
	case typeString:
		return l.texts
	case typeArray:
		return l.values
	}
	return l.uints
}
