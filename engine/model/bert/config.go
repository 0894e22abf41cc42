package bert

import (
	"errors"
	"fmt"

	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/tensor"
)

// Limits of a configuration, far above what is published.
const (
	MaxBlocks = 1024
	MaxWidth  = 1 << 16
	MaxFFN    = 1 << 18
	MaxVocab  = 1 << 20
	MaxLabels = 1 << 16
)

// MaxText is how many tokens of a text a step takes. All of them cross the network in one, as
// they see each other: longer texts are cut, however many positions there are.
const MaxText = 4096

// What a head can do with the hidden states.
const (
	PoolMean = "mean" // average over all tokens
	PoolCLS  = "cls"  // the first token's
	PoolNone = ""     // classifiers take the first token through the pooler layer
)

// The activations of the feed-forward layer.
const (
	GELU     = "gelu"      // with the exact error function
	GELUTanh = "gelu_tanh" // approximation by tanh
)

// Config describes a model of the family. It goes into the manifest as JSON.
type Config struct {
	Dim       int `json:"dim"`    // width of the hidden states
	Blocks    int `json:"blocks"` // number of blocks
	Heads     int `json:"heads"`  // divides Dim
	FFN       int `json:"ffn"`    // inner width of the feed-forward layer
	Vocab     int `json:"vocab"`
	Types     int `json:"types"`      // number of token types
	Context   int `json:"context"`    // number of positions
	MaxTokens int `json:"max_tokens"` // longer texts are cut to this, at most Context

	Eps        float64 `json:"eps"` // of the norms
	Activation string  `json:"activation"`

	Pooling   string   `json:"pooling,omitempty"`   // of an embedding model
	Normalize bool     `json:"normalize,omitempty"` // embeddings to length 1
	Labels    []string `json:"labels,omitempty"`    // of a classifier; makes it one
}

// Validate reports every field that is out of range.
func (c *Config) Validate() error {
	var errs []error
	in := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("%s is %d, want %d to %d", name, v, lo, hi))
		}
	}
	in("dim", c.Dim, 1, MaxWidth)
	in("blocks", c.Blocks, 1, MaxBlocks)
	in("heads", c.Heads, 1, MaxWidth)
	in("ffn", c.FFN, 1, MaxFFN)
	in("vocab", c.Vocab, 1, MaxVocab)
	in("types", c.Types, 1, 1<<10)
	in("context", c.Context, 1, nn.MaxContext)
	in("max_tokens", c.MaxTokens, 1, max(1, c.Context))
	in("number of labels", len(c.Labels), 0, MaxLabels)
	if len(errs) == 0 && c.Dim%c.Heads != 0 {
		errs = append(errs, fmt.Errorf("%d heads do not divide dim %d", c.Heads, c.Dim))
	}
	if !(c.Eps > 0 && c.Eps < 1) {
		errs = append(errs, fmt.Errorf("eps is %v, want more than 0 and less than 1", c.Eps))
	}
	if c.Activation != GELU && c.Activation != GELUTanh {
		errs = append(errs, fmt.Errorf("activation is %.40q, want %s or %s", c.Activation, GELU, GELUTanh))
	}
	switch {
	case len(c.Labels) > 0 && c.Pooling != PoolNone:
		errs = append(errs, fmt.Errorf("pooling is %.40q, want none for a classifier", c.Pooling))
	case len(c.Labels) == 0 && c.Pooling != PoolMean && c.Pooling != PoolCLS:
		errs = append(errs, fmt.Errorf("pooling is %.40q, want %s or %s", c.Pooling, PoolMean, PoolCLS))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check bert configuration: %w", err)
	}
	return nil
}

// Classifier reports whether the head classifies, else it makes an embedding.
func (c *Config) Classifier() bool { return len(c.Labels) > 0 }

// Specs lists the tensors of a part and their shapes.
func (c *Config) Specs(part nn.Part) []nn.Spec {
	var out []nn.Spec
	add := func(name string, shape ...int) {
		out = append(out, nn.Spec{Name: name, Shape: tensor.Shape(shape)})
	}
	linear := func(name string, rows, cols int) {
		add(name+".weight", rows, cols)
		add(name+".bias", rows)
	}
	norm := func(name string) {
		add(name+".weight", c.Dim)
		add(name+".bias", c.Dim)
	}
	switch part.Kind {
	case nn.Embedding:
		add("tokens.weight", c.Vocab, c.Dim)
		add("positions.weight", c.Context, c.Dim)
		add("types.weight", c.Types, c.Dim)
		norm("norm")
	case nn.Block:
		for _, name := range []string{"attn.q", "attn.k", "attn.v", "attn.o"} {
			linear(name, c.Dim, c.Dim)
		}
		norm("attn_norm")
		linear("ffn.up", c.FFN, c.Dim)
		linear("ffn.down", c.Dim, c.FFN)
		norm("ffn_norm")
	case nn.Head:
		if c.Classifier() {
			linear("pooler", c.Dim, c.Dim)
			linear("classifier", len(c.Labels), c.Dim)
		}
	}
	return out
}
