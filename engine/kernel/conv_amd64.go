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
	g, taps, n, more := unsafe.SliceData(groups), unsafe.SliceData(t.taps.pairs), t.taps.len(), flag(t.more)
	ds, xo, ws, wo := 4*t.dstStride, 4*t.xOuter, 4*t.wStride, 4*t.wOuter
	switch 10*rows + len(groups)/2 {
	case 64:
		convTile6x4AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 63:
		convTile6x3AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 62:
		convTile6x2AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 61:
		convTile6x1AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 44:
		convTile4x4AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 43:
		convTile4x3AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 42:
		convTile4x2AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 41:
		convTile4x1AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 24:
		convTile2x4AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 23:
		convTile2x3AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 22:
		convTile2x2AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 21:
		convTile2x1AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 14:
		convTile1x4AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 13:
		convTile1x3AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 12:
		convTile1x2AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	default:
		convTile1x1AVX512(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	}
}

func (t *convTile) tile2(dst, w []float32, rows int, group []int) {
	d, x, wt := unsafe.SliceData(dst), unsafe.SliceData(t.x), unsafe.SliceData(w)
	g, taps, n, more := unsafe.SliceData(group), unsafe.SliceData(t.taps.pairs), t.taps.len(), flag(t.more)
	ds, xo, ws, wo := 4*t.dstStride, 4*t.xOuter, 4*t.wStride, 4*t.wOuter
	switch rows {
	case 6:
		convTile6x1AVX2(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 4:
		convTile4x1AVX2(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	case 2:
		convTile2x1AVX2(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	default:
		convTile1x1AVX2(d, ds, g, x, xo, wt, ws, wo, taps, n, t.outer, more)
	}
}
