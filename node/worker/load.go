package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// usualSession is how many tokens a session has room for that Needs counts in.
const usualSession = 4096

type stageKey struct {
	model cid.Cid
	rng   wire.Range
}

// loading is a load under way. err is set before done is closed.
type loading struct {
	done chan struct{}
	err  error
}

// Load reads a stage into memory, measures it and serves it from then on. Loading what is
// loaded already does nothing; several loads of one stage at a time are one. told, which may
// be nil, is called with the bytes of weights read so far, never twice at once; a caller that
// waits for another's load hears nothing.
func (w *Worker) Load(ctx context.Context, id cid.Cid, r wire.Range, told func(bytes int64)) error {
	key := stageKey{id, r}
	for {
		w.mu.Lock()
		if w.at(id, r) != nil {
			w.mu.Unlock()
			return nil
		}
		l, others := w.loading[key]
		if !others {
			l = &loading{done: make(chan struct{})}
			w.loading[key] = l
		}
		w.mu.Unlock()
		if !others {
			l.err = w.load(ctx, id, r, told)
			w.mu.Lock()
			delete(w.loading, key)
			w.mu.Unlock()
			close(l.done)
			return l.err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.done:
		}
		if !errors.Is(l.err, context.Canceled) && !errors.Is(l.err, context.DeadlineExceeded) {
			return l.err
		} // who loaded has given up: it is this one's turn
	}
}

func (w *Worker) load(ctx context.Context, id cid.Cid, r wire.Range, told func(bytes int64)) error {
	cfg, weights, err := w.cfg.Models.Model(ctx, id)
	if err != nil {
		return fmt.Errorf("load %s of model %s: %w", Describe(r), id, err)
	}
	reserved := estimate(ctx, cfg, r, weights)
	if err := w.reserve(reserved); err != nil {
		return fmt.Errorf("load %s of model %s: %w", Describe(r), id, err)
	}
	if told != nil {
		weights = &countedWeights{Weights: weights, told: told}
	}
	loaded, err := model.Load(ctx, cfg, engineRange(r), weights, w.pool)
	if err != nil {
		w.release(reserved)
		return fmt.Errorf("load %s of model %s: %w", Describe(r), id, err)
	}
	s := newStage(ctx, id, r, loaded, w)
	s.bytes = loaded.WeightBytes() + workBytes(cfg, r)
	probe := cfg.SessionBytes(engineRange(r), s.probeTokens())
	if err := w.reserve(s.bytes + probe - reserved); err != nil {
		w.release(reserved)
		return fmt.Errorf("load %s of model %s: %w", Describe(r), id, err)
	}
	err = s.measure(ctx)
	w.release(probe)
	if err != nil {
		w.release(s.bytes)
		return fmt.Errorf("measure %s of model %s: %w", Describe(r), id, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stages = append(w.stages, s)
	if w.run != nil {
		w.start(s)
	}
	w.cfg.Log.Info("stage loaded", "model", id, "range", Describe(r), "bytes", s.bytes, "block_step", s.stepTime())
	return nil
}

// countedWeights tells how many bytes of weights were read through it.
type countedWeights struct {
	model.Weights
	told func(bytes int64)

	mu    sync.Mutex // held while told is called; guards bytes
	bytes int64
}

// Tensor implements model.Weights.
func (c *countedWeights) Tensor(ctx context.Context, p model.Part, name string) (tensor.Tensor, error) {
	x, err := c.Weights.Tensor(ctx, p, name)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bytes += int64(len(x.Data))
		c.told(c.bytes)
	}
	return x, err
}

// Needs returns a function that tells how much memory a stage of a model takes with room for
// one session of usual length of another peer, as far as that can be told before it is
// loaded.
func (w *Worker) Needs(ctx context.Context, id cid.Cid) (func(wire.Range) int64, error) {
	cfg, weights, err := w.cfg.Models.Model(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("size of model %s: %w", id, err)
	}
	session := min(usualSession, cfg.ContextLen())
	return func(r wire.Range) int64 {
		return estimate(ctx, cfg, r, weights) + forOthers(cfg.SessionBytes(engineRange(r), session))
	}, nil
}

// estimate returns the bytes that a stage takes without sessions. Its weights are those
// that the manifest tells; packing adds about a twentieth.
func estimate(ctx context.Context, cfg model.Config, r wire.Range, w model.Weights) int64 {
	var n int64
	if sized, ok := w.(interface {
		Bytes(ctx context.Context, p model.Part) int64
	}); ok {
		for _, p := range engineRange(r).Parts() {
			n += sized.Bytes(ctx, p)
		}
	}
	return n + n/20 + workBytes(cfg, r)
}

// workBytes returns the memory of a stage's activations and of the largest outputs of a
// batch.
func workBytes(cfg model.Config, r wire.Range) int64 {
	n := cfg.ScratchBytes(engineRange(r))
	switch {
	case !r.Head:
		n += int64(min(protocol.MaxStepTokens, cfg.ContextLen())) * int64(cfg.Dim()) * 4
	case cfg.Task() == model.TaskGenerate:
		n += maxBatchLogits * int64(cfg.Vocab()) * 4
	}
	return n
}

func (w *Worker) reserve(n int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n > w.cfg.MemoryBytes-w.used {
		return fmt.Errorf("%w: need %d bytes, %d of %d are free", ErrNoMemory, n, w.cfg.MemoryBytes-w.used, w.cfg.MemoryBytes)
	}
	w.used += n
	return nil
}

func (w *Worker) release(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used -= n
}
