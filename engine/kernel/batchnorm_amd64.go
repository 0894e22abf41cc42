//go:build !noasm

package kernel

import "math"

// Each function handles the first elements in vector code, a multiple of 16, and returns how
// many; operands are at least as long as the first array.

func bnSumSIMD(isa ISA, acc *bnLanes, x []float32) int {
	n := whole(isa, len(x))
	switch {
	case n == 0:
	case isa == AVX512:
		bnSumAVX512((*[bnWidth]float32)(acc), &x[0], n)
	default:
		bnSumAVX2((*[bnWidth]float32)(acc), &x[0], n)
	}
	return n
}

func bnSquaresSIMD(isa ISA, acc *bnLanes, x []float32, mean float32) int {
	n := whole(isa, len(x))
	switch {
	case n == 0:
	case isa == AVX512:
		bnSquaresAVX512((*[bnWidth]float32)(acc), &x[0], mean, n)
	default:
		bnSquaresAVX2((*[bnWidth]float32)(acc), &x[0], mean, n)
	}
	return n
}

func bnApplySIMD(isa ISA, y, x []float32, mean, scale, shift float32, relu bool) int {
	n := whole(isa, len(y))
	floor := float32(math.Inf(-1))
	if relu {
		floor = 0
	}
	switch {
	case n == 0:
	case isa == AVX512:
		bnApplyAVX512(&y[0], &x[0], mean, scale, shift, floor, n)
	default:
		bnApplyAVX2(&y[0], &x[0], mean, scale, shift, floor, n)
	}
	return n
}

func bnGradSumsSIMD(isa ISA, g, gd *bnLanes, dy, x, y []float32, mean float32) int {
	n := whole(isa, len(dy))
	sum, product := (*[bnWidth]float32)(g), (*[bnWidth]float32)(gd)
	switch {
	case n == 0:
	case isa == AVX512 && y != nil:
		bnGradSumsReLUAVX512(sum, product, &dy[0], &x[0], &y[0], mean, n)
	case isa == AVX512:
		bnGradSumsAVX512(sum, product, &dy[0], &x[0], mean, n)
	case y != nil:
		bnGradSumsReLUAVX2(sum, product, &dy[0], &x[0], &y[0], mean, n)
	default:
		bnGradSumsAVX2(sum, product, &dy[0], &x[0], mean, n)
	}
	return n
}

func bnGradApplySIMD(isa ISA, dx, dy, x, y []float32, mean, shift, slope, scale float32) int {
	n := whole(isa, len(dx))
	switch {
	case n == 0:
	case isa == AVX512 && y != nil:
		bnGradApplyReLUAVX512(&dx[0], &dy[0], &x[0], &y[0], mean, shift, slope, scale, n)
	case isa == AVX512:
		bnGradApplyAVX512(&dx[0], &dy[0], &x[0], mean, shift, slope, scale, n)
	case y != nil:
		bnGradApplyReLUAVX2(&dx[0], &dy[0], &x[0], &y[0], mean, shift, slope, scale, n)
	default:
		bnGradApplyAVX2(&dx[0], &dy[0], &x[0], mean, shift, slope, scale, n)
	}
	return n
}
