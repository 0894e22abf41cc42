package llama

import (
	"context"
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/nn"
)

// Stage is a loaded range of a model. It is for one call at a time.
type Stage struct {
	cfg   Config
	rng   nn.Range
	pool  *kernel.Pool
	bytes int64

	embed  nn.Table // empty without embedding
	blocks []block
	norm   []float32 // head only
	output nn.Linear

	freqs nn.Frequencies
	eps   float32
	s     scratch
}

// block holds the weights of one block.
type block struct {
	window         int // 0: sees everything before
	attnNorm       []float32
	q, k, v, o     nn.Linear
	qNorm, kNorm   []float32 // nil without query and key norms
	ffnNorm        []float32
	gate, up, down nn.Linear
	qkv, gateUp    []*kernel.Matrix // as MatMulN wants them
}

// Load reads the weights of a range of the model that cfg describes; both must have been
// validated.
func Load(ctx context.Context, cfg Config, r nn.Range, w nn.Weights, pool *kernel.Pool) (*Stage, error) {
	s := &Stage{cfg: cfg, rng: r, pool: pool, eps: float32(cfg.Eps), freqs: cfg.Rope.Frequencies(cfg.HeadDim)}
	s.blocks = make([]block, r.Last-r.First)
	parts := r.Parts()
	var err error
	s.bytes, err = nn.LoadParts(ctx, w, parts, pool.Threads(), func(l *nn.Loader, i int) {
		switch part := parts[i]; part.Kind {
		case nn.Embedding:
			s.embed = l.Table("tokens.weight", cfg.Vocab, cfg.Dim)
		case nn.Block:
			s.blocks[part.Index-r.First] = s.loadBlock(l, part.Index)
		case nn.Head:
			s.norm = l.Norm("norm", cfg.Dim)
			s.output = l.Linear("output", cfg.Vocab, cfg.Dim, false)
		}
	})
	if err != nil {
		return nil, err
	}
	s.s.bind(s)
	return s, nil
}

func (s *Stage) loadBlock(l *nn.Loader, index int) block {
	c := &s.cfg
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	b := block{window: c.window(index)}
	b.attnNorm = l.Norm("attn_norm", c.Dim)
	b.q = l.Linear("attn.q", q, c.Dim, c.QKVBias)
	b.k = l.Linear("attn.k", kv, c.Dim, c.QKVBias)
	b.v = l.Linear("attn.v", kv, c.Dim, c.QKVBias)
	if c.QKNorm {
		b.qNorm = l.Norm("attn.q_norm", c.HeadDim)
		b.kNorm = l.Norm("attn.k_norm", c.HeadDim)
	}
	b.o = l.Linear("attn.o", c.Dim, q, c.OutBias)
	b.ffnNorm = l.Norm("ffn_norm", c.Dim)
	b.gate = l.Linear("ffn.gate", c.FFN, c.Dim, c.FFNBias)
	b.up = l.Linear("ffn.up", c.FFN, c.Dim, c.FFNBias)
	b.down = l.Linear("ffn.down", c.Dim, c.FFN, c.FFNBias)
	b.qkv = []*kernel.Matrix{b.q.Weight, b.k.Weight, b.v.Weight}
	b.gateUp = []*kernel.Matrix{b.gate.Weight, b.up.Weight}
	return b
}

// WeightBytes returns the memory the weights take.
func (s *Stage) WeightBytes() int64 { return s.bytes }

// NewCaches returns empty caches for a sequence, one per block.
func (s *Stage) NewCaches(maxTokens int) []*kernel.KVCache {
	caches := make([]*kernel.KVCache, len(s.blocks))
	for i := range caches {
		caches[i] = kernel.NewKVCache(s.cfg.KVHeads, s.cfg.HeadDim, maxTokens)
	}
	return caches
}

// Embed writes the embeddings of the spans' tokens to x (rows, dim). Tokens must be in range.
func (s *Stage) Embed(x []float32, spans []nn.Span) {
	dim := s.cfg.Dim
	for _, sp := range spans {
		for i, id := range sp.Tokens {
			row := sp.Lo + i
			s.embed.Row(x[row*dim:(row+1)*dim], int(id))
		}
	}
}

// Blocks runs the hidden states x (rows, dim) through the blocks, in place, and appends
// to the caches of the spans' sessions. On an error the caches hold a part of the rows.
func (s *Stage) Blocks(ctx context.Context, x []float32, spans []nn.Span) error {
	if len(s.blocks) == 0 || len(spans) == 0 {
		return nil
	}
	n := spans[len(spans)-1].Hi
	s.s.grow(s, n)
	s.s.angles(s, spans)
	for i := range s.blocks {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("run block %d: %w", s.rng.First+i, err)
		}
		s.block(i, x, n, spans)
	}
	return nil
}

func (s *Stage) block(i int, x []float32, n int, spans []nn.Span) {
	b, t := &s.blocks[i], &s.s
	t.b, t.x = b, x
	nn.ForRows(s.pool, n, s.cfg.Dim, t.preAttention)
	t.dsts = append(t.dsts[:0], t.q, t.k, t.v)
	kernel.MatMulN(s.pool, t.dsts, t.h, n, b.qkv, &t.acts)
	nn.ForRows(s.pool, n, s.cfg.Heads*s.cfg.HeadDim, t.rotate)
	s.attend(i, spans)
	kernel.MatMul(s.pool, t.h, t.att, n, b.o.Weight, &t.acts)
	nn.ForRows(s.pool, n, s.cfg.Dim, t.preFFN)
	t.dsts = append(t.dsts[:0], t.gate, t.up)
	kernel.MatMulN(s.pool, t.dsts, t.h, n, b.gateUp, &t.acts)
	nn.ForRows(s.pool, n, s.cfg.FFN, t.activate)
	kernel.MatMul(s.pool, t.h, t.gate, n, b.down.Weight, &t.acts)
	nn.ForRows(s.pool, n, s.cfg.Dim, t.postFFN)
}

// attend appends the rows' keys and values to the caches and writes the attention to att.
func (s *Stage) attend(i int, spans []nn.Span) {
	c, b, t := &s.cfg, &s.blocks[i], &s.s
	qw, kvw := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	t.seqs = t.seqs[:0]
	for _, sp := range spans {
		cache := sp.Session.Cache(i)
		cache.Append(t.k[sp.Lo*kvw:sp.Hi*kvw], t.v[sp.Lo*kvw:sp.Hi*kvw], sp.Len())
		t.seqs = append(t.seqs, kernel.AttendSeq{
			Dst: t.att[sp.Lo*qw : sp.Hi*qw], Q: t.q[sp.Lo*qw : sp.Hi*qw], N: sp.Len(), Pos: sp.Pos, Cache: cache,
		})
	}
	kernel.AttendBatch(s.pool, t.seqs, kernel.AttendOptions{
		Heads: c.Heads, Window: b.window, Causal: true, Scale: t.scale,
	}, &t.attn)
	clear(t.seqs) // the caches belong to their sessions
}

// Head writes the logits (rows, vocab) of hidden states x (rows, dim), which it overwrites.
func (s *Stage) Head(logits, x []float32, n int) {
	t := &s.s
	t.x = x
	nn.ForRows(s.pool, n, s.cfg.Dim, t.finalNorm)
	kernel.MatMul(s.pool, logits, x, n, s.output.Weight, &t.acts)
}
