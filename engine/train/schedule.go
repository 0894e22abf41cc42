package train

import (
	"math"

	"github.com/covey-network/covey/engine/nn"
)

// Factor returns what the learning rate is multiplied by at a step, counted from 0.
func (s *Schedule) Factor(step int) float64 {
	if step < s.Warmup {
		return float64(step+1) / float64(s.Warmup)
	}
	switch s.Kind {
	case Cosine:
		return s.between((1 + cosine(s.progress(step))) / 2)
	case Linear:
		return s.between(1 - s.progress(step))
	case Stepwise:
		gamma, f := or(s.Gamma, 0.1), 1.0
		for range min((step-s.Warmup)/s.Every, 1<<10) { // beyond, nothing is left
			f *= gamma
		}
		return f
	}
	return 1
}

// progress goes from 0 after warm-up to 1 at the end.
func (s *Schedule) progress(step int) float64 {
	return min(1, float64(step-s.Warmup)/float64(s.Steps-s.Warmup))
}

func (s *Schedule) between(share float64) float64 {
	return s.Final + float64((1-s.Final)*share)
}

// cosine returns cos(pi x) in float32, which has the same bits on every machine.
func cosine(x float64) float64 {
	var c, s [1]float32
	nn.Frequencies{math.Pi * x}.SinCos(c[:], s[:], 1)
	return float64(c[0])
}
