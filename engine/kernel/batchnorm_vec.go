package kernel

// bnWidth is the number of lanes of the sums: four AVX-512 registers, so that additions need
// not wait for each other.
const bnWidth = 4 * lanes

// bnLanes is a sum in progress: position i of each image goes to lane i mod 64.
type bnLanes [bnWidth]float32

// sum adds the lanes.
func (l *bnLanes) sum() float32 {
	for w := bnWidth / 2; w > 0; w /= 2 {
		for i := range w {
			l[i] += l[i+w]
		}
	}
	return l[0]
}

// bnSum adds x to the lanes.
func bnSum(isa ISA, acc *bnLanes, x []float32) {
	for i := bnSumSIMD(isa, acc, x); i < len(x); i++ {
		acc[i%bnWidth] += x[i]
	}
}

// bnSquares adds the squares of x - mean to the lanes.
func bnSquares(isa ISA, acc *bnLanes, x []float32, mean float32) {
	for i := bnSquaresSIMD(isa, acc, x, mean); i < len(x); i++ {
		d := x[i] - mean
		acc[i%bnWidth] = fma32(d, d, acc[i%bnWidth])
	}
}

// bnApply writes (x - mean)*scale + shift to y, with relu 0 instead of what is negative.
func bnApply(isa ISA, y, x []float32, mean, scale, shift float32, relu bool) {
	for i := bnApplySIMD(isa, y, x, mean, scale, shift, relu); i < len(y); i++ {
		v := fma32(x[i]-mean, scale, shift)
		if relu {
			v = maxps(0, v)
		}
		y[i] = v
	}
}

// bnGradSums adds dy to the lanes of g and dy*(x - mean) to those of gd; dy counts as 0
// where y is given and not positive.
func bnGradSums(isa ISA, g, gd *bnLanes, dy, x, y []float32, mean float32) {
	for i := bnGradSumsSIMD(isa, g, gd, dy, x, y, mean); i < len(dy); i++ {
		v := reluGrad(dy, y, i)
		g[i%bnWidth] += v
		gd[i%bnWidth] = fma32(v, x[i]-mean, gd[i%bnWidth])
	}
}

// bnGradApply writes (dy - shift + (x - mean)*slope) * scale to dx; dy counts as 0 where y
// is given and not positive.
func bnGradApply(isa ISA, dx, dy, x, y []float32, mean, shift, slope, scale float32) {
	for i := bnGradApplySIMD(isa, dx, dy, x, y, mean, shift, slope, scale); i < len(dx); i++ {
		dx[i] = fma32(x[i]-mean, slope, reluGrad(dy, y, i)-shift) * scale
	}
}

// reluGrad returns dy[i], or 0 if y is given and y[i] is not positive; NaN passes.
func reluGrad(dy, y []float32, i int) float32 {
	if y != nil && y[i] <= 0 {
		return 0
	}
	return dy[i]
}
