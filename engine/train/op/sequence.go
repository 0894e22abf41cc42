package op

import (
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
)

// Embedding looks up the row of table (rows, width) for each id.
func Embedding(g *graph.Graph, table, ids *Node) *Node {
	if !ready(g, "embedding", []int{2, 1}, table, ids) {
		return nil
	}
	n, width := ids.Shape()[0], table.Shape()[1]
	k := kernel.NewEmbeddingOp()
	return g.Apply(&graph.Op{
		Name: "embedding", Shape: []int{n, width}, Grads: []int{0, graph.NoGrad}, Reads: []int{1},
		Run:  func(c *graph.Call) { k.Forward(c.Pool, c.Value, c.In[0].F, c.In[1].I, width) },
		Back: func(c *graph.Call) { k.Backward(c.Pool, c.Out[0], c.Grad, c.In[1].I, width) },
	}, table, ids)
}

// FirstRows takes the first row of each of n groups of rows of x: the first token of each
// sequence.
func FirstRows(g *graph.Graph, x *Node, n int) *Node {
	if !ready(g, "first rows", []int{2}, x) {
		return nil
	}
	width := x.Shape()[1]
	if n < 1 || x.Shape()[0]%n != 0 {
		g.Fail(fmt.Errorf("first rows: %d rows in %d groups", x.Shape()[0], n))
		return nil
	}
	stride := x.Shape()[0] / n * width
	return g.Apply(&graph.Op{
		Name: "first rows", Shape: []int{n, width}, Grads: []int{0},
		Run: func(c *graph.Call) {
			for i := range n {
				copy(c.Value[i*width:(i+1)*width], c.In[0].F[i*stride:])
			}
		},
		Back: func(c *graph.Call) {
			clear(c.Out[0])
			for i := range n {
				copy(c.Out[0][i*stride:i*stride+width], c.Grad[i*width:])
			}
		},
	}, x)
}

// CrossEntropy is the mean over rows of the cross-entropy between softmax(logits) and the
// targets, whose distribution is smoothed. Targets below 0 do not count.
func CrossEntropy(g *graph.Graph, logits, targets *Node, smoothing float32) *Node {
	if !ready(g, "cross-entropy", []int{2, 1}, logits, targets) {
		return nil
	}
	rows, classes := logits.Shape()[0], logits.Shape()[1]
	if !fits(g, "cross-entropy targets", targets, rows) {
		return nil
	}
	if !(smoothing >= 0 && smoothing < 1) {
		g.Fail(fmt.Errorf("cross-entropy: smoothing %v is not in [0, 1)", smoothing))
		return nil
	}
	k := kernel.NewCrossEntropyOp(rows, classes, smoothing)
	return g.Apply(&graph.Op{
		Name: "cross-entropy", Grads: []int{0, graph.NoGrad},
		Reads: []int{0, 1}, // the kernel has kept both
		Run:   func(c *graph.Call) { c.Value[0], _ = k.Forward(c.Pool, c.In[0].F, c.In[1].I) },
		Back:  func(c *graph.Call) { k.Backward(c.Pool, c.Out[0], c.Grad[0]) },
	}, logits, targets)
}

// MSE is the mean of the squares of x - targets.
func MSE(g *graph.Graph, x, targets *Node) *Node {
	if !ready(g, "mean squared error", []int{2, 2}, x, targets) || !fits(g, "mean squared error", targets, x.Shape()...) {
		return nil
	}
	k := kernel.NewMSEOp(size(x))
	return g.Apply(&graph.Op{
		Name: "mean squared error", Grads: []int{0, graph.NoGrad}, Reads: []int{0, 1},
		Run:  func(c *graph.Call) { c.Value[0] = k.Forward(c.Pool, c.In[0].F, c.In[1].F) },
		Back: func(c *graph.Call) { k.Backward(c.Pool, c.Out[0], c.In[0].F, c.In[1].F, c.Grad[0]) },
	}, x, targets)
}
