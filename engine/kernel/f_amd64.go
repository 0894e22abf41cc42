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

// packRowsSIMD writes the first columns of n rows, at most 16, as (depth, 16), a multiple
// of 4, and returns how many. Lanes beyond n repeat the last row.
func packRowsSIMD(isa ISA, dst, src []float32, stride, n, depth int) int {
	depth &^= 3
	if isa == Generic || depth == 0 {
		return 0
	}
	_, _ = dst[depth*lanes-1], src[(n-1)*stride+depth-1]
	var rows [lanes]*float32
	for i := range rows {
		rows[i] = &src[min(i, n-1)*stride]
	}
	if isa == AVX512 {
		packRowsAVX512(&dst[0], &rows, depth)
	} else {
		packRowsAVX2(&dst[0], &rows, depth)
	}
	return depth
}

// packWideSIMD writes the first columns of n rows of src, a multiple of 16, as panels
// (n, 16), and returns how many.
func packWideSIMD(isa ISA, dst []float32, dstStride int, src []float32, srcStride, cols, n int) int {
	blocks := cols / lanes
	if isa == Generic || blocks == 0 || n == 0 {
		return 0
	}
	_, _ = dst[(blocks-1)*dstStride+n*lanes-1], src[(n-1)*srcStride+blocks*lanes-1]
	if isa == AVX512 {
		packWideAVX512(&dst[0], 4*dstStride, &src[0], 4*srcStride, blocks, n)
	} else {
		packWideAVX2(&dst[0], 4*dstStride, &src[0], 4*srcStride, blocks, n)
	}
	return blocks * lanes
}

// packTilesSIMD writes the first of n rows of src as tiles (n, 6), and returns how many
// rows: those after which src goes on far enough. It writes 2 elements beyond each tile.
func packTilesSIMD(isa ISA, dst []float32, dstStride int, src []float32, srcStride, tiles, n int) int {
	const beyond = 2
	if reach := len(src) - tiles*tileRows - beyond; reach < (n-1)*srcStride {
		n = reach/srcStride + 1
		if reach < 0 {
			n = 0
		}
	}
	if isa == Generic || n == 0 {
		return 0
	}
	_, _ = dst[(tiles-1)*dstStride+n*tileRows+beyond-1], src[(n-1)*srcStride+tiles*tileRows+beyond-1]
	if isa == AVX512 {
		packTilesAVX512(&dst[0], 4*dstStride, &src[0], 4*srcStride, tiles, n)
	} else {
		packTilesAVX2(&dst[0], 4*dstStride, &src[0], 4*srcStride, tiles, n)
	}
	return n
}
