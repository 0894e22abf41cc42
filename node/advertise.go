package node

import (
	"context"
	"slices"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// findProviders bounds a search in the routing table.
const (
	findProviders = 8
	findTimeout   = 5 * time.Second
)

// changes asks for a new advert soon.
func (r *running) changes() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// advertise publishes this peer's capacity, from time to time and when something changed.
func (r *running) advertise(ctx context.Context) error {
	select {
	case <-r.host.Ready():
	case <-ctx.Done():
		return nil
	}
	joined, stop := r.host.Subscribe()
	defer stop()
	tick := time.NewTicker(advertEvery)
	defer tick.Stop()
	announced := map[cid.Cid]bool{}
	for {
		a := r.advert()
		if err := r.host.PublishAdvert(ctx, a); err != nil && ctx.Err() == nil {
			r.log.Warn("advert not published", "err", err)
		}
		r.provide(ctx, a.Models, announced)
		pause := time.NewTimer(advertPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil
		}
		if !r.awaitReason(ctx, tick.C, joined) {
			return nil
		}
	}
}

// awaitReason waits until there is a reason for a new advert; false means that ctx ended.
func (r *running) awaitReason(ctx context.Context, tick <-chan time.Time, events <-chan host.Event) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
			return true
		case <-r.changed:
			return true
		case e := <-events:
			if _, ok := e.(host.EvtPeerJoined); ok {
				return true
			}
		}
	}
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

// advert describes this peer now.
func (r *running) advert() wire.Advert {
	lent, used := r.worker.Memory()
	disk := r.store.Stat()
	a := wire.Advert{
		TTLSec: uint32(advertTTL / time.Second), Peer: r.creds.ID, Name: r.cfg.Name, Cores: uint32(r.cores()), Speeds: r.machine(),
		Memory: wire.Space{Total: uint64(r.total), Lent: uint64(lent), Free: uint64(max(0, lent-used))},
		Disk:   diskSpace(disk.DiskBytes, disk.Free, disk.Limit),
		Limits: wire.Limits{UploadBytesPerSec: uint64(r.cfg.Limits.Upload)},
	}
	served := r.worker.Served()
	for _, m := range r.catalog.List() {
		if len(a.Models) == protocol.MaxAdvertModels {
			break
		}
		held, _ := r.catalog.Held(m)
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
	own := r.advert()
	return append([]*wire.Advert{&own}, r.host.Adverts()...)
}

// providers lists the peers that may have blocks of a model: by advert, or else by the
// routing table.
func (r *running) providers(ctx context.Context, id cid.Cid) []host.ID {
	var out []host.ID
	for _, a := range r.host.Adverts() {
		if slices.ContainsFunc(a.Models, func(m wire.ModelAdvert) bool { return m.Model == id }) {
			out = append(out, a.Peer)
		}
	}
	if len(out) > 0 || r.cfg.Offline {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	found, err := r.host.FindProviders(ctx, id, findProviders)
	if err != nil {
		r.log.Debug("routing table not asked", "model", id, "err", err)
	}
	return found
}
