package nn

import "github.com/covey-network/covey/engine/kernel"

// rowsWork is how many floats one piece of an elementwise operation should touch: about
// 5 us of work, so that handing it to another thread pays.
const rowsWork = 1 << 14

// ForRows runs f over ranges of n rows of the given width on the pool. f must treat rows
// independently; it should be made once, not per call, so that nothing is allocated.
func ForRows(p *kernel.Pool, n, width int, f func(lo, hi int)) {
	p.For(n, max(1, rowsWork/max(width, 1)), f)
}

// Grow returns a slice of n floats, buf itself if it is large enough. The content is
// undefined.
func Grow(buf []float32, n int) []float32 {
	if cap(buf) < n {
		return make([]float32, n)
	}
	return buf[:n]
}
