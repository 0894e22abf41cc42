package kernel

import "math"

// The scalar functions below are the twins of the vector code in gen_float_*_amd64.s:
// the same operations in the same order, so the same bits. The conversions to float32
// around products forbid the compiler to fuse them with a following sum.

// Constants of expf. expHi and expLo bound the argument: from expHi on the result is
// infinite, and where it would be below 2^-125.5 it is 0. expRound is 1.5 * 2^23: adding
// it rounds to an integer and leaves that integer in the low bits of the sum. ln2Hi and
// ln2Lo sum to the logarithm of 2.
const (
	expHi    float32 = 89
	expLo    float32 = -87.5
	expRound float32 = 0x1.8p23
	log2e    float32 = 1.4426950408889634
	ln2Hi    float32 = 0x1.62e43p-1
	ln2Lo    float32 = -0x1.05c61p-29
)

// Coefficients of 2*exp(r) for |r| <= ln(2)/2: minimax, relative error 1.9e-9.
const (
	expC0 float32 = 2.00000000111
	expC1 float32 = 2.00000007269
	expC2 float32 = 0.999999841492
	expC3 float32 = 0.333328401473
	expC4 float32 = 0.0833364526298
	expC5 float32 = 0.0167496479011
	expC6 float32 = 0.00276736570208
)

// expf returns e to the power x within 1 unit in the last place, where the result is at
// least 2^-125.5, else 0.
func expf(x float32) float32 {
	x = maxps(expLo, minps(expHi, x))
	t := fma32(x, log2e, expRound)
	n := t - expRound
	r := fma32(n, -ln2Hi, x)
	r = fma32(n, -ln2Lo, r)
	p := fma32(expC6, r, expC5)
	p = fma32(p, r, expC4)
	p = fma32(p, r, expC3)
	p = fma32(p, r, expC2)
	p = fma32(p, r, expC1)
	p = fma32(p, r, expC0)
	// p is twice the result's mantissa, so that the scale 2^(n-1) is finite for n = 128
	// and 0 for n = -126.
	return float32(p * math.Float32frombits(math.Float32bits(t)<<23+126<<23))
}

// minps is the MINPS instruction: b if one of the two is NaN.
func minps(a, b float32) float32 {
	if a < b {
		return a
	}
	return b
}

// maxps is the MAXPS instruction: b if one of the two is NaN.
func maxps(a, b float32) float32 {
	if a > b {
		return a
	}
	return b
}

func absf(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

func siluf(x float32) float32 { return x / (1 + expf(-x)) }

// Constants of geluTanhf: -2 sqrt(2/pi), and that times 0.044715.
const (
	geluTanhC1 float32 = -1.5957691216057308
	geluTanhC3 float32 = -0.07135481627260025
)

// geluTanhf returns x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), which is
// x / (1 + exp(-2 sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel, "Gaussian error
// linear units", 2016).
func geluTanhf(x float32) float32 {
	v := fma32(float32(x*x), geluTanhC3, geluTanhC1)
	return x / (1 + expf(float32(x*v)))
}

// The upper tail of the normal distribution is exp(-a*a/2) u P(u - 0.625) with
// u = 1/(1+0.3a). P is minimax on [0, 14], relative error 3.5e-9. From geluMax on the tail is 0.
const (
	geluMax float32 = 20
	geluU   float32 = 0.3
	geluV   float32 = 0.625
	geluC0  float32 = 0.268963202813
	geluC1  float32 = 0.426245490423
	geluC2  float32 = 0.430580454468
	geluC3  float32 = 0.223403088461
	geluC4  float32 = -0.0252472624416
	geluC5  float32 = -0.0915985022657
	geluC6  float32 = 0.000172364067863
	geluC7  float32 = 0.0439434750029
	geluC8  float32 = -0.00357140670244
	geluC9  float32 = -0.0206128663311
)

// geluf returns x times the normal distribution function of x: max(x, 0) - |x| tail(|x|).
func geluf(x float32) float32 {
	a := minps(geluMax, absf(x))
	u := 1 / fma32(a, geluU, 1)
	v := u - geluV
	p := fma32(geluC9, v, geluC8)
	p = fma32(p, v, geluC7)
	p = fma32(p, v, geluC6)
	p = fma32(p, v, geluC5)
	p = fma32(p, v, geluC4)
	p = fma32(p, v, geluC3)
	p = fma32(p, v, geluC2)
	p = fma32(p, v, geluC1)
	p = fma32(p, v, geluC0)
	p = float32(p * u)
	s := float32(a * a)
	low := fma32(a, a, -s) // what rounding took from s
	e := expf(float32(s * -0.5))
	e = fma32(e, float32(low*-0.5), e)
	return fma32(-a, float32(p*e), maxps(0, x))
}

// tanh(x) = x + x^3 P(x^2) below tanhSmall: minimax, relative error 1.5e-8.
const (
	tanhSmall float32 = 0.7
	tanhC0    float32 = -0.333331898983
	tanhC1    float32 = 0.133291107107
	tanhC2    float32 = -0.0535588598741
	tanhC3    float32 = 0.0200919668211
	tanhC4    float32 = -0.00513865949686
)

func tanhf(x float32) float32 {
	a := absf(x)
	if a < tanhSmall {
		s := float32(x * x)
		p := fma32(tanhC4, s, tanhC3)
		p = fma32(p, s, tanhC2)
		p = fma32(p, s, tanhC1)
		p = fma32(p, s, tanhC0)
		return fma32(float32(x*s), p, x)
	}
	r := 1 - 2/(expf(a+a)+1)
	return math.Float32frombits(math.Float32bits(r) | math.Float32bits(x)&(1<<31))
}
