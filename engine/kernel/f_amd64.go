//go:build !noasm

package kernel

import "unsafe"

// Each function ending in SIMD handles the first elements in vector code, a multiple of
// 16, and returns how many; operands are at least as long as the first.

func whole(isa ISA, n int) int {
	if isa == Generic {
		return 0
	}
	return n &^ (lanes - 1)
}

func addSIMD(isa ISA, dst, x []float32) int {
	n := whole(isa, len(dst))
	switch {
	case n == 0:
	case isa == AVX512:
		vecAddAVX512(&dst[0], &x[0], n)
	default:
		vecAddAVX2(&dst[0], &x[0], n)
	}
	return n
}

func mulSIMD(isa ISA, dst, x []float32) int {
	n := whole(isa, len(dst))
	switch {
	case n == 0:
	case isa == AVX512:
		vecMulAVX512(&dst[0], &x[0], n)
	default:
		vecMulAVX2(&dst[0], &x[0], n)
	}
	return n
}

func scaleSIMD(isa ISA, dst, x []float32, s float32) int {
	n := whole(isa, len(dst))
	switch {
	case n == 0:
	case isa == AVX512:
		vecScaleAVX512(&dst[0], &x[0], s, n)
	default:
		vecScaleAVX2(&dst[0], &x[0], s, n)
	}
	return n
}

func expSIMD(isa ISA, dst, x []float32) int {
	n := whole(isa, len(dst))
	switch {
	case n == 0:
	case isa == AVX512:
		vecExpAVX512(&dst[0], &x[0], n)
	default:
		vecExpAVX2(&dst[0], &x[0], n)
	}
	return n
}

func siluMulSIMD(isa ISA, dst, gate, up []float32) int {
	n := whole(isa, len(dst))
	switch {
	case n == 0:
	case isa == AVX512:
		vecSiLUMulAVX512(&dst[0], &gate[0], &up[0], n)
	default:
		vecSiLUMulAVX2(&dst[0], &gate[0], &up[0], n)
	}
	return n
}

func geluSIMD(isa ISA, x []float32) int {
	n := whole(isa, len(x))
	switch {
	case n == 0:
	case isa == AVX512:
		vecGELUAVX512(&x[0], n)
	default:
		vecGELUAVX2(&x[0], n)
	}
	return n
}

func geluTanhSIMD(isa ISA, x []float32) int {
	n := whole(isa, len(x))
	switch {
	case n == 0:
	case isa == AVX512:
		vecGELUTanhAVX512(&x[0], n)
	default:
		vecGELUTanhAVX2(&x[0], n)
	}
	return n
}

func tanhSIMD(isa ISA, x []float32) int {
	n := whole(isa, len(x))
	switch {
	case n == 0:
	case isa == AVX512:
		vecTanhAVX512(&x[0], n)
	default:
		vecTanhAVX2(&x[0], n)
	}
	return n
}

// ropeSIMD handles as many pairs as there are cosines.
func ropeSIMD(isa ISA, a, b, cos, sin []float32) int {
	n := whole(isa, len(cos))
	switch {
	case n == 0:
	case isa == AVX512:
		vecRopeAVX512(&a[0], &b[0], &cos[0], &sin[0], n)
	default:
		vecRopeAVX2(&a[0], &b[0], &cos[0], &sin[0], n)
	}
	return n
}

func squaresSIMD(isa ISA, acc *lanesOf, x []float32, mean float32) int {
	n := whole(isa, len(x))
	switch {
	case n == 0:
	case isa == AVX512:
		vecSquaresAVX512((*[lanes]float32)(acc), &x[0], mean, n)
	default:
		vecSquaresAVX2((*[lanes]float32)(acc), &x[0], mean, n)
	}
	return n
}

func sumSIMD(isa ISA, acc *lanesOf, x []float32) int {
	n := whole(isa, len(x))
	switch {
	case n == 0:
	case isa == AVX512:
		vecSumAVX512((*[lanes]float32)(acc), &x[0], n)
	default:
		vecSumAVX2((*[lanes]float32)(acc), &x[0], n)
	}
	return n
}

func maxSIMD(isa ISA, acc *lanesOf, x []float32) int {
	n := whole(isa, len(x))
	switch {
	case n == 0:
	case isa == AVX512:
		vecMaxAVX512((*[lanes]float32)(acc), &x[0], n)
	default:
		vecMaxAVX2((*[lanes]float32)(acc), &x[0], n)
	}
	return n
}

func expSumSIMD(isa ISA, acc *lanesOf, x []float32, m float32) int {
	n := whole(isa, len(x))
	switch {
	case n == 0:
	case isa == AVX512:
		vecExpSumAVX512((*[lanes]float32)(acc), &x[0], m, n)
	default:
		vecExpSumAVX2((*[lanes]float32)(acc), &x[0], m, n)
	}
	return n
}

