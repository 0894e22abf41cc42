package vec

import "fmt"

// Lanes is a sum in eight parts: part l has the elements l, l+8, l+16 and so on.
type Lanes [8]float64

// Sum returns the sum of the parts, always in the same order.
func (l *Lanes) Sum() float64 {
	return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

// Widen writes the numbers of src in float64; dst may be longer, and its rest is set to 0.
func Widen(dst []float64, src []float32) {
	if len(dst) < len(src) {
		panic(fmt.Sprintf("vec: widen %d elements into %d", len(src), len(dst)))
	}
	done := widenSIMD(level, dst, src)
	for i, v := range src[done:] {
		dst[done+i] = float64(v)
	}
	clear(dst[len(src):])
}

// AddSquares adds to each sum the squares of the differences between a and a row, of len(a)
// elements, a multiple of 8. The rows lie one after the other. No difference of float32
// numbers overflows or is lost in this: a sum of 2^40 of the largest is still finite.
func AddSquares(sums []Lanes, a, rows []float64) { addSquares(level, sums, a, rows) }

func addSquares(l Level, sums []Lanes, a, rows []float64) {
	if len(a)%8 != 0 || len(rows) != len(a)*len(sums) {
		panic(fmt.Sprintf("vec: squares of %d rows of %d elements, with %d", len(sums), len(a), len(rows)))
	}
	if len(a) == 0 {
		return
	}
	done := addSquaresSIMD(l, sums, a, rows)
	for k := done; k < len(sums); k++ {
		addSquaresGo(&sums[k], a, rows[k*len(a):][:len(a)])
	}
}

func addSquaresGo(sum *Lanes, a, b []float64) {
	s := *sum
	for i := 0; i+8 <= len(a) && i+8 <= len(b); i += 8 {
		x, y := (*Lanes)(a[i:]), (*Lanes)(b[i:])
		for l := range s {
			d := x[l] - y[l]
			s[l] += float64(d * d)
		}
	}
	*sum = s
}
