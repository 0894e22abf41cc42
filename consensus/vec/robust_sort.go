package vec

import "fmt"

// Network sorts rows element by element, as far as the rows lo to hi are concerned: its pairs
// are compared and exchanged one after the other. The zero value does nothing.
type Network struct {
	n, lo, hi int
	pairs     [][2]int32
}

// NewNetwork returns the network after which the rows lo to hi of n, with hi left out, hold
// what they would hold if all were sorted, smallest first.
func NewNetwork(n, lo, hi int) Network {
	if lo < 0 || hi > n || lo >= hi {
		panic(fmt.Sprintf("vec: network for rows %d to %d of %d", lo, hi, n))
	}
	// Batcher's merge exchange: Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M.
	var all [][2]int32
	top := 1
	for 2*top < n {
		top *= 2
	}
	for p := top; p > 0; p /= 2 {
		for q, r, d := top, 0, p; ; q, r, d = q/2, p, q-p {
			for i := 0; i < n-d; i++ {
				if i&p == r {
					all = append(all, [2]int32{int32(i), int32(i + d)})
				}
			}
			if q == p {
				break
			}
		}
	}
	// Backwards, a pair matters only if a row that is wanted depends on it.
	wanted := make([]bool, n)
	for i := lo; i < hi; i++ {
		wanted[i] = true
	}
	at := len(all)
	for i := len(all) - 1; i >= 0; i-- {
		a, b := all[i][0], all[i][1]
		if wanted[a] || wanted[b] {
			wanted[a], wanted[b] = true, true
			at--
			all[at] = all[i]
		}
	}
	return Network{n: n, lo: lo, hi: hi, pairs: all[at:]}
}

// MiddleMean writes the mean of the rows lo to hi after sorting them element by element. The
// rows are those of the network, len(dst) elements each, all finite, one after the other; they
// are changed. The sum runs from the smallest to the largest, in float32, or where that
// overflows in float64; -0 counts as +0. So the order of the rows plays no role.
func (w *Network) MiddleMean(dst, rows []float32) { w.middleMean(level, dst, rows) }

func (w *Network) middleMean(l Level, dst, rows []float32) {
	width := len(dst)
	if len(rows) != w.n*width {
		panic(fmt.Sprintf("vec: sort %d rows of %d elements, got %d", w.n, width, len(rows)))
	}
	done := exchangeSIMD(l, rows, width, w.pairs)
	for _, p := range w.pairs {
		a, b := rows[int(p[0])*width:][done:width], rows[int(p[1])*width:][done:width]
		for i, x := range a {
			y := b[i]
			a[i], b[i] = min(x, y), max(x, y)
		}
	}
	var views [maxViews][]float32
	middle := views[:0]
	for i := w.lo; i < w.hi; i++ {
		middle = append(middle, rows[i*width:][:width])
	}
	mean(l, dst, middle, 0)
}

// maxViews is how many rows are sorted without an allocation.
const maxViews = 64
