package vec

import (
	"encoding/binary"
	"math"
)

const (
	signBit  = 1 << 31
	infinity = 0x7f800000 // the bits of it
)

func magnitude(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ signBit) }

// tree adds 16 sums: i and i+8, then i+4, i+2 and i+1.
func tree(acc *[lanes]float32) float32 {
	for half := lanes / 2; half > 0; half /= 2 {
		for i := range half {
			acc[i] += acc[i+half]
		}
	}
	return acc[0]
}

const maxF16 = 65504

func f16Generic(dst []byte, x []float32) {
	for i, v := range x {
		h := f16bits(min(max(v, -maxF16), maxF16))
		binary.LittleEndian.PutUint16(dst[2*i:], h)
		x[i] = fromF16bits(h)
	}
}

func fromF16Generic(dst []float32, b []byte) {
	for i := range dst {
		dst[i] = fromF16bits(binary.LittleEndian.Uint16(b[2*i:]))
	}
}

// f16bits rounds a value of [-65504, 65504].
func f16bits(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	bits &^= signBit
	if bits < 0x38800000 { // below 2^-14, a multiple of 2^-24: the sum's rounding does it
		sum := math.Float32frombits(bits) + 0.5
		return sign | uint16(math.Float32bits(sum)-0x3f000000)
	}
	bits += 0xfff + bits>>13&1 // half of a last place less a bit, or half of it where odd
	return sign | uint16(bits>>13-(127-15)<<10)
}

func fromF16bits(h uint16) float32 {
	sign, exponent, fraction := uint32(h&0x8000)<<16, uint32(h>>10&31), uint32(h&0x3ff)
	switch exponent {
	case 0:
		v := float32(fraction) * 0x1p-24
		return math.Float32frombits(sign | math.Float32bits(v))
	case 31:
		if fraction != 0 {
			fraction |= 0x200 // quiet, as the instruction does
		}
		exponent = 255
	default:
		exponent += 127 - 15
	}
	return math.Float32frombits(sign | exponent<<23 | fraction<<13)
}

// keys makes of a seed where the counters begin and what is mixed in (splitmix64).
func keys(r Rounding) (counter, key uint32) {
	z := r.Seed + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return r.Counter + uint32(z), uint32(z >> 32)
}

// random returns a number of (0, 1), an odd multiple of 2^-17. It is a hash of 32 bits with a
// low bias (C. Wellons, "Prospecting for hash functions", constants of T. Ettinger), with the key added half way.
func random(counter, key uint32) float32 {
	h := counter
	h ^= h >> 16
	h *= 0x21f0aaad
	h ^= h >> 15
	h += key
	h *= 0x735a2d97
	h ^= h >> 15
	return float32(float32(h>>15|1) * 0x1p-17) // the conversion forbids the compiler to fuse
}

func int8Generic(dst []byte, x []float32, scale, inverse float32, counter, key uint32) {
	for i, v := range x {
		f := float32(v*inverse) + random(counter+uint32(i), key)
		n := int32(f)
		if float32(n) > f {
			n-- // rounded down
		}
		n = min(max(n, -127), 127)
		dst[i] = byte(n)
		x[i] = float32(n) * scale
	}
}

func signsGeneric(dst []byte, x []float32, scale float32) {
	clear(dst)
	for i, v := range x {
		sign := math.Float32bits(v) & signBit
		dst[i/8] |= byte(sign>>31) << (i % 8)
		x[i] = math.Float32frombits(math.Float32bits(scale) | sign)
	}
}

func fromSignsGeneric(dst []float32, b []byte, scale float32) {
	for i := range dst {
		sign := uint32(b[i/8]>>(i%8)) << 31
		dst[i] = math.Float32frombits(math.Float32bits(scale) | sign)
	}
}
