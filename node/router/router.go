package router

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// Config is what a Router needs; all fields but Patience are required.
type Config struct {
	Self    host.ID
	Adverts func() []*wire.Advert                                      // of all live peers, this one among them
	RTT     func(host.ID) (time.Duration, bool)                        // measured from here
	Dial    func(ctx context.Context, h wire.Hop) (host.Stream, error) // an infer stream; also to this peer
	Log     *slog.Logger
	Now     func() time.Time
	// Patience is how long a session that lost its chain waits for another to appear: adverts
	// of a copy may be under way, and a peer may come back. 0: not at all.
	Patience time.Duration
}

// The time a peer that failed is left out: it doubles with each failure in a row.
const (
	firstAvoid = 2 * time.Second
	maxAvoid   = 2 * time.Minute
)

// Router chooses chains.
type Router struct {
	cfg Config

	mu    sync.Mutex
	avoid map[host.ID]failures
}

type failures struct {
	count int
	until time.Time
}

// New checks the configuration.
func New(cfg Config) (*Router, error) {
	if cfg.Adverts == nil || cfg.RTT == nil || cfg.Dial == nil || cfg.Log == nil || cfg.Now == nil {
		return nil, errors.New("new router: adverts, round trips, dialer, log and clock are required")
	}
	return &Router{cfg: cfg, avoid: map[host.ID]failures{}}, nil
}

// failed leaves a peer out for a while.
func (r *Router) failed(p host.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.avoid[p]
	wait := min(firstAvoid<<min(f.count, 10), maxAvoid)
	r.avoid[p] = failures{count: f.count + 1, until: r.cfg.Now().Add(wait)}
}

// worked forgets a peer's failures.
func (r *Router) worked(c *Chain) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range c.Links {
		delete(r.avoid, l.Peer)
	}
}

func (r *Router) avoided(p host.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.avoid[p]
	return ok && r.cfg.Now().Before(f.until)
}
