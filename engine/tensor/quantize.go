package tensor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

var errNotFinite = errors.New("a value is not finite or too large for the block's scale")

// Quantize writes the values of src to dst as blocks of type d, one of F32, F16, BF16,
// Q8_0 and Q4_0, with the rounding of llama.cpp's reference. It returns an error if the
// sizes do not match or a block type would have to hold a value that is not finite or
// a scale beyond the range of F16.
func Quantize(dst []byte, d DType, src []float32) error {
	if err := checkSizes(d, len(src), len(dst)); err != nil {
		return fmt.Errorf("quantise: %w", err)
	}
	switch d {
	case F32:
		for i, v := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		}
	case F16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], F32ToF16(v))
		}
	case BF16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], F32ToBF16(v))
		}
	case Q8_0, Q4_0:
		b := layouts[d]
		encode := encodeQ8
		if d == Q4_0 {
			encode = encodeQ4
		}
		for i := 0; i < len(src)/b.len; i++ {
			if err := encode(dst[i*b.bytes:], src[i*b.len:(i+1)*b.len]); err != nil {
				return fmt.Errorf("quantise to %v: elements %d to %d: %w", d, i*b.len, (i+1)*b.len-1, err)
			}
		}
	default:
		return fmt.Errorf("quantise to %v: not supported: want F32, F16, BF16, Q8_0 or Q4_0", d)
	}
	return nil
}

// extreme returns the element of the largest magnitude, the first of equals.
func extreme(x []float32) (v float32, finite bool) {
	var most float32
	for _, e := range x {
		a := math.Float32frombits(math.Float32bits(e) &^ (1 << 31))
		if !(a <= math.MaxFloat32) {
			return e, false
		}
		if a > most {
			most, v = a, e
		}
	}
	return v, true
}

// putScale writes a scale as F16 and returns its inverse, taken before the rounding as in
// the reference.
func putScale(dst []byte, d float32, finite bool) (inverse float32, err error) {
	h := F32ToF16(d)
	if !finite || h&0x7c00 == 0x7c00 {
		return 0, errNotFinite
	}
	binary.LittleEndian.PutUint16(dst, h)
	if d == 0 {
		return 0, nil
	}
	return 1 / d, nil
}

func encodeQ8(dst []byte, x []float32) error {
	v, finite := extreme(x)
	most := math.Float32frombits(math.Float32bits(v) &^ (1 << 31))
	inverse, err := putScale(dst, most/127, finite)
	if err != nil {
		return err
	}
	for i, e := range x {
		// Halves are rounded away from zero, as by C's roundf. The scale of a block of
		// subnormals can be so small that its inverse is infinite.
		q := math.Round(float64(e * inverse))
		if !(q >= -127 && q <= 127) {
			return errNotFinite
		}
		dst[2+i] = byte(int8(q))
	}
	return nil
}

func encodeQ4(dst []byte, x []float32) error {
	v, finite := extreme(x)
	inverse, err := putScale(dst, v/-8, finite)
	if err != nil {
		return err
	}
	code := func(e float32) byte {
		q := float32(e*inverse) + 8.5
		if !(q >= 0 && q < 256) {
			return 0
		}
		return min(15, byte(q))
	}
	for i := range 16 {
		dst[2+i] = code(x[i]) | code(x[16+i])<<4
	}
	return nil
}
