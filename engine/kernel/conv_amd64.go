//go:build !noasm

package kernel

import "unsafe"

// tileSIMD computes rows rows, 1, 2, 4 or 6, of one to four groups and reports whether there
// is vector code. The caller has checked the bounds.
func (t *convTile) tileSIMD(dst, w []float32, rows int, groups []int) bool {
	switch t.isa {
	case AVX512:
		t.tile512(dst, w, rows, groups)
	case AVX2:
		for g := 0; g < len(groups); g += 2 {
			t.tile2(dst, w, rows, groups[g:])
		}
	default:
		return false
	}
	return true
}

func (t *convTile) tile512(dst, w []float32, rows int, groups []int) {
	d, x, wt := unsafe.SliceData(dst), unsafe.SliceData(t.x), unsafe.SliceData(w)
	g, st, ah, more := unsafe.SliceData(groups), unsafe.SliceData(t.steps.pairs), 4*tileRows*t.wStride, flag(t.more)
	ds, ws := 4*t.dstStride, 4*t.wStride
	switch 10*rows + len(groups)/2 {
	case 64:
		convTile6x4AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 63:
		convTile6x3AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 62:
		convTile6x2AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 61:
		convTile6x1AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 44:
		convTile4x4AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 43:
		convTile4x3AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 42:
		convTile4x2AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 41:
		convTile4x1AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 24:
		convTile2x4AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 23:
		convTile2x3AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 22:
		convTile2x2AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 21:
		convTile2x1AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 14:
		convTile1x4AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 13:
		convTile1x3AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 12:
		convTile1x2AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	default:
		convTile1x1AVX512(d, ds, g, x, wt, ws, st, t.n, ah, more)
	}
}

func (t *convTile) tile2(dst, w []float32, rows int, group []int) {
	d, x, wt := unsafe.SliceData(dst), unsafe.SliceData(t.x), unsafe.SliceData(w)
	g, st, ah, more := unsafe.SliceData(group), unsafe.SliceData(t.steps.pairs), 4*tileRows*t.wStride, flag(t.more)
	ds, ws := 4*t.dstStride, 4*t.wStride
	switch rows {
	case 6:
		convTile6x1AVX2(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 4:
		convTile4x1AVX2(d, ds, g, x, wt, ws, st, t.n, ah, more)
	case 2:
		convTile2x1AVX2(d, ds, g, x, wt, ws, st, t.n, ah, more)
	default:
		convTile1x1AVX2(d, ds, g, x, wt, ws, st, t.n, ah, more)
	}
}

// convPickSIMD writes as many elements as dst has and reports whether there is vector code.
func convPickSIMD(isa ISA, dst, a, b []float32, index *convIndex) bool {
	if isa != AVX512 {
		return false
	}
	convPickAVX512(&dst[0], &a[0], &b[0], (*[lanes]int32)(index), len(dst))
	return true
}

// convTransposeSIMD reports whether there is vector code for so many rows.
func convTransposeSIMD(isa ISA, dst []float32, places []int, src []float32, rows, stride int) bool {
	var f func(dst *float32, places *int, src *float32, stride int)
	switch {
	case isa == Generic:
		return false
	case rows == lanes:
		f = byISA(isa, convTranspose16AVX2, convTranspose16AVX512)
	case rows == 9:
		f = byISA(isa, convTranspose9AVX2, convTranspose9AVX512)
	default:
		return false
	}
	f(&dst[0], &places[0], &src[0], 4*stride)
	return true
}

// convZipSIMD puts groups of 16 elements of a and b together, in turns, at places of dst, and
// reports whether there is vector code. The caller has made sure that the places are in dst.
func convZipSIMD(isa ISA, dst []float32, places []int, a, b []float32) bool {
	if isa != AVX512 {
		return false
	}
	n := len(places)
	_, _ = a[n*lanes-1], b[n*lanes-1]
	convZipAVX512(&dst[0], &places[0], &a[0], &b[0], n)
	return true
}

// convRowsSIMD copies rows of src to dst and reports whether there is vector code.
func convRowsSIMD(isa ISA, dst []float32, stride int, src []float32, width int) bool {
	if isa != AVX512 || width%lanes != 0 {
		return false
	}
	rows := len(src) / width
	_ = dst[(rows-1)*stride+width-1]
	convRowsAVX512(&dst[0], 4*stride, &src[0], width, rows)
	return true
}

// convSplitSIMD deals out rows of src to even and odd and reports whether there is vector
// code. The last row is complete.
func convSplitSIMD(isa ISA, even, odd []float32, stride int, src []float32, width int) bool {
	if isa != AVX512 || width%lanes != 0 {
		return false
	}
	rows := len(src) / width
	_, _ = even[(rows-1)*stride+width/2-1], odd[(rows-1)*stride+width/2-1]
	convSplitAVX512(&even[0], &odd[0], 4*stride, &src[0], width, rows)
	return true
}

// convSpreadSIMD handles the first elements of src, a multiple of 16, and returns how many.
// The caller has made sure that all places are in dst.
func convSpreadSIMD(isa ISA, dst []float32, places []int32, src []float32) int {
	n := whole(isa, len(src))
	if isa != AVX512 || n == 0 {
		return 0
	}
	convSpreadAVX512(&dst[0], &places[:n][0], &src[0], n)
	return n
}
