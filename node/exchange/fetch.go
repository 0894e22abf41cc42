package exchange

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
)

// Options of a Fetch; the zero value is replication in the background.
type Options struct {
	// Priority orders the requests at a provider that serves several on one stream.
	Priority wire.Priority
	// Progress, if not nil, is called after each write to the store, never twice at once.
	// It may keep the Stats.
	Progress func(Stats)
}

// Stats tells what a Fetch has done.
type Stats struct {
	Blocks  int               // fetched and stored
	Bytes   int64             // of them
	Skipped int64             // bytes of wanted blocks that the store had already
	From    map[host.ID]int64 // Bytes by provider
}

// MissingError tells which blocks could not be had from any provider.
type MissingError struct {
	CIDs []cid.Cid // in the order wanted
	Err  error     // why providers were given up; nil if they just do not have the blocks
}

// Error counts the blocks and names the first.
func (e *MissingError) Error() string {
	s := fmt.Sprintf("%d blocks could not be fetched, first %s", len(e.CIDs), e.CIDs[0])
	if e.Err == nil {
		return s + ": no peer has them"
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns why providers were given up.
func (e *MissingError) Unwrap() error { return e.Err }

// Fetch brings blocks from providers into the store and returns when all are there, or
// none of the rest can be had: then the error is a *MissingError. What came before an
// error stays, so that the next Fetch asks for the rest only. Until Fetch returns the
// blocks are safe from garbage collection.
func (e *Exchange) Fetch(ctx context.Context, want []cid.Cid, from []host.ID, o Options) (Stats, error) {
	hold := e.cfg.Store.Hold()
	defer hold.Release()
	st := Stats{From: map[host.ID]int64{}}
	rest, err := e.absent(want, hold, &st)
	if err != nil {
		return st, fmt.Errorf("fetch blocks: %w", err)
	}
	if len(rest) == 0 {
		return st, ctx.Err()
	}
	f := &fetch{e: e, o: o, stats: st, got: make(chan arrival, queuedBlocks)}
	return f.run(ctx, rest, e.usable(from, f))
}

// absent returns what of want the store does not have, each once.
func (e *Exchange) absent(want []cid.Cid, hold *store.Hold, st *Stats) ([]cid.Cid, error) {
	seen := make(map[cid.Cid]struct{}, len(want))
	var rest []cid.Cid
	for _, c := range want {
		if err := wire.ValidCID(c); err != nil {
			return nil, err
		}
		if _, ok := seen[c]; ok {
			continue
		}
		seen[c] = struct{}{}
		if err := hold.Add(c); err != nil {
			return nil, err
		}
		if n, ok := e.cfg.Store.Size(c); ok {
			st.Skipped += int64(n)
			continue
		}
		rest = append(rest, c)
	}
	return rest, nil
}

// usable returns the providers worth asking, each once.
func (e *Exchange) usable(from []host.ID, f *fetch) []host.ID {
	var out []host.ID
	for _, id := range from {
		switch {
		case slices.Contains(out, id):
		case e.isBanned(id):
			f.failed(id, errLied)
		default:
			out = append(out, id)
		}
	}
	return out
}

// putBlocks is how many blocks are written at once. queuedBlocks is how many may wait for it:
// when a file of the store's log is full, it is synced before the next one is begun, which
// takes a quarter of a second or more; meanwhile peers go on sending.
const (
	putBlocks    = 8
	queuedBlocks = 128
)

// settleTime is how long relays wait for providers that may be reached directly.
const settleTime = time.Second

// arrival is a verified block on its way to the store.
type arrival struct {
	block store.Block
	buf   *[]byte // that the block is in
	from  host.ID
}

// fetch is one call of Fetch.
type fetch struct {
	e    *Exchange
	o    Options
	work *work
	got  chan arrival

	stats Stats // belongs to sink

	mu   sync.Mutex
	errs []error // of providers
}

func (f *fetch) run(ctx context.Context, rest []cid.Cid, from []host.ID) (Stats, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	asking, stop := context.WithCancel(ctx)
	defer stop()
	f.work = newWork(rest, from, stop)
	settle := time.AfterFunc(settleTime, f.work.settle)
	defer settle.Stop()
	var providers sync.WaitGroup
	for _, p := range slices.Clone(f.work.living) {
		providers.Go(func() { f.ask(ctx, asking, p) })
	}
	stored := make(chan error, 1)
	go func() { stored <- f.sink(ctx, fail) }()
	providers.Wait()
	close(f.got)
	if err := <-stored; err != nil {
		return f.stats, fmt.Errorf("fetch blocks: %w", err)
	}
	if missing := f.work.missing(); len(missing) > 0 {
		if err := context.Cause(ctx); err != nil {
			return f.stats, fmt.Errorf("fetch blocks: %w", err)
		}
		return f.stats, &MissingError{CIDs: missing, Err: errors.Join(f.errs...)}
	}
	return f.stats, nil
}

// failed notes why a provider was given up.
func (f *fetch) failed(id host.ID, err error) {
	f.e.metrics.dropped.Inc()
	f.e.cfg.Log.Info("provider given up", "peer", id, "err", err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, fmt.Errorf("peer %s: %w", id, err))
}

// sink stores what arrives until f.got is closed, several blocks at a time.
func (f *fetch) sink(ctx context.Context, fail func(error)) error {
	var err error
	batch := make([]arrival, 0, putBlocks)
	blocks := make([]store.Block, 0, putBlocks)
	for a := range f.got {
		batch, blocks = append(batch[:0], a), append(blocks[:0], a.block)
		for more := true; more && len(batch) < putBlocks; {
			select {
			case a, ok := <-f.got:
				if more = ok; ok {
					batch, blocks = append(batch, a), append(blocks, a.block)
				}
			default:
				more = false
			}
		}
		if err == nil {
			if err = f.put(ctx, batch, blocks); err != nil {
				fail(err)
			}
		}
		for _, a := range batch {
			f.e.recycle(a.buf)
		}
	}
	return err
}

func (f *fetch) put(ctx context.Context, batch []arrival, blocks []store.Block) error {
	if _, err := f.e.cfg.Store.PutMany(ctx, blocks); err != nil {
		return err
	}
	for _, a := range batch {
		n := int64(len(a.block.Data()))
		f.stats.Blocks++
		f.stats.Bytes += n
		f.stats.From[a.from] += n
		f.e.metrics.received.Add(float64(n))
	}
	if f.o.Progress != nil {
		st := f.stats
		st.From = maps.Clone(st.From)
		f.o.Progress(st)
	}
	return nil
}

// wait waits for d, or until ctx or changed end. It reports whether ctx has not.
func wait(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-t.C:
	}
	return ctx.Err() == nil
}
