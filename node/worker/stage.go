package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// maxBatch is how many steps run together at most. Beyond it a product is bound by
// arithmetic and a larger batch only adds to everybody's wait.
const maxBatch = 32

// maxBatchRows is how many rows the steps of a batch have together, unless one alone has
// more. It bounds the memory of their outputs, as does maxBatchLogits for those that want
// logits of every row.
const (
	maxBatchRows   = 512
	maxBatchLogits = protocol.MaxDraftTokens
)

// The probes that measure a stage: tokens of a prompt, and steps after it.
const (
	probePrompt = 16
	probeSteps  = 4
)

var (
	errStopped = errors.New("stage is no longer served")
	errFull    = errors.New("queue of the stage is full")
)

// request is a step that waits for its turn. done receives one result and is buffered.
type request struct {
	in     model.Input
	queued time.Time
	done   chan result
}

type result struct {
	out            model.Output
	queue, compute time.Duration
	err            error
}

// stage is a loaded range and the loop that batches steps for it.
type stage struct {
	model   cid.Cid
	rng     wire.Range
	loaded  *model.Stage
	bytes   int64
	now     func() time.Time
	metrics *metrics
	queue   chan request // MaxQueue: more waiting only means later deadlines
	ended   chan struct{}
	cancel  context.CancelFunc // of the loop; nil before it runs

	life     context.Context // until Unload
	unload   context.CancelFunc
	sessions int // open; guarded by the worker's mu
	kept     int // by requests that are about to open one, see Keep; guarded by the worker's mu

	stepNs, prefillNs atomic.Int64 // one token through one block, moving averages
}

func newStage(ctx context.Context, id cid.Cid, r wire.Range, loaded *model.Stage, w *Worker) *stage {
	s := &stage{model: id, rng: r, loaded: loaded, now: w.cfg.Now, metrics: w.metrics, queue: make(chan request, w.cfg.MaxQueue), ended: make(chan struct{})}
	s.life, s.unload = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// blocks is what times are divided by; the embedding and the head count as one.
func (s *stage) blocks() int64 { return max(1, int64(s.rng.Last)-int64(s.rng.First)) }

func (s *stage) stepTime() time.Duration    { return time.Duration(s.stepNs.Load()) }
func (s *stage) prefillTime() time.Duration { return time.Duration(s.prefillNs.Load()) }

// measure times a short prompt and a few steps, so that adverts tell a measured speed
// before the first session.
func (s *stage) measure(ctx context.Context) error {
	cfg := s.loaded.Config()
	n := max(1, min(probePrompt, cfg.ContextLen()-probeSteps))
	var session *model.Session
	if cfg.Task() == model.TaskGenerate {
		var err error
		if session, err = s.loaded.NewSession(s.probeTokens()); err != nil {
			return err
		}
		defer session.Close()
	}
	prompt, err := s.timed(ctx, session, n)
	if err != nil {
		return err
	}
	s.prefillNs.Store(int64(prompt) / int64(n) / s.blocks())
	if session == nil {
		s.stepNs.Store(s.prefillNs.Load())
		return nil
	}
	best := time.Duration(1<<63 - 1)
	for range probeSteps {
		if session.Len() == session.Max() {
			break
		}
		d, err := s.timed(ctx, session, 1)
		if err != nil {
			return err
		}
		best = min(best, d)
	}
	s.stepNs.Store(max(1, int64(best)/s.blocks()))
	return nil
}

// probeTokens is the length of the session that measure opens.
func (s *stage) probeTokens() int {
	return min(probePrompt+probeSteps, s.loaded.Config().ContextLen())
}

func (s *stage) timed(ctx context.Context, session *model.Session, n int) (time.Duration, error) {
	in := model.Input{Session: session}
	if s.loaded.Config().TakesNumbers() {
		in.Numbers = make([]float32, n*s.loaded.Config().Dim())
	} else if s.rng.Embed {
		in.Tokens = make([]int32, n)
	} else {
		in.Hidden = make([]float32, n*s.loaded.Config().Dim())
	}
	if s.rng.Head && session != nil {
		in.Logits = model.LogitsLast
	}
	start := s.now()
	_, err := s.loaded.Forward(ctx, []model.Input{in})
	if errors.Is(err, model.ErrNotFinite) {
		err = nil // the time is right; who asks the model is told
	}
	return s.now().Sub(start), err
}

// do queues a step and waits for its result.
func (s *stage) do(ctx context.Context, in model.Input) result {
	req := request{in: in, queued: s.now(), done: make(chan result, 1)}
	select {
	case <-s.ended:
		return result{err: errStopped}
	case s.queue <- req:
	default:
		return result{err: errFull}
	}
	select {
	case r := <-req.done:
		return r
	case <-s.ended:
		return result{err: errStopped}
	case <-ctx.Done():
		// The step may still run, so the caller must not touch the session before it has.
		select {
		case <-req.done:
		case <-s.ended:
		}
		return result{err: ctx.Err()}
	}
}

// loop runs batches until ctx ends.
func (s *stage) loop(ctx context.Context) {
	defer close(s.ended)
	var batch []request
	for {
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return
			case first := <-s.queue:
				batch = append(batch, first)
			}
		}
		batch = s.fill(batch)
		n := s.fitting(batch)
		s.serve(ctx, batch[:n])
		rest := copy(batch, batch[n:])
		clear(batch[rest:])
		batch = batch[:rest]
		if ctx.Err() != nil {
			return
		}
	}
}

// fill adds waiting requests to a batch.
func (s *stage) fill(batch []request) []request {
	for len(batch) < maxBatch {
		select {
		case next := <-s.queue:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// fitting returns how many requests from the front run together: at least one.
func (s *stage) fitting(batch []request) int {
	rows, logits := 0, 0
	for i, r := range batch {
		n := s.rows(r.in)
		rows += n
		if r.in.Logits == model.LogitsAll {
			logits += n
		}
		if i > 0 && (rows > maxBatchRows || logits > maxBatchLogits) {
			return i
		}
	}
	return len(batch)
}

// serve runs a batch. If it fails, each step runs alone, so that one bad step harms no
// other.
func (s *stage) serve(ctx context.Context, batch []request) {
	start := s.now()
	in := make([]model.Input, len(batch))
	rows := 0
	for i, r := range batch {
		in[i] = r.in
		rows += s.rows(r.in)
	}
	out, err := s.loaded.Forward(ctx, in)
	took := s.now().Sub(start)
	if err != nil && len(batch) > 1 {
		for _, r := range batch {
			s.serve(ctx, []request{r})
		}
		return
	}
	if err == nil {
		s.learn(rows, took)
		s.metrics.rows.Add(float64(rows))
		s.metrics.batch.Observe(float64(len(batch)))
		s.metrics.seconds.Observe(took.Seconds())
	}
	for i, r := range batch {
		res := result{err: err, queue: start.Sub(r.queued), compute: took}
		if err == nil {
			res.out = out[i]
		}
		r.done <- res
	}
}

func (s *stage) rows(in model.Input) int {
	if s.rng.Embed && in.Numbers == nil {
		return len(in.Tokens)
	}
	return (len(in.Hidden) + len(in.Numbers)) / s.loaded.Config().Dim()
}

// learn keeps the averages of single steps and of long prompts.
func (s *stage) learn(rows int, took time.Duration) {
	avg, per := &s.prefillNs, int64(took)/int64(max(1, rows))/s.blocks()
	switch {
	case rows == 1:
		avg = &s.stepNs
	case rows < probePrompt:
		return
	}
	const weight = 16 // of the past
	avg.Store((avg.Load()*(weight-1) + per + weight - 1) / weight)
}
