package net

import (
	"errors"
	"fmt"
)

// The kinds of models.
const (
	KindMLP    = "mlp"
	KindCNN    = "cnn"
	KindResNet = "resnet"
	KindLlama  = "llama"
	KindBert   = "bert"
)

// Config describes a model: its kind and the one section of that kind.
type Config struct {
	Kind   string  `json:"kind" toml:"kind"`
	MLP    *MLP    `json:"mlp,omitempty" toml:"mlp,omitempty"`
	CNN    *CNN    `json:"cnn,omitempty" toml:"cnn,omitempty"`
	ResNet *ResNet `json:"resnet,omitempty" toml:"resnet,omitempty"`
	Llama  *Llama  `json:"llama,omitempty" toml:"llama,omitempty"`
	Bert   *Bert   `json:"bert,omitempty" toml:"bert,omitempty"`
}

// MLP is a perceptron: linear layers fc1, fc2, ... with an activation between them.
type MLP struct {
	Input      int     `json:"input" toml:"input"`           // features
	Hidden     []int   `json:"hidden" toml:"hidden"`         // widths of the inner layers
	Output     int     `json:"output" toml:"output"`         // classes, or values with regression
	Activation string  `json:"activation" toml:"activation"` // relu (if empty), gelu, gelu_tanh, silu, tanh, sigmoid
	Dropout    float64 `json:"dropout,omitempty" toml:"dropout,omitempty"`
	Regression bool    `json:"regression,omitempty" toml:"regression,omitempty"` // mean squared error instead of classes
}

// The types of layers of a CNN.
const (
	LayerConv       = "conv"
	LayerMaxPool    = "maxpool"
	LayerAvgPool    = "avgpool"
	LayerGlobalPool = "globalpool" // mean of each plane
	LayerResidual   = "residual"   // basic block: two 3x3 convolutions beside a short cut
	LayerFlatten    = "flatten"
	LayerLinear     = "linear"
	LayerDropout    = "dropout"
)

// Layer is one layer of a CNN. Which fields count depends on Type.
type Layer struct {
	Type     string  `json:"type" toml:"type"`
	Name     string  `json:"name,omitempty" toml:"name,omitempty"`         // of the parameters; type and number if empty
	Channels int     `json:"channels,omitempty" toml:"channels,omitempty"` // conv, residual: of the output; linear: its width
	Kernel   int     `json:"kernel,omitempty" toml:"kernel,omitempty"`     // conv: 3 if 0; pools: 2 if 0
	Stride   int     `json:"stride,omitempty" toml:"stride,omitempty"`     // conv, residual: 1 if 0; pools: Kernel if 0
	Pad      *int    `json:"pad,omitempty" toml:"pad,omitempty"`           // conv: Kernel/2 if absent; pools: 0
	Bias     *bool   `json:"bias,omitempty" toml:"bias,omitempty"`         // conv: unless there is a norm; linear: true
	Norm     bool    `json:"norm,omitempty" toml:"norm,omitempty"`         // conv: batch norm
	ReLU     bool    `json:"relu,omitempty" toml:"relu,omitempty"`         // conv, linear
	Rate     float64 `json:"rate,omitempty" toml:"rate,omitempty"`         // dropout
}

// CNN is a convolutional network: its layers, the mean of each plane if they end in planes,
// and a linear layer fc to the classes.
type CNN struct {
	Input   []int   `json:"input" toml:"input"` // channels, height, width
	Layers  []Layer `json:"layers" toml:"layers"`
	Classes int     `json:"classes" toml:"classes"`
}

// The stems of a ResNet.
const (
	StemImageNet = "imagenet" // 7x7 with stride 2 and max pooling
	StemCIFAR    = "cifar"    // 3x3, for small images
)

// ResNet is a residual network as torchvision has it.
type ResNet struct {
	Depth   int    `json:"depth" toml:"depth"` // 18, 34 or 50
	Input   []int  `json:"input" toml:"input"` // channels, height, width
	Classes int    `json:"classes" toml:"classes"`
	Stem    string `json:"stem" toml:"stem"`                       // imagenet if empty
	Width   int    `json:"width,omitempty" toml:"width,omitempty"` // channels of the first stage: 64 if 0
}

// Llama is a causal language model of the Llama architecture.
type Llama struct {
	Vocab     int     `json:"vocab" toml:"vocab"`
	Dim       int     `json:"dim" toml:"dim"`
	Blocks    int     `json:"blocks" toml:"blocks"`
	Heads     int     `json:"heads" toml:"heads"`
	KVHeads   int     `json:"kv_heads,omitempty" toml:"kv_heads,omitempty"` // Heads if 0
	HeadDim   int     `json:"head_dim,omitempty" toml:"head_dim,omitempty"` // Dim/Heads if 0
	FFN       int     `json:"ffn" toml:"ffn"`
	Context   int     `json:"context" toml:"context"` // longest sequence
	Eps       float64 `json:"eps,omitempty" toml:"eps,omitempty"`
	RopeTheta float64 `json:"rope_theta,omitempty" toml:"rope_theta,omitempty"` // 10000 if 0
	NoRope    bool    `json:"no_rope,omitempty" toml:"no_rope,omitempty"`       // without positions, for measurements
	Tied      bool    `json:"tied,omitempty" toml:"tied,omitempty"`             // the head has the embedding's weights
	QKVBias   bool    `json:"qkv_bias,omitempty" toml:"qkv_bias,omitempty"`     // as in Qwen2
	Dropout   float64 `json:"dropout,omitempty" toml:"dropout,omitempty"`       // after embedding, attention and feed-forward

	AttentionDropout float64 `json:"attention_dropout,omitempty" toml:"attention_dropout,omitempty"` // of the weights of attention

	RopeScaling *RopeScaling `json:"rope_scaling,omitempty" toml:"rope_scaling,omitempty"` // nil: as trained
}

