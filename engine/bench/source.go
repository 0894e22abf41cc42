package bench

import (
	"errors"
	"fmt"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
)

// source is a model to measure.
type source struct {
	name       string
	config     model.Config
	weights    model.Weights
	types      map[string]int
	main       tensor.DType // of most matrices
	embedBytes int64        // of the token embedding, of which a step reads one row
	close      func()
}

func open(cfg Config) (*source, error) {
	if cfg.Weights != nil {
		s := &source{name: cfg.Name, config: cfg.Shape, weights: cfg.Weights, close: func() {}}
		s.count(cfg.Tensors)
		return s, nil
	}
	if cfg.Path == "" {
		return synthetic(cfg.Shape, cfg.Type)
	}
	ck, err := model.Import(cfg.Path, model.ImportOptions{Quantize: cfg.Quantize})
	if err != nil {
		return nil, err
	}
	s := &source{name: ck.Name, config: ck.Config, weights: ck.Weights(), close: func() { _ = ck.Close() }}
	s.count(ck.Tensors)
	return s, nil
}

// count fills in what the list of tensors tells.
func (s *source) count(tensors []model.TensorSource) {
	s.types = map[string]int{}
	for _, t := range tensors {
		if len(t.Shape) < 2 {
			continue
		}
		if t.Part.Kind == model.Embedding {
			s.embedBytes += t.Bytes
			continue
		}
		s.types[t.DType.String()]++
		if n := s.types[t.DType.String()]; n > s.types[s.main.String()] {
			s.main = t.DType
		}
	}
}

// float reports whether the products are of float32 numbers.
func (s *source) float() bool { return !s.main.Quantized() }

// checkLengths checks what is to be measured against the model.
func (s *source) checkLengths(cfg Config) error {
	if s.config.Task() != model.TaskGenerate {
		return errors.New("bench: the model is an encoder, only models that generate text are measured")
	}
	if longest := s.config.ContextLen(); max(cfg.Prompt, cfg.Tokens) > longest {
		return fmt.Errorf("bench: a prompt of %d and %d tokens to decode, the model takes %d", cfg.Prompt, cfg.Tokens, longest)
	}
	return nil
}

// work returns the operations of the products with weights for one token: two for each
// weight. (The head takes only the last token of a prompt; like other programs' figures
// this counts it for all.)
func (s *source) work() float64 {
	ops := 0.0
	for _, part := range s.config.Parts() {
		for _, spec := range s.config.Specs(part) {
			if n, err := spec.Shape.Elems(); err == nil && part.Kind != model.Embedding && len(spec.Shape) > 1 {
				ops += 2 * float64(n)
			}
		}
	}
	return ops
}
