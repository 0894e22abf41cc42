package kernel_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

type attentionCase struct {
	shape   kernel.AttentionShape
	lengths []int32
	stride  kernel.AttentionStrides
	q, k, v []float32
	dout    []float32
}

// newAttentionCase makes operands up; packed puts queries, keys and values in one matrix.
func newAttentionCase(s kernel.AttentionShape, lengths []int32, packed bool) attentionCase {
	rows, wide, narrow := s.Batch*s.Seq, s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	rng := rngOf(rows*1000 + wide)
	c := attentionCase{shape: s, lengths: lengths, dout: randoms(rng, rows*wide, 1)}
	if packed {
		all := wide + 2*narrow
		x := randoms(rng, rows*all, 1)
		c.q, c.k, c.v, c.stride = x, x[wide:], x[wide+narrow:], kernel.AttentionStrides{Q: all, K: all, V: all, Out: wide}
	} else {
		c.q, c.k, c.v = randoms(rng, rows*wide, 1), randoms(rng, rows*narrow, 1), randoms(rng, rows*narrow, 1)
		c.stride = kernel.AttentionStrides{Q: wide, K: narrow, V: narrow, Out: wide}
	}
	return c
}

// run returns the output and the gradients of q, k and v.
func (c *attentionCase) run(isa kernel.ISA, p *kernel.Pool) (out, dq, dk, dv []float32) {
	op := kernel.NewAttentionOp(c.shape)
	op.UseISA(isa)
	op.Lengths, op.Seed = c.lengths, attentionSeed
	out, dq, dk, dv = filled(len(c.dout), nan32), filled(len(c.q), 7), filled(len(c.k), 7), filled(len(c.v), 7)
	op.Forward(p, out, c.q, c.k, c.v, c.stride)
	op.Backward(p, dq, dk, dv, c.dout, c.q, c.k, c.v, out, c.stride)
	return out, dq, dk, dv
}

const attentionSeed = 77

// mask returns what DropoutOp multiplies the weights with: (batch, heads, blocks of queries,
// blocks of keys, 64 keys, 64 queries).
func (c *attentionCase) mask() []float32 {
	if c.shape.Dropout == 0 {
		return nil
	}
	blocks := (c.shape.Seq + 63) / 64
	m := filled(c.shape.Batch*c.shape.Heads*blocks*blocks*64*64, 1)
	p := kernel.NewPool(1)
	defer p.Close()
	kernel.NewDropoutOp(c.shape.Dropout).Forward(p, m, m, attentionSeed)
	return m
}

// reference computes the output in float64.
func (c *attentionCase) reference(q, k, v []float64) []float64 {
	s, mask, blocks := c.shape, c.mask(), (c.shape.Seq+63)/64
	out := make([]float64, s.Batch*s.Seq*s.Heads*s.HeadDim)
	scale := float64(s.Scale)
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(s.HeadDim))
	}
	for b := range s.Batch {
		keys := s.Seq
		if c.lengths != nil {
			keys = int(c.lengths[b])
		}
		for h := range s.Heads {
			kv := h / (s.Heads / s.KVHeads) * s.HeadDim
			for i := range s.Seq {
				n := keys
				if s.Causal {
					n = min(n, i+1)
				}
				w, sum := make([]float64, n), 0.0
				for j := range w {
					for d := range s.HeadDim {
						w[j] += q[(b*s.Seq+i)*c.stride.Q+h*s.HeadDim+d] * k[(b*s.Seq+j)*c.stride.K+kv+d]
					}
					w[j] = math.Exp(w[j] * scale)
					sum += w[j]
				}
				if mask != nil {
					for j := range w {
						block := ((b*s.Heads+h)*blocks+i/64)*blocks + j/64
						w[j] *= float64(mask[block*64*64+j%64*64+i%64])
					}
				}
				o := out[(b*s.Seq+i)*c.stride.Out+h*s.HeadDim:]
				for j := range w {
					for d := range s.HeadDim {
						o[d] += w[j] / sum * v[(b*s.Seq+j)*c.stride.V+kv+d]
					}
				}
			}
		}
	}
	return out
}

