package op

import (
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
)

// Activate applies an activation to each element.
func Activate(g *graph.Graph, x *Node, a kernel.Activation) *Node {
	if g.Err() != nil || x == nil {
		return nil
	}
	k := kernel.NewActivationOp(a)
	o := &graph.Op{
		Name: a.String(), Shape: x.Shape(), Grads: []int{0},
		Run:  func(c *graph.Call) { k.Forward(c.Pool, c.Value, c.In[0].F) },
		Back: func(c *graph.Call) { k.Backward(c.Pool, c.Out[0], c.Grad, c.In[0].F, c.Value) },
	}
	switch a {
	case kernel.ActReLU, kernel.ActTanh, kernel.ActSigmoid:
		o.ReadsValue = true // the slope follows from the result
	default:
		o.Reads = []int{0}
	}
	return g.Apply(o, x)
}

// Add is a + b.
func Add(g *graph.Graph, a, b *Node) *Node {
	if g.Err() != nil || a == nil || b == nil {
		return nil
	}
	k := kernel.NewAddOp()
	return g.Apply(&graph.Op{
		Name: "addition", Shape: a.Shape(), Grads: []int{graph.PassGrad, graph.PassGrad},
		Run: func(c *graph.Call) { k.Forward(c.Pool, c.Value, c.In[0].F, c.In[1].F) },
	}, a, b)
}

// AddReLU is max(0, a + b), the end of a residual block.
func AddReLU(g *graph.Graph, a, b *Node) *Node {
	if g.Err() != nil || a == nil || b == nil {
		return nil
	}
	k, relu := kernel.NewAddOp(), kernel.NewActivationOp(kernel.ActReLU)
	k.ReLU = true
	return g.Apply(&graph.Op{
		Name: "addition with ReLU", Shape: a.Shape(), Grads: []int{0, 0}, ReadsValue: true,
		Run:  func(c *graph.Call) { k.Forward(c.Pool, c.Value, c.In[0].F, c.In[1].F) },
		Back: func(c *graph.Call) { relu.Backward(c.Pool, c.Out[0], c.Grad, c.Value, c.Value) },
	}, a, b)
}

// SwiGLU is silu(gate) * up for x (rows, 2 width) = gate | up.
func SwiGLU(g *graph.Graph, x *Node) *Node {
	if !ready(g, "SwiGLU", []int{2}, x) {
		return nil
	}
	rows, width := x.Shape()[0], x.Shape()[1]/2
	if !fits(g, "SwiGLU", x, rows, 2*width) {
		return nil
	}
	k := kernel.NewSwiGLUOp()
	return g.Apply(&graph.Op{
		Name: "SwiGLU", Shape: []int{rows, width}, Grads: []int{0}, Reads: []int{0},
		Run:  func(c *graph.Call) { k.Forward(c.Pool, c.Value, c.In[0].F, rows, width) },
		Back: func(c *graph.Call) { k.Backward(c.Pool, c.Out[0], c.Grad, c.In[0].F, rows, width) },
	}, x)
}

// Dropout zeroes elements with probability rate and scales the others by 1/(1-rate); it is
// x itself in a graph that is not for training. Which elements depends on the seed of the
// run and on the operation's place in the graph.
func Dropout(g *graph.Graph, x *Node, rate float32) *Node {
	if g.Err() != nil || x == nil || !g.Training() || rate == 0 {
		return x
	}
	if !(rate > 0 && rate < 1) {
		g.Fail(fmt.Errorf("dropout: rate %v is not in [0, 1)", rate))
		return nil
	}
	k, place := kernel.NewDropoutOp(rate), uint64(g.Len())
	return g.Apply(&graph.Op{
		Name: "dropout", Shape: x.Shape(), Grads: []int{0},
		Run:  func(c *graph.Call) { k.Forward(c.Pool, c.Value, c.In[0].F, stream(c.Seed(), place)) },
		Back: func(c *graph.Call) { k.Backward(c.Pool, c.Out[0], c.Grad, stream(c.Seed(), place)) },
	}, x)
}

// stream mixes the seed of a run and a place to the seed of an operation: the finaliser of
// splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
func stream(seed, place uint64) uint64 {
	z := seed + (place+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
