package kernel

import (
	"fmt"
	"math"
)

// AttentionShape describes attention of sequences over themselves. Query head h uses
// key-value head h / (Heads/KVHeads).
type AttentionShape struct {
	Batch, Seq              int
	Heads, KVHeads, HeadDim int
	Causal                  bool    // a query sees no key after its own position
	Scale                   float32 // of the scores; 0 means 1 / sqrt(HeadDim)
	Dropout                 float32 // rate at which weights are dropped, see Seed
}

// AttentionStrides are the distances between rows, one for each position of each sequence,
// in elements. In a row the heads follow one another, so queries, keys and values may be
// parts of one packed matrix.
type AttentionStrides struct{ Q, K, V, Out int }

// AttentionOp computes attention and its gradient over blocks of keys, without a matrix of
// all scores (Dao and others, "FlashAttention", 2022). It keeps two numbers for each row
// from Forward to Backward: the largest score and the inverse sum of the weights.
type AttentionOp struct {
	onISA
	// Lengths, if not nil, holds for each sequence how many keys there are: those after them
	// are padding and not seen. A query that sees no key gives zeros and no gradient.
	Lengths []int32
	// Seed chooses the weights that are dropped, as that of [DropoutOp.Forward]. They are
	// dropped after the softmax: those kept are scaled by 1 / (1 - Dropout).
	Seed uint64

	shape    AttentionShape
	padded   int       // Seq, as a multiple of the block
	top, inv []float32 // (Batch, Heads, padded)
	drop     dropping
	buffers  scratchList
	task     attentionTask
}

// attentionBlock is the number of queries and of keys in a block. Blocks start at multiples
// of it, and all sums run in the order of positions, so that the bits depend on neither the
// batch nor the split.
const attentionBlock = 64

// NewAttentionOp returns an op for a shape.
func NewAttentionOp(s AttentionShape) *AttentionOp {
	if s.Batch < 0 || s.Seq < 1 || s.HeadDim < 1 || s.KVHeads < 1 || s.Heads < 1 || s.Heads%s.KVHeads != 0 {
		panic(fmt.Sprintf("kernel: AttentionOp of %d sequences of %d, %d heads over %d of %d", s.Batch, s.Seq, s.Heads, s.KVHeads, s.HeadDim))
	}
	if s.Scale == 0 {
		s.Scale = float32(1 / math.Sqrt(float64(s.HeadDim)))
	}
	o := &AttentionOp{onISA: onISA{current}, shape: s, drop: newDropping(s.Dropout)}
	o.padded = (s.Seq + attentionBlock - 1) / attentionBlock * attentionBlock
	o.top = make([]float32, s.Batch*s.Heads*o.padded)
	o.inv = make([]float32, len(o.top))
	return o
}

// Forward writes the attention of q over k and v to out. Rows count sequences, then
// positions. Out must not overlap the others.
func (o *AttentionOp) Forward(p *Pool, out, q, k, v []float32, s AttentionStrides) {
	o.check("Forward", out, q, k, v, s)
	o.task = attentionTask{op: o, out: out, q: q, k: k, v: v, stride: s}
	p.Run(o.shape.Batch*o.shape.Heads*(o.padded/attentionBlock), o.grain(attentionBlock), &o.task)
	o.task = attentionTask{}
}

// Backward writes the gradients of q, k and v from that of out, for the operands, lengths
// seed and result of the last Forward. Gradients have the strides of what they belong to; they
// must not overlap the operands.
func (o *AttentionOp) Backward(p *Pool, dq, dk, dv, dout, q, k, v, out []float32, s AttentionStrides) {
	o.check("Backward", out, q, k, v, s)
	o.check("Backward gradients", dout, dq, dk, dv, s)
	o.task = attentionTask{op: o, dq: dq, dk: dk, dv: dv, dout: dout, q: q, k: k, v: v, out: out, stride: s}
	sh := &o.shape
	items := sh.Batch * sh.KVHeads
	if items >= 2*p.Threads() || items%p.Threads() == 0 || o.padded == attentionBlock {
		o.task.part = partBoth
		p.Run(items, o.grain(sh.Seq*sh.Heads/sh.KVHeads), &o.task)
	} else {
		o.task.part = partKeys
		p.Run(items*(o.padded/attentionBlock), 1, &o.task)
		o.task.part = partQueries
		p.Run(sh.Batch*sh.Heads*(o.padded/attentionBlock), 1, &o.task)
	}
	o.task = attentionTask{}
}

// grain returns how many items of a number of queries a goroutine takes at a time.
func (o *AttentionOp) grain(queries int) int {
	const work = 1 << 17 // multiply-adds, a few microseconds
	return max(1, work/max(1, queries*o.shape.Seq*o.shape.HeadDim))
}

func (o *AttentionOp) check(name string, out, q, k, v []float32, s AttentionStrides) {
	sh := &o.shape
	rows, wide, narrow := sh.Batch*sh.Seq, sh.Heads*sh.HeadDim, sh.KVHeads*sh.HeadDim
	fits := func(x []float32, stride, width int) bool {
		return stride >= width && (rows == 0 || len(x) >= (rows-1)*stride+width)
	}
	if !fits(out, s.Out, wide) || !fits(q, s.Q, wide) || !fits(k, s.K, narrow) || !fits(v, s.V, narrow) {
		panic(fmt.Sprintf("kernel: AttentionOp.%s of %d rows, %d heads over %d of %d, %d %d %d %d elements, strides %v", name, rows, sh.Heads, sh.KVHeads, sh.HeadDim, len(out), len(q), len(k), len(v), s))
	}
	if o.Lengths == nil {
		return
	}
	if len(o.Lengths) < sh.Batch {
		panic(fmt.Sprintf("kernel: AttentionOp.%s of %d sequences with %d lengths", name, sh.Batch, len(o.Lengths)))
	}
	for i, n := range o.Lengths[:sh.Batch] {
		if n < 0 || int(n) > sh.Seq {
			panic(fmt.Sprintf("kernel: AttentionOp.%s: length %d of sequence %d, rows for %d", name, n, i, sh.Seq))
		}
	}
}

// Parts of the gradient that a task computes. Both at once take five products for each
// block of scores; apart they take seven, but there are more items to share.
const (
	partBoth = iota + 1
	partKeys
	partQueries
)

// attentionTask computes items: blocks of queries of a head, or for the gradient heads of
// keys (partBoth), blocks of keys (partKeys) or blocks of queries (partQueries).
type attentionTask struct {
	op               *AttentionOp
	part             int // 0 is Forward
	out, q, k, v     []float32
	dout, dq, dk, dv []float32
	stride           AttentionStrides
}

func (t *attentionTask) Do(lo, hi int) {
	o, sh := t.op, &t.op.shape
	a := newAttentionPass(t, o.buffers.get(attentionFloats(sh.HeadDim)))
	blocks, share := o.padded/attentionBlock, sh.Heads/sh.KVHeads
	for item := lo; item < hi; item++ {
		switch t.part {
		case partBoth:
			a.open(item/sh.KVHeads, item%sh.KVHeads*share)
			a.both()
		case partKeys:
			a.open(item/blocks/sh.KVHeads, item/blocks%sh.KVHeads*share)
			a.keyBlock(item % blocks * attentionBlock)
		default:
			a.open(item/blocks/sh.Heads, item/blocks%sh.Heads)
			if t.part == partQueries {
				a.queryBlock(item % blocks * attentionBlock)
			} else {
				a.forward(item % blocks * attentionBlock)
			}
		}
	}
	o.buffers.put(a.buf)
}
