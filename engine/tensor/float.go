package tensor

import "math"

// F16ToF32 returns the value of a half-precision number. It is exact; NaN stays NaN with
// its payload.
func F16ToF32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 0x1f
	man := uint32(h) & 0x3ff
	switch {
	case exp == 0x1f: // infinity, NaN
		return math.Float32frombits(sign | 0x7f800000 | man<<13)
	case exp == 0: // zero, subnormal: man * 2^-24, exact in float32
		f := float32(man) * 0x1p-24
		return math.Float32frombits(math.Float32bits(f) | sign)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | man<<13)
}

// F32ToF16 rounds to the nearest half-precision number, ties to even; what is too large
// becomes an infinity, NaN becomes a quiet NaN with the upper bits of its payload.
func F32ToF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	abs := b & 0x7fffffff
	switch {
	case abs > 0x7f800000: // NaN
		return sign | 0x7e00 | uint16(abs>>13)&0x3ff
	case abs >= 0x477ff000: // at least 65520, half way to what would follow 65504
		return sign | 0x7c00
	case abs >= 0x38800000: // normal, at least 2^-14
		abs += 0xfff + abs>>13&1 // carries into the exponent where it must
		return sign | uint16((abs-0x38000000)>>13)
	case abs < 0x33000000: // below 2^-25, half of the smallest subnormal
		return sign
	}
	// Subnormal: a multiple of 2^-24. Adding 0.5, whose last bit is 2^-24, rounds to it.
	sum := math.Float32bits(math.Float32frombits(abs) + 0.5)
	return sign | uint16(sum-0x3f000000)
}

// BF16ToF32 returns the value of a bfloat16 number. It is exact.
func BF16ToF32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// F32ToBF16 rounds to the nearest bfloat16 number, ties to even; NaN becomes a quiet NaN
// with the upper bits of its payload.
func F32ToBF16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
