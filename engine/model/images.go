package model

import (
	"context"
	"errors"
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model/vision"
)

// loadImages loads an image model, which is one stage or none.
func (s *Stage) loadImages(ctx context.Context, w Weights, pool *kernel.Pool) (err error) {
	if s.rng != s.cfg.Whole() {
		return errors.New("an image model runs as a whole: it is not split over stages")
	}
	s.images, err = vision.Load(ctx, *s.cfg.Vision, w, pool)
	return err
}

// classifyImages runs the images of a batch one after another.
func (s *Stage) classifyImages(ctx context.Context, batch []Input, out []Output) error {
	for i := range batch {
		if err := s.checkImage(&batch[i]); err != nil {
			return fmt.Errorf("input %d: %w", i, err)
		}
	}
	for i := range batch {
		out[i].Pooled = make([]float32, s.images.OutWidth())
		if err := s.images.Forward(ctx, out[i].Pooled, batch[i].Pixels); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) checkImage(in *Input) error {
	switch {
	case len(in.Tokens) > 0 || len(in.Types) > 0 || len(in.Hidden) > 0 || in.Logits != LogitsNone:
		return errors.New("tokens, hidden states or logits for an image model: it takes pixels")
	case len(in.Pixels) != s.images.InputLen():
		return fmt.Errorf("%d values of an image, want %d: %v", len(in.Pixels), s.images.InputLen(), s.cfg.Vision.Input)
	}
	return nil
}
