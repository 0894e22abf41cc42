package node

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// maxProviders bounds the peers that are asked for blocks at once, findTimeout a search in
// the routing table. lostLook is how often it is looked whether a lost peer is back.
const (
	maxProviders = 16
	findTimeout  = 5 * time.Second
	lostLook     = 50 * time.Millisecond
)

// changes asks for a new advert soon.
func (r *running) changes() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// announced waits until an advert is out that tells what is so now.
func (r *running) announced(ctx context.Context) {
	if r.cfg.Offline {
		return
	}
	out := make(chan struct{})
	r.mu.Lock()
	r.awaiting = append(r.awaiting, out)
	r.mu.Unlock()
	r.changes()
	select {
	case <-out:
	case <-ctx.Done():
	case <-r.ctx.Done():
	}
}

// takeAwaiting returns those that wait for the next advert.
func (r *running) takeAwaiting() []chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.awaiting
	r.awaiting = nil
	return out
}

// advertise publishes this peer's capacity, from time to time and when something changed.
func (r *running) advertise(ctx context.Context) error {
	events, stop := r.host.Subscribe()
	defer stop()
	select {
	case <-r.host.Ready():
	case <-ctx.Done():
		return nil
	}
	announced := map[cid.Cid]bool{}
	for {
		awaiting := r.takeAwaiting()
		a := r.advert()
		told := r.telling(a)
		if err := r.host.PublishAdvert(ctx, a); err != nil && ctx.Err() == nil {
			r.log.Warn("advert not published", "err", err)
		}
		for _, out := range awaiting {
			close(out)
		}
		r.provide(ctx, a.Models, announced)
		if !sleep(ctx, advertPause) {
			return nil
		}
		if !r.awaitNews(ctx, told, events) {
			return nil
		}
	}
}

// sleep waits for a time and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// awaitNews waits until something has changed since the last advert, somebody waits for one, or
// it is time for a refresh. It reports whether ctx still lives. A peer that joins is no reason:
// the two swap the adverts they know.
func (r *running) awaitNews(ctx context.Context, told telling, events <-chan host.Event) bool {
	refresh := time.NewTimer(advertEvery - advertJitter + rand.N(2*advertJitter))
	defer refresh.Stop()
	look := time.NewTicker(advertLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-refresh.C:
			return true
		case <-r.changed:
			if r.awaited() || told.news(r.telling(r.advert())) {
				return true
			}
		case <-look.C:
			if told.news(r.telling(r.advert())) {
				return true
			}
		case e := <-events:
			if joined, ok := e.(host.EvtPeerJoined); ok {
				r.router.Joined(joined.Peer)
				r.hosting.Retry()
			}
		}
	}
}

// awaited reports whether somebody waits for the next advert.
func (r *running) awaited() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.awaiting) > 0
}

// provide announces new models in the routing table, each once; the host renews records.
func (r *running) provide(ctx context.Context, models []wire.ModelAdvert, announced map[cid.Cid]bool) {
	if !r.cfg.Network.DHT {
		return
	}
	for _, m := range models {
		if announced[m.Model] {
			continue
		}
		announced[m.Model] = true
		r.tasks.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, findTimeout)
			defer cancel()
			if err := r.host.Provide(ctx, m.Model); err != nil {
				r.log.Debug("model not announced in the routing table", "model", m.Model, "err", err)
			}
		})
	}
}

// advert describes this peer now, as others may know it: with what it serves because its
// owner wants it, and not what is loaded for requests of its own.
func (r *running) advert() wire.Advert {
	a := r.capacity()
	if r.forbidden() != nil {
		a.Models = nil
	}
	offered := r.worker.Offered()
	for i := range a.Models {
		m := &a.Models[i]
		m.Served = offered[m.Model][:min(len(offered[m.Model]), protocol.MaxAdvertRanges)]
		m.Served = slices.DeleteFunc(m.Served, func(s wire.Served) bool { return !r.hosting.Serving(m.Model, s.Range) })
	}
	return a
}

