package model

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model/bert"
	"github.com/covey-network/covey/engine/model/llama"
	"github.com/covey-network/covey/engine/nn"
)

// scratchBudget bounds the activation memory of a stage, in bytes: longer batches run in
// chunks. Below minRows rows at once, products would no longer be bound by arithmetic.
const (
	scratchBudget = 96 << 20
	minRows       = 32
	maxRows       = 512
)

// network is what the architectures have in common.
type network interface {
	Embed(x []float32, spans []nn.Span)
	Blocks(ctx context.Context, x []float32, spans []nn.Span) error
	WeightBytes() int64
}

// Stage is a loaded range of a model, ready to run. It is safe for concurrent use; forward
// passes run one after another on all threads of the pool.
type Stage struct {
	cfg     Config
	rng     Range
	net     network      // nil for a model that takes numbers
	decoder *llama.Stage // one of these two is net
	encoder *bert.Stage
	numeric numeric // else nil
	rows    int     // most rows of one chunk

	mu sync.Mutex // held during a forward pass; guards the scratch below
	pass
}

// Load reads the weights of a range of a model, as many parts at once as the pool has
// threads, and packs them for the kernels tensor by tensor: a thread holds two copies of at
// most one tensor. The pool stays the caller's and may be shared.
func Load(ctx context.Context, cfg Config, r Range, w Weights, pool *kernel.Pool) (*Stage, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("load stage: %w", err)
	}
	if err := r.Check(cfg.Blocks()); err != nil {
		return nil, fmt.Errorf("load stage: %w", err)
	}
	if w == nil || pool == nil {
		return nil, errors.New("load stage: no weights or no pool")
	}
	s := &Stage{cfg: cfg, rng: r}
	if cfg.TakesNumbers() {
		if err := s.loadNumeric(ctx, w, pool); err != nil {
			return nil, fmt.Errorf("load stage: %w", err)
		}
		return s, nil
	}
	var err error
	if cfg.Bert != nil {
		s.encoder, err = bert.Load(ctx, *cfg.Bert, r, w, pool)
		s.net = s.encoder
	} else {
		s.decoder, err = llama.Load(ctx, *cfg.Llama, r, w, pool)
		s.net = s.decoder
	}
	if err != nil {
		return nil, fmt.Errorf("load stage: %w", err)
	}
	s.rows = cfg.chunkRows()
	return s, nil
}

// Config returns the configuration of the whole model.
func (s *Stage) Config() Config { return s.cfg }

// Range returns the range that is loaded.
func (s *Stage) Range() Range { return s.rng }

// WeightBytes returns the memory that the weights take.
func (s *Stage) WeightBytes() int64 {
	if s.numeric != nil {
		return s.numeric.WeightBytes()
	}
	return s.net.WeightBytes()
}

// ScratchBytes is [Config.ScratchBytes] of the stage.
func (s *Stage) ScratchBytes() int64 { return s.cfg.ScratchBytes(s.rng) }

// NewSession returns an empty session of at most maxTokens tokens. Its memory, which
// [Stage.SessionBytes] tells beforehand, is freed by Session.Close. Sessions of
// other models than decoders hold nothing and are optional.
func (s *Stage) NewSession(maxTokens int) (*Session, error) {
	if maxTokens < 1 || maxTokens > s.cfg.ContextLen() {
		return nil, fmt.Errorf("open session of %d tokens: the model takes 1 to %d", maxTokens, s.cfg.ContextLen())
	}
	var caches []*kernel.KVCache
	if s.decoder != nil {
		caches = s.decoder.NewCaches(maxTokens)
	}
	return nn.NewSession(s, maxTokens, caches), nil
}

// SessionBytes is [Config.SessionBytes] of the stage.
func (s *Stage) SessionBytes(maxTokens int) int64 { return s.cfg.SessionBytes(s.rng, maxTokens) }
