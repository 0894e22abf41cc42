package kernel

import "math"

// lanesOf is a reduction in progress: element i of the input goes to lane i mod 16, and
// the lanes are then added by one fixed tree. The input counts as padded with zeros to a
// multiple of 16 elements.
type lanesOf [lanes]float32

// sum adds the lanes.
func (l *lanesOf) sum() float32 {
	for w := lanes / 2; w > 0; w /= 2 {
		for i := range w {
			l[i] += l[i+w]
		}
	}
	return l[0]
}

// max returns the largest lane; lanes that are NaN may be passed over.
func (l *lanesOf) max() float32 {
	m := l[0]
	for _, v := range l[1:] {
		m = maxps(m, v)
	}
	return m
}

// RMSNorm writes x / sqrt(mean(x*x) + eps) * weight to dst, which may be x. All have the
// length of one row.
func RMSNorm(dst, x, weight []float32, eps float32) { rmsNorm(current, dst, x, weight, eps) }

func rmsNorm(isa ISA, dst, x, weight []float32, eps float32) {
	checkLen("RMSNorm", len(dst), len(x), len(weight))
	var acc lanesOf
	x = x[:len(dst)]
	for i := squaresSIMD(isa, &acc, x, 0); i < len(x); i++ {
		acc[i%lanes] = fma32(x[i], x[i], acc[i%lanes])
	}
	inv := inverseRoot(acc.sum()/float32(len(x)), eps)
	for i := rmsApplySIMD(isa, dst, x, weight, inv); i < len(dst); i++ {
		dst[i] = float32(x[i]*inv) * weight[i]
	}
}

// LayerNorm writes (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias to dst, which
// may be x. All have the length of one row.
func LayerNorm(dst, x, weight, bias []float32, eps float32) {
	layerNorm(current, dst, x, weight, bias, eps)
}

func layerNorm(isa ISA, dst, x, weight, bias []float32, eps float32) {
	checkLen("LayerNorm", len(dst), len(x), len(weight), len(bias))
	var acc, squares lanesOf
	x = x[:len(dst)]
	for i := sumSIMD(isa, &acc, x); i < len(x); i++ {
		acc[i%lanes] += x[i]
	}
	mean := acc.sum() / float32(len(x))
	for i := squaresSIMD(isa, &squares, x, mean); i < len(x); i++ {
		d := x[i] - mean
		squares[i%lanes] = fma32(d, d, squares[i%lanes])
	}
	inv := inverseRoot(squares.sum()/float32(len(x)), eps)
	for i := layerApplySIMD(isa, dst, x, weight, bias, mean, inv); i < len(dst); i++ {
		dst[i] = fma32(float32((x[i]-mean)*inv), weight[i], bias[i])
	}
}

// inverseRoot returns 1 / sqrt(v + eps). Rounding a square root to float64 first does not
// change its float32 (Figueroa, "When is double rounding innocuous?", 1995).
func inverseRoot(v, eps float32) float32 { return 1 / float32(math.Sqrt(float64(v+eps))) }

// Softmax replaces x by exp(x) / sum(exp(x)), computed from the differences to the largest.
// If an element is NaN or positive infinity, all become NaN.
func Softmax(x []float32) { softmax(current, x) }

func softmax(isa ISA, x []float32) {
	scaleTo(isa, x, x, 1/expSum(isa, x, maxOf(isa, x)))
}

// maxOf returns the largest element, negative infinity if there is none; NaN may be
// passed over.
func maxOf(isa ISA, x []float32) float32 {
	acc := lanesOf{}
	for i := range acc {
		acc[i] = float32(math.Inf(-1))
	}
	for i := maxSIMD(isa, &acc, x); i < len(x); i++ {
		acc[i%lanes] = maxps(acc[i%lanes], x[i])
	}
	return acc.max()
}

// expSum replaces each x by exp(x - m) and returns their sum.
func expSum(isa ISA, x []float32, m float32) float32 {
	var acc lanesOf
	for i := expSumSIMD(isa, &acc, x, m); i < len(x); i++ {
		x[i] = expf(x[i] - m)
		acc[i%lanes] += x[i]
	}
	return acc.sum()
}