// capacity describes this peer now, with all that is loaded.
func (r *running) capacity() wire.Advert {
	lent, used := r.worker.Memory()
	disk := r.store.Stat()
	a := wire.Advert{
		TTLSec: uint32(advertTTL / time.Second), Peer: r.creds.ID, Name: r.cfg.Name, Cores: uint32(r.cores()), Speeds: r.machine(),
		Memory: wire.Space{Total: uint64(r.total), Lent: uint64(lent), Free: uint64(max(0, lent-used))},
		Disk:   diskSpace(disk.DiskBytes, disk.Free, disk.Limit),
		Limits: wire.Limits{UploadBytesPerSec: uint64(r.cfg.Limits.Upload), Sessions: uint32(r.worker.MaxSessions())},
	}
	served := r.worker.Served()
	for _, m := range r.catalog.List() {
		if len(a.Models) == protocol.MaxAdvertModels {
			break
		}
		held := r.catalog.Held(m)
		a.Models = append(a.Models, wire.ModelAdvert{
			Model: m.CID, Name: m.Name, Held: held[:min(len(held), protocol.MaxAdvertRanges)],
			Served: served[m.CID][:min(len(served[m.CID]), protocol.MaxAdvertRanges)],
		})
	}
	return a
}

func diskSpace(used, free, limit int64) wire.Space {
	lent := uint64(max(0, used) + max(0, free))
	if limit > 0 {
		lent = min(lent, uint64(limit))
	}
	return wire.Space{Total: lent, Lent: lent, Free: min(uint64(max(0, free)), lent)}
}

// adverts returns those of all live peers, this one's first.
func (r *running) adverts() []*wire.Advert {
	own := r.capacity()
	return append([]*wire.Advert{&own}, r.host.Adverts()...)
}

// providers lists the peers that may have blocks of a model: those who advertise it first,
// then those who are connected, and if that is nobody those the routing table knows. Where one was
// lost a moment ago that has what the others lack it waits until that one is back or gone, at most for
// patience.
func (r *running) providers(ctx context.Context, id cid.Cid) []host.ID {
	out, lost := r.advertisers(id)
	for end := time.Now().Add(patience); lost && time.Now().Before(end) && sleep(ctx, lostLook); {
		out, lost = r.advertisers(id)
	}
	for _, p := range r.host.Peers() {
		if len(out) >= maxProviders {
			break
		}
		if p.Path.State == host.PathDirect && !slices.Contains(out, p.ID) {
			out = append(out, p.ID)
		}
	}
	if len(out) > 0 || r.cfg.Offline {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	found, err := r.host.FindProviders(ctx, id, maxProviders)
	if err != nil {
		r.log.Debug("routing table not asked", "model", id, "err", err)
	}
	return slices.DeleteFunc(found, func(p host.ID) bool { return !r.mayReach(p) })
}

// advertisers lists the peers that advertise a model and are connected, or may be once they are dialled,
// and reports whether another one was lost a moment ago that has what they lack.
func (r *running) advertisers(id cid.Cid) (reached []host.ID, lost bool) {
	var held, lacking []wire.Range
	for _, a := range r.host.Adverts() {
		i := slices.IndexFunc(a.Models, func(m wire.ModelAdvert) bool { return m.Model == id })
		if i < 0 {
			continue
		}
		switch r.host.Path(a.Peer).State {
		case host.PathUnreachable:
		case host.PathLost:
			lacking = append(lacking, a.Models[i].Held...)
		default:
			reached = append(reached, a.Peer)
			held = append(held, a.Models[i].Held...)
		}
	}
	return reached, slices.ContainsFunc(lacking, func(r wire.Range) bool {
		return !slices.ContainsFunc(held, func(h wire.Range) bool { return covers(h, r) })
	})
}

// covers reports whether a range has all of another one.
func covers(r, of wire.Range) bool {
	return r.First <= of.First && of.Last <= r.Last && (r.Embed || !of.Embed) && (r.Head || !of.Head)
}

// mayReach reports whether a peer is connected, or may be once it is dialled.
func (r *running) mayReach(id host.ID) bool {
	s := r.host.Path(id).State
	return s != host.PathUnreachable && s != host.PathLost
}
