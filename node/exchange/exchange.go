package exchange

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
)

// Config is what New needs.
type Config struct {
	// Store is where served blocks come from and fetched ones go. Required.
	Store *store.Store
	// Open opens a stream to a peer; host.Host.Open is one. Required for Fetch.
	Open func(ctx context.Context, id host.ID, protocol string) (host.Stream, error)
	// UploadBytesPerSec is the owner's limit of what Serve, and who waits for its Turns,
	// send to all peers together; 0
	// is no limit.
	UploadBytesPerSec int64
	Log               *slog.Logger          // nil: discard
	Now               func() time.Time      // nil: time.Now
	Registerer        prometheus.Registerer // nil: no metrics
}

// Validate reports every field that is missing or out of range.
func (c *Config) Validate() error {
	var errs []error
	if c.Store == nil {
		errs = append(errs, errors.New("store is missing"))
	}
	if c.Open == nil {
		errs = append(errs, errors.New("opener of streams is missing"))
	}
	if c.UploadBytesPerSec < 0 {
		errs = append(errs, fmt.Errorf("upload limit of %d bytes a second", c.UploadBytesPerSec))
	}
	return errors.Join(errs...)
}

// Limits of the serving side. protocol/spec/blocks.md tells them to clients.
const (
	maxStreams     = 64  // served at once; each has two blocks in memory
	maxPeerStreams = 8   // of them for one peer
	maxPeerQueue   = 512 // blocks that one peer may have asked for and not got yet
	maxRefused     = 512 // refusals that a client has not taken yet, on one stream
)

// Limits of the asking side.
const (
	firstWindow  = 4   // blocks asked of a provider before its speed is known
	maxWindow    = 64  // blocks asked of a provider at once, at most
	maxFailures  = 3   // sessions with a provider that bring nothing, before it is given up
	maxRefusals  = 12  // the same, where the provider says that it is busy
	maxBanned    = 256 // providers remembered for lying
	banned       = time.Minute
	windowOf     = time.Second // what a window should take
	sliceBytes   = 64 << 10    // progress within a block is looked at after so many bytes
	burstDivisor = 10          // a tenth of a second of the upload limit may be sent at once
)

// times are intervals that tests shorten.
type times struct {
	stall   time.Duration // a provider that owes blocks may be silent
	backoff time.Duration // first wait after a failed session; doubles
	steal   time.Duration // how often an idle provider looks for work of others
}

// Exchange serves and fetches blocks. Make it with New.
type Exchange struct {
	cfg     Config
	times   times
	upload  *rate.Limiter // nil: no limit
	metrics *metrics
	buffers sync.Pool // of *[]byte with the capacity of a block

	mu     sync.Mutex
	serves map[host.ID]*served
	total  int // streams served
	liars  map[host.ID]time.Time
}

// served is what one peer is being served.
type served struct{ streams, queued int }

// New returns an Exchange. It starts nothing.
func New(cfg Config) (*Exchange, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("new exchange: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("new exchange: %w", err)
	}
	e := &Exchange{
		cfg: cfg, metrics: m, serves: map[host.ID]*served{}, liars: map[host.ID]time.Time{},
		times:   times{stall: 20 * time.Second, backoff: 250 * time.Millisecond, steal: 250 * time.Millisecond},
		buffers: sync.Pool{New: func() any { b := make([]byte, 0, protocol.MaxBlock); return &b }},
	}
	if n := cfg.UploadBytesPerSec; n > 0 {
		e.upload = rate.NewLimiter(rate.Limit(n), max(sliceBytes, int(min(n/burstDivisor, 1<<30))))
	}
	return e, nil
}

func (e *Exchange) buffer() *[]byte { return e.buffers.Get().(*[]byte) }

func (e *Exchange) recycle(b *[]byte) {
	if b != nil {
		e.buffers.Put(b)
	}
}

// ban notes that a peer sent wrong bytes.
func (e *Exchange) ban(id host.ID) {
	now := e.cfg.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for other, until := range e.liars {
		if !now.Before(until) {
			delete(e.liars, other)
		}
	}
	if len(e.liars) < maxBanned {
		e.liars[id] = now.Add(banned)
	}
}

func (e *Exchange) isBanned(id host.ID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	until, ok := e.liars[id]
	return ok && e.cfg.Now().Before(until)
}
