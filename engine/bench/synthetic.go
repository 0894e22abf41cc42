package bench

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/model/llama"
	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/tensor"
)

// Shape1B is a Llama of 1.1 billion parameters.
func Shape1B() model.Config {
	return model.Config{Arch: model.ArchLlama, Llama: &llama.Config{
		Dim: 2048, Blocks: 16, Heads: 32, KVHeads: 8, HeadDim: 64, FFN: 8192, Vocab: 32000, Context: 8192, Eps: 1e-5, Rope: nn.Rope{Theta: 10000},
	}}
}

// synthetic returns a model of random weights whose matrices have type d.
func synthetic(cfg model.Config, d tensor.DType) (*source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	w := randomWeights{cfg: cfg, dtype: d}
	var tensors []model.TensorSource
	for _, part := range cfg.Parts() {
		for _, spec := range cfg.Specs(part) {
			n, err := w.typeOf(spec).Bytes(spec.Shape)
			if err != nil {
				return nil, fmt.Errorf("bench: make up tensor %q: %w", spec.Name, err)
			}
			tensors = append(tensors, model.TensorSource{Part: part, Name: spec.Name, DType: w.typeOf(spec), Shape: spec.Shape, Bytes: n})
		}
	}
	s := &source{name: fmt.Sprintf("random %s %v", cfg.Arch, d), config: cfg, weights: w, close: func() {}}
	s.count(tensors)
	return s, nil
}

// randomWeights makes up tensors: normal random numbers that keep the states finite.
type randomWeights struct {
	cfg   model.Config
	dtype tensor.DType
}

func (w randomWeights) typeOf(s model.Spec) tensor.DType {
	if len(s.Shape) == 1 {
		return tensor.F32
	}
	return w.dtype
}

// Tensor implements [model.Weights].
func (w randomWeights) Tensor(_ context.Context, part model.Part, name string) (tensor.Tensor, error) {
	for _, s := range w.cfg.Specs(part) {
		if s.Name != name {
			continue
		}
		d := w.typeOf(s)
		n, err := d.Bytes(s.Shape)
		if err != nil {
			return tensor.Tensor{}, err
		}
		t := tensor.Tensor{Name: name, DType: d, Shape: s.Shape, Data: make([]byte, n)}
		return t, fillRandom(t)
	}
	return tensor.Tensor{}, fmt.Errorf("no tensor %q in %v", name, part)
}

// distinctRows is how many rows of a made-up matrix differ: making them all would take
// longer than measuring.
const distinctRows = 61

// fillRandom fills the rows of a tensor with copies of a few random ones.
func fillRandom(t tensor.Tensor) error {
	cols := t.Shape[len(t.Shape)-1]
	rowBytes := cols / t.DType.BlockLen() * t.DType.BlockBytes()
	rng := rand.New(rand.NewPCG(uint64(len(t.Data)), 1))
	floats := make([]float32, min(len(t.Data)/rowBytes, distinctRows)*cols)
	for i := range floats {
		floats[i] = float32(rng.NormFloat64()) * 0.02
		if len(t.Shape) == 1 {
			floats[i] = 1
		}
	}
	pattern := make([]byte, len(floats)/cols*rowBytes)
	if err := tensor.Quantize(pattern, t.DType, floats); err != nil {
		return err
	}
	for at := 0; at < len(t.Data); at += len(pattern) {
		copy(t.Data[at:], pattern)
	}
	return nil
}
