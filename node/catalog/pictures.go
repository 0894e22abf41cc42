package catalog

import (
	"context"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/train/data"
)

// Pictures turns image files into the input of a model, as its configuration says. It is
// safe for concurrent use.
type Pictures struct {
	pipe  *data.Pipeline
	shape []int
	turn  chan struct{} // of size 1, shared by all models
}

func newPictures(cfg model.Config, turn chan struct{}) (*Pictures, error) {
	pipe, err := cfg.Vision.Pipeline()
	if err != nil {
		return nil, err
	}
	return &Pictures{pipe: pipe, shape: cfg.Vision.Input, turn: turn}, nil
}

// Shape returns channels, height and width of the input. The caller must not change it.
func (p *Pictures) Shape() []int { return p.shape }

// Pixels decodes an image file as data.Decode does, with its limits, and returns the values
// for the model (channels, height, width). It waits for its turn until ctx ends: pictures are
// decoded one at a time, which takes up to data.MaxDecodeBytes.
func (p *Pictures) Pixels(ctx context.Context, file []byte) ([]float32, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	out := make([]float32, p.shape[0]*p.shape[1]*p.shape[2])
	return out, p.pipe.Run(out, file, nil)
}