var attentionCases = []struct {
	shape   kernel.AttentionShape
	lengths []int32
	packed  bool
}{
	{shape: kernel.AttentionShape{Batch: 1, Seq: 1, Heads: 1, KVHeads: 1, HeadDim: 1}},
	{shape: kernel.AttentionShape{Batch: 2, Seq: 7, Heads: 2, KVHeads: 1, HeadDim: 5, Causal: true}, packed: true},
	{shape: kernel.AttentionShape{Batch: 2, Seq: 20, Heads: 4, KVHeads: 2, HeadDim: 16, Causal: true}, packed: true},
	{shape: kernel.AttentionShape{Batch: 3, Seq: 9, Heads: 1, KVHeads: 1, HeadDim: 16}, lengths: []int32{4, 0, 9}},
	{shape: kernel.AttentionShape{Batch: 3, Seq: 18, Heads: 1, KVHeads: 1, HeadDim: 3, Causal: true, Scale: 0.3}, lengths: []int32{17, 0, 5}},
	{shape: kernel.AttentionShape{Batch: 1, Seq: 67, Heads: 1, KVHeads: 1, HeadDim: 2, Causal: true}},
	{shape: kernel.AttentionShape{Batch: 1, Seq: 70, Heads: 2, KVHeads: 1, HeadDim: 4}, lengths: []int32{66}},
	{shape: kernel.AttentionShape{Batch: 8, Seq: 64, Heads: 4, KVHeads: 4, HeadDim: 32, Causal: true}, packed: true},
	{shape: kernel.AttentionShape{Batch: 1, Seq: 51, Heads: 1, KVHeads: 1, HeadDim: 64}},
	{shape: kernel.AttentionShape{Batch: 2, Seq: 113, Heads: 2, KVHeads: 1, HeadDim: 80, Causal: true}, packed: true},
	{shape: kernel.AttentionShape{Batch: 1, Seq: 200, Heads: 6, KVHeads: 2, HeadDim: 33, Causal: true}},
	{shape: kernel.AttentionShape{Batch: 2, Seq: 130, Heads: 2, KVHeads: 2, HeadDim: 48}, lengths: []int32{70, 130}, packed: true},
	{shape: kernel.AttentionShape{Batch: 2, Seq: 19, Heads: 4, KVHeads: 2, HeadDim: 5, Dropout: 0.3}, lengths: []int32{19, 7}},
	{shape: kernel.AttentionShape{Batch: 1, Seq: 67, Heads: 2, KVHeads: 1, HeadDim: 3, Causal: true, Dropout: 0.1}, packed: true},
	{shape: kernel.AttentionShape{Batch: 3, Seq: 150, Heads: 3, KVHeads: 3, HeadDim: 32, Causal: true, Dropout: 0.5}},
}

func TestAttentionOp(t *testing.T) {
	t.Parallel()
	for _, s := range attentionCases {
		t.Run(fmt.Sprint(s.shape, s.lengths), func(t *testing.T) {
			t.Parallel()
			c := newAttentionCase(s.shape, s.lengths, s.packed)
			everyWay(t, "attention", func(isa kernel.ISA, p *kernel.Pool) []float32 {
				return joined(c.run(isa, p))
			})
			out, dq, dk, dv := c.run(kernel.Current(), newPoolFor(t, 2))
			q64, k64, v64 := wide(c.q), wide(c.k), wide(c.v)
			nearAll(t, "attention", out, c.reference(q64, k64, v64), 2e-6)
			if len(c.q) > 2500 {
				return
			}
			if s.packed {
				gradientNear(t, "packed", c.packed(dq, dk, dv), c.q, 3e-6, func(x []float64) float64 {
					kAt := c.shape.Heads * c.shape.HeadDim
					return dotWith(c.reference(x, x[kAt:], x[kAt+c.shape.KVHeads*c.shape.HeadDim:]), c.dout)
				})
				return
			}
			gradientNear(t, "dq", dq, c.q, 3e-6, func(x []float64) float64 { return dotWith(c.reference(x, k64, v64), c.dout) })
			gradientNear(t, "dk", dk, c.k, 3e-6, func(x []float64) float64 { return dotWith(c.reference(q64, x, v64), c.dout) })
			gradientNear(t, "dv", dv, c.v, 3e-6, func(x []float64) float64 { return dotWith(c.reference(q64, k64, x), c.dout) })
		})
	}
}

