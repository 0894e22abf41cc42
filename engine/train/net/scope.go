package net

import (
	"fmt"
	"math"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
	"github.com/covey-network/covey/engine/train/op"
)

// value is what flows from layer to layer: a node, and the shape of one sample. While a
// model declares its parameters there is no node.
type value struct {
	node  *graph.Node
	shape []int
}

// features returns the number of elements of a sample.
func (v value) features() int {
	n := 1
	for _, d := range v.shape {
		n *= d
	}
	return n
}

// scope is one pass through an architecture: declaring without a graph, or building.
type scope struct {
	g     *graph.Graph
	model *Model
	in    *Inputs

	batch, seq int

	params []graph.Spec // collected while declaring
	inits  map[string]initial
	stats  []Stat
	single bool // some batch norm has planes of one value
}

func (s *scope) declaring() bool { return s.g == nil }

// param declares a parameter and returns its node when building.
func (s *scope) param(name string, init initial, decay bool, shape ...int) *graph.Node {
	if !s.declaring() {
		return s.g.Param(name)
	}
	s.params = append(s.params, graph.Spec{Name: name, Shape: shape, Decay: decay})
	s.inits[name] = init
	return nil
}

// linear is a linear layer over the rows of x, with PyTorch's first weights: uniform within
// 1/sqrt(inputs).
func (s *scope) linear(x value, name string, out int, bias bool) value {
	return s.linearInit(x, name, out, bias, uniform(1/math.Sqrt(float64(x.features()))), uniform(1/math.Sqrt(float64(x.features()))))
}

func (s *scope) linearInit(x value, name string, out int, bias bool, weight, bias0 initial) value {
	w := s.param(name+".weight", weight, true, out, x.features())
	var b *graph.Node
	if bias {
		b = s.param(name+".bias", bias0, false, out)
	}
	y := value{shape: []int{out}}
	if !s.declaring() {
		y.node = op.Linear(s.g, x.node, w, b)
	}
	return y
}

// stacked is one linear layer whose rows are those of several named ones.
func (s *scope) stacked(x value, names []string, outs []int, bias bool, weight, bias0 initial) value {
	weights, biases := make([]string, len(names)), make([]string, len(names))
	total := 0
	for i, name := range names {
		weights[i], biases[i] = name+".weight", name+".bias"
		total += outs[i]
	}
	y := value{shape: []int{total}}
	if s.declaring() {
		for i := range names {
			s.param(weights[i], weight, true, outs[i], x.features())
		}
		for i := range names {
			if bias {
				s.param(biases[i], bias0, false, outs[i])
			}
		}
		return y
	}
	var b *graph.Node
	if bias {
		b = s.g.Param(biases...)
	}
	y.node = op.Linear(s.g, x.node, s.g.Param(weights...), b)
	return y
}

// conv is a convolution with a square kernel. Its first weights are PyTorch's default, or
// with fanOut what torchvision gives ResNets: normal with variance 2/(outputs * kernel).
func (s *scope) conv(x value, name string, out, k, stride, pad int, bias, fanOut bool) value {
	in := x.shape[0]
	bound := 1 / math.Sqrt(float64(in*k*k))
	init := uniform(bound)
	if fanOut {
		init = normal(math.Sqrt(2 / float64(out*k*k)))
	}
	w := s.param(name+".weight", init, true, out, in, k, k)
	var b *graph.Node
	if bias {
		b = s.param(name+".bias", uniform(bound), false, out)
	}
	c := kernel.Conv{Batch: 1, InC: in, H: x.shape[1], W: x.shape[2], OutC: out, KH: k, KW: k, Stride: stride, Pad: pad}
	y := value{shape: []int{out, c.OutH(), c.OutW()}}
	if !s.declaring() {
		y.node = op.Conv(s.g, x.node, w, b, stride, pad)
	}
	return y
}

// PyTorch's batch norm.
const (
	normEps      = 1e-5
	normMomentum = 0.1
)

func (s *scope) batchNorm(x value, name string, relu bool) value {
	c := x.shape[0]
	gamma, beta := s.param(name+".weight", constant(1), false, c), s.param(name+".bias", constant(0), false, c)
	mean, variance := name+".running_mean", name+".running_var"
	if s.declaring() {
		s.single = s.single || x.features() == c
		s.stats = append(s.stats, Stat{Name: mean, Size: c}, Stat{Name: variance, Size: c, First: 1})
		return x
	}
	return value{shape: x.shape, node: op.BatchNorm(s.g, x.node, gamma, beta, op.BatchNormConfig{
		Eps: normEps, Momentum: normMomentum, ReLU: relu, Mean: s.model.Stats.View(mean), Var: s.model.Stats.View(variance),
	})}
}

func (s *scope) maxPool(x value, k, stride, pad int) value {
	m := kernel.MaxPool{Planes: 1, H: x.shape[1], W: x.shape[2], K: k, Stride: stride, Pad: pad}
	y := value{shape: []int{x.shape[0], m.OutH(), m.OutW()}}
	if !s.declaring() {
		y.node = op.MaxPool(s.g, x.node, k, stride, pad)
	}
	return y
}

func (s *scope) avgPool(x value, k, stride, pad int) value {
	m := kernel.AvgPool{Planes: 1, H: x.shape[1], W: x.shape[2], K: k, Stride: stride, Pad: pad}
	y := value{shape: []int{x.shape[0], m.OutH(), m.OutW()}}
	if !s.declaring() {
		y.node = op.AvgPool(s.g, x.node, k, stride, pad)
	}
	return y
}

func (s *scope) globalPool(x value) value {
	y := value{shape: x.shape[:1]}
	if !s.declaring() {
		y.node = op.GlobalAvgPool(s.g, x.node)
	}
	return y
}

func (s *scope) flatten(x value) value {
	y := value{shape: []int{x.features()}}
	if !s.declaring() {
		y.node = op.Flatten(s.g, x.node)
	}
	return y
}

func (s *scope) activate(x value, name string) value {
	if s.declaring() {
		return x
	}
	a, err := kernel.ParseActivation(name)
	if err != nil {
		s.g.Fail(err)
	}
	return value{shape: x.shape, node: op.Activate(s.g, x.node, a)}
}

func (s *scope) dropout(x value, rate float64) value {
	if s.declaring() {
		return x
	}
	return value{shape: x.shape, node: op.Dropout(s.g, x.node, float32(rate))}
}

func (s *scope) add(a, b value) value {
	if s.declaring() {
		return a
	}
	return value{shape: a.shape, node: op.Add(s.g, a.node, b.node)}
}

func (s *scope) addReLU(a, b value) value {
	if s.declaring() {
		return a
	}
	return value{shape: a.shape, node: op.AddReLU(s.g, a.node, b.node)}
}

// block names a part of an architecture.
func block(format string, args ...any) string { return fmt.Sprintf(format, args...) }
