package catalog

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/covey-network/covey/engine/bench"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
)

// BenchOptions say what Bench measures. Zero values are the defaults of engine/bench.
type BenchOptions struct {
	Threads, Prompt, Tokens, Streams, Repeat int
	Progress                                 func(what string)
}

// Bench measures how fast this machine runs a model of the catalog, all of which must be
// here, and returns engine/bench's report as JSON. It takes all threads for seconds.
func (c *Catalog) Bench(ctx context.Context, m *Model, o BenchOptions) (json.RawMessage, error) {
	cfg := bench.Config{
		Weights: c.Weights(m), Shape: m.Config, Name: m.Name,
		Threads: o.Threads, Prompt: o.Prompt, Tokens: o.Tokens, Streams: o.Streams, Repeat: o.Repeat, Progress: o.Progress,
	}
	for i := range m.Manifest.Parts {
		p := &m.Manifest.Parts[i]
		for _, t := range p.Tensors {
			d, err := tensor.Parse(t.DType)
			if err != nil {
				return nil, fmt.Errorf("bench: %w", err)
			}
			s := model.TensorSource{Part: enginePart(p), Name: t.Name, DType: d, Bytes: t.Bytes}
			for _, n := range t.Shape {
				s.Shape = append(s.Shape, int(n))
			}
			cfg.Tensors = append(cfg.Tensors, s)
		}
	}
	r, err := bench.Run(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return json.Marshal(r)
}
