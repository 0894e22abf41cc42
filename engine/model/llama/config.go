package llama

import (
	"errors"
	"fmt"
	"slices"

	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/tensor"
)

// Limits of a configuration, far above what is published.
const (
	MaxBlocks = 1024
	MaxWidth  = 1 << 16 // hidden states, heads times head width
	MaxFFN    = 1 << 18
	MaxVocab  = 1 << 20
	MaxHeads  = 1024
)

// Config describes a model of the family. It goes into the manifest as JSON.
type Config struct {
	Dim     int `json:"dim"`    // width of the hidden states
	Blocks  int `json:"blocks"` // number of blocks
	Heads   int `json:"heads"`
	KVHeads int `json:"kv_heads"` // divides Heads
	HeadDim int `json:"head_dim"`
	FFN     int `json:"ffn"` // inner width of the feed-forward layer
	Vocab   int `json:"vocab"`
	Context int `json:"context"` // longest sequence the model was made for

	Eps  float64 `json:"eps"` // of the norms
	Rope nn.Rope `json:"rope"`

	QKVBias bool `json:"qkv_bias,omitempty"`
	OutBias bool `json:"out_bias,omitempty"`
	FFNBias bool `json:"ffn_bias,omitempty"`
	QKNorm  bool `json:"qk_norm,omitempty"` // norm of each head's query and key before the rotation
	Tied    bool `json:"tied,omitempty"`    // the output matrix is the embedding

	// Window, if not zero, is how many positions a query sees, its own among them, in
	// the blocks WindowBlocks lists, or in all if it lists none.
	Window       int   `json:"window,omitempty"`
	WindowBlocks []int `json:"window_blocks,omitempty"`
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
	in("heads", c.Heads, 1, MaxHeads)
	in("kv_heads", c.KVHeads, 1, MaxHeads)
	in("head_dim", c.HeadDim, 2, 1024)
	in("ffn", c.FFN, 1, MaxFFN)
	in("vocab", c.Vocab, 1, MaxVocab)
	in("context", c.Context, 1, nn.MaxContext)
	in("window", c.Window, 0, nn.MaxContext)
	if len(errs) == 0 {
		in("heads * head_dim", c.Heads*c.HeadDim, 1, MaxWidth)
		if c.Heads%c.KVHeads != 0 {
			errs = append(errs, fmt.Errorf("%d kv_heads do not divide %d heads", c.KVHeads, c.Heads))
		}
		errs = append(errs, c.Rope.Validate(c.HeadDim, c.Context))
	}
	if !(c.Eps > 0 && c.Eps < 1) {
		errs = append(errs, fmt.Errorf("eps is %v, want more than 0 and less than 1", c.Eps))
	}
	for i, b := range c.WindowBlocks {
		if b < 0 || b >= c.Blocks || i > 0 && b <= c.WindowBlocks[i-1] {
			errs = append(errs, fmt.Errorf("window_blocks[%d] is %d, want increasing block numbers", i, b))
			break
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check llama configuration: %w", err)
	}
	return nil
}

// window returns the window of a block, 0 for none.
func (c *Config) window(block int) int {
	if len(c.WindowBlocks) > 0 && !slices.Contains(c.WindowBlocks, block) {
		return 0
	}
	return c.Window
}

// Specs lists the tensors of a part and their shapes.
func (c *Config) Specs(part nn.Part) []nn.Spec {
	switch part.Kind {
	case nn.Embedding:
		return []nn.Spec{{Name: "tokens.weight", Shape: tensor.Shape{c.Vocab, c.Dim}}}
	case nn.Head:
		return []nn.Spec{
			{Name: "norm.weight", Shape: tensor.Shape{c.Dim}},
			{Name: "output.weight", Shape: tensor.Shape{c.Vocab, c.Dim}},
		}
	}
	return c.blockSpecs()
}

func (c *Config) blockSpecs() []nn.Spec {
	var out []nn.Spec
	linear := func(name string, rows, cols int, bias bool) {
		out = append(out, nn.Spec{Name: name + ".weight", Shape: tensor.Shape{rows, cols}})
		if bias {
			out = append(out, nn.Spec{Name: name + ".bias", Shape: tensor.Shape{rows}})
		}
	}
	norm := func(name string, n int) {
		out = append(out, nn.Spec{Name: name + ".weight", Shape: tensor.Shape{n}})
	}
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	norm("attn_norm", c.Dim)
	linear("attn.q", q, c.Dim, c.QKVBias)
	linear("attn.k", kv, c.Dim, c.QKVBias)
	linear("attn.v", kv, c.Dim, c.QKVBias)
	if c.QKNorm {
		norm("attn.q_norm", c.HeadDim)
		norm("attn.k_norm", c.HeadDim)
	}
	linear("attn.o", c.Dim, q, c.OutBias)
	norm("ffn_norm", c.Dim)
	linear("ffn.gate", c.FFN, c.Dim, c.FFNBias)
	linear("ffn.up", c.FFN, c.Dim, c.FFNBias)
	linear("ffn.down", c.Dim, c.FFN, c.FFNBias)
	return out
}
