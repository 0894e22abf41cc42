package kernel

import "math"

// fma32 returns a*b + c with one rounding to float32, the bits of a hardware fused
// multiply-add. The product of two float32 is exact in float64; the float64 sum is
// rounded to odd with the help of its own error (TwoSum), which makes the final rounding
// to float32 the only one (Boldo and Melquiond, "Emulation of FMA and correctly rounded
// sums: proved algorithms using rounding to odd", 2008).
func fma32(a, b, c float32) float32 {
	p := float64(float64(a) * float64(b)) // the conversions forbid the compiler to fuse
	s := p + float64(c)
	// Rounding twice goes wrong only if the float64 sum lies half way between two float32
	// numbers: the last 29 of its 52 bits are then 100...0, above the subnormal numbers.
	if bits := math.Float64bits(s); bits&0x1fffffff != 0x10000000 && bits>>52&0x7ff >= 1023-126 {
		return float32(s)
	}
	return fma32Odd(p, float64(c))
}

// fma32Odd returns p + z, the product of two float32 and a float32, rounded once. It is
// kept out of line to keep fma32 small.
//
//go:noinline
func fma32Odd(p, z float64) float32 {
	s := p + z
	t := s - p
	e := (p - (s - t)) + (z - t)
	if e != 0 {
		bits := math.Float64bits(s)
		if bits&1 == 0 && bits>>52&0x7ff != 0x7ff {
			if (e > 0) == (s > 0) {
				bits++
			} else {
				bits--
			}
			s = math.Float64frombits(bits)
		}
	}
	return float32(s)
}
