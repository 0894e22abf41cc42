// Package toy is a task for experiments with many who train: it learns in a second on one core,
// and is hard enough that who averages badly loses. Samples are of normal distributions in 64
// dimensions, two of them for each of ten classes; the model is a network with one hidden
// layer, its parameters one flat vector. The same source of random numbers gives the same bits.
//
// A Model and a Scratch are for one goroutine at a time; [Data] may be shared.
package toy

import (
	"math"
	"math/rand/v2"
)

const (
	Classes = 10
	Params  = inputs*hidden + hidden + hidden*Classes + Classes // of a Model

	inputs     = 64
	hidden     = 32
	components = 20 // normal distributions, two for each class
	spread     = 0.45
)

// Data is samples and their labels.
type Data struct {
	Values []float32 // (samples, inputs)
	Labels []int     // 0 to Classes-1
}

// Row returns the inputs of sample i.
func (d *Data) Row(i int) []float32 { return d.Values[i*inputs:][:inputs] }

// Source is normal distributions that samples are drawn from.
type Source struct {
	means [components * inputs]float32
}

// NewSource draws the distributions.
func NewSource(rng *rand.Rand) *Source {
	s := new(Source)
	for i := range s.means {
		s.means[i] = spread * float32(rng.NormFloat64())
	}
	return s
}

// Draw draws n samples, of some classes only if these are given.
func (s *Source) Draw(rng *rand.Rand, n int, of ...int) Data {
	d := Data{Values: make([]float32, n*inputs), Labels: make([]int, n)}
	for i := range n {
		c := 0
		if len(of) == 0 {
			c = rng.IntN(components)
		} else {
			c = of[rng.IntN(len(of))] + Classes*rng.IntN(components/Classes)
		}
		d.Labels[i] = c % Classes
		for k := range d.Row(i) {
			d.Values[i*inputs+k] = s.means[c*inputs+k] + float32(rng.NormFloat64())
		}
	}
	return d
}

// Model is a network with one hidden layer.
type Model struct {
	Params []float32 // the parts below, one after the other
}

// Scratch is what a gradient is worked out in.
type Scratch struct {
	hidden, back [hidden]float32
	out          [Classes]float32
}

// NewModel draws the first weights.
func NewModel(rng *rand.Rand) Model {
	m := Model{Params: make([]float32, Params)}
	w1, _, w2, _ := split(m.Params)
	for i := range w1 {
		w1[i] = float32(rng.NormFloat64() * math.Sqrt(2.0/inputs))
	}
	for i := range w2 {
		w2[i] = float32(rng.NormFloat64() * math.Sqrt(2.0/hidden))
	}
	return m
}

// split returns the weights (inputs, hidden), biases, weights (hidden, Classes), biases.
func split(p []float32) (w1, b1, w2, b2 []float32) {
	const a, b, c = inputs * hidden, inputs*hidden + hidden, inputs*hidden + hidden + hidden*Classes
	return p[:a], p[a:b], p[b:c], p[c:]
}

// forward works out the hidden layer and the logits.
func (m *Model) forward(s *Scratch, x []float32) {
	w1, b1, w2, b2 := split(m.Params)
	h := &s.hidden
	copy(h[:], b1)
	for i, v := range x {
		w := (*[hidden]float32)(w1[i*hidden:])
		for k := range h {
			h[k] += v * w[k]
		}
	}
	copy(s.out[:], b2)
	for k, v := range h {
		if !(v < 0) { // a NaN stays one
			w := (*[Classes]float32)(w2[k*Classes:])
			for c := range s.out {
				s.out[c] += v * w[c]
			}
		} else {
			h[k] = 0
		}
	}
}

// Gradient adds that of the cross-entropy of one sample to g.
func (m *Model) Gradient(s *Scratch, g, x []float32, label int) {
	m.forward(s, x)
	_, _, w2, _ := split(m.Params)
	g1, gb1, g2, gb2 := split(g)
	top, sum := s.out[0], 0.0
	for _, v := range s.out {
		top = max(top, v)
	}
	for c, v := range s.out {
		e := math.Exp(float64(v - top))
		s.out[c] = float32(e)
		sum += e
	}
	for c := range s.out {
		s.out[c] /= float32(sum)
	}
	s.out[label]--
	for c, v := range s.out {
		gb2[c] += v
	}
	for k, h := range s.hidden {
		s.back[k] = 0
		if h == 0 {
			continue
		}
		w, d := (*[Classes]float32)(w2[k*Classes:]), (*[Classes]float32)(g2[k*Classes:])
		b := float32(0)
		for c, v := range s.out {
			d[c] += h * v
			b += w[c] * v
		}
		s.back[k] = b
		gb1[k] += b
	}
	for i, v := range x {
		d := (*[hidden]float32)(g1[i*hidden:])
		for k := range d {
			d[k] += v * s.back[k]
		}
	}
}

// Predict returns the class with the largest logit, or -1 if one is not a number.
func (m *Model) Predict(x []float32) int {
	var s Scratch
	m.forward(&s, x)
	best := 0
	for c, v := range s.out {
		if v != v {
			return -1
		}
		if v > s.out[best] {
			best = c
		}
	}
	return best
}

// Loss returns the mean cross-entropy of all samples, infinite if one is not a number.
func (m *Model) Loss(d *Data) float64 {
	var s Scratch
	total := 0.0
	for i, label := range d.Labels {
		m.forward(&s, d.Row(i))
		top, sum := s.out[0], 0.0
		for _, v := range s.out {
			top = max(top, v)
		}
		for _, v := range s.out {
			sum += math.Exp(float64(v - top))
		}
		total += math.Log(sum) - float64(s.out[label]-top)
	}
	if total-total != 0 {
		return math.Inf(1)
	}
	return total / float64(len(d.Labels))
}
