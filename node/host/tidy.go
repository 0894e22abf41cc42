package host

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/covey-network/covey/protocol"
)

const (
	// tidyEvery is how often surplus connections are looked for.
	tidyEvery = 3 * time.Second
	// twinGrace is how long a second connection to a peer stays: what was begun on it must see
	// the other one first.
	twinGrace = 3 * time.Second
	// twinsApart is how much later a connection is no twin: nobody dials a peer that it is
	// connected to.
	twinsApart = 10 * time.Second
	// doubtApart is how much later a connection is reason to ask over the older one: the peer may have
	// started again at once. Twins answer.
	doubtApart = time.Second
	// byeTimeout bounds how long a peer may take to hear that its connection is surplus.
	byeTimeout = 2 * time.Second
	// partFor is how long peers that have parted do not dial each other, give or take a half, but
	// for a request. Later they may: two halves of a swarm must find each other again.
	partFor = 10 * time.Minute
)

// idleProtocols are those whose streams move to another connection by themselves.
var idleProtocols = []string{string(pubsub.GossipSubID_v13), string(pubsub.GossipSubID_v12), string(pubsub.GossipSubID_v11), ping.ID, identify.ID, identify.IDPush, protocol.DHTPrefix + "/kad/1.0.0"}

// inUse reports whether something runs on a connection to a peer that its end would break off.
func (r *running) inUse(id ID) bool {
	return slices.ContainsFunc(r.host.Network().ConnsToPeer(native(id)), busy)
}

// busy reports whether something runs on a connection that its end would break off.
func busy(c network.Conn) bool {
	return slices.ContainsFunc(c.GetStreams(), func(s network.Stream) bool { return !slices.Contains(idleProtocols, string(s.Protocol())) })
}

// tidy ends connections that are not needed: second ones to the same peer, and those above
// PeersHigh.
func (r *running) tidy() {
	members := r.gate.members()
	for id := range members {
		r.endTwins(id)
	}
	for _, id := range r.surplus(members) {
		r.tasks.start(func() { r.part(id) })
	}
}

// surplus returns the members that this peer is to part with, and changes the map. Those that others reach through it
// come on top of PeersHigh: without it they are reached by nobody.
func (r *running) surplus(members map[ID]*member) []ID {
	maps.DeleteFunc(members, func(id ID, _ *member) bool { return r.relaysFor(id) })
	if len(members) <= r.cfg.PeersHigh {
		return nil
	}
	return r.leastNeeded(members, len(members)-(r.cfg.PeersLow+r.cfg.PeersHigh)/2)
}

// relaysFor reports whether a peer has a reservation with this one's relay, by the tag that the library gives it.
func (r *running) relaysFor(id ID) bool {
	tags := r.host.ConnManager().GetTagInfo(native(id))
	return tags != nil && tags.Tags["relay-reservation"] != 0
}

// endTwins leaves one connection to a peer where both sides have dialled at once: a direct one if
// there is any, and of several the one that the peer with the smaller identity dialled. That peer
// ends the others, so the two cannot disagree. Of connections that did not come at once the newest
// stays: who dialled again has lost the others.
func (r *running) endTwins(id ID) {
	conns := r.host.Network().ConnsToPeer(native(id))
	relayed := slices.DeleteFunc(slices.Clone(conns), func(c network.Conn) bool { return !c.Stat().Limited })
	if 0 < len(relayed) && len(relayed) < len(conns) {
		conns = slices.DeleteFunc(conns, func(c network.Conn) bool { return c.Stat().Limited })
		for _, c := range relayed { // a peer that one of them leads to is not asked to relay
			endTwin(c)
		}
	}
	if len(conns) < 2 || r.ID() > id {
		return
	}
	stats := make([]network.ConnStats, len(conns))
	for i, c := range conns {
		stats[i] = c.Stat()
	}
	order := staying(stats, r.ID() < id)
	slices.SortFunc(conns, func(a, b network.Conn) int { return order(a.Stat(), b.Stat()) })
	for _, c := range conns[1:] {
		endTwin(c)
	}
}

