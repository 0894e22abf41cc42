package hostile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	cid "github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// liar is the worker of an honest node whose frames are changed on their way out: its lies
// come in the middle of what is right.
type liar struct {
	p      *Peer
	id     cid.Cid
	store  *store.Store
	cat    *catalog.Catalog
	worker *worker.Worker
}

// newWorker makes the parts that an honest node has. They fetch the model from honest peers.
func (p *Peer) newWorker(id cid.Cid) (_ *liar, err error) {
	l := &liar{p: p, id: id}
	log := slog.New(slog.DiscardHandler)
	if l.store, err = store.Open(store.Config{Dir: filepath.Join(p.cfg.Dir, "store"), Links: wire.Links, Log: log}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.store.Close())
		}
	}()
	blocks, err := exchange.New(exchange.Config{Store: l.store, Open: p.host.Open, Log: log, Now: time.Now})
	if err != nil {
		return nil, err
	}
	providers := func(context.Context, cid.Cid) []host.ID { v, _ := p.victims(); return v } // nobody is an error later
	if l.cat, err = catalog.New(catalog.Config{Store: l.store, Fetcher: blocks, Providers: providers, Log: log}); err != nil {
		return nil, err
	}
	l.worker, err = worker.New(worker.Config{Self: p.ID(), Models: l.cat, Dialer: l, Log: log, Now: time.Now, Threads: 1, Draw: worker.SampleDraw})
	return l, err
}

// run loads the claimed range, then calls serve, which blocks.
func (l *liar) run(ctx context.Context, r wire.Range, serve func() error) error {
	base, end := context.WithCancel(context.WithoutCancel(ctx)) // the store ends last
	var stored errgroup.Group
	stored.Go(func() error { return l.store.Run(base) })
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.worker.Run(ctx) })
	g.Go(func() error {
		from, err := l.p.victims()
		if err == nil {
			_, err = l.cat.Get(ctx, l.id, from)
		}
		if err == nil {
			err = l.worker.Load(ctx, l.id, r, nil)
		}
		if err != nil {
			return fmt.Errorf("load the claimed model: %w", err)
		}
		return serve()
	})
	err := g.Wait()
	<-l.p.down // sessions use the worker and the store until then
	l.worker.Close()
	end()
	return errors.Join(err, stored.Wait(), l.store.Close())
}

// serve takes a session of a peer.
func (l *liar) serve(ctx context.Context, s host.Stream) {
	l.p.asked.Add(1)
	m := l.p.mode
	if m != nil && m.open != nil {
		l.p.harm.Add(1)
		m.open(ctx, l.p, s)
		return
	}
	if m != nil && m.result != nil {
		s = &tamper{Stream: s, p: l.p, change: m.result}
	}
	l.worker.Serve(ctx, s)
}

// Dial opens a session with the next hop of a chain.
func (l *liar) Dial(ctx context.Context, h wire.Hop) (host.Stream, error) {
	l.p.host.AddAddrs(h.Peer, h.Addrs)
	s, err := l.p.host.Open(ctx, h.Peer, protocol.Infer)
	if m := l.p.mode; err == nil && m != nil && m.forward != nil {
		s = &tamper{Stream: s, p: l.p, change: m.forward}
	}
	return s, err
}
