package bert

import (
	"math"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/nn"
)

// scratch is the memory of a forward pass, kept between calls. It grows to the largest
// batch, which the caller bounds.
type scratch struct {
	h, q, k, v, att []float32 // (rows, dim)
	ffn             []float32 // (rows, ffn)
	scale           float32
	dsts            [][]float32
	acts            kernel.Acts
	attn            kernel.AttnScratch
	kv              *kernel.KVCache // of the span at work
	kvTokens        int             // what kv has room for

	// What the row functions below work on.
	b *block
	x []float32 // (rows, dim)

	biases, afterAttention, activate, afterFFN func(lo, hi int)
}

func (t *scratch) grow(s *Stage, n int) {
	dim := s.cfg.Dim
	t.h, t.q, t.k, t.v, t.att = nn.Grow(t.h, n*dim), nn.Grow(t.q, n*dim), nn.Grow(t.k, n*dim), nn.Grow(t.v, n*dim), nn.Grow(t.att, n*dim)
	t.ffn = nn.Grow(t.ffn, n*s.cfg.FFN)
}

// cache returns an empty cache with room for n tokens.
func (t *scratch) cache(s *Stage, n int) *kernel.KVCache {
	if t.kvTokens < n {
		t.kvTokens = min(s.cfg.Context, (n+63)/64*64)
		t.kv = kernel.NewKVCache(s.cfg.Heads, s.cfg.Dim/s.cfg.Heads, t.kvTokens)
	}
	t.kv.Truncate(0)
	return t.kv
}

// bind makes the row functions, once, so that a pass allocates none. Each treats the rows
// [lo, hi) of the batch on their own.
func (t *scratch) bind(s *Stage) {
	dim, ffn := s.cfg.Dim, s.cfg.FFN
	t.scale = float32(1 / math.Sqrt(float64(dim/s.cfg.Heads)))
	t.biases = func(lo, hi int) {
		t.b.q.AddBias(t.q[lo*dim:hi*dim], hi-lo)
		t.b.k.AddBias(t.k[lo*dim:hi*dim], hi-lo)
		t.b.v.AddBias(t.v[lo*dim:hi*dim], hi-lo)
	}
	t.afterAttention = func(lo, hi int) {
		t.addNorm(t.b.o, t.b.attnNorm, dim, s.eps, lo, hi)
	}
	t.activate = func(lo, hi int) {
		x := t.ffn[lo*ffn : hi*ffn]
		t.b.up.AddBias(x, hi-lo)
		if s.cfg.Activation == GELUTanh {
			kernel.GELUTanh(x)
		} else {
			kernel.GELU(x)
		}
	}
	t.afterFFN = func(lo, hi int) {
		t.addNorm(t.b.down, t.b.ffnNorm, dim, s.eps, lo, hi)
	}
}

// addNorm adds the result h of a layer and its bias to x and norms the sum.
func (t *scratch) addNorm(l nn.Linear, w norm, dim int, eps float32, lo, hi int) {
	for i := lo; i < hi; i++ {
		h, x := t.h[i*dim:(i+1)*dim], t.x[i*dim:(i+1)*dim]
		l.AddBias(h, 1)
		kernel.Add(x, h)
		kernel.LayerNorm(x, x, w.weight, w.bias, eps)
	}
}
