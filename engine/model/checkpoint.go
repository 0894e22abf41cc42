package model

import (
	"context"
	"fmt"

	"github.com/covey-network/covey/engine/tensor"
)

// The kinds of tokenizer data.
const (
	TokenizerHF   = "hf"   // a tokenizer.json
	TokenizerGGUF = "gguf" // JSON of a token.Vocab, from a GGUF file
)

// TokenizerSpec is a tokenizer as it goes into the manifest.
type TokenizerSpec struct {
	Kind string
	Data []byte
}

// Checkpoint is a model in files: everything a manifest needs, and where the tensors are.
// Tensors may be read by several goroutines at once, until Close.
type Checkpoint struct {
	Name         string
	Config       Config
	Tokenizer    TokenizerSpec
	ChatTemplate string
	BOS, EOS     string  // as chat templates write them; "" if there is none
	EOSIDs       []int32 // tokens that end a text
	License      string
	Tensors      []TensorSource // by part, in the order in which a token passes them

	close func() error
}

// Close closes the files. Tensors cannot be read after it.
func (c *Checkpoint) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}

// Bytes returns the size of all tensors, tied ones counted once.
func (c *Checkpoint) Bytes() int64 {
	var n int64
	for _, t := range c.Tensors {
		if t.Part.Kind == Head && t.Name == "output.weight" && c.Config.Llama != nil && c.Config.Llama.Tied {
			continue
		}
		n += t.Bytes
	}
	return n
}

// Weights gives the tensors to [Load] directly, without a store between.
func (c *Checkpoint) Weights() Weights {
	w := checkpointWeights{}
	for _, t := range c.Tensors {
		w[weightKey{t.Part, t.Name}] = t
	}
	return w
}

type weightKey struct {
	part Part
	name string
}

type checkpointWeights map[weightKey]TensorSource

func (w checkpointWeights) Tensor(_ context.Context, part Part, name string) (tensor.Tensor, error) {
	t, ok := w[weightKey{part, name}]
	if !ok {
		return tensor.Tensor{}, fmt.Errorf("checkpoint has no tensor %q in %v", name, part)
	}
	data := make([]byte, t.Bytes)
	if err := t.Read(data); err != nil {
		return tensor.Tensor{}, err
	}
	return tensor.Tensor{Name: name, DType: t.DType, Shape: t.Shape, Data: data}, nil
}
