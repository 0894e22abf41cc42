package kernel

import "math"

// Twins of the vector code in gen_t_*_amd64.s, as in f_math.go: the same operations in the
// same order.

func reluf(x float32) float32 { return maxps(0, x) }

// reciprocal returns 1 / d for 1 <= d < 2^126, within 1 unit in the last place: two steps of
// third order from a guess by integer arithmetic. It takes half the time of a division in
// vector code, and an estimate instruction has other bits on other machines.
func reciprocal(d float32) float32 {
	r := math.Float32frombits(0x7ef311c7 - math.Float32bits(d))
	for range 2 {
		t := fma32(-d, r, 1)
		r = fma32(fma32(t, t, t), r, r)
	}
	return r
}

func sigmoidf(x float32) float32 {
	_, s, _ := siluParts(x)
	return s
}

// reluSlope is reluBack of 1.
func reluSlope(y float32) float32 { return reluBack(1, y) }

// reluBack returns dy if the result y of ReLU is above 0 or NaN, else 0.
func reluBack(dy, y float32) float32 {
	if y <= 0 {
		return 0
	}
	return dy
}

func tanhSlope(y float32) float32 { return fma32(-y, y, 1) }

func sigmoidSlope(y float32) float32 { return fma32(-y, y, y) }

// siluRange bounds the argument of the slopes of SiLU: beyond it they are 0 and 1.
const siluRange float32 = 80

// siluParts returns x within the range, the logistic function of it and one minus that.
func siluParts(x float32) (c, s, q float32) {
	c = maxps(-siluRange, minps(siluRange, x))
	e := expf(-c)
	s = reciprocal(1 + e)
	return c, s, float32(e * s)
}

// siluSlope returns s + x s (1-s) with s = 1 / (1 + exp(-x)).
func siluSlope(x float32) float32 {
	c, s, q := siluParts(x)
	return float32(s * fma32(c, q, 1))
}

// siluValue is siluf without a division.
func siluValue(x float32) float32 {
	_, s, _ := siluParts(x)
	return float32(maxps(-siluRange, x) * s)
}

// siluBoth returns the value and the slope of SiLU.
func siluBoth(x float32) (value, slope float32) {
	c, s, q := siluParts(x)
	return float32(maxps(-siluRange, x) * s), float32(s * fma32(c, q, 1))
}

// geluTanhValue is geluTanhf without a division.
func geluTanhValue(x float32) float32 {
	c := maxps(-geluTanhRange, minps(geluTanhRange, x))
	v := fma32(float32(c*c), geluTanhC3, geluTanhC1)
	return float32(maxps(-geluTanhRange, x) * reciprocal(1+expf(float32(c*v))))
}

// geluTanhRange bounds the argument of geluTanhSlope: beyond it the slope is 0 or 1.
const geluTanhRange float32 = 9

// geluTanhSlope returns s + x s (1-s) w'(x) with s = 1 / (1 + exp(-w)) and
// w = 2 sqrt(2/pi) (x + 0.044715 x^3).
func geluTanhSlope(x float32) float32 {
	c := maxps(-geluTanhRange, minps(geluTanhRange, x))
	sq := float32(c * c)
	v := fma32(sq, geluTanhC3, geluTanhC1)
	e := expf(float32(c * v))
	s := reciprocal(1 + e)
	q := float32(e * s)
	d := fma32(sq, geluTanhC3*3, geluTanhC1)
	return float32(s * fma32(-float32(c*d), q, 1))
}

// geluDensity is 1 / sqrt(2 pi).
const geluDensity float32 = 0.3989422804014327

// geluSlope returns the normal distribution function of x plus x times its density. With
// r = a density(a) - tail(a), a = |x|, it is 1 + r above 0 and -r below. The tail is that
// of geluf.
func geluSlope(x float32) float32 {
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
	low := fma32(a, a, -s)
	e := expf(float32(s * -0.5))
	e = fma32(e, float32(low*-0.5), e)
	r := float32(fma32(a, geluDensity, -p) * e)
	if math.Signbit(float64(x)) {
		return 0 - r
	}
	return 1 + r
}

// logd returns the natural logarithm of a positive finite x within 4e-14 relative or
// absolute: the series of the inverse hyperbolic tangent of (m-1)/(m+1), m the mantissa
// between sqrt(1/2) and sqrt(2). Package math has other code on some machines.
func logd(x float64) float64 {
	switch {
	case x != x || x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	case math.IsInf(x, 1):
		return x
	}
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	s := (m - 1) / (m + 1)
	q := float64(s * s)
	p := 1.0 / 17
	for _, c := range [...]float64{1. / 15, 1. / 13, 1. / 11, 1. / 9, 1. / 7, 1. / 5, 1. / 3, 1} {
		p = float64(p*q) + c
	}
	return float64(float64(e)*math.Ln2) + float64(2*s*p)
}
