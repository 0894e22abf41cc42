package model

import (
	"context"
	"errors"
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model/mlp"
	"github.com/covey-network/covey/engine/model/vision"
)

// numeric is a network that takes numbers: those of an image, or of rows of a table.
type numeric interface {
	InputLen() int // numbers of an image or row
	OutWidth() int // that come out for it
	Forward(ctx context.Context, out, x []float32) error
	WeightBytes() int64
}

// loadNumeric loads a model that takes numbers, which is one stage or none.
func (s *Stage) loadNumeric(ctx context.Context, w Weights, pool *kernel.Pool) (err error) {
	if s.rng != s.cfg.Whole() {
		return errors.New("a model of images or tables runs as a whole: it is not split over stages")
	}
	if s.cfg.Vision != nil {
		s.numeric, err = vision.Load(ctx, *s.cfg.Vision, w, pool)
	} else {
		s.numeric, err = mlp.Load(ctx, *s.cfg.MLP, w, pool)
	}
	return err
}

// runNumeric runs the inputs of a batch one after another.
func (s *Stage) runNumeric(ctx context.Context, batch []Input, out []Output) error {
	for i := range batch {
		if err := s.checkNumbers(&batch[i]); err != nil {
			return fmt.Errorf("input %d: %w", i, err)
		}
	}
	for i := range batch {
		x := batch[i].Numbers
		out[i].Pooled = make([]float32, len(x)/s.numeric.InputLen()*s.numeric.OutWidth())
		if err := s.numeric.Forward(ctx, out[i].Pooled, x); err != nil {
			return err
		}
		if !finite(out[i].Pooled) {
			return fmt.Errorf("input %d: %w", i, ErrNotFinite)
		}
	}
	return nil
}

func (s *Stage) checkNumbers(in *Input) error {
	each, most := s.numeric.InputLen(), s.cfg.ContextLen()
	n := len(in.Numbers)
	switch {
	case len(in.Tokens) > 0 || len(in.Types) > 0 || len(in.Hidden) > 0 || in.Logits != LogitsNone:
		return errors.New("tokens, hidden states or logits for a model of images or tables: it takes numbers")
	case n == 0 || n%each != 0 || n/each > most:
		return fmt.Errorf("%d numbers, want %d for each of at most %d", n, each, most)
	case !finite(in.Numbers):
		return errors.New("a number is NaN or infinite")
	}
	return nil
}
