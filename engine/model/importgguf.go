package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/covey-network/covey/engine/format/gguf"
	"github.com/covey-network/covey/engine/model/bert"
	"github.com/covey-network/covey/engine/model/llama"
	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/tensor"
)

// ropeFactors is the tensor that llama.cpp keeps scaled rotary frequencies in.
const ropeFactors = "rope_freqs.weight"

// importGGUF opens a GGUF file, with the others of a split model.
func importGGUF(path string, opt ImportOptions) (c *Checkpoint, err error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	m := &ggufMeta{values: f.Meta}
	a := assembly{raw: map[string]rawTensor{}, quantize: opt.Quantize, ignore: func(name string) bool { return name == ropeFactors }}
	for i, t := range f.Tensors {
		a.raw[t.Name] = rawTensor{name: t.Name, dtype: t.DType, word: t.DType.String(), shape: t.Shape, bytes: t.Bytes, data: f.Section(i)}
	}
	if err := a.readGGUFConfig(m); err != nil {
		return nil, err
	}
	c = &Checkpoint{Config: a.cfg, close: f.Close, License: m.text("general.license"), ChatTemplate: m.text("tokenizer.chat_template")}
	c.Name = m.text("general.name")
	if c.Name == "" {
		c.Name = gguf.Stem(path)
	}
	if err := c.ggufTokenizer(m); err != nil {
		return nil, err
	}
	c.Tensors, err = a.sources()
	return c, err
}

// readGGUFConfig fills in cfg, names and unpair from the metadata.
func (a *assembly) readGGUFConfig(m *ggufMeta) error {
	arch := m.text("general.architecture")
	switch arch {
	case "llama", "qwen2", "qwen3":
		c, err := a.ggufLlama(m, arch)
		if err != nil {
			return fmt.Errorf("read metadata: %w", err)
		}
		a.cfg = Config{Arch: ArchLlama, Llama: c}
		a.names = ggufNames(ArchLlama, c.Tied)
		if arch == "llama" { // llama.cpp's converter interleaves the halves of Q and K heads
			a.unpair = func(_ Part, name string) int {
				if strings.HasPrefix(name, "attn.q.") || strings.HasPrefix(name, "attn.k.") {
					return c.HeadDim
				}
				return 0
			}
		}
	case "bert":
		c, err := a.ggufBert(m)
		if err != nil {
			return fmt.Errorf("read metadata: %w", err)
		}
		a.cfg = Config{Arch: ArchBert, Bert: c}
		a.names = ggufNames(ArchBert, false)
	default:
		return fmt.Errorf("read metadata: architecture %.40q is not supported: want llama, qwen2, qwen3 or bert", arch)
	}
	return a.cfg.Validate()
}

func (a *assembly) has(name string) bool { _, ok := a.raw[name]; return ok }

// rows returns the first dimension of a tensor, 0 if there is none.
func (a *assembly) rows(name string) int {
	if s := a.raw[name].shape; len(s) > 0 {
		return s[0]
	}
	return 0
}

// ggufLlama reads a decoder. Which biases and norms it has is told by its tensors.
func (a *assembly) ggufLlama(m *ggufMeta, arch string) (*llama.Config, error) {
	k := func(name string) string { return arch + "." + name }
	c := &llama.Config{
		Dim: m.integer(k("embedding_length"), 0), Blocks: m.integer(k("block_count"), 0),
		Heads: m.integer(k("attention.head_count"), 0), FFN: m.integer(k("feed_forward_length"), 0),
		Vocab: a.rows("token_embd.weight"), Context: m.integer(k("context_length"), 0),
		Eps: m.float(k("attention.layer_norm_rms_epsilon"), 0), Rope: nn.Rope{Theta: m.float(k("rope.freq_base"), 10000)},
		Tied:    !a.has("output.weight"),
		QKVBias: a.has("blk.0.attn_q.bias"), OutBias: a.has("blk.0.attn_output.bias"), FFNBias: a.has("blk.0.ffn_up.bias"),
		QKNorm: a.has("blk.0.attn_q_norm.weight"),
	}
	if m.err == nil && c.Heads < 1 {
		return nil, fmt.Errorf("%s is %d", k("attention.head_count"), c.Heads)
	}
	c.KVHeads = m.integer(k("attention.head_count_kv"), c.Heads)
	if m.err != nil {
		return nil, m.err
	}
	c.HeadDim = m.integer(k("attention.key_length"), c.Dim/c.Heads)
	for _, same := range []string{"attention.value_length", "rope.dimension_count"} {
		if n := m.integer(k(same), c.HeadDim); n != c.HeadDim && m.err == nil {
			return nil, fmt.Errorf("%s is %d, other than the head width %d: not supported", k(same), n, c.HeadDim)
		}
	}
	if n := m.integer(k("expert_count"), 0); n > 0 {
		return nil, fmt.Errorf("%s is %d: mixtures of experts are not supported", k("expert_count"), n)
	}
	if err := a.ggufRope(m, arch, &c.Rope); err != nil {
		return nil, err
	}
	return c, m.err
}

