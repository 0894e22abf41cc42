package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/covey-network/covey/engine/model/bert"
	"github.com/covey-network/covey/engine/model/llama"
	"github.com/covey-network/covey/engine/model/mlp"
	"github.com/covey-network/covey/engine/model/vision"
	"github.com/covey-network/covey/engine/nn"
)

// The architectures, as manifests name them.
const (
	ArchLlama  = "llama"  // decoders: Llama, Mistral, Qwen2, Qwen3
	ArchBert   = "bert"   // encoders: BERT, MiniLM
	ArchVision = "vision" // layers that classify images: ResNet, plain convolutional networks
	ArchMLP    = "mlp"    // perceptrons on the rows of a table
)

// What a model is for.
const (
	TaskGenerate      = "generate"       // text, token by token
	TaskEmbed         = "embed"          // a vector for a text
	TaskClassify      = "classify"       // scores of labels for a text
	TaskClassifyImage = "classify-image" // scores of labels for an image
	TaskClassifyTable = "classify-table" // scores of labels for a row of a table
	TaskRegressTable  = "regress-table"  // a number for a row of a table
)

// MaxConfigBytes bounds the JSON of a configuration.
const MaxConfigBytes = 1 << 20

// Parts, ranges and tensors' sources are shared with the architectures.
type (
	// Part names a piece of a model that is fetched and loaded as a unit.
	Part = nn.Part
	// PartKind says which piece a Part is.
	PartKind = nn.PartKind
	// Range is the piece of a model that a stage runs.
	Range = nn.Range
	// Weights gives the tensors of a model by part and canonical name.
	Weights = nn.Weights
	// Spec names a tensor of a part and its shape.
	Spec = nn.Spec
	// Session is the memory of one sequence on one stage.
	Session = nn.Session
)

// The kinds of parts, in the order in which a token passes them.
const (
	Embedding = nn.Embedding
	Block     = nn.Block
	Head      = nn.Head
)

// Errors of sessions that callers tell apart.
var (
	ErrSessionFull   = nn.ErrSessionFull
	ErrSessionClosed = nn.ErrSessionClosed
	ErrSessionBusy   = nn.ErrSessionBusy
)

// Config describes a model: the architecture's name and the one configuration that it
// names. It goes into the manifest as JSON.
type Config struct {
	Arch   string         `json:"arch"`
	Llama  *llama.Config  `json:"llama,omitempty"`
	Bert   *bert.Config   `json:"bert,omitempty"`
	Vision *vision.Config `json:"vision,omitempty"`
	MLP    *mlp.Config    `json:"mlp,omitempty"`
}

// ParseConfig reads a configuration from a manifest's JSON and validates it. Unknown
// fields are errors: they would change what the model computes.
func ParseConfig(data []byte) (Config, error) {
	var c Config
	if len(data) > MaxConfigBytes {
		return c, fmt.Errorf("parse model configuration: %d bytes, at most %d", len(data), MaxConfigBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("parse model configuration: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("parse model configuration: more than one value")
	}
	return c, c.Validate()
}

// Validate reports every field that is out of range.
func (c Config) Validate() error {
	sections := 0
	for _, set := range []bool{c.Llama != nil, c.Bert != nil, c.Vision != nil, c.MLP != nil} {
		if set {
			sections++
		}
	}
	switch {
	case !slices.Contains([]string{ArchLlama, ArchBert, ArchVision, ArchMLP}, c.Arch):
		return fmt.Errorf("check model configuration: architecture %.40q is not one of %s, %s, %s, %s", c.Arch, ArchLlama, ArchBert, ArchVision, ArchMLP)
	case sections == 1 && c.Arch == ArchLlama && c.Llama != nil:
		return c.Llama.Validate()
	case sections == 1 && c.Arch == ArchBert && c.Bert != nil:
		return c.Bert.Validate()
	case sections == 1 && c.Arch == ArchVision && c.Vision != nil:
		return c.Vision.Validate()
	case sections == 1 && c.Arch == ArchMLP && c.MLP != nil:
		return c.MLP.Validate()
	}
	return fmt.Errorf("check model configuration: architecture %s needs its configuration and no other", c.Arch)
}

// The getters below want a valid configuration.

// TakesNumbers reports whether the model takes numbers, not tokens: those of an image or of
// the rows of a table. Such a model has no tokenizer, and runs as a whole.
func (c Config) TakesNumbers() bool { return c.Vision != nil || c.MLP != nil }

// Blocks returns the number of transformer blocks. A model that takes numbers is one block.
func (c Config) Blocks() int {
	switch {
	case c.Bert != nil:
		return c.Bert.Blocks
	case c.TakesNumbers():
		return 1
	}
	return c.Llama.Blocks
}

// Dim returns the width of the hidden states that go from stage to stage. For a model that
// takes numbers it is how many an image or a row has.
func (c Config) Dim() int {
	switch {
	case c.Bert != nil:
		return c.Bert.Dim
	case c.Vision != nil:
		return c.Vision.InputLen()
	case c.MLP != nil:
		return c.MLP.InputLen()
	}
	return c.Llama.Dim
}

// Vocab returns the number of token ids, 0 for a model that takes numbers.
func (c Config) Vocab() int {
	switch {
	case c.Bert != nil:
		return c.Bert.Vocab
	case c.TakesNumbers():
		return 0
	}
	return c.Llama.Vocab
}

// ContextLen returns the longest sequence in tokens; an encoder's texts are cut to it. An
// image takes one position, and so does each row of a table.
func (c Config) ContextLen() int {
	switch {
	case c.Bert != nil:
		return min(c.Bert.MaxTokens, bert.MaxText)
	case c.Vision != nil:
		return 1
	case c.MLP != nil:
		return mlp.MaxRows
	}
	return c.Llama.Context
}

// Labels returns the names of a classifier's scores, nil for other models. The caller must
// not change them.
func (c Config) Labels() []string {
	switch {
	case c.Bert != nil:
		return c.Bert.Labels
	case c.Vision != nil:
		return c.Vision.Labels
	case c.MLP != nil:
		return c.MLP.Labels
	}
	return nil
}

// Width returns how many numbers come out for a text, an image or a row: of an embedding, a
// score for each label, or the one that is predicted. It is 0 for a model that generates.
func (c Config) Width() int {
	switch {
	case c.Llama != nil:
		return 0
	case len(c.Labels()) > 0:
		return len(c.Labels())
	case c.Bert != nil:
		return c.Bert.Dim
	}
	return 1
}

// Task returns what the model is for, one of the Task constants.
func (c Config) Task() string {
	switch {
	case c.Vision != nil:
		return TaskClassifyImage
	case c.MLP != nil && c.MLP.Regression():
		return TaskRegressTable
	case c.MLP != nil:
		return TaskClassifyTable
	case c.Bert == nil:
		return TaskGenerate
	case c.Bert.Classifier():
		return TaskClassify
	}
	return TaskEmbed
}

// Whole returns the range of the whole model.
func (c Config) Whole() Range { return Range{Last: c.Blocks(), Embed: true, Head: true} }

// Parts lists the parts of the model, in the order in which a token passes them.
func (c Config) Parts() []Part { return c.Whole().Parts() }

// Specs lists the tensors of a part, by canonical name, and their shapes. The head of an
// embedding model has none; those of a model that takes numbers are all in block 0.
func (c Config) Specs(part Part) []Spec {
	switch {
	case c.Bert != nil:
		return c.Bert.Specs(part)
	case c.Vision != nil:
		return c.Vision.Specs(part)
	case c.MLP != nil:
		return c.MLP.Specs(part)
	}
	return c.Llama.Specs(part)
}
