package node

import (
	"slices"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// telling is what an advert told, as far as others must hear of a change.
type telling struct {
	advert wire.Advert
	addrs  []wire.Addr
	ends   time.Time // the membership

	measured, unreached []host.ID // as Host.Handovers

	at time.Time
}

// telling returns what an advert tells that goes out now.
func (r *running) telling(a wire.Advert) telling {
	m := r.host.Membership()
	t := telling{advert: a, addrs: r.host.Addrs(), ends: m.Grant.ExpiresAt(), at: time.Now()}
	t.measured, t.unreached = r.host.Handovers(&a)
	return t
}

// news reports whether what is so now is to be told before the next refresh: at once what
// decides where requests go and where a peer is found, and some time after the last advert to
// whom it can hand over and, if that is much more or less, what there is room for. Peers that
// come and go to make others talk gain no more than that.
func (t *telling) news(now telling) bool {
	switch {
	case !slices.Equal(t.addrs, now.addrs), !t.ends.Equal(now.ends), t.advert.Speeds != now.advert.Speeds, t.advert.Limits != now.advert.Limits,
		!slices.EqualFunc(t.advert.Models, now.advert.Models, sameStages):
		return true
	case now.at.Sub(t.at) < advertMinor:
		return false
	case !slices.Equal(t.unreached, now.unreached), slices.ContainsFunc(now.measured, func(id host.ID) bool { return !slices.Contains(t.measured, id) }):
		return true
	}
	return muchOther(t.advert.Memory.Free, now.advert.Memory.Free, t.advert.Memory.Lent/16) || muchOther(t.advert.Disk.Free, now.advert.Disk.Free, t.advert.Disk.Lent/16) ||
		!slices.EqualFunc(t.advert.Models, now.advert.Models, similarRoom)
}

// sameStages reports whether a model is held and served as before.
func sameStages(a, b wire.ModelAdvert) bool {
	return a.Model == b.Model && a.Name == b.Name && slices.Equal(a.Held, b.Held) &&
		slices.EqualFunc(a.Served, b.Served, func(x, y wire.Served) bool { return x.Range == y.Range })
}

// similarRoom reports whether the stages of a model take about as much more as before, and as
// fast.
func similarRoom(a, b wire.ModelAdvert) bool {
	return slices.EqualFunc(a.Served, b.Served, func(x, y wire.Served) bool {
		full := func(s wire.Served) bool { return s.FreeSessions == 0 || s.FreeTokens == 0 }
		return full(x) == full(y) && !muchOther(uint64(x.FreeSessions), uint64(y.FreeSessions), 0) && !muchOther(x.FreeTokens, y.FreeTokens, 0) &&
			!muchOther(uint64(x.Queue), uint64(y.Queue), 1) && !muchOther(x.StepNs, y.StepNs, 0) && !muchOther(x.PrefillNs, y.PrefillNs, 0)
	})
}

// muchOther reports whether one of two figures is more than twice the other, and more than so
// much apart.
func muchOther(a, b, least uint64) bool {
	return max(a, b)-min(a, b) > least && max(a, b) > 2*min(a, b)
}
