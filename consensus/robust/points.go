package robust

import (
	"math"

	"github.com/covey-network/covey/consensus/vec"
)

const (
	// blockSize is how many coordinates of all points are worked on at a time, in the
	// caches.
	blockSize = 256
	// spanSize is after how many coordinates a sum of squares begins anew. The order of
	// a sum is part of the rule: other numbers give other bits.
	spanSize = 1 << 16
)

// points are the vectors that a rule sees: the updates, or means of some of them.
type points struct {
	rows  [][]float32
	size  int
	near  [][]int     // of each point the updates it is the mean of; nil: points are updates
	mixed []float32   // a block of mixed points, one after the other
	views [][]float32 // of a block
	part  [][]float32 // of the rows that a mean is of
}

func newPoints(rows [][]float32, size int) *points {
	return &points{rows: rows, size: size, views: make([][]float32, len(rows)), part: make([][]float32, 0, len(rows)+1)}
}

// all returns the indices of the points.
func (p *points) all() []int {
	all := make([]int, len(p.rows))
	for i := range all {
		all[i] = i
	}
	return all
}

// block returns the coordinates from lo to hi of the points, valid until the next call.
func (p *points) block(lo, hi int) [][]float32 {
	for i, r := range p.rows {
		p.views[i] = r[lo:hi]
	}
	if p.near == nil {
		return p.views
	}
	w := hi - lo
	for i, near := range p.near {
		part := p.part[:0]
		for _, k := range near {
			part = append(part, p.rows[k][lo:hi])
		}
		vec.Mean(p.mixed[i*w:][:w], part)
	}
	for i := range p.views {
		p.views[i] = p.mixed[i*w:][:w]
	}
	return p.views
}

// blocks calls f with the bounds of one block after the other.
func (p *points) blocks(f func(lo, hi int)) {
	for lo := 0; lo < p.size; lo += blockSize {
		f(lo, min(lo+blockSize, p.size))
	}
}

// mean writes the mean of some points.
func (p *points) mean(dst []float32, which []int) {
	one := func(dst []float32, points [][]float32) {
		part := p.part[:0]
		for _, k := range which {
			part = append(part, points[k])
		}
		vec.Mean(dst, part)
	}
	if p.near == nil {
		one(dst, p.rows)
		return
	}
	p.blocks(func(lo, hi int) { one(dst[lo:hi], p.block(lo, hi)) })
}

// combine writes the sum of the points, each times its coefficient, and of a further vector
// times its own, left out if that is 0. The further vector may be dst.
func (p *points) combine(dst []float32, c []float64, further []float32, factor float64) {
	if further != nil && factor != 0 {
		c = append(c[:len(c):len(c)], factor)
	} else {
		further = nil
	}
	p.blocks(func(lo, hi int) {
		part := append(p.part[:0], p.block(lo, hi)...)
		if further != nil {
			part = append(part, further[lo:hi])
		}
		if len(part) == 0 {
			clear(dst[lo:hi])
			return
		}
		vec.Combine(dst[lo:hi], part, c)
	})
}

// middle writes the mean of each coordinate without its out smallest and largest values.
func (p *points) middle(dst []float32, out int) {
	n := len(p.rows)
	network := vec.NewNetwork(n, out, n-out)
	scratch := make([]float32, n*blockSize)
	p.blocks(func(lo, hi int) {
		w := hi - lo
		for i, r := range p.block(lo, hi) {
			copy(scratch[i*w:], r)
		}
		network.MiddleMean(dst[lo:hi], scratch[:n*w])
	})
}

// squares calls f for each block of the points in float64, one after the other and filled up
// with zeros to width, a multiple of 8; end after each span.
func (p *points) squares(f func(lo, hi, width int, wide []float64), end func()) {
	wide := make([]float64, len(p.rows)*blockSize)
	p.blocks(func(lo, hi int) {
		w := (hi - lo + 7) / 8 * 8
		for i, r := range p.block(lo, hi) {
			vec.Widen(wide[i*w:][:w], r)
		}
		f(lo, hi, w, wide[:len(p.rows)*w])
		if hi%spanSize == 0 || hi == p.size {
			end()
		}
	})
}

// distances returns those of the points from a vector, or from zero if it is nil.
func (p *points) distances(from []float32) []float64 {
	d, sums := make([]float64, len(p.rows)), make([]vec.Lanes, len(p.rows))
	a := make([]float64, blockSize)
	p.squares(func(lo, hi, w int, wide []float64) {
		if from != nil {
			vec.Widen(a[:w], from[lo:hi])
		}
		vec.AddSquares(sums, a[:w], wide)
	}, func() {
		for i := range sums {
			d[i] += sums[i].Sum()
			sums[i] = vec.Lanes{}
		}
	})
	for i, s := range d {
		d[i] = math.Sqrt(s)
	}
	return d
}

// squaredDistances returns those between all points.
func (p *points) squaredDistances() [][]float64 {
	n := len(p.rows)
	d, sums := make([][]float64, n), make([][]vec.Lanes, n)
	for i := range d {
		d[i], sums[i] = make([]float64, n), make([]vec.Lanes, n-i-1)
	}
	p.squares(func(_, _, w int, wide []float64) {
		for i := range n {
			vec.AddSquares(sums[i], wide[i*w:][:w], wide[(i+1)*w:])
		}
	}, func() {
		for i := range sums {
			for j := range sums[i] {
				d[i][i+1+j] += sums[i][j].Sum()
				sums[i][j] = vec.Lanes{}
			}
		}
	})
	for i := range n {
		for j := range i {
			d[i][j] = d[j][i]
		}
	}
	return d
}
