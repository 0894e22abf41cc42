package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

// DrawnConfig says which samples make up batches that are drawn by chance.
type DrawnConfig struct {
	// Batch is the number of samples that a batch has in the mean.
	Batch int
	// Chosen reports, anew and independently in each call, true with a probability. It is whoever
	// calls that keeps secret what it gives.
	Chosen func(rate float64) bool
	// Seed is the source of the random draws of every sample, which differ from batch to batch.
	Seed uint64
	// Rank and Of choose a part of the samples, the same in all epochs: see LoaderConfig.
	Rank, Of int
	// OnBad is told of every sample that is skipped. Nil is allowed.
	OnBad func(Bad)
}

// Drawn gives batches of which each has each sample with the same probability, whatever else it has
// (Poisson sampling): a batch has as many samples as come, or none. What is an epoch is by number
// alone: so many batches that each sample is drawn once in the mean. It reads samples when they are
// asked for and belongs to one goroutine.
type Drawn struct {
	ctx     context.Context // the run scope
	set     Dataset
	cfg     DrawnConfig
	part    []uint32 // the samples
	at      Cursor   // Position counts batches
	sample  Sample
	skipped int
	batch   Batch
}

// NewDrawn checks the configuration. The cursor is where an earlier one was; its Position counts
// batches.
func NewDrawn(ctx context.Context, set Dataset, cfg DrawnConfig, at Cursor) (*Drawn, error) {
	cfg.Of = max(cfg.Of, 1)
	if cfg.Batch < 1 || cfg.Rank < 0 || cfg.Rank >= cfg.Of || cfg.Chosen == nil {
		return nil, fmt.Errorf("draw batches: %d samples each, part %d of %d", cfg.Batch, cfg.Rank, cfg.Of)
	}
	n := set.Len()
	if n > maxSamples {
		return nil, fmt.Errorf("draw batches: %d samples, at most %d", n, maxSamples)
	}
	order, err := permutation(nil, n, NewRand(cfg.Seed, 0, shuffleStream))
	if err != nil {
		return nil, err
	}
	d := &Drawn{ctx: ctx, set: set, cfg: cfg, at: at, sample: set.Shape().NewSample()}
	for i := cfg.Rank; i < n; i += cfg.Of {
		d.part = append(d.part, order[i])
	}
	if len(d.part) == 0 {
		return nil, fmt.Errorf("draw batches: part %d of %d samples: %w", cfg.Rank, n, ErrNoSamples)
	}
	if at.Epoch < 0 || at.Position < 0 || at.Position > d.Batches() {
		return nil, fmt.Errorf("draw batches: cursor at batch %d of epoch %d, an epoch has %d", at.Position, at.Epoch, d.Batches())
	}
	return d, nil
}

// Rate is the probability with which a batch has a sample.
func (d *Drawn) Rate() float64 { return DrawnRate(len(d.part), d.cfg.Batch) }

// DrawnRate is the probability with which a batch has a sample, of samples samples.
func DrawnRate(samples, batch int) float64 {
	return min(1, float64(batch)/float64(samples))
}

// Batches is how many batches are an epoch.
func (d *Drawn) Batches() int { return int(math.Ceil(1 / d.Rate())) }

// Next returns the next batch, which may be empty. At the end of each epoch it returns io.EOF once,
// and goes on with the next one then.
func (d *Drawn) Next() (*Batch, error) {
	if d.at.Position == d.Batches() {
		d.at = Cursor{Epoch: d.at.Epoch + 1}
		return nil, io.EOF
	}
	d.batch.reset()
	rate, number := d.Rate(), d.at.Epoch*d.Batches()+d.at.Position
	for _, i := range d.part {
		if !d.cfg.Chosen(rate) {
			continue
		}
		if err := d.ctx.Err(); err != nil {
			return nil, err
		}
		r := NewRand(d.cfg.Seed, number, int(i))
		err := d.set.Sample(&d.sample, int(i), &r)
		var bad *Bad
		switch {
		case err == nil:
			d.batch.add(&d.sample, int(i))
		case !errors.As(err, &bad):
			return nil, err
		default:
			d.skipped++
			if d.cfg.OnBad != nil {
				d.cfg.OnBad(*bad)
			}
		}
	}
	d.at.Position++
	d.batch.Next = d.at
	return &d.batch, nil
}

// Cursor returns where the next batch begins.
func (d *Drawn) Cursor() Cursor { return d.at }

// Skipped returns how many unusable samples were drawn.
func (d *Drawn) Skipped() int { return d.skipped }

// Over returns 0: no batch is left out.
func (*Drawn) Over() int { return 0 }

// Close does nothing.
func (*Drawn) Close() {}
