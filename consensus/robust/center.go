package robust

import (
	"math"
	"slices"
)

const (
	clipRounds      = 3
	geoMedianRounds = 32
	// geoMedianMove is what distances change at most at the end, in median distances.
	geoMedianMove = 1e-6
	// geoMedianFloor is how near a point counts at most, in median distances: Pillutla et
	// al., Robust aggregation for federated learning (2019), have a smoothing like it.
	geoMedianFloor = 1e-6
)

// Distances returns those of vectors from one of the same length.
func Distances(from []float32, rows [][]float32) []float64 {
	return newPoints(rows, len(from)).distances(from)
}

// middleOf returns the middle number, the lower one of two: with fewer than half of liars one
// of the honest has as much or more.
func middleOf(d []float64) float64 {
	s := slices.Sorted(slices.Values(d))
	return s[(len(s)-1)/2]
}

// within returns the factor that makes a length d no longer than the radius.
func within(d, radius float64) float64 {
	if d <= radius {
		return 1
	}
	return radius / d
}

// norm writes the mean of the points, each made no longer than the median.
func (a *job) norm() {
	d := a.points.distances(nil)
	radius := middleOf(d)
	c := make([]float64, len(d))
	for i := range c {
		c[i] = within(d[i], radius) / float64(len(d))
	}
	a.points.combine(a.dst, c, nil, 0)
}

// clip writes v + mean of (x - v), none longer than the radius, where v is the reference and
// then the result: Karimireddy et al., Learning from history (ICML 2021).
func (a *job) clip() {
	v := a.reference
	for range clipRounds {
		d := a.points.distances(v)
		radius := a.rule.radius
		if radius == 0 {
			radius = middleOf(d)
		}
		c, rest := make([]float64, len(d)), 1.0
		for i := range c {
			c[i] = within(d[i], radius) / float64(len(d))
			rest -= c[i]
		}
		a.points.combine(a.dst, c, v, rest)
		v = a.dst
	}
}

// gossip writes v + sum of w (x - v), none longer than the radius, where v is the own vector:
// He et al., Byzantine-robust decentralized learning via self-centered clipping (2022).
func (a *job) gossip() {
	if len(a.senders) == 0 {
		copy(a.dst, a.reference)
		return
	}
	d := a.points.distances(a.reference)
	radius := a.rule.radius
	if radius == 0 {
		radius = middleOf(d)
	}
	c, rest := make([]float64, len(d)), 1.0
	for i := range c {
		c[i] = float64(a.weights[i] * within(d[i], radius))
		rest -= c[i]
	}
	a.points.combine(a.dst, c, a.reference, rest)
}

// Metropolis returns the weights of the neighbours of a peer in a graph, from how many
// neighbours it and each of them have: 1 / (1 + the larger number). With them mixing keeps the
// mean of a connected graph and ends in it: Xiao, Boyd, Distributed average consensus (2004).
func Metropolis(degree int, neighbours []int) []float64 {
	w := make([]float64, len(neighbours))
	for i, d := range neighbours {
		w[i] = 1 / float64(1+max(degree, d, len(neighbours)))
	}
	return w
}

// geoMedian writes the point with the least sum of distances: Weiszfeld's iteration, from the
// median of each coordinate, which no single huge update moves.
func (a *job) geoMedian() {
	a.points.middle(a.dst, (len(a.senders)-1)/2)
	var last []float64
	for range geoMedianRounds {
		d := a.points.distances(a.dst)
		middle := middleOf(d)
		if middle == 0 || settled(d, last, middle) {
			return
		}
		last = d
		floor := float64(geoMedianFloor * middle)
		c, total := make([]float64, len(d)), 0.0
		for i, x := range d {
			c[i] = 1 / max(x, floor)
			total += c[i]
		}
		for i := range c {
			c[i] /= total
		}
		a.points.combine(a.dst, c, nil, 0)
	}
}

// settled reports whether no distance changed by much, or by more than its own rounding. The
// sum of all would not tell: one huge distance hides the rest.
func settled(d, last []float64, middle float64) bool {
	for i, x := range d {
		if last == nil || math.Abs(x-last[i]) > max(float64(geoMedianMove*middle), float64(1e-12*x)) {
			return false
		}
	}
	return true
}

// sign writes the sign that the most points have, 0 where as many have each, times the
// median length over the root of the dimension.
func (a *job) sign() {
	size := float32(middleOf(a.points.distances(nil)) / math.Sqrt(float64(max(1, a.points.size))))
	var votes [blockSize]int32
	a.points.blocks(func(lo, hi int) {
		v := votes[:hi-lo]
		clear(v)
		for _, r := range a.points.block(lo, hi) {
			for i, x := range r {
				v[i] += int32(b2i(x > 0)) - int32(b2i(x < 0))
			}
		}
		d := a.dst[lo:hi]
		for i, n := range v {
			switch {
			case n > 0:
				d[i] = size
			case n < 0:
				d[i] = -size
			default:
				d[i] = 0
			}
		}
	})
}
