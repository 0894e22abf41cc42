package op

import (
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
)

// Conv is the convolution of x (batch, channels, h, w) with weights (out, channels, kh, kw)
// and bias (out), which may be nil.
func Conv(g *graph.Graph, x, w, b *Node, stride, pad int) *Node {
	if !ready(g, "convolution", []int{4, 4}, x, w) {
		return nil
	}
	xs, ws := x.Shape(), w.Shape()
	c := kernel.Conv{Batch: xs[0], InC: xs[1], H: xs[2], W: xs[3], OutC: ws[0], KH: ws[2], KW: ws[3], Stride: stride, Pad: pad}
	if err := c.Check(); err != nil {
		g.Fail(err)
		return nil
	}
	if !fits(g, "convolution weights", w, c.OutC, c.InC, c.KH, c.KW) || b != nil && !fits(g, "convolution bias", b, c.OutC) {
		return nil
	}
	k := &conv{op: kernel.NewConvOp(c)}
	o := &graph.Op{
		Name: "convolution", Shape: []int{c.Batch, c.OutC, c.OutH(), c.OutW()}, Run: k.run,
		Grads: []int{0, 1}, Back: k.back, Reads: []int{0, 1},
	}
	o.FLOPs = 2 * int64(size(w)) * int64(c.Batch) * int64(c.OutH()) * int64(c.OutW())
	if b == nil {
		return g.Apply(o, x, w)
	}
	o.Grads = append(o.Grads, 2)
	return g.Apply(o, x, w, b)
}

type conv struct{ op *kernel.ConvOp }

func (k *conv) run(c *graph.Call) {
	var bias []float32
	if len(c.In) > 2 {
		bias = c.In[2].F
	}
	k.op.Forward(c.Pool, c.Value, c.In[0].F, c.In[1].F, bias)
}

func (k *conv) back(c *graph.Call) {
	if c.Out[0] != nil {
		k.op.GradInput(c.Pool, c.Out[0], c.Grad, c.In[1].F)
	}
	var db []float32
	if len(c.Out) > 2 {
		db = c.Out[2]
	}
	if c.Out[1] != nil {
		k.op.GradWeights(c.Pool, c.Out[1], db, c.Grad, c.In[0].F)
	}
}

// BatchNormConfig says how a batch norm works. Mean and Var are the running statistics, of
// one element per channel; a training graph updates them as PyTorch does.
type BatchNormConfig struct {
	Eps, Momentum float32
	ReLU          bool // max(0, ·) of the result
	Mean, Var     []float32
}

// BatchNorm normalises each channel of x (batch, channels, ...): over the batch in a
// training graph, where a channel must have more than one element, and by the running
// statistics otherwise.
func BatchNorm(g *graph.Graph, x, gamma, beta *Node, cfg BatchNormConfig) *Node {
	if g.Err() != nil || x == nil {
		return nil
	}
	s := x.Shape()
	if len(s) < 2 || len(cfg.Mean) != s[1] || len(cfg.Var) != s[1] {
		g.Fail(fmt.Errorf("batch norm: shape %v with statistics of %d and %d channels", s, len(cfg.Mean), len(cfg.Var)))
		return nil
	}
	if !ready(g, "batch norm", []int{1, 1}, gamma, beta) || !fits(g, "batch norm", gamma, s[1]) || !fits(g, "batch norm", beta, s[1]) {
		return nil
	}
	shape := kernel.BatchNorm{Batch: s[0], C: s[1], Size: size(x) / s[0] / s[1], Eps: cfg.Eps, Momentum: cfg.Momentum, ReLU: cfg.ReLU}
	if g.Training() {
		if err := shape.CheckTrain(); err != nil {
			g.Fail(err)
			return nil
		}
	}
	k := &batchNorm{cfg: cfg, training: g.Training(), op: kernel.NewBatchNormOp(shape)}
	o := &graph.Op{Name: "batch norm", Shape: s, Run: k.run}
	if k.training {
		o.Grads, o.Back, o.Reads = []int{0, 1, 2}, k.back, []int{0, 1}
		o.ReadsValue, o.AllGrads = cfg.ReLU, true
	}
	return g.Apply(o, x, gamma, beta)
}

