package attack

import (
	"math"
	"math/rand/v2"
)

const (
	inputs     = 64
	hidden     = 32
	classes    = 10
	components = 20 // normal distributions, two for each class
	spread     = 0.45
	trainSize  = 20000
	testSize   = 4000
	paramCount = inputs*hidden + hidden + hidden*classes + classes
)

// data is samples and their labels.
type data struct {
	values []float32 // (samples, inputs)
	labels []int
}

func (d *data) row(i int) []float32 { return d.values[i*inputs:][:inputs] }

// makeData draws normal distributions, and from them what is trained and tested with.
func makeData(rng *rand.Rand) (train, test data) {
	means := make([]float32, components*inputs)
	for i := range means {
		means[i] = spread * float32(rng.NormFloat64())
	}
	draw := func(n int) data {
		d := data{values: make([]float32, n*inputs), labels: make([]int, n)}
		for i := range n {
			c := rng.IntN(components)
			d.labels[i] = c % classes
			for k := range d.row(i) {
				d.values[i*inputs+k] = means[c*inputs+k] + float32(rng.NormFloat64())
			}
		}
		return d
	}
	return draw(trainSize), draw(testSize)
}

// model is a network with one hidden layer.
type model struct {
	params []float32 // the parts below, one after the other
}

// scratch is what a gradient is worked out in.
type scratch struct {
	hidden, back [hidden]float32
	out          [classes]float32
}

func newModel(rng *rand.Rand) model {
	m := model{params: make([]float32, paramCount)}
	w1, _, w2, _ := split(m.params)
	for i := range w1 {
		w1[i] = float32(rng.NormFloat64() * math.Sqrt(2.0/inputs))
	}
	for i := range w2 {
		w2[i] = float32(rng.NormFloat64() * math.Sqrt(2.0/hidden))
	}
	return m
}

// split returns the weights (inputs, hidden), biases, weights (hidden, classes), biases.
func split(p []float32) (w1, b1, w2, b2 []float32) {
	const a, b, c = inputs * hidden, inputs*hidden + hidden, inputs*hidden + hidden + hidden*classes
	return p[:a], p[a:b], p[b:c], p[c:]
}

// forward works out the hidden layer and the logits.
func (m *model) forward(s *scratch, x []float32) {
	w1, b1, w2, b2 := split(m.params)
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
			w := (*[classes]float32)(w2[k*classes:])
			for c := range s.out {
				s.out[c] += v * w[c]
			}
		} else {
			h[k] = 0
		}
	}
}

// gradient adds that of the cross-entropy of one sample to g.
func (m *model) gradient(s *scratch, g, x []float32, label int) {
	m.forward(s, x)
	_, _, w2, _ := split(m.params)
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
		w, d := (*[classes]float32)(w2[k*classes:]), (*[classes]float32)(g2[k*classes:])
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

// predict returns the class with the largest logit, or -1 if one is not a number.
func (m *model) predict(x []float32) int {
	var s scratch
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
