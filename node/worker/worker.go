package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"

	cid "github.com/ipfs/go-cid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// ErrNoMemory means that a stage or session does not fit into what the owner lends.
var ErrNoMemory = errors.New("not enough memory lent")

// Models gives the models that this node holds.
type Models interface {
	// Model returns the configuration of a model and its weights, which are read from the
	// store and may be fetched from peers.
	Model(ctx context.Context, id cid.Cid) (model.Config, model.Weights, error)
}

// Dialer opens an infer stream to the next hop of a chain.
type Dialer interface {
	Dial(ctx context.Context, h wire.Hop) (host.Stream, error)
}

// Config is what a Worker needs. All fields but the limits are required.
type Config struct {
	Self   host.ID
	Models Models
	Dialer Dialer
	Log    *slog.Logger
	Now    func() time.Time

	Threads     int   // that run stages; 0 is one per processor
	MemoryBytes int64 // for weights and sessions together; 0 is 1 GiB
	MaxSessions int   // at once on all stages; 0 is 64
	MaxQueue    int   // steps that wait for a stage; 0 is 64
	Draw        Draw  // samples tokens on a last stage
	// Grant names what a peer came with: all of one invitation have one name, and share what
	// the peers of one may have. Nil, or "" for a peer: it is alone.
	Grant func(host.ID) string

	Registry prometheus.Registerer // gets the metrics; nil: none
}

// Worker serves stages.
type Worker struct {
	cfg     Config
	pool    *kernel.Pool
	metrics *metrics

	mu       sync.Mutex
	run      context.Context // of Run, nil before it and after it ended
	stages   []*stage
	loading  map[stageKey]*loading
	used     int64 // bytes of weights, activations and sessions
	sessions int
	others   usage          // of sessions and their memory by other peers
	tasks    sync.WaitGroup // the stages' loops
}

// New checks the configuration and makes the threads, which wait until there is work. Close
// ends them.
func New(cfg Config) (*Worker, error) {
	if cfg.Models == nil || cfg.Dialer == nil || cfg.Log == nil || cfg.Now == nil || cfg.Draw == nil {
		return nil, errors.New("new worker: models, dialer, log, clock and sampler are required")
	}
	if cfg.MemoryBytes == 0 {
		cfg.MemoryBytes = 1 << 30
	}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 64
	}
	if cfg.MaxQueue == 0 {
		cfg.MaxQueue = 64
	}
	m, err := newMetrics(cfg.Registry)
	if err != nil {
		return nil, fmt.Errorf("new worker: %w", err)
	}
	return &Worker{cfg: cfg, metrics: m, pool: kernel.NewPool(cfg.Threads), loading: map[stageKey]*loading{}, others: newUsage()}, nil
}

// Close ends the threads, after Run and all calls have returned.
func (w *Worker) Close() { w.pool.Close() }

// CPU names the instruction set in use.
func CPU() string { return kernel.Current().String() }

// BestCPU names the best instruction set that this machine has.
func BestCPU() string {
	all := kernel.Supported()
	return all[len(all)-1].String()
}

// Run lets the worker serve until ctx ends, then waits for its stages.
func (w *Worker) Run(ctx context.Context) error {
	w.mu.Lock()
	w.run = ctx
	for _, s := range w.stages {
		w.start(s)
	}
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	w.run = nil
	w.mu.Unlock()
	w.tasks.Wait()
	return nil
}

// start runs the loop of a stage. The caller holds mu, and run is set.
func (w *Worker) start(s *stage) {
	ctx, cancel := context.WithCancel(w.run)
	s.cancel = cancel
	w.tasks.Add(1)
	go func() {
		defer w.tasks.Done()
		s.loop(ctx)
	}()
}

// Unload stops serving a stage, or all stages of a model if r is nil. Its sessions end
// with an error, and their routers go to other peers.
func (w *Worker) Unload(id cid.Cid, r *wire.Range) {
	w.remove(func(s *stage) bool { return s.model == id && (r == nil || s.rng == *r) })
}

