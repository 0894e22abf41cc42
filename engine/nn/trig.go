package nn

import "math"

// The functions here compute with the same operations in the same order on every machine.
// Package math has assembly for some architectures, and the compiler fuses x*y + z on
// others, which an explicit conversion of the product forbids. They are within 4e-15 of
// the true value, far below the float32 that is made of them.

const (
	ln2Hi = 6.93147180369123816490e-01 // 33 bits: k * ln2Hi is exact for |k| < 2^20
	ln2Lo = 1.90821492927058770002e-10

	// Pi/2 in three pieces of 33 bits (Cody and Waite; the constants of FreeBSD's
	// e_rem_pio2.c), exact when multiplied by |k| < 2^20.
	halfPi1 = 1.57079632673412561417e+00
	halfPi2 = 6.07710050630396597660e-11
	halfPi3 = 2.02226624879595063154e-21
)

// logOf returns the natural logarithm of a positive, finite x.
func logOf(x float64) float64 {
	f, e := math.Frexp(x) // exact
	if f < math.Sqrt2/2 {
		f, e = f*2, e-1
	}
	// log f = 2 atanh(s), s = (f-1)/(f+1), |s| < 0.1716: 23 terms of the odd series reach 1e-19.
	s := (f - 1) / (f + 1)
	s2 := float64(s * s)
	sum := 0.0
	for k := 23; k >= 1; k -= 2 {
		sum = float64(sum*s2) + 1/float64(k)
	}
	log := float64(2 * s * sum)
	return float64(float64(e)*ln2Hi) + (log + float64(float64(e)*ln2Lo))
}

// expOf returns e to the power of x for |x| < 700.
func expOf(x float64) float64 {
	k := math.RoundToEven(x / math.Ln2)
	r := x - float64(k*ln2Hi)
	r -= float64(k * ln2Lo)
	sum := 1.0 // Taylor, |r| < 0.35: r^17/17! < 1e-22
	for i := 16; i >= 1; i-- {
		sum = float64(float64(sum*r)/float64(i)) + 1
	}
	return math.Ldexp(sum, int(k)) // exact
}

// powOf returns x to the power of y for a positive x and a moderate result.
func powOf(x, y float64) float64 { return expOf(float64(y * logOf(x))) }

// sinCosOf returns sine and cosine of 0 <= x < 2^20.
func sinCosOf(x float64) (sin, cos float64) {
	k := math.Floor(float64(x*(2/math.Pi)) + 0.5)
	r := x - float64(k*halfPi1)
	r -= float64(k * halfPi2)
	r -= float64(k * halfPi3)
	r2 := float64(r * r) // |r| < 0.79: r^18/18! < 3e-18
	s, c := 1.0, 1.0
	for i := 16; i >= 2; i -= 2 {
		s = 1 - float64(float64(s*r2)/float64(i*(i+1)))
		c = 1 - float64(float64(c*r2)/float64(i*(i-1)))
	}
	s = float64(s * r)
	switch int64(k) & 3 {
	case 0:
		return s, c
	case 1:
		return c, -s
	case 2:
		return -s, -c
	}
	return -c, s
}
