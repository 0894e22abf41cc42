package data

import "math"

// The functions here compute with the same operations in the same order on every machine.
// Package math has assembly for some architectures, and the compiler fuses x*y + z on
// others, which an explicit conversion of the product forbids.

// expOf returns e to the power of x for |x| < 700, within 4e-15 of the true value.
func expOf(x float64) float64 {
	k := math.RoundToEven(x / math.Ln2)
	r := x - float64(k*6.93147180369123816490e-01) // 33 bits of ln 2: the product is exact
	r -= float64(k * 1.90821492927058770002e-10)
	sum := 1.0 // Taylor, |r| < 0.35: r^17/17! < 1e-22
	for i := 16; i >= 1; i-- {
		sum = float64(float64(sum*r)/float64(i)) + 1
	}
	return math.Ldexp(sum, int(k))
}

// logOf returns the natural logarithm of a positive, finite x.
func logOf(x float64) float64 {
	f, e := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f, e = f*2, e-1
	}
	// log f = 2 atanh(s), |s| < 0.1716: 13 terms of the odd series reach 1e-19.
	s := (f - 1) / (f + 1)
	s2 := float64(s * s)
	sum := 0.0
	for k := 25; k >= 1; k -= 2 {
		sum = float64(sum*s2) + 1/float64(k)
	}
	return float64(float64(e)*math.Ln2) + float64(2*s*sum)
}

// sinCosOf returns sine and cosine of an angle in degrees, exact for multiples of 90 and
// else within 2e-16.
func sinCosOf(degrees float64) (sin, cos float64) {
	quarter := math.RoundToEven(math.Mod(degrees, 360) / 90)
	r := float64((math.Mod(degrees, 360) - float64(90*quarter)) * (math.Pi / 180)) // |r| <= pi/4
	r2 := float64(r * r)
	s, c := 1.0, 1.0 // Taylor: (pi/4)^18/18! < 3e-18
	for i := 16; i >= 2; i -= 2 {
		s = 1 - float64(float64(s*r2)/float64(i*(i+1)))
		c = 1 - float64(float64(c*r2)/float64((i-1)*i))
	}
	s = float64(s * r)
	switch (int(quarter)%4 + 4) % 4 {
	case 1:
		return c, -s
	case 2:
		return -s, -c
	case 3:
		return -c, s
	}
	return s, c
}
