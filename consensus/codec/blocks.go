package codec

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/covey-network/covey/consensus/vec"
)

// Blocks of values that share a scale. Smaller ones cost more bytes and follow values of
// different magnitude better. Measured, bytes a value and what is lost of a Gaussian vector and
// of one with heavy tails (Student's t, 4 degrees of freedom): int8 with blocks of 64 1.063,
// 0.83 %, 1.29 %; 256 1.016, 0.96 %, 1.87 %; 1024 1.004, 1.08 %, 2.64 %; 4096 1.001, 1.18 %,
// 3.92 %. Signs lose 60 % and 71 % with all from 64 to 2048.
const (
	int8Block = 256
	signBlock = 512
)

const (
	// tiny is the magnitude below which a block is taken for zeros: what is smaller has no
	// finite reciprocal, and is no part of any update.
	tiny = 0x1p-100
	// maxInt8Scale keeps 127 steps finite.
	maxInt8Scale = 0x1p121
)

// int8s writes blocks: a scale (float32), then an integer of -127 to 127 for each value.
type int8s struct{}

func (int8s) size(_, n int) int { return n + 4*((n+int8Block-1)/int8Block) }
func (int8s) warm() int         { return 0 }

func (int8s) encode(dst []byte, x []float32, at place) error {
	counter := uint32(at.off)
	for len(x) > 0 {
		n := min(int8Block, len(x))
		top := vec.MaxAbs(x[:n])
		if !(top <= math.MaxFloat32) {
			return ErrNotFinite
		}
		r := vec.Rounding{Seed: at.seed, Counter: counter}
		if top >= tiny {
			r.Scale = min(top/127, maxInt8Scale)
			r.Inverse = 1 / r.Scale
		}
		binary.LittleEndian.PutUint32(dst, math.Float32bits(r.Scale))
		if r.Scale == 0 {
			clear(dst[4 : 4+n])
			clear(x[:n])
		} else {
			vec.Int8(dst[4:4+n], x[:n], r)
		}
		counter += uint32(n)
		dst, x = dst[4+n:], x[n:]
	}
	return nil
}

func (int8s) decode(dst []float32, b []byte, _ int) error {
	for block := 0; len(dst) > 0; block++ {
		n := min(int8Block, len(dst))
		scale, err := readScale(b, maxInt8Scale)
		if err != nil {
			return fmt.Errorf("block %d: %w", block, err)
		}
		if vec.FromInt8(dst[:n], b[4:4+n], scale) < -127 {
			return fmt.Errorf("block %d: %w: integer -128", block, ErrMalformed)
		}
		if scale == 0 && !zero(b[4:4+n]) {
			return fmt.Errorf("block %d: %w: scale 0 of values that are not", block, ErrMalformed)
		}
		dst, b = dst[n:], b[4+n:]
	}
	return nil
}

// readScale reads a scale, which is 0 or above and at most limit.
func readScale(b []byte, limit float32) (float32, error) {
	bits := binary.LittleEndian.Uint32(b)
	scale := math.Float32frombits(bits)
	if bits&0x7f800000 == 0x7f800000 {
		return 0, fmt.Errorf("%w: scale", ErrNotFinite)
	}
	if bits > math.Float32bits(limit) {
		return 0, fmt.Errorf("%w: scale %v is not from 0 to %v", ErrMalformed, scale, limit)
	}
	return scale, nil
}

func zero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// signs writes blocks: the mean magnitude (float32), then a bit for each value, set where it
// is negative.
type signs struct{}

func (signs) size(_, n int) int {
	whole, rest := n/signBlock, n%signBlock
	size := whole * (4 + signBlock/8)
	if rest > 0 {
		size += 4 + (rest+7)/8
	}
	return size
}

func (signs) warm() int { return 0 }

func (signs) encode(dst []byte, x []float32, _ place) error {
	for len(x) > 0 {
		n := min(signBlock, len(x))
		bits := (n + 7) / 8
		// Each magnitude is divided first: no sum of finite ones overflows.
		mean := vec.SumAbs(x[:n], 1.0/signBlock)
		if !(mean <= math.MaxFloat32) {
			return ErrNotFinite
		}
		if n < signBlock {
			mean = min(mean*(signBlock/float32(n)), math.MaxFloat32)
		}
		if mean < tiny {
			mean = 0
			clear(x[:n])
		}
		binary.LittleEndian.PutUint32(dst, math.Float32bits(mean))
		vec.Signs(dst[4:4+bits], x[:n], mean)
		dst, x = dst[4+bits:], x[n:]
	}
	return nil
}

func (signs) decode(dst []float32, b []byte, _ int) error {
	for block := 0; len(dst) > 0; block++ {
		n := min(signBlock, len(dst))
		bits := (n + 7) / 8
		scale, err := readScale(b, math.MaxFloat32)
		if err != nil {
			return fmt.Errorf("block %d: %w", block, err)
		}
		packed := b[4 : 4+bits]
		if scale == 0 && !zero(packed) || n%8 != 0 && packed[bits-1]>>(n%8) != 0 {
			return fmt.Errorf("block %d: %w: bits that mean nothing are set", block, ErrMalformed)
		}
		vec.FromSigns(dst[:n], packed, scale)
		dst, b = dst[n:], b[4+bits:]
	}
	return nil
}