// ggufRope reads the rotary scaling: linear in the metadata, or factors in a tensor. As in
// llama.cpp a factor without a type is linear, and scale_linear is its name in old files.
func (a *assembly) ggufRope(m *ggufMeta, arch string, r *nn.Rope) error {
	factor := m.float(arch+".rope.scaling.factor", 0)
	if factor == 0 {
		factor = m.float(arch+".rope.scale_linear", 0)
	}
	switch kind := m.text(arch + ".rope.scaling.type"); {
	case kind == "none", kind == "" && (factor == 0 || factor == 1):
	case kind == "linear", kind == "":
		r.Scaling, r.Factor = nn.ScaleLinear, factor
	default:
		return fmt.Errorf("rope scaling %.40q is not supported: want none or linear", kind)
	}
	t, ok := a.raw[ropeFactors]
	if !ok {
		return nil
	}
	if t.dtype != tensor.F32 || len(t.shape) != 1 || t.shape[0] > llama.MaxWidth {
		return fmt.Errorf("tensor %q is %v %v, want a short vector of F32", ropeFactors, t.dtype, t.shape)
	}
	data := make([]byte, t.bytes)
	if err := (conversion{raw: t, to: t.dtype}).read(data); err != nil {
		return err
	}
	var err error
	r.Divisors, err = tensor.Tensor{Name: ropeFactors, DType: t.dtype, Shape: t.shape, Data: data}.Floats()
	return err
}

// ggufBert reads an encoder that makes embeddings.
func (a *assembly) ggufBert(m *ggufMeta) (*bert.Config, error) {
	positions := m.integer("bert.context_length", 0)
	c := &bert.Config{
		Dim: m.integer("bert.embedding_length", 0), Blocks: m.integer("bert.block_count", 0),
		Heads: m.integer("bert.attention.head_count", 0), FFN: m.integer("bert.feed_forward_length", 0),
		Vocab: a.rows("token_embd.weight"), Types: a.rows("token_types.weight"), Context: positions, MaxTokens: positions,
		Eps: m.float("bert.attention.layer_norm_epsilon", 0), Activation: bert.GELU, Normalize: true,
	}
	switch kind := m.integer("bert.pooling_type", 1); kind { // enum llama_pooling_type
	case 1:
		c.Pooling = bert.PoolMean
	case 2:
		c.Pooling = bert.PoolCLS
	default:
		return nil, fmt.Errorf("bert.pooling_type %d is not supported: want 1 (mean) or 2 (cls)", kind)
	}
	return c, m.err
}

// endings are tokens that end a turn in published vocabularies; files name only one of them.
func endings() []string {
	return []string{"<|eot_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<end_of_turn>", "<EOT>"}
}

// ggufTokenizer reads the vocabulary and the tokens that begin and end a text.
func (c *Checkpoint) ggufTokenizer(m *ggufMeta) error {
	tokens := m.texts("tokenizer.ggml.tokens")
	types := m.integers("tokenizer.ggml.token_type")
	at := func(key string) int { return m.integer("tokenizer.ggml."+key, -1) }
	if id := at("bos_token_id"); id >= 0 && id < len(tokens) {
		c.BOS = tokens[id]
	}
	if id := at("eos_token_id"); id >= 0 && id < len(tokens) {
		c.EOS = tokens[id]
	}
	ids := []int{at("eos_token_id"), at("eot_token_id"), at("eom_token_id")}
	for _, text := range endings() {
		if id := slices.Index(tokens, text); id >= 0 && id < len(types) && (types[id] == tokenControl || types[id] == tokenUserDefined) {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		if id >= 0 && id < c.Config.Vocab() && !slices.Contains(c.EOSIDs, int32(id)) {
			c.EOSIDs = append(c.EOSIDs, int32(id))
		}
	}
	if m.err != nil {
		return fmt.Errorf("read metadata: %w", m.err)
	}
	var err error
	c.Tokenizer, err = m.vocabulary(tokens, types)
	return err
}
