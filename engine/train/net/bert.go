package net

import (
	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/train/op"
)

func (c *Bert) types() int {
	if c.Types == 0 {
		return 2
	}
	return c.Types
}

func (c *Bert) eps() float64 {
	if c.Eps == 0 {
		return 1e-12
	}
	return c.Eps
}

func (c *Bert) activation() string {
	if c.Activation == "" {
		return kernel.ActGELU.String()
	}
	return c.Activation
}

func (c *Bert) validate(p *problems) {
	p.in("vocab", c.Vocab, 1, maxVocab)
	p.in("dim", c.Dim, 1, maxWidth)
	p.in("blocks", c.Blocks, 1, maxLayers)
	p.in("heads", c.Heads, 1, maxWidth)
	p.in("ffn", c.FFN, 1, maxWidth)
	p.in("context", c.Context, 1, nn.MaxContext)
	p.in("types", c.Types, 0, 1<<10)
	p.in("number of labels", len(c.Labels), 1, 1<<16)
	p.rate("eps", c.Eps)
	p.rate("dropout", c.Dropout)
	p.rate("attention_dropout", c.AttentionDropout)
	p.oneOf("activation", c.activation(), kernel.ActGELU.String(), kernel.ActGELUTanh.String())
	if c.Heads > 0 && c.Dim%c.Heads != 0 {
		p.add("%d heads do not divide dim %d", c.Heads, c.Dim)
	}
}

func (c *Bert) task() Task   { return Classify }
func (c *Bert) input() []int { return nil }
func (c *Bert) context() int { return c.Context }
func (c *Bert) outputs() int { return len(c.Labels) }

func (c *Bert) forward(s *scope, _ value) value {
	const embeddings = "bert.embeddings."
	table := s.param(embeddings+"word_embeddings.weight", normal(initStd), true, c.Vocab, c.Dim)
	x := value{shape: []int{c.Dim}}
	if !s.declaring() {
		x.node = op.Embedding(s.g, table, s.in.ids)
		s.in.lengths, s.in.Lengths = s.g.Ints("lengths", s.batch)
	}
	// The order of the sums is that of transformers: words and types, then positions.
	position := func(i int) int32 { return int32(i % s.seq) }
	positions := s.embed(embeddings+"position_embeddings", c.Context, c.Dim, position)
	types := s.embed(embeddings+"token_type_embeddings", c.types(), c.Dim, func(int) int32 { return 0 })
	x = s.add(s.add(x, types), positions)
	x = s.dropout(s.layerNorm(x, embeddings+"LayerNorm", c.eps()), c.Dropout)
	for i := range c.Blocks {
		x = c.block(s, x, block("bert.encoder.layer.%d.", i))
	}
	if !s.declaring() {
		x.node = op.FirstRows(s.g, x.node, s.batch)
	}
	x = s.activate(s.linearInit(x, "bert.pooler.dense", c.Dim, true, normal(initStd), constant(0)), kernel.ActTanh.String())
	return s.linearInit(s.dropout(x, c.Dropout), "classifier", len(c.Labels), true, normal(initStd), constant(0))
}

func (c *Bert) block(s *scope, x value, name string) value {
	self := name + "attention.self."
	qkv := s.stacked(x, []string{self + "query", self + "key", self + "value"}, []int{c.Dim, c.Dim, c.Dim}, true, normal(initStd), constant(0))
	y := value{shape: []int{c.Dim}}
	if !s.declaring() {
		y.node = op.Attention(s.g, qkv.node, s.in.lengths, op.AttentionConfig{Batch: s.batch, Seq: s.seq, Heads: c.Heads, KVHeads: c.Heads, HeadDim: c.Dim / c.Heads, Dropout: float32(c.AttentionDropout)})
	}
	y = s.dropout(s.linearInit(y, name+"attention.output.dense", c.Dim, true, normal(initStd), constant(0)), c.Dropout)
	x = s.layerNorm(s.add(y, x), name+"attention.output.LayerNorm", c.eps())
	y = s.activate(s.linearInit(x, name+"intermediate.dense", c.FFN, true, normal(initStd), constant(0)), c.activation())
	y = s.dropout(s.linearInit(y, name+"output.dense", c.Dim, true, normal(initStd), constant(0)), c.Dropout)
	return s.layerNorm(s.add(y, x), name+"output.LayerNorm", c.eps())
}