// endTwin ends a connection beside which there is another, unless it is new or something runs on it.
func endTwin(c network.Conn) {
	if time.Since(c.Stat().Opened) > twinGrace && !busy(c) {
		_ = c.Close() // it may be gone already
	}
}

// staying returns an order of connections to a peer of which the first is to stay: those that came
// at most twinsApart before the newest, among them those that the peer with the smaller identity
// dialled, and of these the oldest. Others follow from the newest to the oldest. Both peers find the same,
// whatever their clocks say.
func staying(all []network.ConnStats, smaller bool) func(a, b network.ConnStats) int {
	var newest time.Time
	for _, s := range all {
		if s.Opened.After(newest) {
			newest = s.Opened
		}
	}
	former := func(s network.ConnStats) bool { return newest.Sub(s.Opened) > twinsApart }
	return func(a, b network.ConnStats) int {
		if former(a) || former(b) {
			return b.Opened.Compare(a.Opened)
		}
		dialled := func(s network.ConnStats) bool { return (s.Direction == network.DirOutbound) == smaller } // by the smaller one
		switch {
		case dialled(a) && !dialled(b):
			return -1
		case dialled(b) && !dialled(a):
			return 1
		}
		return a.Opened.Compare(b.Opened)
	}
}

// outdated reports whether a peer that has made a new connection may have lost an old one: nobody
// dials while connected, but for twins, and for a direct connection besides a relayed one.
func outdated(old, now network.ConnStats) bool {
	return now.Direction == network.DirInbound && !old.Limited && !now.Limited && now.Opened.Sub(old.Opened) > doubtApart
}

// leastNeeded returns up to n members that nothing holds on to, the least needed first.
func (r *running) leastNeeded(members map[ID]*member, n int) []ID {
	manager := r.host.ConnManager()
	value := map[ID]int{}
	for id, m := range members {
		if r.now().Sub(m.since) < connGrace || manager.IsProtected(native(id), "") || r.inUse(id) {
			continue
		}
		value[id] = 0
		if tags := manager.GetTagInfo(native(id)); tags != nil {
			value[id] = tags.Value
		}
	}
	var out []ID
	for id := range value {
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b ID) int { return cmp.Or(value[a]-value[b], r.order(a, b)) })
	return out[:min(len(out), n)]
}

// order compares peers in an order of this peer's own, so that not all choose the same ones.
func (r *running) order(a, b ID) int {
	sum := func(id ID) uint64 {
		h := fnv.New64a()
		_, _ = io.WriteString(h, string(r.ID())) // a hash has no error
		_, _ = io.WriteString(h, string(id))
		return h.Sum64()
	}
	return cmp.Or(cmp.Compare(sum(a), sum(b)), strings.Compare(string(a), string(b)))
}

// part ends the connection to a peer that is not needed. It hears so first: else it would take
// this one for dead, and dial.
func (r *running) part(id ID) {
	ctx, cancel := context.WithTimeout(r.ctx, byeTimeout)
	defer cancel()
	s, err := r.open(ctx, id, protocol.Bye)
	if err != nil {
		r.log.Debug("surplus peer not told", "peer", id, "err", err) // one of an older version
	} else {
		err := errors.Join(s.SetDeadline(time.Now().Add(byeTimeout)), s.CloseWrite())
		if err == nil {
			_, err = io.Copy(io.Discard, io.LimitReader(s, 1)) // until it has heard
		}
		if err != nil {
			_ = s.Reset()
		}
		_ = s.Close()
	}
	if r.inUse(id) { // since a moment ago
		return
	}
	r.book.part(id, r.now())
	_ = r.host.Network().ClosePeer(native(id))
}

// handleBye notes that a peer has too many connections and ends this one.
func (r *running) handleBye(_ context.Context, s Stream) {
	r.book.part(s.Peer(), r.now())
	_ = s.Close()
}
