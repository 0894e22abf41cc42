//go:build !noasm

package kernel

import "unsafe"

// Functions ending in SIMD report whether vector code did the work; they take any number of
// elements. Operands are at least as long as the first.

type (
	unaryFunc  func(y, x *float32, n int)
	binaryFunc func(y, a, b *float32, n int)
)

// first is the address of a slice's elements.
func first(x []float32) *float32 { return unsafe.SliceData(x) }

func activateSIMD(isa ISA, act Activation, y, x []float32) bool {
	if isa == Generic || len(y) == 0 {
		return isa != Generic
	}
	f := byISA(
		isa,
		[activations]unaryFunc{reluForwardAVX2, geluForwardAVX2, geluTanhForwardAVX2, siluForwardAVX2, tanhForwardAVX2, sigmoidForwardAVX2},
		[activations]unaryFunc{reluForwardAVX512, geluForwardAVX512, geluTanhForwardAVX512, siluForwardAVX512, tanhForwardAVX512, sigmoidForwardAVX512},
	)[act]
	f(first(y), first(x), len(y))
	return true
}

func activateBackSIMD(isa ISA, act Activation, dx, dy, from []float32) bool {
	if isa == Generic {
		return false
	}
	f := byISA(
		isa,
		[activations]binaryFunc{reluBackwardAVX2, geluBackwardAVX2, geluTanhBackwardAVX2, siluBackwardAVX2, tanhBackwardAVX2, sigmoidBackwardAVX2},
		[activations]binaryFunc{reluBackwardAVX512, geluBackwardAVX512, geluTanhBackwardAVX512, siluBackwardAVX512, tanhBackwardAVX512, sigmoidBackwardAVX512},
	)[act]
	f(first(dx), first(dy), first(from), len(dx))
	return true
}

func addToSIMD(isa ISA, y, a, b []float32, relu bool) bool {
	if isa == Generic {
		return false
	}
	_, _ = a[:len(y)], b[:len(y)]
	if relu {
		byISA(isa, addReLUAVX2, addReLUAVX512)(first(y), first(a), first(b), len(y))
	} else {
		byISA(isa, addVectorsAVX2, addVectorsAVX512)(first(y), first(a), first(b), len(y))
	}
	return true
}

func sumRowsSIMD(isa ISA, dst, x []float32, stride, n int) bool {
	if isa == Generic {
		return false
	}
	byISA(isa, sumRowsAVX2, sumRowsAVX512)(first(dst), first(x), 4*stride, n, len(dst))
	return true
}

func swigluSIMD(isa ISA, y, gate, up []float32) bool {
	if isa == Generic {
		return false
	}
	byISA(isa, swigluForwardAVX2, swigluForwardAVX512)(first(y), first(gate), first(up), len(y))
	return true
}

func swigluBackSIMD(isa ISA, dgate, dup, dy, gate, up []float32) bool {
	if isa == Generic {
		return false
	}
	byISA(isa, swigluBackwardAVX2, swigluBackwardAVX512)(first(dgate), first(dup), first(dy), first(gate), first(up), len(dy))
	return true
}

func rmsRowsSIMD(isa ISA, y, x, w, inv []float32, eps float32) bool {
	if isa == Generic || len(inv) == 0 {
		return isa != Generic
	}
	byISA(isa, rmsForwardAVX2, rmsForwardAVX512)(first(y), first(x), first(w), first(inv), len(inv), len(w), eps)
	return true
}

func rmsRowsBackSIMD(isa ISA, dx, dw, dy, x, w, inv []float32) bool {
	if isa == Generic || len(inv) == 0 {
		return isa != Generic
	}
	byISA(isa, rmsBackwardAVX2, rmsBackwardAVX512)(first(dx), first(dw), first(dy), first(x), first(w), first(inv), len(inv), len(w))
	return true
}

func layerRowsSIMD(isa ISA, y, x, w, b, mean, inv []float32, eps float32) bool {
	if isa == Generic || len(inv) == 0 {
		return isa != Generic
	}
	byISA(isa, layerForwardAVX2, layerForwardAVX512)(first(y), first(x), first(w), first(b), first(mean), first(inv), len(inv), len(w), eps)
	return true
}

func layerRowsBackSIMD(isa ISA, dx, dw, db, dy, x, w, mean, inv []float32) bool {
	if isa == Generic || len(inv) == 0 {
		return isa != Generic
	}
	byISA(isa, layerBackwardAVX2, layerBackwardAVX512)(first(dx), first(dw), first(db), first(dy), first(x), first(w), first(mean), first(inv), len(inv), len(w))
	return true
}

func rowMaxSIMD(isa ISA, x []float32) (float32, bool) {
	if isa == Generic {
		return 0, false
	}
	return byISA(isa, rowMaxAVX2, rowMaxAVX512)(first(x), len(x)), true
}

func rowSumSIMD(isa ISA, x []float32) (float32, bool) {
	if isa == Generic {
		return 0, false
	}
	return byISA(isa, rowSumAVX2, rowSumAVX512)(first(x), len(x)), true
}

func rowDotSIMD(isa ISA, a, b []float32) (float32, bool) {
	if isa == Generic {
		return 0, false
	}
	_ = b[:len(a)]
	return byISA(isa, rowDotAVX2, rowDotAVX512)(first(a), first(b), len(a)), true
}

