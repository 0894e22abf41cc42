package sample

import "math"

// ln2Hi and ln2Lo sum to the logarithm of 2. ln2Hi has 32 bits, so that its products with
// exponents are exact.
const (
	ln2Hi = 0x1.62e42fefp-1
	ln2Lo = 0x1.473de6af278edp-34
)

// ln returns the natural logarithm of a positive normal number. It is not math.Log, whose
// bits may differ between platforms: the conversions keep the compiler from fusing products
// with sums. With x = 2^n m and s = (m-1)/(m+1), ln(m) is 2 artanh(s), by its series: for m
// within the square roots of 1/2 and 2 the first term left out is below 2^-57 of the result.
func ln(x float64) float64 {
	bits := math.Float64bits(x)
	n := int(bits>>52) - 1023
	m := math.Float64frombits(bits&(1<<52-1) | 1023<<52)
	if m > math.Sqrt2 {
		m /= 2
		n++
	}
	s := (m - 1) / (m + 1)
	z := float64(s * s)
	p := 0.0
	for k := 21; k >= 3; k -= 2 {
		p = float64((p + 1/float64(k)) * z)
	}
	e := float64(n)
	low := float64(e*ln2Lo) + float64(2*float64(s*p))
	return float64(e*ln2Hi) + (2*s + low)
}