func rmsApplySIMD(isa ISA, dst, x, weight []float32, inv float32) int {
	n := whole(isa, len(dst))
	switch {
	case n == 0:
	case isa == AVX512:
		vecRMSApplyAVX512(&dst[0], &x[0], &weight[0], inv, n)
	default:
		vecRMSApplyAVX2(&dst[0], &x[0], &weight[0], inv, n)
	}
	return n
}

func layerApplySIMD(isa ISA, dst, x, weight, bias []float32, mean, inv float32) int {
	n := whole(isa, len(dst))
	switch {
	case n == 0:
	case isa == AVX512:
		vecLayerApplyAVX512(&dst[0], &x[0], &weight[0], &bias[0], mean, inv, n)
	default:
		vecLayerApplyAVX2(&dst[0], &x[0], &weight[0], &bias[0], mean, inv, n)
	}
	return n
}

// f16SIMD widens src; dst is as long.
func f16SIMD(isa ISA, dst []float32, src []uint16) int {
	n := whole(isa, len(src))
	switch {
	case n == 0:
	case isa == AVX512:
		vecF16AVX512(&dst[0], &src[0], n)
	default:
		vecF16AVX2(&dst[0], &src[0], n)
	}
	return n
}

// bf16SIMD widens src; dst is as long.
func bf16SIMD(isa ISA, dst []float32, src []uint16) int {
	n := whole(isa, len(src))
	switch {
	case n == 0:
	case isa == AVX512:
		vecBF16AVX512(&dst[0], &src[0], n)
	default:
		vecBF16AVX2(&dst[0], &src[0], n)
	}
	return n
}

// flag returns 1 for true.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// tileSIMD computes rows rows, 1, 2, 4 or 6, of groups groups, and returns groups, or 0 if
// there is no vector code.
func (p *product) tileSIMD(dst, x, w []float32, rows, groups int) int {
	if p.isa == Generic {
		return 0
	}
	_, _ = dst[(rows-1)*p.dstStride+groups*lanes-1], w[(groups-1)*p.wStride+(p.k-1)*p.wStep+lanes-1]
	d, wt, xs := unsafe.SliceData(dst), unsafe.SliceData(w), unsafe.SliceData(x)
	ds, ws, st, more := 4*p.dstStride, 4*p.wStride, 4*p.xStride, flag(p.more)
	wp, xp := 4*p.wStep, 4*p.xStep
	if p.isa == AVX512 {
		switch rows {
		case 1:
			productF32x1AVX512(d, ds, wt, ws, wp, xs, st, xp, p.k, groups, more)
		case 2:
			productF32x2AVX512(d, ds, wt, ws, wp, xs, st, xp, p.k, groups, more)
		case 4:
			productF32x4AVX512(d, ds, wt, ws, wp, xs, st, xp, p.k, groups, more)
		case 6:
			productF32x6AVX512(d, ds, wt, ws, wp, xs, st, xp, p.k, groups, more)
		}
		return groups
	}
	switch rows {
	case 1:
		productF32x1AVX2(d, ds, wt, ws, wp, xs, st, xp, p.k, groups, more)
	case 2:
		productF32x2AVX2(d, ds, wt, ws, wp, xs, st, xp, p.k, groups, more)
	case 4:
		productF32x4AVX2(d, ds, wt, ws, wp, xs, st, xp, p.k, groups, more)
	case 6:
		productF32x6AVX2(d, ds, wt, ws, wp, xs, st, xp, p.k, groups, more)
	}
	return groups
}

// halfSIMD computes dst (16 * groups) from one row of x and weights in half precision,
// groups of (len(x), 16), and reports whether there is vector code.
func halfSIMD(isa ISA, dst []float32, w []uint16, x []float32, groups int, bf16 bool) bool {
	if isa == Generic {
		return false
	}
	k := len(x)
	_, _ = dst[groups*lanes-1], w[groups*k*lanes-1]
	d, wt, xs, ws := unsafe.SliceData(dst), unsafe.SliceData(w), unsafe.SliceData(x), 2*k*lanes
	switch {
	case isa == AVX512 && bf16:
		productBF16x1AVX512(d, 0, wt, ws, 2*lanes, xs, 0, 4, k, groups, 0)
	case isa == AVX512:
		productF16x1AVX512(d, 0, wt, ws, 2*lanes, xs, 0, 4, k, groups, 0)
	case bf16:
		productBF16x1AVX2(d, 0, wt, ws, 2*lanes, xs, 0, 4, k, groups, 0)
	default:
		productF16x1AVX2(d, 0, wt, ws, 2*lanes, xs, 0, 4, k, groups, 0)
	}
	return true
}
