package graph

import (
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
)

// sum adds terms in order.
type sum struct {
	dst   []float32
	terms [][]float32
	add   *kernel.AddOp
}

// sumStep returns the step that writes the sum of terms to dst, which may be the first of
// them. One term is copied.
func sumStep(pool *kernel.Pool, dst []float32, terms [][]float32) step {
	s := &sum{dst: dst, terms: terms, add: kernel.NewAddOp()}
	return step{f: s.run, call: Call{Pool: pool}, name: s}
}

func (s *sum) run(c *Call) {
	if len(s.terms) == 1 {
		copy(s.dst, s.terms[0])
		return
	}
	s.add.Forward(c.Pool, s.dst, s.terms[0], s.terms[1])
	for _, t := range s.terms[2:] {
		s.add.Forward(c.Pool, s.dst, s.dst, t)
	}
}

func (s *sum) String() string { return fmt.Sprintf("sum of %d gradients", len(s.terms)) }
