package llama

import (
	"math"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/nn"
)

// scratch is the memory of a forward pass, kept between calls. It grows to the largest
// batch, which the caller bounds.
type scratch struct {
	h        []float32 // (rows, dim)
	q, att   []float32 // (rows, heads*headDim)
	k, v     []float32 // (rows, kvHeads*headDim)
	gate, up []float32 // (rows, ffn)
	cos, sin []float32 // (rows, headDim/2)
	scale    float32
	dsts     [][]float32
	acts     kernel.Acts
	attn     kernel.AttnScratch
	seqs     []kernel.AttendSeq

	// What the row functions below work on.
	b *block
	x []float32 // (rows, dim)

	preAttention, rotate, preFFN, activate, postFFN, finalNorm func(lo, hi int)
}

func (t *scratch) grow(s *Stage, n int) {
	c := &s.cfg
	t.h = nn.Grow(t.h, n*c.Dim)
	t.q, t.att = nn.Grow(t.q, n*c.Heads*c.HeadDim), nn.Grow(t.att, n*c.Heads*c.HeadDim)
	t.k, t.v = nn.Grow(t.k, n*c.KVHeads*c.HeadDim), nn.Grow(t.v, n*c.KVHeads*c.HeadDim)
	t.gate, t.up = nn.Grow(t.gate, n*c.FFN), nn.Grow(t.up, n*c.FFN)
	t.cos, t.sin = nn.Grow(t.cos, n*c.HeadDim/2), nn.Grow(t.sin, n*c.HeadDim/2)
}

// angles computes the rotation of every row, once for all blocks.
func (t *scratch) angles(s *Stage, spans []nn.Span) {
	half := s.cfg.HeadDim / 2
	for _, sp := range spans {
		for i := range sp.Len() {
			at := (sp.Lo + i) * half
			s.freqs.SinCos(t.cos[at:at+half], t.sin[at:at+half], sp.Pos+i)
		}
	}
}

// bind makes the row functions, once, so that a pass allocates none. Each treats the rows
// [lo, hi) of the batch on their own.
func (t *scratch) bind(s *Stage) {
	c := &s.cfg
	dim := c.Dim
	t.scale = float32(1 / math.Sqrt(float64(c.HeadDim)))
	t.preAttention = func(lo, hi int) {
		for i := lo; i < hi; i++ {
			kernel.RMSNorm(t.h[i*dim:(i+1)*dim], t.x[i*dim:(i+1)*dim], t.b.attnNorm, s.eps)
		}
	}
	t.rotate = func(lo, hi int) { t.rotateRows(s, lo, hi) }
	t.preFFN = func(lo, hi int) {
		for i := lo; i < hi; i++ {
			h, x := t.h[i*dim:(i+1)*dim], t.x[i*dim:(i+1)*dim]
			t.b.o.AddBias(h, 1)
			kernel.Add(x, h)
			kernel.RMSNorm(h, x, t.b.ffnNorm, s.eps)
		}
	}
	t.activate = func(lo, hi int) {
		gate, up := t.gate[lo*c.FFN:hi*c.FFN], t.up[lo*c.FFN:hi*c.FFN]
		t.b.gate.AddBias(gate, hi-lo)
		t.b.up.AddBias(up, hi-lo)
		kernel.SiLUMul(gate, gate, up)
	}
	t.postFFN = func(lo, hi int) {
		h := t.h[lo*dim : hi*dim]
		t.b.down.AddBias(h, hi-lo)
		kernel.Add(t.x[lo*dim:hi*dim], h)
	}
	t.finalNorm = func(lo, hi int) {
		for i := lo; i < hi; i++ {
			x := t.x[i*dim : (i+1)*dim]
			kernel.RMSNorm(x, x, s.norm, s.eps)
		}
	}
}

// rotateRows adds the biases to queries, keys and values, norms the heads where the model
// does, and turns queries and keys to their positions.
func (t *scratch) rotateRows(s *Stage, lo, hi int) {
	c, b := &s.cfg, t.b
	hd, qw, kvw := c.HeadDim, c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	b.q.AddBias(t.q[lo*qw:hi*qw], hi-lo)
	b.k.AddBias(t.k[lo*kvw:hi*kvw], hi-lo)
	b.v.AddBias(t.v[lo*kvw:hi*kvw], hi-lo)
	for i := lo; i < hi; i++ {
		q, k := t.q[i*qw:(i+1)*qw], t.k[i*kvw:(i+1)*kvw]
		if b.qNorm != nil {
			normHeads(q, b.qNorm, s.eps)
			normHeads(k, b.kNorm, s.eps)
		}
		cos, sin := t.cos[i*hd/2:(i+1)*hd/2], t.sin[i*hd/2:(i+1)*hd/2]
		kernel.Rope(q, c.Heads, hd, cos, sin)
		kernel.Rope(k, c.KVHeads, hd, cos, sin)
	}
}

func normHeads(x, weight []float32, eps float32) {
	w := len(weight)
	for i := 0; i < len(x); i += w {
		kernel.RMSNorm(x[i:i+w], x[i:i+w], weight, eps)
	}
}
