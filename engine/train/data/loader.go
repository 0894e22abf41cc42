package data

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// ErrNoSamples tells of an epoch in which not one sample could be used.
var ErrNoSamples = errors.New("no usable sample")

// LoaderConfig says which samples make up the batches.
type LoaderConfig struct {
	// Batch is the number of samples in a batch; the last one of an epoch may be smaller.
	Batch int
	// Least is the smallest batch: a last one with fewer samples is left out. 0 stands for 1.
	Least int
	// Shuffle gives every epoch an order of its own, by (Seed, epoch).
	Shuffle bool
	// Seed is the source of the order and of the random draws of every sample.
	Seed uint64
	// Rank and Of choose a part of each epoch: of Of peers with the same Seed, peer Rank
	// gets every Of-th sample of the order. Parts are disjoint and their sizes differ by
	// one at most. Of 0 stands for 1.
	Rank, Of int
	// Workers is the number of goroutines that read samples; 0 stands for one less than
	// there are processors, but at least one.
	Workers int
	// Ahead is the number of batches prepared before they are asked for; 0 stands for 2.
	Ahead int
	// Epochs is the number of epochs after which workers have nothing to prepare; 0 stands
	// for no end.
	Epochs int
	// OnBad is told of every sample that is skipped, in the order of samples, from within
	// Next. Nil is allowed.
	OnBad func(Bad)
}

// Validate reports everything that is wrong with the configuration.
func (c LoaderConfig) Validate() error {
	var errs []error
	if c.Batch < 1 || c.Batch > 1<<20 {
		errs = append(errs, fmt.Errorf("loader: batch of %d samples, want 1 to %d", c.Batch, 1<<20))
	}
	if c.Least < 0 || c.Least > c.Batch {
		errs = append(errs, fmt.Errorf("loader: smallest batch of %d samples, want 0 to %d", c.Least, c.Batch))
	}
	if of := max(c.Of, 1); c.Of < 0 || c.Rank < 0 || c.Rank >= of {
		errs = append(errs, fmt.Errorf("loader: rank %d of %d", c.Rank, of))
	}
	if c.Workers < 0 || c.Workers > 1<<10 || c.Ahead < 0 || c.Ahead > 1<<10 || c.Epochs < 0 {
		errs = append(errs, fmt.Errorf("loader: %d workers, %d batches ahead, %d epochs: want 0 to %d", c.Workers, c.Ahead, c.Epochs, 1<<10))
	}
	return errors.Join(errs...)
}

// Cursor is a place between two batches: the next sample is number Position of the part of
// the epoch that the loader takes. The zero value is the beginning.
type Cursor struct {
	Epoch    int
	Position int
}

// Loader turns a dataset into batches. It holds no goroutine and may be shared.
type Loader struct {
	set   Dataset
	shape Shape
	cfg   LoaderConfig
	part  int // samples of an epoch that are this peer's
}

// NewLoader checks the configuration and that there is at least one sample to give.
func NewLoader(set Dataset, cfg LoaderConfig) (*Loader, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Of = max(cfg.Of, 1)
	if cfg.Workers == 0 {
		cfg.Workers = max(runtime.GOMAXPROCS(0)-1, 1)
	}
	if cfg.Ahead == 0 {
		cfg.Ahead = 2
	}
	n := set.Len()
	l := &Loader{set: set, shape: set.Shape(), cfg: cfg, part: (n - cfg.Rank + cfg.Of - 1) / cfg.Of}
	switch {
	case n > maxSamples:
		return nil, fmt.Errorf("loader: %d samples, at most %d", n, maxSamples)
	case n <= cfg.Rank:
		return nil, fmt.Errorf("loader: rank %d of %d samples: %w", cfg.Rank, n, ErrNoSamples)
	case l.part < cfg.Least:
		return nil, fmt.Errorf("loader: %d samples are no batch of at least %d: %w", l.part, cfg.Least, ErrNoSamples)
	}
	return l, nil
}

// Samples returns the number of samples of an epoch, unusable ones included.
func (l *Loader) Samples() int { return l.part }

// Batches returns the number of batches of an epoch if every sample is usable.
func (l *Loader) Batches() int {
	n := l.part / l.cfg.Batch
	if l.part%l.cfg.Batch >= max(l.cfg.Least, 1) {
		n++
	}
	return n
}

// Shape returns what each sample of a batch holds.
func (l *Loader) Shape() Shape { return l.shape }

// order returns the samples of an epoch in the order of all peers, in the memory of b.
func (l *Loader) order(b []uint32, epoch int) ([]uint32, error) {
	if l.cfg.Shuffle {
		return permutation(b, l.set.Len(), NewRand(l.cfg.Seed, epoch, shuffleStream))
	}
	b = grow(b, l.set.Len())
	for i := range b {
		b[i] = uint32(i)
	}
	return b, nil
}

// From starts the workers and returns an iterator whose first batch begins at the cursor.
// Given the same dataset and configuration, what follows a cursor is always the same,
// bit by bit. The iterator ends with ctx; it must be closed.
func (l *Loader) From(ctx context.Context, at Cursor) (*Iterator, error) {
	if at.Epoch < 0 || at.Position < 0 || at.Position > l.part {
		return nil, fmt.Errorf("loader: cursor at sample %d of epoch %d, an epoch has %d samples", at.Position, at.Epoch, l.part)
	}
	return newIterator(ctx, l, at)
}
