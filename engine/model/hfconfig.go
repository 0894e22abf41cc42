package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/covey-network/covey/engine/model/bert"
	"github.com/covey-network/covey/engine/model/llama"
	"github.com/covey-network/covey/engine/nn"
)

// hfConfig holds the fields of a Hugging Face config.json that matter. Fields whose absence
// means something else than zero are pointers; sliding_window tells absent from null.
type hfConfig struct {
	ModelType     string   `json:"model_type"`
	Architectures []string `json:"architectures"`
	HiddenAct     string   `json:"hidden_act"`
	HiddenSize    int      `json:"hidden_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	KVHeads       *int     `json:"num_key_value_heads"`
	HeadDim       *int     `json:"head_dim"`
	FFN           int      `json:"intermediate_size"`
	Vocab         int      `json:"vocab_size"`
	MaxPositions  *int     `json:"max_position_embeddings"`

	RMSEps        *float64 `json:"rms_norm_eps"`
	AttentionBias bool     `json:"attention_bias"`
	MLPBias       bool     `json:"mlp_bias"`
	Tied          bool     `json:"tie_word_embeddings"`

	SlidingWindow    json.RawMessage `json:"sliding_window"`
	UseSlidingWindow bool            `json:"use_sliding_window"`
	MaxWindowLayers  *int            `json:"max_window_layers"`
	LayerTypes       []string        `json:"layer_types"`

	RopeTheta      *float64 `json:"rope_theta"`
	RopeScaling    *hfRope  `json:"rope_scaling"`
	RopeParameters *hfRope  `json:"rope_parameters"`
	PartialRotary  *float64 `json:"partial_rotary_factor"`

	TypeVocab    *int              `json:"type_vocab_size"`
	LayerNormEps *float64          `json:"layer_norm_eps"`
	PositionType string            `json:"position_embedding_type"`
	IsDecoder    bool              `json:"is_decoder"`
	ID2Label     map[string]string `json:"id2label"`

	BOS          json.RawMessage `json:"bos_token_id"`
	EOS          json.RawMessage `json:"eos_token_id"`
	Quantization json.RawMessage `json:"quantization_config"`
}

// hfRope is rope_scaling of configurations up to transformers 4, rope_parameters since 5.
type hfRope struct {
	RopeType        string   `json:"rope_type"`
	Type            string   `json:"type"`
	Theta           *float64 `json:"rope_theta"`
	Factor          float64  `json:"factor"`
	LowFreqFactor   float64  `json:"low_freq_factor"`
	HighFreqFactor  float64  `json:"high_freq_factor"`
	OriginalContext int      `json:"original_max_position_embeddings"`
	PartialRotary   *float64 `json:"partial_rotary_factor"`
}

// parseHFConfig turns config.json into a configuration and returns what it was read from.
func parseHFConfig(data []byte) (Config, *hfConfig, error) {
	var h hfConfig
	if err := json.Unmarshal(data, &h); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) && kind.Field != "" {
			err = fmt.Errorf("%s is %s, want %s", kind.Field, kind.Value, kind.Type)
		}
		return Config{}, nil, fmt.Errorf("parse config.json: %w", err)
	}
	if q := string(h.Quantization); q != "" && q != "null" {
		return Config{}, nil, errors.New("read config.json: quantization_config is not supported, import the unquantised model")
	}
	var (
		c   Config
		err error
	)
	switch h.ModelType {
	case "llama", "mistral", "qwen2", "qwen3":
		c.Arch = ArchLlama
		c.Llama, err = h.llama()
	case "bert":
		c.Arch = ArchBert
		c.Bert, err = h.bert()
	case "":
		err = errors.New("model_type is missing: want llama, mistral, qwen2, qwen3 or bert; " + configAdvice)
	default:
		err = fmt.Errorf("model_type %.40q is not supported: want llama, mistral, qwen2, qwen3 or bert", h.ModelType)
	}
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return Config{}, nil, fmt.Errorf("read config.json: %w", err)
	}
	return c, &h, nil
}

func value[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// llama reads a decoder. Values that are absent are those transformers takes then.
func (h *hfConfig) llama() (*llama.Config, error) {
	if err := h.checkClass("ForCausalLM"); err != nil {
		return nil, err
	}
	if h.HiddenAct != "" && h.HiddenAct != "silu" {
		return nil, fmt.Errorf("hidden_act %.40q is not supported: want silu", h.HiddenAct)
	}
	if h.Heads < 1 {
		return nil, fmt.Errorf("num_attention_heads is %d", h.Heads)
	}
	kvHeads := h.Heads
	if h.ModelType == "mistral" {
		kvHeads = 8
	}
	c := &llama.Config{
		Dim: h.HiddenSize, Blocks: h.Layers, Heads: h.Heads, KVHeads: value(h.KVHeads, kvHeads),
		HeadDim: value(h.HeadDim, h.HiddenSize/h.Heads), FFN: h.FFN, Vocab: h.Vocab,
		Context: value(h.MaxPositions, 2048), Eps: value(h.RMSEps, 1e-6), Tied: h.Tied,
	}
	switch h.ModelType {
	case "llama":
		c.QKVBias, c.OutBias, c.FFNBias = h.AttentionBias, h.AttentionBias, h.MLPBias
	case "qwen2":
		c.QKVBias = true
	case "qwen3":
		c.QKNorm, c.QKVBias, c.OutBias = true, h.AttentionBias, h.AttentionBias
	}
	var err error
	if c.Rope, err = h.rope(); err != nil {
		return nil, err
	}
	return c, h.window(c)
}

// checkClass reports architectures other than the one with the given ending.
func (h *hfConfig) checkClass(want ...string) error {
	for _, a := range h.Architectures {
		if !slices.ContainsFunc(want, func(w string) bool { return strings.HasSuffix(a, w) }) {
			return fmt.Errorf("architecture %.60q is not supported: want a name that ends in %s", a, strings.Join(want, " or "))
		}
	}
	return nil
}

func (h *hfConfig) rope() (nn.Rope, error) {
	r := nn.Rope{Theta: value(h.RopeTheta, 10000)}
	s := h.RopeScaling
	if h.RopeParameters != nil {
		s = h.RopeParameters
	}
	partial := value(h.PartialRotary, 1)
	if s != nil {
		r.Theta = value(s.Theta, r.Theta)
		partial = value(s.PartialRotary, partial)
	}
	if partial != 1 {
		return r, fmt.Errorf("partial_rotary_factor %v is not supported", partial)
	}
	if s == nil {
		return r, nil
	}
	kind := s.RopeType
	if kind == "" {
		kind = s.Type
	}
	switch kind {
	case "", "default":
	case "linear":
		r.Scaling, r.Factor = nn.ScaleLinear, s.Factor
	case "llama3":
		r.Scaling, r.Factor = nn.ScaleLlama3, s.Factor
		r.LowFreqFactor, r.HighFreqFactor, r.OriginalContext = s.LowFreqFactor, s.HighFreqFactor, s.OriginalContext
	default:
		return r, fmt.Errorf("rope scaling %.40q is not supported: want default, linear or llama3", kind)
	}
	return r, nil
}

// window reads the sliding window and the blocks that have it.
func (h *hfConfig) window(c *llama.Config) error {
	var size *int
	switch raw := string(h.SlidingWindow); {
	case raw == "" && h.ModelType == "mistral":
		d := 4096
		size = &d
	case raw != "" && raw != "null":
		n, err := strconv.Atoi(raw)
		if err != nil || n < 1 {
			return fmt.Errorf("sliding_window is %.40s, want a positive number or null", raw)
		}
		size = &n
	}
	if len(h.LayerTypes) > 0 && len(h.LayerTypes) != c.Blocks {
		return fmt.Errorf("%d layer_types for %d blocks", len(h.LayerTypes), c.Blocks)
	}
	var blocks []int
	for i, kind := range h.LayerTypes {
		switch kind {
		case "sliding_attention":
			blocks = append(blocks, i)
		case "full_attention":
		default:
			return fmt.Errorf("layer_types[%d] %.40q is not supported: want full_attention or sliding_attention", i, kind)
		}
	}
	qwen := h.ModelType == "qwen2" || h.ModelType == "qwen3"
	if size == nil || qwen && !h.UseSlidingWindow || h.ModelType == "llama" {
		if len(blocks) > 0 {
			return errors.New("layer_types has sliding_attention but there is no sliding_window")
		}
		return nil
	}
	if len(h.LayerTypes) == 0 && qwen {
		for i := max(0, value(h.MaxWindowLayers, 28)); i < c.Blocks && i < llama.MaxBlocks; i++ {
			blocks = append(blocks, i)
		}
	}
	if len(blocks) == 0 && (qwen || len(h.LayerTypes) > 0) {
		return nil
	}
	if len(blocks) < c.Blocks {
		c.WindowBlocks = blocks // none listed means all
	}
	c.Window = *size
	return nil
}

// bert reads an encoder; how it pools is in other files and filled in later.
func (h *hfConfig) bert() (*bert.Config, error) {
	if err := h.checkClass("BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForSequenceClassification"); err != nil {
		return nil, err
	}
	if h.IsDecoder {
		return nil, errors.New("is_decoder is not supported")
	}
	if h.PositionType != "" && h.PositionType != "absolute" {
		return nil, fmt.Errorf("position_embedding_type %.40q is not supported: want absolute", h.PositionType)
	}
	positions := value(h.MaxPositions, 512)
	c := &bert.Config{
		Dim: h.HiddenSize, Blocks: h.Layers, Heads: h.Heads, FFN: h.FFN, Vocab: h.Vocab,
		Types: value(h.TypeVocab, 2), Context: positions, MaxTokens: positions, Eps: value(h.LayerNormEps, 1e-12),
	}
	switch h.HiddenAct {
	case "", "gelu":
		c.Activation = bert.GELU
	case "gelu_new", "gelu_pytorch_tanh":
		c.Activation = bert.GELUTanh
	default:
		return nil, fmt.Errorf("hidden_act %.40q is not supported: want gelu, gelu_new or gelu_pytorch_tanh", h.HiddenAct)
	}
	if len(h.Architectures) > 0 && strings.HasSuffix(h.Architectures[0], "ForSequenceClassification") {
		var err error
		c.Labels, err = h.labels()
		return c, err
	}
	c.Pooling, c.Normalize = bert.PoolMean, true
	return c, nil
}

// labels returns the names of the classes in order; without any there are two.
func (h *hfConfig) labels() ([]string, error) {
	if len(h.ID2Label) == 0 {
		return []string{"LABEL_0", "LABEL_1"}, nil
	}
	out := make([]string, len(h.ID2Label))
	for _, key := range slices.Sorted(maps.Keys(h.ID2Label)) {
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(out) || strconv.Itoa(i) != key {
			return nil, fmt.Errorf("id2label has the key %.40q, want 0 to %d", key, len(out)-1)
		}
		out[i] = h.ID2Label[key]
	}
	return out, nil
}

// tokenIDs reads a token id that may be absent, null, a number or a list.
func tokenIDs(raw json.RawMessage) ([]int32, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one int32
	if json.Unmarshal(raw, &one) == nil {
		return []int32{one}, nil
	}
	var many []int32
	if err := json.Unmarshal(raw, &many); err != nil {
		return nil, fmt.Errorf("token id is %.40s, want a number or a list", raw)
	}
	return many, nil
}
