package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/data"
)

// validate scores the model on all data for validation and keeps it if it is the best.
// Nothing has changed if ctx ends meanwhile.
func (r *runner) validate(ctx context.Context) error {
	s, err := r.score(ctx)
	if errors.Is(err, data.ErrNoSamples) { // the run goes on as one without validation
		r.bad(data.Bad{Name: "validation", Err: errors.New("none of its samples can be used: the run goes on without")})
		r.data.validation = nil
		return nil
	}
	if err != nil {
		return err
	}
	v := Validation{Step: r.trainer.Steps(), Epoch: r.at.Epochs, Loss: s.Mean(), Metric: r.metric(s)}
	if r.job.MetricName() == accuracy && r.data.known.outputs > 5 {
		v.Top5 = s.Top5Accuracy()
	}
	if math.IsNaN(v.Loss) || math.IsInf(v.Loss, 0) {
		return fmt.Errorf("validation after step %d: %w", v.Step, train.ErrNotFinite)
	}
	v.Metric = min(v.Metric, math.MaxFloat64) // the perplexity of a bad model may overflow
	at := &r.at
	v.Best = !at.HasBest || r.better(v, at.Best)
	if r.sync != nil {
		if err := r.take(r.sync.Validated(ctx, v)); err != nil {
			return err
		}
	}
	at.Validated, at.Measured, at.Stale, at.Validate = v.Step, at.Epochs, at.Stale+1, false
	if v.Best {
		at.Best, at.HasBest, at.Stale = v, true, 0
	}
	at.Last = v
	if at.History, err = r.history.validation(v); err != nil {
		return err
	}
	if v.Best {
		if err := r.history.sync(); err != nil { // the run may have to go on from here
			return err
		}
		if err := r.save(bestFile); err != nil {
			return err
		}
	}
	if r.events.Validation != nil {
		r.events.Validation(v)
	}
	r.clock.pause()
	return nil
}

// better compares validations by what the job says.
func (r *runner) better(a, b Validation) bool {
	if r.job.Train.Best != bestMetric {
		return a.Loss < b.Loss
	}
	if r.job.MetricName() != accuracy {
		return a.Metric < b.Metric
	}
	return a.Metric > b.Metric
}

func (r *runner) score(ctx context.Context) (train.Score, error) {
	var total train.Score
	loader, err := data.NewLoader(r.data.validation, data.LoaderConfig{Batch: r.job.Train.Batch, Epochs: 1, OnBad: func(b data.Bad) {
		b.Name = "validation: " + b.Name
		r.bad(b)
	}})
	if err != nil {
		return total, fmt.Errorf("validation: %w", err)
	}
	it, err := loader.From(ctx, data.Cursor{})
	if err != nil {
		return total, fmt.Errorf("validation: %w", err)
	}
	defer it.Close()
	batch := &r.streams[0].batch
	for {
		b, err := it.Next()
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return total, fmt.Errorf("validation: %w", err)
		}
		fill(r.trainer.Model(), batch, b)
		s, err := r.trainer.Evaluate(batch)
		if err != nil {
			return total, err
		}
		total.Add(s)
	}
}
