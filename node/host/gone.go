package host

import (
	"slices"
	"sync"
	"time"

	"github.com/covey-network/covey/protocol/wire"
)

const (
	// goneFor is how long it is remembered what a peer had that is gone, maxGone of how many.
	goneFor = time.Hour
	maxGone = 64
)

// Gone is a peer that was met and is gone, and what it had of models.
type Gone struct {
	Peer   ID
	Since  time.Time
	Models []wire.ModelAdvert
}

// leavers are the peers that are gone. They are for words only: nothing is planned with them.
type leavers struct {
	mu  sync.Mutex
	all []Gone // the latest last
}

// note adds a peer that is gone; beyond maxGone the one longest gone goes.
func (l *leavers) note(g Gone) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = slices.DeleteFunc(l.all, func(old Gone) bool { return old.Peer == g.Peer || g.Since.Sub(old.Since) > goneFor })
	l.all = append(l.all[max(0, len(l.all)+1-maxGone):], g)
}

// Gone returns the peers of the last hour that were met, told of models and are gone, at most 64,
// the latest first. They are read-only.
func (h *Host) Gone() []Gone {
	h.leavers.mu.Lock()
	out := slices.Clone(h.leavers.all)
	h.leavers.mu.Unlock()
	now := h.now()
	out = slices.DeleteFunc(out, func(g Gone) bool { return now.Sub(g.Since) > goneFor || h.table.of(g.Peer, now) != nil })
	slices.Reverse(out)
	return out
}

// forsake drops the advert of a peer that is gone, and reports whether there was one. It stays known
// what a peer had that was met.
func (r *running) forsake(id ID) bool {
	a := r.table.of(id, r.now())
	if !r.table.drop(id) {
		return false
	}
	if a != nil && len(a.Models) > 0 && r.book.met(id) {
		since := r.losses.since(id)
		if since.IsZero() {
			since = r.prober.silentSince(id)
		}
		if since.IsZero() {
			since = r.now()
		}
		r.leavers.note(Gone{Peer: id, Since: since, Models: a.Models})
	}
	return true
}
