package op

import (
	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
)

// Linear is x · wᵀ + b for x (rows, in), w (out, in) and b (out), which may be nil.
func Linear(g *graph.Graph, x, w, b *Node) *Node {
	if !ready(g, "linear", []int{2, 2}, x, w) {
		return nil
	}
	l := &linear{rows: x.Shape()[0], in: x.Shape()[1], out: w.Shape()[0], bias: kernel.NewBiasOp()}
	if !fits(g, "linear weights", w, l.out, l.in) || b != nil && !fits(g, "linear bias", b, l.out) {
		return nil
	}
	o := &graph.Op{
		Name: "linear", Shape: []int{l.rows, l.out}, Run: l.run, FLOPs: 2 * int64(l.rows) * int64(l.in) * int64(l.out),
		Grads: []int{0, 1}, Back: l.back, Reads: []int{0, 1},
	}
	if b == nil {
		return g.Apply(o, x, w)
	}
	o.Grads = append(o.Grads, 2)
	return g.Apply(o, x, w, b)
}

type linear struct {
	rows, in, out int
	y, dx, dw     kernel.Gemm
	bias          *kernel.BiasOp
}

func (l *linear) run(c *graph.Call) {
	x, w := c.In[0].F, c.In[1].F
	m := &l.y
	m.TransB, m.M, m.N, m.K = true, l.rows, l.out, l.in
	m.A, m.LDA, m.B, m.LDB, m.C, m.LDC = x, l.in, w, l.in, c.Value, l.out
	m.Run(c.Pool)
	if len(c.In) > 2 {
		l.bias.Forward(c.Pool, c.Value, c.Value, c.In[2].F, l.rows)
	}
}

func (l *linear) back(c *graph.Call) {
	x, w := c.In[0].F, c.In[1].F
	if dx := c.Out[0]; dx != nil {
		m := &l.dx
		m.M, m.N, m.K = l.rows, l.in, l.out
		m.A, m.LDA, m.B, m.LDB, m.C, m.LDC = c.Grad, l.out, w, l.in, dx, l.in
		m.Run(c.Pool)
	}
	if dw := c.Out[1]; dw != nil {
		m := &l.dw
		m.TransA, m.M, m.N, m.K = true, l.out, l.in, l.rows
		m.A, m.LDA, m.B, m.LDB, m.C, m.LDC = c.Grad, l.out, x, l.in, dw, l.in
		m.Run(c.Pool)
	}
	if len(c.Out) > 2 && c.Out[2] != nil {
		l.bias.Backward(c.Pool, c.Out[2], c.Grad, l.rows)
	}
}
