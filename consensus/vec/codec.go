package vec

import (
	"fmt"
	"math"
)

// lanes is the number of elements that vector code handles at a time, and of the partial sums
// of a reduction, whatever the register.
const lanes = 16

func checkLen(name string, n int, others ...int) {
	for _, o := range others {
		if o != n {
			panic(fmt.Sprintf("vec: %s of %d values, %d beside them", name, n, o))
		}
	}
}

// MaxAbs returns the largest magnitude in x, 0 if x is empty, and NaN or infinity if there is
// a NaN or else an infinity in x.
func MaxAbs(x []float32) float32 { return math.Float32frombits(maxAbs(level, x)) }

// Finite reports whether x has no NaN and no infinity.
func Finite(x []float32) bool { return maxAbs(level, x) < infinity }

func maxAbs(l Level, x []float32) uint32 {
	n := whole(l, len(x))
	m := maxAbsSIMD(l, x[:n])
	for _, v := range x[n:] {
		m = max(m, math.Float32bits(v)&^signBit)
	}
	return m
}

// SumAbs returns the sum of the magnitudes of x, each times scale: element i goes to the sum
// i % 16, and the 16 sums are added pairwise.
func SumAbs(x []float32, scale float32) float32 { return sumAbs(level, x, scale) }

func sumAbs(l Level, x []float32, scale float32) float32 {
	var acc [lanes]float32
	n := whole(l, len(x))
	sumAbsSIMD(l, x[:n], scale, &acc)
	for i, v := range x[n:] {
		acc[i%lanes] += float32(magnitude(v) * scale)
	}
	return tree(&acc)
}

// Dot returns the sum of the products of x and y, in the order of [SumAbs].
func Dot(x, y []float32) float32 { return dot(level, x, y) }

func dot(l Level, x, y []float32) float32 {
	checkLen("Dot", len(x), len(y))
	var acc [lanes]float32
	n := whole(l, len(x))
	dotSIMD(l, x[:n], y, &acc)
	for i, v := range x[n:] {
		acc[i%lanes] += float32(v * y[n+i])
	}
	return tree(&acc)
}

// AddTo adds x to dst.
func AddTo(dst, x []float32) { addTo(level, dst, x) }

func addTo(l Level, dst, x []float32) {
	checkLen("AddTo", len(dst), len(x))
	n := whole(l, len(x))
	addToSIMD(l, dst, x[:n])
	for i, v := range x[n:] {
		dst[n+i] += v
	}
}

// SubFrom subtracts x from dst.
func SubFrom(dst, x []float32) { subFrom(level, dst, x) }

func subFrom(l Level, dst, x []float32) {
	checkLen("SubFrom", len(dst), len(x))
	n := whole(l, len(x))
	subFromSIMD(l, dst, x[:n])
	for i, v := range x[n:] {
		dst[n+i] -= v
	}
}

// AddScaled adds a times x to dst; products are rounded before they are added.
func AddScaled(dst []float32, a float32, x []float32) { addScaled(level, dst, a, x) }

func addScaled(l Level, dst []float32, a float32, x []float32) {
	checkLen("AddScaled", len(dst), len(x))
	n := whole(l, len(x))
	addScaledSIMD(l, dst, a, x[:n])
	for i, v := range x[n:] {
		dst[n+i] += float32(a * v)
	}
}

// F16 writes x as float16 to dst, little-endian, rounded to the nearest with ties to even, and
// sets x to what it wrote. Beyond the range it writes ±65504. x is finite; dst has 2 bytes a
// value.
func F16(dst []byte, x []float32) { f16(level, dst, x) }

func f16(l Level, dst []byte, x []float32) {
	checkLen("F16", 2*len(x), len(dst))
	n := whole(l, len(x))
	f16SIMD(l, dst, x[:n])
	f16Generic(dst[2*n:], x[n:])
}

// FromF16 is the inverse of [F16]; infinities and NaNs come out as such.
func FromF16(dst []float32, b []byte) { fromF16(level, dst, b) }

func fromF16(l Level, dst []float32, b []byte) {
	checkLen("FromF16", 2*len(dst), len(b))
	n := whole(l, len(dst))
	fromF16SIMD(l, dst[:n], b)
	fromF16Generic(dst[n:], b[2*n:])
}

// Rounding is how [Int8] rounds.
type Rounding struct {
	Scale   float32 // a step
	Inverse float32 // 1 / Scale, or nearly
	Seed    uint64
	Counter uint32 // of the first value; each value takes the next one
}

// Int8 writes x as integers from -127 to 127, steps of a scale, and sets x to what it wrote.
// A value between two steps becomes one of them at random, so that its mean is right to
// 2^-17 of a step: the random numbers depend on the seed and the counter only. Zero and whole
// steps stay. x times the inverse is in (-129, 129).
func Int8(dst []byte, x []float32, r Rounding) { toInt8(level, dst, x, r) }

func toInt8(l Level, dst []byte, x []float32, r Rounding) {
	checkLen("Int8", len(x), len(dst))
	n := whole(l, len(x))
	counter, key := keys(r)
	int8SIMD(l, dst, x[:n], r.Scale, r.Inverse, counter, key)
	int8Generic(dst[n:], x[n:], r.Scale, r.Inverse, counter+uint32(n), key)
}

// FromInt8 is the inverse of [Int8], and returns the lowest of the integers, or 0 if none is
// below 0. All that [Int8] writes are above -128.
func FromInt8(dst []float32, b []byte, scale float32) (lowest int) {
	return fromInt8(level, dst, b, scale)
}

func fromInt8(l Level, dst []float32, b []byte, scale float32) int {
	checkLen("FromInt8", len(dst), len(b))
	n := whole(l, len(dst))
	lowest := fromInt8SIMD(l, dst[:n], b, scale)
	for i, v := range b[n:] {
		dst[n+i] = float32(int8(v)) * scale
		lowest = min(lowest, int32(int8(v)))
	}
	return int(lowest)
}

// Signs writes a bit for each value of x to dst, the lowest bit of a byte first, set where the
// sign is set, and sets x to scale with that sign. scale is not negative. dst has (len(x)+7)/8
// bytes; bits behind the last value are 0.
func Signs(dst []byte, x []float32, scale float32) { signs(level, dst, x, scale) }

func signs(l Level, dst []byte, x []float32, scale float32) {
	checkLen("Signs", (len(x)+7)/8, len(dst))
	n := whole(l, len(x))
	signsSIMD(l, dst, x[:n], scale)
	signsGeneric(dst[n/8:], x[n:], scale)
}

// FromSigns is the inverse of [Signs]; bits behind the last value do not count.
func FromSigns(dst []float32, b []byte, scale float32) { fromSigns(level, dst, b, scale) }

func fromSigns(l Level, dst []float32, b []byte, scale float32) {
	checkLen("FromSigns", (len(dst)+7)/8, len(b))
	n := whole(l, len(dst))
	fromSignsSIMD(l, dst[:n], b, scale)
	fromSignsGeneric(dst[n:], b[n/8:], scale)
}

// whole returns how many of n elements vector code handles.
func whole(l Level, n int) int {
	if l == Generic {
		return 0
	}
	return n &^ (lanes - 1)
}
