package host

import (
	"cmp"
	"slices"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// dialRule says when peers of the book are dialled next after something has happened.
type dialRule struct {
	of     func(*known) bool                                         // of whom it holds; nil: of each
	within func(k *known, now time.Time) (least, most time.Duration) // from then on; nil: at once
	sooner bool                                                      // a dial that is due before stays so
	note   func(k *known, now time.Time)                             // what else changes, after within; nil: nothing
}

// The rules. Nothing else sets a next dial.
var (
	// onAddress is for a peer with a new address, which is worth an immediate try.
	onAddress = dialRule{note: func(k *known, _ time.Time) { k.fresh = true }}
	// onHeard is for one that is heard on the local network: it is there now. Those that have parted
	// hear each other too.
	onHeard = dialRule{of: together, note: func(k *known, _ time.Time) { k.near = true }}
	// onMove is for those that were dialled in vain from where this machine was.
	onMove = dialRule{of: func(k *known) bool { return failing(k) && together(k) }}
	// onMeeting is for one that has proved its membership.
	onMeeting = dialRule{note: func(k *known, now time.Time) { k.seen, k.failures, k.failure = now, 0, "" }}
	// onRevival is for those dialled in vain that show that they are there, or to whom this peer is
	// back. They may be many.
	onRevival = dialRule{
		of: failing, sooner: true,
		within: func(*known, time.Time) (least, most time.Duration) { return 0, heardSpread },
		note:   func(k *known, _ time.Time) { k.failures = min(k.failures, 2) },
	}
	// onParting is for one whose connection ends as it is surplus.
	onParting = dialRule{
		within: func(*known, time.Time) (least, most time.Duration) { return partFor / 2, partFor / 2 * 3 },
		note:   func(k *known, now time.Time) { k.parted = now },
	}
	// onSolitude is for those that have parted when there is nobody else left.
	onSolitude = dialRule{
		of:   func(k *known) bool { return !together(k) },
		note: func(k *known, _ time.Time) { k.parted = time.Time{} },
	}
)

// onFailure is for a peer dialled in vain, for a reason if it was not cut short: after backoff at first,
// each time twice as long, at most most.
func onFailure(backoff, most time.Duration, why string) dialRule {
	return dialRule{
		within: func(k *known, _ time.Time) (time.Duration, time.Duration) {
			return halfTo(min(backoff<<min(k.failures, 20), most))
		},
		note: func(k *known, now time.Time) {
			if k.failure == "" {
				k.failing = now
			}
			k.failure = cmp.Or(why, k.failure, ReasonNoAnswer)
			k.failures++
		},
	}
}

// onShare is for a peer dialled in vain that nobody has heard of since, while there are enough others: they
// dial it, too, and tell when it is back, so that each may take its time. That is sharedBackoff at first, each
// time twice as long, at most most.
func onShare(most time.Duration) dialRule {
	return dialRule{within: func(k *known, _ time.Time) (time.Duration, time.Duration) {
		return halfTo(min(sharedBackoff<<min(max(k.failures-1, 0), 20), most))
	}}
}

// onNeed is for a peer dialled in vain over which others may be found, while there are few: it was named by a
// token, or was met and has a public address. If it has been away for long it waits for a twentieth of that, as
// dials in vain are not free.
func onNeed(limit time.Duration) dialRule {
	return dialRule{
		of: func(k *known) bool {
			return failing(k) && (k.sticky || !k.seen.IsZero() && slices.ContainsFunc(addrsOf(k.addrs), func(a multiaddr.Multiaddr) bool { return !isRelayed(a) && manet.IsPublicAddr(a) }))
		},
		within: func(k *known, now time.Time) (time.Duration, time.Duration) {
			return halfTo(min(max(limit, now.Sub(k.failing)/hastenShare), MaxBackoff))
		},
		sooner: true,
	}
}

// halfTo spreads a time, so that not all that failed at once are dialled at once.
func halfTo(d time.Duration) (least, most time.Duration) { return d / 2, d }

// failing reports whether the last dial was in vain.
func failing(k *known) bool { return k.failure != "" }

// together reports whether the last connection to a peer did not end as surplus.
func together(k *known) bool { return k.parted.IsZero() }

// apply sets the next dial of a peer by a rule, of all peers if none is named, and reports whether it
// holds for any. The caller holds mu.
func (b *book) apply(rule dialRule, id ID, now time.Time) (holds bool) {
	if id != "" {
		k := b.peers[id]
		return k != nil && b.applyTo(k, rule, now)
	}
	for _, k := range b.peers {
		holds = b.applyTo(k, rule, now) || holds
	}
	return holds
}

func (b *book) applyTo(k *known, rule dialRule, now time.Time) (holds bool) {
	if rule.of != nil && !rule.of(k) {
		return false
	}
	var at time.Time // always over
	if rule.within != nil {
		least, most := rule.within(k, now)
		at = now.Add(least + time.Duration(b.rng.Int64N(int64(most-least)+1)))
	}
	if !rule.sooner || at.Before(k.next) {
		k.next = at
	}
	if rule.note != nil {
		rule.note(k, now)
	}
	return true
}