type batchNorm struct {
	cfg      BatchNormConfig
	training bool
	op       *kernel.BatchNormOp
}

func (k *batchNorm) run(c *graph.Call) {
	if k.training {
		k.op.Train(c.Pool, c.Value, c.In[0].F, c.In[1].F, c.In[2].F, k.cfg.Mean, k.cfg.Var)
		return
	}
	k.op.Eval(c.Pool, c.Value, c.In[0].F, c.In[1].F, c.In[2].F, k.cfg.Mean, k.cfg.Var)
}

func (k *batchNorm) back(c *graph.Call) {
	k.op.Backward(c.Pool, c.Out[0], c.Out[1], c.Out[2], c.Grad, c.In[0].F, c.Value, c.In[1].F)
}

// pooler is what the pools of package kernel have in common.
type pooler interface {
	Forward(p *kernel.Pool, y, x []float32)
	Backward(p *kernel.Pool, dx, dy []float32)
}

func pool(g *graph.Graph, name string, x *Node, k pooler, shape ...int) *Node {
	return g.Apply(&graph.Op{
		Name: name, Shape: shape, Grads: []int{0},
		Run:  func(c *graph.Call) { k.Forward(c.Pool, c.Value, c.In[0].F) },
		Back: func(c *graph.Call) { k.Backward(c.Pool, c.Out[0], c.Grad) },
	}, x)
}

// MaxPool takes the largest element of each window of k by k.
func MaxPool(g *graph.Graph, x *Node, k, stride, pad int) *Node {
	if !ready(g, "max pooling", []int{4}, x) {
		return nil
	}
	s := x.Shape()
	m := kernel.MaxPool{Planes: s[0] * s[1], H: s[2], W: s[3], K: k, Stride: stride, Pad: pad}
	if err := m.Check(); err != nil {
		g.Fail(err)
		return nil
	}
	return pool(g, "max pooling", x, kernel.NewMaxPoolOp(m), s[0], s[1], m.OutH(), m.OutW())
}

// AvgPool takes the mean of each window of k by k; padding counts as zeros, as in PyTorch.
func AvgPool(g *graph.Graph, x *Node, k, stride, pad int) *Node {
	if !ready(g, "average pooling", []int{4}, x) {
		return nil
	}
	s := x.Shape()
	m := kernel.AvgPool{Planes: s[0] * s[1], H: s[2], W: s[3], K: k, Stride: stride, Pad: pad}
	if err := m.Check(); err != nil {
		g.Fail(err)
		return nil
	}
	return pool(g, "average pooling", x, kernel.NewAvgPoolOp(m), s[0], s[1], m.OutH(), m.OutW())
}

// GlobalAvgPool takes the mean of each plane: (batch, channels, h, w) to (batch, channels).
func GlobalAvgPool(g *graph.Graph, x *Node) *Node {
	if !ready(g, "global average pooling", []int{4}, x) {
		return nil
	}
	s := x.Shape()
	return pool(g, "global average pooling", x, kernel.NewGlobalAvgPoolOp(s[0]*s[1], s[2]*s[3]), s[0], s[1])
}

// Flatten makes (batch, ...) a matrix of one row per batch item; nothing is copied.
func Flatten(g *graph.Graph, x *Node) *Node {
	if g.Err() != nil || x == nil {
		return nil
	}
	n := x.Shape()[0]
	return Reshape(g, x, n, size(x)/n)
}

// Reshape gives x another shape of as many elements; nothing is copied.
func Reshape(g *graph.Graph, x *Node, shape ...int) *Node {
	return g.Apply(&graph.Op{Name: "reshape", Shape: shape, Alias: true, Grads: []int{graph.PassGrad}}, x)
}
