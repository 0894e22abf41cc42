package bert

import (
	"context"
	"fmt"
	"math"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/nn"
)

// Stage is a loaded range of a model. It is for one call at a time.
type Stage struct {
	cfg   Config
	rng   nn.Range
	pool  *kernel.Pool
	bytes int64

	tokens, positions, types nn.Table // with embedding only
	embedNorm                norm
	blocks                   []block
	pooler, classifier       nn.Linear // with the head of a classifier only

	eps float32
	s   scratch
}

type norm struct{ weight, bias []float32 }

// block holds the weights of one block.
type block struct {
	q, k, v, o        nn.Linear
	up, down          nn.Linear
	attnNorm, ffnNorm norm
	qkv               []*kernel.Matrix // as MatMulN wants them
}

// Load reads the weights of a range of the model that cfg describes; both must have been
// validated.
func Load(ctx context.Context, cfg Config, r nn.Range, w nn.Weights, pool *kernel.Pool) (*Stage, error) {
	s := &Stage{cfg: cfg, rng: r, pool: pool, eps: float32(cfg.Eps)}
	s.blocks = make([]block, r.Last-r.First)
	parts := r.Parts()
	var err error
	s.bytes, err = nn.LoadParts(ctx, w, parts, pool.Threads(), func(l *nn.Loader, i int) {
		switch part := parts[i]; part.Kind {
		case nn.Embedding:
			s.tokens = l.Table("tokens.weight", cfg.Vocab, cfg.Dim)
			s.positions = l.Table("positions.weight", cfg.Context, cfg.Dim)
			s.types = l.Table("types.weight", cfg.Types, cfg.Dim)
			s.embedNorm = s.loadNorm(l, "norm")
		case nn.Block:
			s.blocks[part.Index-r.First] = s.loadBlock(l)
		case nn.Head:
			if cfg.Classifier() {
				s.pooler = l.Linear("pooler", cfg.Dim, cfg.Dim, true)
				s.classifier = l.Linear("classifier", len(cfg.Labels), cfg.Dim, true)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	s.s.bind(s)
	return s, nil
}

func (s *Stage) loadNorm(l *nn.Loader, name string) norm {
	return norm{l.Vector(name+".weight", s.cfg.Dim), l.Vector(name+".bias", s.cfg.Dim)}
}

func (s *Stage) loadBlock(l *nn.Loader) block {
	dim, ffn := s.cfg.Dim, s.cfg.FFN
	b := block{
		q:        l.Linear("attn.q", dim, dim, true),
		k:        l.Linear("attn.k", dim, dim, true),
		v:        l.Linear("attn.v", dim, dim, true),
		o:        l.Linear("attn.o", dim, dim, true),
		attnNorm: s.loadNorm(l, "attn_norm"),
		up:       l.Linear("ffn.up", ffn, dim, true),
		down:     l.Linear("ffn.down", dim, ffn, true),
		ffnNorm:  s.loadNorm(l, "ffn_norm"),
	}
	b.qkv = []*kernel.Matrix{b.q.Weight, b.k.Weight, b.v.Weight}
	return b
}

// WeightBytes returns the memory the weights take.
func (s *Stage) WeightBytes() int64 { return s.bytes }

// Embed writes the normed embeddings of the spans' tokens to x (rows, dim). Tokens, token
// types and positions must be in range.
func (s *Stage) Embed(x []float32, spans []nn.Span) {
	dim := s.cfg.Dim
	s.s.h = nn.Grow(s.s.h, dim)
	add := s.s.h
	for _, sp := range spans {
		for i, id := range sp.Tokens {
			row := x[(sp.Lo+i)*dim : (sp.Lo+i+1)*dim]
			s.tokens.Row(row, int(id))
			kind := 0
			if sp.Types != nil {
				kind = int(sp.Types[i])
			}
			s.types.Row(add, kind)
			kernel.Add(row, add)
			s.positions.Row(add, sp.Pos+i)
			kernel.Add(row, add)
			kernel.LayerNorm(row, row, s.embedNorm.weight, s.embedNorm.bias, s.eps)
		}
	}
}

// Blocks runs the hidden states x (rows, dim) through the blocks, in place. Each span is
// a whole sequence; every token sees all others of its span.
func (s *Stage) Blocks(ctx context.Context, x []float32, spans []nn.Span) error {
	if len(s.blocks) == 0 || len(spans) == 0 {
		return nil
	}
	n := spans[len(spans)-1].Hi
	s.s.grow(s, n)
	for i := range s.blocks {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("run block %d: %w", s.rng.First+i, err)
		}
		s.block(&s.blocks[i], x, n, spans)
	}
	return nil
}

func (s *Stage) block(b *block, x []float32, n int, spans []nn.Span) {
	t := &s.s
	t.b, t.x = b, x
	t.dsts = append(t.dsts[:0], t.q, t.k, t.v)
	kernel.MatMulN(s.pool, t.dsts, x, n, b.qkv, &t.acts)
	nn.ForRows(s.pool, n, s.cfg.Dim, t.biases)
	s.attend(spans)
	kernel.MatMul(s.pool, t.h, t.att, n, b.o.Weight, &t.acts)
	nn.ForRows(s.pool, n, s.cfg.Dim, t.afterAttention)
	kernel.MatMul(s.pool, t.ffn, x, n, b.up.Weight, &t.acts)
	nn.ForRows(s.pool, n, s.cfg.FFN, t.activate)
	kernel.MatMul(s.pool, t.h, t.ffn, n, b.down.Weight, &t.acts)
	nn.ForRows(s.pool, n, s.cfg.Dim, t.afterFFN)
}

// attend writes the attention of each span to att; the cache holds one span at a time.
func (s *Stage) attend(spans []nn.Span) {
	t, dim := &s.s, s.cfg.Dim
	for _, sp := range spans {
		lo, hi := sp.Lo*dim, sp.Hi*dim
		cache := t.cache(s, sp.Len())
		cache.Append(t.k[lo:hi], t.v[lo:hi], sp.Len())
		kernel.Attend(s.pool, t.att[lo:hi], t.q[lo:hi], sp.Len(), cache, kernel.AttendOptions{
			Heads: s.cfg.Heads, Scale: t.scale,
		}, &t.attn)
	}
}

// OutWidth returns the length of what Head makes of a sequence.
func (s *Stage) OutWidth() int {
	if s.cfg.Classifier() {
		return len(s.cfg.Labels)
	}
	return s.cfg.Dim
}

// Head writes the embedding or the class logits of a sequence with hidden states x (rows, dim).
func (s *Stage) Head(out, x []float32, rows int) {
	dim := s.cfg.Dim
	if s.cfg.Classifier() {
		t := &s.s
		t.h = nn.Grow(t.h, dim)
		h := t.h[:dim]
		kernel.MatMul(s.pool, h, x[:dim], 1, s.pooler.Weight, &t.acts)
		s.pooler.AddBias(h, 1)
		kernel.Tanh(h)
		kernel.MatMul(s.pool, out, h, 1, s.classifier.Weight, &t.acts)
		s.classifier.AddBias(out, 1)
		return
	}
	copy(out, x[:dim])
	if s.cfg.Pooling == PoolMean {
		for r := 1; r < rows; r++ {
			kernel.Add(out, x[r*dim:(r+1)*dim])
		}
		for i := range out {
			out[i] /= float32(rows)
		}
	}
	if s.cfg.Normalize {
		normalize(out)
	}
}

// normalize scales x to length 1; the length is at least 1e-12, as in PyTorch.
func normalize(x []float32) {
	sum := 0.0
	for _, v := range x {
		sum += float64(float64(v) * float64(v)) // the conversion forbids fusing
	}
	length := math.Max(math.Sqrt(sum), 1e-12)
	for i, v := range x {
		x[i] = float32(float64(v) / length)
	}
}
