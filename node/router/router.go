package router

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// Config is what a Router needs; all fields but Patience and Alone are required.
type Config struct {
	Self    host.ID
	Adverts func() []*wire.Advert                                      // of all live peers, this one among them
	Path    func(host.ID) host.Path                                    // from here
	Dial    func(ctx context.Context, h wire.Hop) (host.Stream, error) // an infer stream; also to this peer
	Log     *slog.Logger
	Now     func() time.Time
	// Patience is how long a session that lost its chain waits for another to appear: adverts
	// of a copy may be under way, and a peer may come back. 0: not at all.
	Patience time.Duration
	// Alone serves the whole model on this peer until ctx ends, for a session for which there is
	// no chain. It reports whether it does. nil: it cannot.
	Alone func(ctx context.Context, model cid.Cid) bool
}

// Router chooses chains.
type Router struct {
	cfg   Config
	tasks sync.WaitGroup // opens, and checks of who is at fault

	mu       sync.Mutex
	ended    bool // no task begins any more
	running  map[int]context.CancelFunc
	started  int // tasks
	records  map[blameKey]record
	epoch    uint64               // counts records
	checking map[string]suspicion // chains of which it is being found out who is at fault
}

// New checks the configuration.
func New(cfg Config) (*Router, error) {
	if cfg.Adverts == nil || cfg.Path == nil || cfg.Dial == nil || cfg.Log == nil || cfg.Now == nil {
		return nil, errors.New("new router: adverts, paths, dialer, log and clock are required")
	}
	return &Router{cfg: cfg, running: map[int]context.CancelFunc{}, records: map[blameKey]record{}, checking: map[string]suspicion{}}, nil
}

// Run waits until ctx ends, then ends what the router still does in the background. Sessions
// cannot be opened after it.
func (r *Router) Run(ctx context.Context) error {
	<-ctx.Done()
	r.mu.Lock()
	r.ended = true
	for _, cancel := range r.running {
		cancel()
	}
	r.mu.Unlock()
	r.tasks.Wait()
	return nil
}

// task runs f beside the caller, for whose request it may live on: the context of f ends with
// Run, or by the function that task returns. It reports false if Run has ended.
func (r *Router) task(ctx context.Context, f func(ctx context.Context)) (context.CancelFunc, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil, false
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.started++
	id := r.started
	r.running[id] = cancel
	r.tasks.Go(func() {
		defer func() {
			cancel()
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.running, id)
		}()
		f(ctx)
	})
	return cancel, true
}
