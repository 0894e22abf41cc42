//go:build !noasm

package vec

// Each function handles the first elements, or rows, in vector code and returns how many.

// steps returns how many of n elements the assembly handles.
func steps(l Level, n int) int {
	if l == Generic {
		return 0
	}
	return n &^ (step - 1)
}

// meanSIMD does dst with what begins at lo in the rows.
func meanSIMD(l Level, dst []float32, rows [][]float32, lo int, scale, zero float32) (int, bool) {
	n, bad := steps(l, len(dst)), uint64(0)
	switch {
	case n == 0:
	case l == AVX512:
		bad = meanAVX512(&dst[0], &rows[0], len(rows), 4*lo, n, scale, zero)
	default:
		bad = meanAVX2(&dst[0], &rows[0], len(rows), 4*lo, n, scale, zero)
	}
	return n, bad == 0
}

func combineSIMD(l Level, dst []float32, rows [][]float32, coefficients []float64) int {
	n := steps(l, len(dst))
	switch {
	case n == 0:
	case l == AVX512:
		combineAVX512(&dst[0], &rows[0], &coefficients[0], len(rows), n)
	default:
		combineAVX2(&dst[0], &rows[0], &coefficients[0], len(rows), n)
	}
	return n
}

func widenSIMD(l Level, dst []float64, src []float32) int {
	n := steps(l, len(src))
	switch {
	case n == 0:
	case l == AVX512:
		widenAVX512(&dst[0], &src[0], n)
	default:
		widenAVX2(&dst[0], &src[0], n)
	}
	return n
}

func addSquaresSIMD(l Level, sums []Lanes, a, rows []float64) int {
	if l == Generic {
		return 0
	}
	k := 0
	for ; k+4 <= len(sums); k += 4 {
		if l == AVX512 {
			addSquaresAVX512(&sums[k][0], &a[0], &rows[k*len(a)], len(a))
		} else {
			addSquaresAVX2(&sums[k][0], &a[0], &rows[k*len(a)], len(a))
		}
	}
	return k
}

func exchangeSIMD(l Level, rows []float32, width int, pairs [][2]int32) int {
	n := steps(l, width)
	switch {
	case n == 0 || len(pairs) == 0:
	case l == AVX512:
		exchangeAVX512(&rows[0], 4*width, &pairs[0], len(pairs), n)
	default:
		exchangeAVX2(&rows[0], 4*width, &pairs[0], len(pairs), n)
	}
	return n
}