func rowExpSumSIMD(isa ISA, x []float32, m float32) (float32, bool) {
	if isa == Generic {
		return 0, false
	}
	return byISA(isa, rowExpSumAVX2, rowExpSumAVX512)(first(x), len(x), m), true
}

func rowExpScaleSIMD(isa ISA, dst, x []float32, m, k, c float32) bool {
	if isa == Generic {
		return false
	}
	byISA(isa, rowExpScaleAVX2, rowExpScaleAVX512)(first(dst), first(x), len(dst), m, k, c)
	return true
}

func scaleDifferenceSIMD(isa ISA, dst, a, b []float32, s float32) bool {
	if isa == Generic {
		return false
	}
	byISA(isa, scaleDifferenceAVX2, scaleDifferenceAVX512)(first(dst), first(a), first(b), len(dst), s)
	return true
}

// sumSquaresSIMD handles the first elements and returns how many.
func sumSquaresSIMD(isa ISA, acc *[lanes]float64, x, y []float32) int {
	n := whole(isa, len(x))
	switch {
	case n == 0:
	case y == nil && isa == AVX512:
		sumSquaresAVX512(acc, first(x), n)
	case y == nil:
		sumSquaresAVX2(acc, first(x), n)
	case isa == AVX512:
		sumSquareDifferencesAVX512(acc, first(x), first(y), n)
	default:
		sumSquareDifferencesAVX2(acc, first(x), first(y), n)
	}
	return n
}

func dropRowSIMD(isa ISA, y, x []float32, start, key, threshold uint32, scale float32) bool {
	if isa == Generic {
		return false
	}
	byISA(isa, dropRowAVX2, dropRowAVX512)(first(y), first(x), len(y), start, key, threshold, scale)
	return true
}

func adamSIMD(isa ISA, p, g, m, v []float32, factors *[adamFactors]float32, l2 bool) bool {
	if isa == Generic {
		return false
	}
	f := byISA(isa, adamStepAVX2, adamStepAVX512)
	if l2 {
		f = byISA(isa, adamL2StepAVX2, adamL2StepAVX512)
	}
	f(first(p), first(g), first(m), first(v), len(p), factors)
	return true
}

func sgdSIMD(isa ISA, p, g, m []float32, c *SGD, scale float32) bool {
	if isa == Generic {
		return false
	}
	f := byISA(isa, sgdStepAVX2, sgdStepAVX512)
	switch {
	case m != nil && c.Nesterov:
		f = byISA(isa, sgdNesterovStepAVX2, sgdNesterovStepAVX512)
	case m != nil:
		f = byISA(isa, sgdMomentumStepAVX2, sgdMomentumStepAVX512)
	}
	f(first(p), first(g), first(m), len(p), c.LR, c.Momentum, c.Decay, scale)
	return true
}

func softmaxColumnsSIMD(isa ISA, s []float32, stride, n, from int, state []float32) bool {
	if isa == Generic {
		return false
	}
	byISA(isa, softmaxColumnsAVX2, softmaxColumnsAVX512)(first(s), 4*stride, n, from, first(state))
	return true
}

func gradColumnsSIMD(isa ISA, s, ds []float32, stride, n, from int, state []float32, scale float32) bool {
	if isa == Generic {
		return false
	}
	byISA(isa, gradColumnsAVX2, gradColumnsAVX512)(first(s), first(ds), 4*stride, n, from, first(state), scale)
	return true
}

// transposeSIMD handles the first rows and columns, multiples of 8, and returns how many.
func transposeSIMD(isa ISA, dst []float32, dstRow int, src []float32, srcRow, n, cols int, scale float32) (rows, done int) {
	rows, done = n&^7, cols&^7
	if isa == Generic || done == 0 {
		return 0, 0
	}
	f := byISA(isa, transpose8AVX2, transpose8AVX512)
	for i := 0; i < rows; i += 8 {
		f(&dst[i], 4*dstRow, &src[i*srcRow], 4*srcRow, done/8, scale)
	}
	return rows, done
}

type tileFunc func(dst *float32, dstRow int, w *float32, wRow int, x *float32, xRow, xCol, k, groups, more int)

// simd computes all rows, in tiles of at most tileRows; k is at least 1.
func (p *tileProduct) simd(rows, groups int) bool {
	if p.isa == Generic {
		return false
	}
	more := flag(p.more)
	for row := 0; row < rows; {
		n := tileSize(rows - row)
		var f tileFunc
		switch n {
		case 6:
			f = byISA[tileFunc](p.isa, tile6AVX2, tile6AVX512)
		case 4:
			f = byISA[tileFunc](p.isa, tile4AVX2, tile4AVX512)
		case 2:
			f = byISA[tileFunc](p.isa, tile2AVX2, tile2AVX512)
		default:
			f = byISA[tileFunc](p.isa, tile1AVX2, tile1AVX512)
		}
		f(&p.dst[row*p.dstRow], 4*p.dstRow, first(p.w), 4*p.wRow, &p.x[row*p.xRow], 4*p.xRow, 4*p.xCol, p.k, groups, more)
		row += n
	}
	return true
}
