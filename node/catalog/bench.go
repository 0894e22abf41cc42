package catalog

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/covey-network/covey/engine/bench"
	"github.com/covey-network/covey/engine/model"
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
		for j := range p.Tensors {
			t := &p.Tensors[j]
			dtype, shape, err := typeOf(t)
			if err != nil {
				return nil, fmt.Errorf("bench: %w", err)
			}
			cfg.Tensors = append(cfg.Tensors, model.TensorSource{Part: enginePart(p), Name: t.Name, DType: dtype, Shape: shape, Bytes: t.Bytes})
		}
	}
	r, err := bench.Run(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return json.Marshal(r)
}
