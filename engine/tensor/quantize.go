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
			if err := encode(dst[i*b.bytes:(i+1)*b.bytes], src[i*b.len:(i+1)*b.len]); err != nil {
				return fmt.Errorf("quantise to %v: elements %d to %d: %w", d, i*b.len, (i+1)*b.len-1, err)
			}
		}
	default:
		return fmt.Errorf("quantise to %v: not supported: want F32, F16, BF16, Q8_0 or Q4_0", d)
	}
	return nil
}

// extreme returns the element of the largest magnitude, the first of equals. The bits of magnitudes order as the magnitudes do, infinities and NaN last.
func extreme(x []float32) (v float32, finite bool) {
	v = x[0]
	most := math.Float32bits(v) &^ signBit
	for _, e := range x[1:] {
		if a := math.Float32bits(e) &^ signBit; a > most {
			most, v = a, e
		}
	}
	return v, most < infinity
}

const (
	signBit  = 1 << 31
	infinity = 0x7f800000
)

// putScale writes a scale as F16 and returns its inverse, taken before the rounding as in
// the reference. The inverse is 0 for a scale so small, below 2^-128, that it would be
// infinite: all values of such a block read back as zero.
func putScale(dst []byte, d float32, finite bool) (inverse float32, err error) {
	h := F32ToF16(d)
	if !finite || h&0x7c00 == 0x7c00 {
		return 0, errNotFinite
	}
	binary.LittleEndian.PutUint16(dst, h)
	if inverse = 1 / d; math.Float32bits(inverse)&^signBit >= infinity {
		return 0, nil
	}
	return inverse, nil
}

func encodeQ8(dst []byte, x []float32) error {
	v, finite := extreme(x)
	most := math.Float32frombits(math.Float32bits(v) &^ signBit)
	inverse, err := putScale(dst, most/127, finite)
	if err != nil {
		return err
	}
	for i, e := range x {
		// Halves are rounded away from zero, as by C's roundf: float64 holds the sum exactly.
		q := float32(e * inverse)
		half := math.Float32frombits(math.Float32bits(0.5) | math.Float32bits(q)&signBit)
		dst[2+i] = byte(int32(float64(q) + float64(half)))
	}
	return nil
}

func encodeQ4(dst []byte, x []float32) error {
	v, finite := extreme(x)
	inverse, err := putScale(dst, v/-8, finite)
	if err != nil {
		return err
	}
	// The products lie in [-8, 8], so the codes before the cut lie in 0 to 16.
	code := func(e float32) byte { return min(15, byte(int32(float32(e*inverse)+8.5))) }
	for i, e := range x[:16] {
		dst[2+i] = code(e) | code(x[16+i])<<4
	}
	return nil
}