// Evict stops serving the stages that have no session, that no request keeps and that keep
// does not want.
func (w *Worker) Evict(keep func(id cid.Cid, r wire.Range) bool) {
	w.remove(func(s *stage) bool { return s.sessions == 0 && s.kept == 0 && !keep(s.model, s.rng) })
}

// Keep keeps a stage from being evicted until ctx ends, so that a request which found it
// can open its sessions. It reports whether the stage is served.
func (w *Worker) Keep(ctx context.Context, id cid.Cid, r wire.Range) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.at(id, r)
	if s == nil {
		return false
	}
	s.kept++
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		s.kept--
	})
	return true
}

func (w *Worker) remove(which func(*stage) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stages = slices.DeleteFunc(w.stages, func(s *stage) bool {
		if !which(s) {
			return false
		}
		s.unload()
		if s.cancel != nil {
			s.cancel()
		}
		if s.sessions == 0 {
			w.used -= s.bytes
		} // else the last one gives its memory back
		return true
	})
}

// Served describes the stages of each model, with the room for this peer's own sessions.
func (w *Worker) Served() map[cid.Cid][]wire.Served {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.served(w.cfg.MemoryBytes-w.used, w.cfg.MaxSessions-w.sessions)
}

// Offered describes the stages of each model, with the room for sessions of other peers, and
// no more memory than one of them may have: a longer session would be refused.
func (w *Worker) Offered() map[cid.Cid][]wire.Served {
	w.mu.Lock()
	defer w.mu.Unlock()
	pool := int(share(int64(w.cfg.MaxSessions), ownerShare))
	return w.served(min(w.roomForOthers(), w.mostForPeer()), min(w.cfg.MaxSessions-w.sessions, pool-w.others.all.sessions))
}

// served describes the stages where there is room for so many bytes and sessions more. The
// caller holds mu.
func (w *Worker) served(free int64, sessions int) map[cid.Cid][]wire.Served {
	out := make(map[cid.Cid][]wire.Served)
	free = max(0, free)
	for _, s := range w.stages {
		v := wire.Served{
			Range: s.rng, StepNs: uint64(min(s.stepTime(), protocol.MaxStepTime)), PrefillNs: uint64(min(s.prefillTime(), protocol.MaxStepTime)),
			FreeSessions: uint32(max(0, sessions)), Queue: uint32(len(s.queue)),
			FreeTokens: uint64(sort.Search(protocol.MaxSessionTokens, func(n int) bool { return s.loaded.SessionBytes(n+1) > free })),
		}
		out[s.model] = append(out[s.model], v)
	}
	return out
}

// Memory returns the bytes lent and the bytes in use.
func (w *Worker) Memory() (lent, used int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cfg.MemoryBytes, w.used
}

// MaxSessions returns how many sessions may be open at once.
func (w *Worker) MaxSessions() int { return w.cfg.MaxSessions }

// Sessions returns the number of open sessions.
func (w *Worker) Sessions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sessions
}

func (w *Worker) find(id cid.Cid, r wire.Range) *stage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at(id, r)
}

// at is find with mu held.
func (w *Worker) at(id cid.Cid, r wire.Range) *stage {
	for _, s := range w.stages {
		if s.model == id && s.rng == r {
			return s
		}
	}
	return nil
}

// Describe returns a range as people read it, with the last block named.
func Describe(r wire.Range) string {
	text := fmt.Sprintf("blocks %d-%d", r.First, int(r.Last)-1)
	if r.First == r.Last {
		text = "no blocks"
	}
	if r.Embed {
		text = "embedding and " + text
	}
	if r.Head {
		text += " and head"
	}
	return text
}

func engineRange(r wire.Range) model.Range {
	return model.Range{First: int(r.First), Last: int(r.Last), Embed: r.Embed, Head: r.Head}
}
