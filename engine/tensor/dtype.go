package tensor

import (
	"fmt"
	"math"
	"math/bits"
)

// DType is the type of the elements of a tensor: a float type, or a block type that packs
// BlockLen elements in BlockBytes bytes. The numbers are ours and never change; the zero
// value is no type. Manifests hold the name, not the number.
type DType uint8

// The types. MXFP4, TQ2_0 and IQ3_S can be dequantised only.
const (
	F32    DType = 1
	F16    DType = 2
	BF16   DType = 3
	Q4_0   DType = 4
	Q4_1   DType = 5
	Q5_0   DType = 6
	Q5_1   DType = 7
	Q8_0   DType = 8
	Q2_K   DType = 9
	Q3_K   DType = 10
	Q4_K   DType = 11
	Q5_K   DType = 12
	Q6_K   DType = 13
	IQ4_NL DType = 14
	IQ4_XS DType = 15
	MXFP4  DType = 16
	TQ2_0  DType = 17
	IQ3_S  DType = 18
)

// layout is the size of one block of a type; a float element is a block of one.
type layout struct {
	name       string
	len, bytes int
}

// layouts is indexed by DType.
var layouts = [...]layout{
	F32:    {"F32", 1, 4},
	F16:    {"F16", 1, 2},
	BF16:   {"BF16", 1, 2},
	Q4_0:   {"Q4_0", 32, 2 + 16},
	Q4_1:   {"Q4_1", 32, 4 + 16},
	Q5_0:   {"Q5_0", 32, 2 + 4 + 16},
	Q5_1:   {"Q5_1", 32, 4 + 4 + 16},
	Q8_0:   {"Q8_0", 32, 2 + 32},
	Q2_K:   {"Q2_K", superLen, 16 + 64 + 4},
	Q3_K:   {"Q3_K", superLen, 32 + 64 + 12 + 2},
	Q4_K:   {"Q4_K", superLen, 4 + 12 + 128},
	Q5_K:   {"Q5_K", superLen, 4 + 12 + 32 + 128},
	Q6_K:   {"Q6_K", superLen, 128 + 64 + 16 + 2},
	IQ4_NL: {"IQ4_NL", 32, 2 + 16},
	IQ4_XS: {"IQ4_XS", superLen, 2 + 2 + 4 + 128},
	MXFP4:  {"MXFP4", 32, 1 + 16},
	TQ2_0:  {"TQ2_0", superLen, 64 + 2},
	IQ3_S:  {"IQ3_S", superLen, 2 + 64 + 8 + 32 + 4},
}

// superLen is the number of elements in a super-block of the K and IQ types.
const superLen = 256

// Types returns all types in the order of their numbers.
func Types() []DType {
	all := make([]DType, 0, len(layouts)-1)
	for d := F32; d.Valid(); d++ {
		all = append(all, d)
	}
	return all
}

// Parse returns the type of that name, as String writes it.
func Parse(name string) (DType, error) {
	for d := F32; d.Valid(); d++ {
		if layouts[d].name == name {
			return d, nil
		}
	}
	return 0, fmt.Errorf("parse tensor type %.40q: no such type", name)
}

// Valid reports whether d is one of the types above.
func (d DType) Valid() bool { return d >= F32 && int(d) < len(layouts) }

// String returns the name of the type.
func (d DType) String() string {
	if !d.Valid() {
		return fmt.Sprintf("DType(%d)", uint8(d))
	}
	return layouts[d].name
}

// MarshalText returns the name of the type.
func (d DType) MarshalText() ([]byte, error) {
	if !d.Valid() {
		return nil, fmt.Errorf("marshal tensor type %d: no such type", uint8(d))
	}
	return []byte(d.String()), nil
}

// UnmarshalText sets d to the type of that name.
func (d *DType) UnmarshalText(text []byte) error {
	v, err := Parse(string(text))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// BlockLen returns the number of elements in a block, 1 for the float types, 0 for a type
// that is not valid.
func (d DType) BlockLen() int {
	if !d.Valid() {
		return 0
	}
	return layouts[d].len
}

// BlockBytes returns the number of bytes in a block, 0 for a type that is not valid.
func (d DType) BlockBytes() int {
	if !d.Valid() {
		return 0
	}
	return layouts[d].bytes
}

// Quantized reports whether d is a block type.
func (d DType) Quantized() bool { return d.BlockLen() > 1 }

// Bytes returns the size of a tensor of that shape. It returns an error if the type is not
// valid, a dimension is not positive, the last one does not hold whole blocks, or the size
// overflows.
func (d DType) Bytes(shape Shape) (int64, error) {
	if !d.Valid() {
		return 0, fmt.Errorf("size %v of %v: no such type", shape, d)
	}
	n, err := shape.Elems()
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, fmt.Errorf("size %v of %v: a dimension is zero", shape, d)
	}
	last := 1
	if len(shape) > 0 {
		last = shape[len(shape)-1]
	}
	block := layouts[d]
	if last%block.len != 0 {
		return 0, fmt.Errorf("size %v of %v: last dimension is not a multiple of %d", shape, d, block.len)
	}
	hi, lo := bits.Mul64(uint64(n)/uint64(block.len), uint64(block.bytes))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, fmt.Errorf("size %v of %v: too large", shape, d)
	}
	return int64(lo), nil
}