// RopeScaling changes rotary frequencies for contexts longer than trained on, as nn.Rope
// does; it is rope_scaling of config.json.
type RopeScaling struct {
	Type            string  `json:"rope_type" toml:"rope_type"` // linear or llama3
	Factor          float64 `json:"factor" toml:"factor"`
	LowFreqFactor   float64 `json:"low_freq_factor,omitempty" toml:"low_freq_factor,omitempty"` // of llama3, as the next two
	HighFreqFactor  float64 `json:"high_freq_factor,omitempty" toml:"high_freq_factor,omitempty"`
	OriginalContext int     `json:"original_max_position_embeddings,omitempty" toml:"original_max_position_embeddings,omitempty"`
}

// Bert is an encoder with a classification head, BertForSequenceClassification.
type Bert struct {
	Vocab      int      `json:"vocab" toml:"vocab"`
	Dim        int      `json:"dim" toml:"dim"`
	Blocks     int      `json:"blocks" toml:"blocks"`
	Heads      int      `json:"heads" toml:"heads"`
	FFN        int      `json:"ffn" toml:"ffn"`
	Context    int      `json:"context" toml:"context"`                 // number of positions
	Types      int      `json:"types,omitempty" toml:"types,omitempty"` // token types, 2 if 0; the first is used
	Labels     []string `json:"labels" toml:"labels"`
	Eps        float64  `json:"eps,omitempty" toml:"eps,omitempty"`               // 1e-12 if 0
	Activation string   `json:"activation,omitempty" toml:"activation,omitempty"` // gelu if empty, or gelu_tanh
	Dropout    float64  `json:"dropout,omitempty" toml:"dropout,omitempty"`

	AttentionDropout float64 `json:"attention_dropout,omitempty" toml:"attention_dropout,omitempty"` // of the weights of attention
}

// Limits of a configuration, far above what a machine trains.
const (
	maxWidth  = 1 << 20
	maxSide   = 1 << 14
	maxLayers = 1 << 10
	maxVocab  = 1 << 21
	maxPixels = 1 << 28
)

// problems collects what is wrong with a configuration.
type problems struct {
	prefix string
	errs   []error
}

func (p *problems) add(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(p.prefix+format, args...))
}

func (p *problems) in(name string, v, lo, hi int) {
	if v < lo || v > hi {
		p.add("%s is %d, want %d to %d", name, v, lo, hi)
	}
}

func (p *problems) rate(name string, v float64) {
	if !(v >= 0 && v < 1) {
		p.add("%s is %v, want at least 0 and less than 1", name, v)
	}
}

func (p *problems) image(name string, s []int) bool {
	if len(s) != 3 || s[0] < 1 || s[1] < 1 || s[2] < 1 || s[0] > maxWidth || s[1] > maxSide || s[2] > maxSide || s[0]*s[1]*s[2] > maxPixels {
		p.add("%s is %v, want channels, height and width", name, s)
		return false
	}
	return true
}

func (p *problems) oneOf(name, v string, allowed ...string) {
	for _, a := range allowed {
		if v == a {
			return
		}
	}
	p.add("%s is %.40q, want one of %v", name, v, allowed)
}

// Validate reports all problems of a configuration.
func (c *Config) Validate() error {
	var p problems
	sections := []struct {
		kind  string
		set   bool
		check func(p *problems)
	}{
		{KindMLP, c.MLP != nil, func(p *problems) { c.MLP.validate(p) }},
		{KindCNN, c.CNN != nil, func(p *problems) { c.CNN.validate(p) }},
		{KindResNet, c.ResNet != nil, func(p *problems) { c.ResNet.validate(p) }},
		{KindLlama, c.Llama != nil, func(p *problems) { c.Llama.validate(p) }},
		{KindBert, c.Bert != nil, func(p *problems) { c.Bert.validate(p) }},
	}
	p.oneOf("kind", c.Kind, KindMLP, KindCNN, KindResNet, KindLlama, KindBert)
	for _, s := range sections {
		switch {
		case s.kind == c.Kind && !s.set:
			p.add("kind %s needs a section %s", c.Kind, s.kind)
		case s.kind != c.Kind && s.set:
			p.add("section %s does not belong to kind %.40q", s.kind, c.Kind)
		case s.set:
			p.prefix = s.kind + ": "
			s.check(&p)
			p.prefix = ""
		}
	}
	if err := errors.Join(p.errs...); err != nil {
		return fmt.Errorf("check model: %w", err)
	}
	return nil
}
