package vec

import (
	"fmt"
	"math"
)

// chunk is how many elements are done at a time where the first result may have to be done
// again. A multiple of step.
const chunk = 1024

// step is the multiple of elements that the assembly handles; the twin does the rest.
const step = 64

// Mean writes the mean of the rows, which are as long as dst and do not overlap it. There is
// at least one row, and all elements are finite; so is the result.
//
// Each element is (((r0 + r1) + r2) + …) * (1 / n), every operation rounded to float32: the
// bits of one machine that adds the gradients of n batches in the order of their ranks and
// then scales the sum. Where that sum is too large for float32, it is done in float64.
func Mean(dst []float32, rows [][]float32) { mean(level, dst, rows, negativeZero) }

// negativeZero is the number that changes no other when it is added, not even -0.
var negativeZero = float32(math.Copysign(0, -1))

// mean is Mean with a number that is added to the sum: +0 makes -0 to +0, -0 changes nothing.
func mean(l Level, dst []float32, rows [][]float32, zero float32) {
	checkRows("mean", len(dst), rows)
	scale := 1 / float32(len(rows))
	for lo := 0; lo < len(dst); lo += chunk {
		hi := min(lo+chunk, len(dst))
		done, ok := meanSIMD(l, dst[lo:hi], rows, lo, scale, zero)
		ok = meanGo(dst, rows, lo+done, hi, scale, zero) && ok
		if !ok {
			meanWide(dst, rows, lo, hi)
		}
	}
}

// meanGo does the elements from lo to hi and reports whether all are finite.
func meanGo(dst []float32, rows [][]float32, lo, hi int, scale, zero float32) bool {
	if lo == hi {
		return true
	}
	d := dst[lo:hi]
	copy(d, rows[0][lo:hi])
	for _, r := range rows[1:] {
		for i, v := range r[lo:hi] {
			d[i] += v
		}
	}
	bad := float32(0)
	for i, v := range d {
		s := float32(v + zero)
		s = float32(s * scale)
		d[i] = s
		bad += float32(s - s)
	}
	return bad == 0
}

// meanWide does those elements again that are not finite.
func meanWide(dst []float32, rows [][]float32, lo, hi int) {
	for i := lo; i < hi; i++ {
		if dst[i]-dst[i] == 0 {
			continue
		}
		s := 0.0
		for _, r := range rows {
			s += float64(r[i])
		}
		dst[i] = float32(s / float64(len(rows)))
	}
}

// Combine writes the sum of the rows, each times its coefficient: products and sums in
// float64, in the order of the rows, and one rounding to float32. There is at least one row;
// rows are as long as dst. A row may be dst itself, and may not overlap it otherwise.
func Combine(dst []float32, rows [][]float32, coefficients []float64) {
	combine(level, dst, rows, coefficients)
}

func combine(l Level, dst []float32, rows [][]float32, coefficients []float64) {
	checkRows("combine", len(dst), rows)
	if len(coefficients) != len(rows) {
		panic(fmt.Sprintf("vec: combine %d rows with %d coefficients", len(rows), len(coefficients)))
	}
	lo := combineSIMD(l, dst, rows, coefficients)
	var acc [step]float64
	for ; lo < len(dst); lo += step {
		a := acc[:min(step, len(dst)-lo)]
		c := coefficients[0]
		for i, v := range rows[0][lo : lo+len(a)] {
			a[i] = float64(v) * c
		}
		for k, r := range rows[1:] {
			c := coefficients[k+1]
			for i, v := range r[lo : lo+len(a)] {
				a[i] += float64(float64(v) * c)
			}
		}
		d := dst[lo : lo+len(a)]
		for i, v := range a {
			d[i] = float32(v)
		}
	}
}

func checkRows(what string, n int, rows [][]float32) {
	if len(rows) == 0 {
		panic("vec: " + what + " of no rows")
	}
	for i, r := range rows {
		if len(r) != n {
			panic(fmt.Sprintf("vec: %s: row %d has %d elements, want %d", what, i, len(r), n))
		}
	}
}
