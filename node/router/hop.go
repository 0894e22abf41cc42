package router

import (
	"slices"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// unknownRTT is expected between peers of which neither has measured the other's distance: a
// link within a continent.
const unknownRTT = 50 * time.Millisecond

// Chains are chosen as if each step took so much longer over a hop.
const (
	// relayToll: the bytes take some of what somebody else lends, and the relay may be slow.
	relayToll = 200 * time.Millisecond
	// untriedToll: the peers may be on two sides of the Earth, have to dial first, or not
	// reach each other at all.
	untriedToll = 200 * time.Millisecond
)

// hop is the way from one stage to the next.
type hop struct {
	state host.PathState // "" within a peer
	via   host.ID
	rtt   time.Duration
}

// toll is what speaks against a hop beside its time.
func (h hop) toll() time.Duration {
	switch h.state {
	case host.PathRelayed:
		return relayToll
	case host.PathUntried:
		return untriedToll
	}
	return 0
}

// hop returns the way between two stages, from this peer if p is nil. Of its own ways this
// peer knows best. What others are to each other they tell in their adverts: if they are
// connected both do, the more so if one is not to be dialled.
func (r *Router) hop(p, c *candidate) hop {
	from, to := r.cfg.Self, c.link.Peer
	if p != nil {
		from = p.link.Peer
	}
	switch {
	case from == to:
		return hop{}
	case from == r.cfg.Self:
		return r.ownHop(to)
	case to == r.cfg.Self:
		return r.ownHop(from)
	}
	tells, told := p.ways[to]
	answers, answered := c.ways[from]
	switch {
	case told && tells.state != host.PathUnreachable:
		return tells
	case answered && answers.state != host.PathUnreachable:
		return answers
	case told || answered:
		return hop{state: host.PathUnreachable}
	}
	return hop{state: host.PathUntried, rtt: unknownRTT}
}

// waysOf returns the ways to other peers that one tells of.
func waysOf(a *wire.Advert) map[host.ID]hop {
	ways := make(map[host.ID]hop, len(a.RTTs)+len(a.Unreached))
	for _, id := range a.Unreached {
		ways[id] = hop{state: host.PathUnreachable}
	}
	for _, t := range slices.Backward(a.RTTs) { // the first counts
		h := hop{state: host.PathDirect, rtt: time.Duration(t.Micros) * time.Microsecond}
		if t.Relayed {
			h.state = host.PathRelayed
		}
		ways[t.Peer] = h
	}
	return ways
}

// ownHop returns the way to another peer.
func (r *Router) ownHop(to host.ID) hop {
	path := r.cfg.Path(to)
	h := hop{state: path.State, via: path.Via, rtt: path.RTT}
	if h.rtt == 0 {
		h.rtt = unknownRTT
	}
	return h
}
