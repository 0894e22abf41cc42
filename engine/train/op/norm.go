package op

import (
	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
)

// RMSNorm divides each row of x (rows, width) by its root mean square and multiplies by w.
func RMSNorm(g *graph.Graph, x, w *Node, eps float32) *Node {
	if !ready(g, "RMS norm", []int{2, 1}, x, w) || !fits(g, "RMS norm", w, x.Shape()[1]) {
		return nil
	}
	k := kernel.NewRMSNormOp(x.Shape()[0], x.Shape()[1], eps)
	return g.Apply(&graph.Op{
		Name: "RMS norm", Shape: x.Shape(), Grads: []int{0, 1}, Reads: []int{0, 1}, AllGrads: true,
		Run:  func(c *graph.Call) { k.Forward(c.Pool, c.Value, c.In[0].F, c.In[1].F) },
		Back: func(c *graph.Call) { k.Backward(c.Pool, c.Out[0], c.Out[1], c.Grad, c.In[0].F, c.In[1].F) },
	}, x, w)
}

// LayerNorm gives each row of x (rows, width) mean 0 and variance 1, multiplies by w and
// adds b.
func LayerNorm(g *graph.Graph, x, w, b *Node, eps float32) *Node {
	if !ready(g, "layer norm", []int{2, 1, 1}, x, w, b) || !fits(g, "layer norm", w, x.Shape()[1]) || !fits(g, "layer norm", b, x.Shape()[1]) {
		return nil
	}
	k := kernel.NewLayerNormOp(x.Shape()[0], x.Shape()[1], eps)
	return g.Apply(&graph.Op{
		Name: "layer norm", Shape: x.Shape(), Grads: []int{0, 1, 2}, Reads: []int{0, 1}, AllGrads: true,
		Run: func(c *graph.Call) { k.Forward(c.Pool, c.Value, c.In[0].F, c.In[1].F, c.In[2].F) },
		Back: func(c *graph.Call) {
			k.Backward(c.Pool, c.Out[0], c.Out[1], c.Out[2], c.Grad, c.In[0].F, c.In[1].F)
		},
	}, x, w, b)
}
