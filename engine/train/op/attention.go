package op

import (
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
)

// Rope has the cosines and sines of the angles of each position, (positions, Half) each.
type Rope struct {
	Cos, Sin []float32
	Half     int
}

// AttentionConfig describes attention of sequences over themselves.
type AttentionConfig struct {
	Batch, Seq              int
	Heads, KVHeads, HeadDim int
	Causal                  bool
	Rope                    *Rope   // rotates queries and keys, nil without
	Dropout                 float32 // of the weights, in a graph for training
}

// Attention is softmax(q · kᵀ / sqrt(head width)) · v for qkv (batch * seq, (heads + 2
// kvHeads) * width) = q | k | v. Lengths (batch), which may be nil, tell how many tokens of
// each sequence count as keys.
func Attention(g *graph.Graph, qkv, lengths *Node, cfg AttentionConfig) *Node {
	if !ready(g, "attention", []int{2}, qkv) {
		return nil
	}
	a := &attention{cfg: cfg, wide: cfg.Heads * cfg.HeadDim, narrow: cfg.KVHeads * cfg.HeadDim}
	if cfg.KVHeads < 1 || cfg.HeadDim < 1 || cfg.Heads < 1 || cfg.Heads%cfg.KVHeads != 0 || cfg.Batch < 1 || cfg.Seq < 1 {
		g.Fail(fmt.Errorf("attention: %d sequences of %d, %d heads over %d of %d", cfg.Batch, cfg.Seq, cfg.Heads, cfg.KVHeads, cfg.HeadDim))
		return nil
	}
	if !g.Training() {
		cfg.Dropout = 0
	} else if !(cfg.Dropout >= 0 && cfg.Dropout < 1) {
		g.Fail(fmt.Errorf("attention: dropout of rate %v is not in [0, 1)", cfg.Dropout))
		return nil
	}
	a.place = uint64(g.Len())
	rows := cfg.Batch * cfg.Seq
	if !fits(g, "attention", qkv, rows, a.wide+2*a.narrow) || lengths != nil && !fits(g, "attention lengths", lengths, cfg.Batch) {
		return nil
	}
	a.op = kernel.NewAttentionOp(kernel.AttentionShape{Batch: cfg.Batch, Seq: cfg.Seq, Heads: cfg.Heads, KVHeads: cfg.KVHeads, HeadDim: cfg.HeadDim, Causal: cfg.Causal, Dropout: cfg.Dropout})
	o := &graph.Op{Name: "attention", Shape: []int{rows, a.wide}, Run: a.run, Grads: []int{0}, Back: a.back, ReadsValue: true}
	if r := cfg.Rope; r != nil {
		a.rope = kernel.NewRopeOp(r.Cos, r.Sin, r.Half)
		o.Saved = []int{size(qkv)} // with rotated queries and keys; strides of gradients must be those of operands
	} else {
		o.Reads = []int{0}
	}
	o.FLOPs = 4 * int64(rows) * int64(cfg.Seq) * int64(a.wide) // all pairs, as if nothing was masked
	if lengths == nil {
		return g.Apply(o, qkv)
	}
	o.Grads, o.Reads = append(o.Grads, graph.NoGrad), append(o.Reads, 1)
	return g.Apply(o, qkv, lengths)
}

type attention struct {
	cfg          AttentionConfig
	wide, narrow int // widths of queries, of keys and of values
	op           *kernel.AttentionOp
	rope         *kernel.RopeOp
	copy         copyTask
	place        uint64 // in the graph, for dropout
}

func (a *attention) all() int { return a.wide + 2*a.narrow }

func (a *attention) run(c *graph.Call) {
	qkv := c.In[0].F
	if a.rope != nil {
		a.copy = copyTask{c.Saved[0], qkv}
		c.Pool.Run(len(qkv), copyGrain, &a.copy)
		qkv = c.Saved[0]
		a.rope.Forward(c.Pool, qkv, a.rows())
	}
	a.prepare(c)
	a.op.Forward(c.Pool, c.Value, qkv, qkv[a.wide:], qkv[a.wide+a.narrow:], a.strides())
}

func (a *attention) back(c *graph.Call) {
	qkv, d := c.In[0].F, c.Out[0]
	if a.rope != nil {
		qkv = c.Saved[0]
	}
	a.prepare(c)
	k, v := a.wide, a.wide+a.narrow
	a.op.Backward(c.Pool, d, d[k:], d[v:], c.Grad, qkv, qkv[k:], qkv[v:], c.Value, a.strides())
	if a.rope != nil {
		a.rope.Inverse(c.Pool, d, a.rows())
	}
}

func (a *attention) prepare(c *graph.Call) {
	a.op.Seed = stream(c.Seed(), a.place)
	if len(c.In) > 1 {
		a.op.Lengths = c.In[1].I
	}
}

func (a *attention) strides() kernel.AttentionStrides {
	return kernel.AttentionStrides{Q: a.all(), K: a.all(), V: a.all(), Out: a.wide}
}

// rows describes the heads that are rotated: queries and keys, which follow each other.
func (a *attention) rows() kernel.RopeRows {
	return kernel.RopeRows{N: a.cfg.Batch * a.cfg.Seq, Stride: a.all(), Heads: a.cfg.Heads + a.cfg.KVHeads, HeadDim: a.cfg.HeadDim, Seq: a.cfg.Seq}
}

// copyGrain is the number of elements that a goroutine copies at a time.
const copyGrain = 1 << 14

type copyTask struct{ dst, src []float32 }

func (t *copyTask) Do(lo, hi int) { copy(t.dst[lo:hi], t.src[lo:hi]) }