// packed puts the three gradients of a packed matrix together.
func (c *attentionCase) packed(dq, dk, dv []float32) []float32 {
	wide, narrow := c.shape.Heads*c.shape.HeadDim, c.shape.KVHeads*c.shape.HeadDim
	all := append([]float32(nil), dq...)
	for r := range c.shape.Batch * c.shape.Seq {
		copy(all[r*c.stride.Q+wide:r*c.stride.Q+wide+narrow], dk[r*c.stride.K:])
		copy(all[r*c.stride.Q+wide+narrow:(r+1)*c.stride.Q], dv[r*c.stride.V:])
	}
	return all
}

// A sequence has the same bits alone and in a batch.
func TestAttentionOpIgnoresTheBatch(t *testing.T) {
	t.Parallel()
	p := newPoolFor(t, 2)
	s := kernel.AttentionShape{Batch: 3, Seq: 150, Heads: 2, KVHeads: 1, HeadDim: 16, Causal: true}
	c := newAttentionCase(s, nil, false)
	out, dq, dk, dv := c.run(kernel.Current(), p)
	one := c
	one.shape.Batch = 1
	nq, nk := len(c.q)/3, len(c.k)/3
	one.q, one.k, one.v, one.dout = c.q[nq:2*nq], c.k[nk:2*nk], c.v[nk:2*nk], c.dout[nq:2*nq]
	out1, dq1, dk1, dv1 := one.run(kernel.Current(), p)
	sameBits(t, "alone", joined(out1, dq1, dk1, dv1), joined(out[nq:2*nq], dq[nq:2*nq], dk[nk:2*nk], dv[nk:2*nk]))
}

func TestAttentionOpPropagatesNaN(t *testing.T) {
	t.Parallel()
	c := newAttentionCase(kernel.AttentionShape{Batch: 2, Seq: 40, Heads: 1, KVHeads: 1, HeadDim: 16, Causal: true}, nil, false)
	c.k[20*16] = nan32
	out := everyWay(t, "attention", func(isa kernel.ISA, p *kernel.Pool) []float32 { return joined(c.run(isa, p)) })
	for i, v := range out[:80*16] {
		if row := i / 16; (v != v) != (row >= 20 && row < 40) {
			t.Fatalf("row %d holds %v", row, v)
		}
	}
}

func TestAttentionOpPanicsOnShapes(t *testing.T) {
	t.Parallel()
	p := newPoolFor(t, 1)
	s := kernel.AttentionShape{Batch: 2, Seq: 3, Heads: 2, KVHeads: 1, HeadDim: 4}
	x := make([]float32, 48)
	st := kernel.AttentionStrides{Q: 8, K: 4, V: 4, Out: 8}
	with := func(lengths []int32) *kernel.AttentionOp {
		op := kernel.NewAttentionOp(s)
		op.Lengths = lengths
		return op
	}
	for name, f := range map[string]func(){
		"dropout": func() {
			kernel.NewAttentionOp(kernel.AttentionShape{Batch: 1, Seq: 1, Heads: 1, KVHeads: 1, HeadDim: 1, Dropout: 1})
		},
		"heads": func() {
			kernel.NewAttentionOp(kernel.AttentionShape{Batch: 1, Seq: 1, Heads: 3, KVHeads: 2, HeadDim: 1})
		},
		"short q":      func() { with(nil).Forward(p, x, x[:47], x, x, st) },
		"short out":    func() { with(nil).Forward(p, x[:47], x, x, x, st) },
		"stride":       func() { with(nil).Forward(p, x, x, x, x, kernel.AttentionStrides{Q: 8, K: 3, V: 4, Out: 8}) },
		"few lengths":  func() { with([]int32{1}).Forward(p, x, x, x, x, st) },
		"long length":  func() { with([]int32{1, 4}).Forward(p, x, x, x, x, st) },
		"short dk":     func() { with(nil).Backward(p, x, x[:23], x, x, x, x, x, x, st) },
		"short d(out)": func() { with(nil).Backward(p, x, x, x, x[:47], x, x, x, x, st) },
	} {
		mustPanic(t, name, f)
	}
}
