package graph

import (
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
)

// sumGrain is the number of elements that a thread adds at a time.
const sumGrain = 1 << 14

// sum adds terms in order; it is a task of a pool.
type sum struct {
	dst   []float32
	terms [][]float32
}

// sumStep returns the step that writes the sum of terms to dst, which may be the first of
// them. One term is copied.
func sumStep(pool *kernel.Pool, dst []float32, terms [][]float32) step {
	s := &sum{dst: dst, terms: terms}
	run := func(c *Call) { c.Pool.Run(len(s.dst), sumGrain, s) }
	return step{f: run, call: Call{Pool: pool}, name: s}
}

// Do adds the elements [lo, hi).
func (s *sum) Do(lo, hi int) {
	dst := s.dst[lo:hi]
	if len(s.terms) == 1 {
		copy(dst, s.terms[0][lo:hi])
		return
	}
	add(dst, s.terms[0][lo:hi], s.terms[1][lo:hi])
	for _, t := range s.terms[2:] {
		add(dst, dst, t[lo:hi])
	}
}

func add(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func (s *sum) String() string { return fmt.Sprintf("sum of %d gradients", len(s.terms)) }
