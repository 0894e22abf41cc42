package net

import (
	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/train/op"
)

// initStd is the standard deviation of the first weights of transformers.
const initStd = 0.02

func (c *Llama) headDim() int {
	if c.HeadDim == 0 && c.Heads > 0 {
		return c.Dim / c.Heads
	}
	return c.HeadDim
}

func (c *Llama) kvHeads() int {
	if c.KVHeads == 0 {
		return c.Heads
	}
	return c.KVHeads
}

func (c *Llama) eps() float64 {
	if c.Eps == 0 {
		return 1e-6
	}
	return c.Eps
}

// Rope returns how queries and keys turn, with defaults filled in.
func (c *Llama) Rope() nn.Rope {
	r := nn.Rope{Theta: c.RopeTheta}
	if r.Theta == 0 {
		r.Theta = 10000
	}
	if s := c.RopeScaling; s != nil {
		r.Scaling, r.Factor = nn.Scaling(s.Type), s.Factor
		r.LowFreqFactor, r.HighFreqFactor, r.OriginalContext = s.LowFreqFactor, s.HighFreqFactor, s.OriginalContext
	}
	return r
}

func (c *Llama) validate(p *problems) {
	p.in("vocab", c.Vocab, 1, maxVocab)
	p.in("dim", c.Dim, 1, maxWidth)
	p.in("blocks", c.Blocks, 1, maxLayers)
	p.in("heads", c.Heads, 1, maxWidth)
	p.in("kv_heads", c.KVHeads, 0, max(c.Heads, 0))
	p.in("head_dim", c.HeadDim, 0, 1<<12)
	p.in("ffn", c.FFN, 1, maxWidth)
	p.in("context", c.Context, 1, nn.MaxContext)
	p.rate("eps", c.Eps)
	p.rate("dropout", c.Dropout)
	p.rate("attention_dropout", c.AttentionDropout)
	if c.Heads > 0 && c.HeadDim == 0 && c.Dim%c.Heads != 0 {
		p.add("%d heads do not divide dim %d: give head_dim", c.Heads, c.Dim)
	}
	if k := c.kvHeads(); k > 0 && c.Heads%k != 0 {
		p.add("%d key and value heads do not divide %d heads", k, c.Heads)
	}
	if h := c.headDim(); h > 0 && h <= 1<<12 && c.Context > 0 && c.Context <= nn.MaxContext && !c.NoRope {
		c.validateRope(p)
	}
}

func (c *Llama) validateRope(p *problems) {
	outer, before := p.prefix, len(p.errs)
	if s := c.RopeScaling; s != nil {
		p.prefix += "rope_scaling: "
		p.oneOf("rope_type", s.Type, string(nn.ScaleLinear), string(nn.ScaleLlama3))
	}
	if err := c.Rope().Validate(c.headDim(), c.Context); err != nil && len(p.errs) == before {
		p.add("%w", err)
	}
	p.prefix = outer
}

func (c *Llama) task() Task   { return Generate }
func (c *Llama) input() []int { return nil }
func (c *Llama) context() int { return c.Context }
func (c *Llama) outputs() int { return c.Vocab }

const embedTokens = "model.embed_tokens.weight"

func (c *Llama) forward(s *scope, _ value) value {
	table := s.param(embedTokens, normal(initStd), true, c.Vocab, c.Dim)
	x := value{shape: []int{c.Dim}}
	if !s.declaring() {
		x.node = op.Embedding(s.g, table, s.in.ids)
	}
	x = s.dropout(x, c.Dropout)
	var rope *op.Rope
	if !s.declaring() && !c.NoRope {
		rope = c.tables(s.seq)
	}
	for i := range c.Blocks {
		name := block("model.layers.%d.", i)
		y := s.rmsNorm(x, name+"input_layernorm", c.eps())
		x = s.add(x, s.dropout(c.attention(s, y, name+"self_attn.", rope), c.Dropout))
		y = s.rmsNorm(x, name+"post_attention_layernorm", c.eps())
		x = s.add(x, s.dropout(c.feedForward(s, y, name+"mlp."), c.Dropout))
	}
	x = s.rmsNorm(x, "model.norm", c.eps())
	if !c.Tied {
		return s.linearInit(x, "lm_head", c.Vocab, false, normal(initStd), initial{})
	}
	if s.declaring() {
		return value{shape: []int{c.Vocab}}
	}
	return value{shape: []int{c.Vocab}, node: op.Linear(s.g, x.node, table, nil)}
}

func (c *Llama) attention(s *scope, x value, name string, rope *op.Rope) value {
	h, q, kv := c.headDim(), c.Heads*c.headDim(), c.kvHeads()*c.headDim()
	qkv := s.stacked(x, []string{name + "q_proj", name + "k_proj", name + "v_proj"}, []int{q, kv, kv}, c.QKVBias, normal(initStd), constant(0))
	y := value{shape: []int{q}}
	if !s.declaring() {
		y.node = op.Attention(s.g, qkv.node, nil, op.AttentionConfig{Batch: s.batch, Seq: s.seq, Heads: c.Heads, KVHeads: c.kvHeads(), HeadDim: h, Causal: true, Rope: rope, Dropout: float32(c.AttentionDropout)})
	}
	return s.linearInit(y, name+"o_proj", c.Dim, false, normal(initStd), initial{})
}

func (c *Llama) feedForward(s *scope, x value, name string) value {
	gu := s.stacked(x, []string{name + "gate_proj", name + "up_proj"}, []int{c.FFN, c.FFN}, false, normal(initStd), initial{})
	y := value{shape: []int{c.FFN}}
	if !s.declaring() {
		y.node = op.SwiGLU(s.g, gu.node)
	}
	return s.linearInit(y, name+"down_proj", c.Dim, false, normal(initStd), initial{})
}

// tables computes the angles of the positions, as when the model is served.
func (c *Llama) tables(seq int) *op.Rope {
	f := c.Rope().Frequencies(c.headDim())
	half := len(f)
	r := &op.Rope{Cos: make([]float32, seq*half), Sin: make([]float32, seq*half), Half: half}
	for i := range seq {
		f.SinCos(r.Cos[i*half:(i+1)*half], r.Sin[i*half:(i+1)*half], i)
	}
	return r
}

func (s *scope) rmsNorm(x value, name string, eps float64) value {
	w := s.param(name+".weight", constant(1), false, x.shape[0])
	if s.declaring() {
		return x
	}
	return value{shape: x.shape, node: op.RMSNorm(s.g, x.node, w, float32(eps))}
}

func (s *scope) layerNorm(x value, name string, eps float64) value {
	w, b := s.param(name+".weight", constant(1), false, x.shape[0]), s.param(name+".bias", constant(0), false, x.shape[0])
	if s.declaring() {
		return x
	}
	return value{shape: x.shape, node: op.LayerNorm(s.g, x.node, w, b, float32(eps))}
}

// embed looks rows of a table up, by ids that are the same in every batch.
func (s *scope) embed(name string, rows, dim int, id func(i int) int32) value {
	table := s.param(name+".weight", normal(initStd), true, rows, dim)
	x := value{shape: []int{dim}}
	if s.declaring() {
		return x
	}
	ids, data := s.g.Ints("ids of "+name, s.batch*s.seq)
	for i := range data {
		data[i] = id(i)
	}
	x.node = op.Embedding(s.g, table, ids)
	return x
}

var _ = []architecture{(*MLP)(nil), (*CNN)(nil), (*ResNet)(nil), (*Llama)(nil), (*Bert)(nil)}
