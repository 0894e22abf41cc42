package host

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// PathState is how a peer is reached.
type PathState string

// States of a path.
const (
	PathDirect      PathState = "direct"      // connected
	PathRelayed     PathState = "relayed"     // connected, through a third peer only
	PathUnreachable PathState = "unreachable" // not connected, and dialled in vain
	PathLost        PathState = "lost"        // it does not answer, or its connection ended, a moment ago; being asked or dialled again
	PathUntried     PathState = "untried"     // not connected, and not dialled yet, or long ago
)

// Path is the way to a peer as far as it is known. The zero value is of no peer.
type Path struct {
	State  PathState
	Via    ID            // the relay of a relayed path
	RTT    time.Duration // the smallest of the last few; 0 if none was measured
	Reason string        // why the peer is unreachable, for people
	Clock  time.Duration // if it is so as clocks differ: how far the peer's is ahead of this one's; else 0
	Since  time.Time     // the state has held; zero if untried
	Addr   wire.Addr     // at which the peer is connected directly
}

// Connected reports whether there is a connection.
func (p *Path) Connected() bool { return p.State == PathDirect || p.State == PathRelayed }

const (
	// retryTime is how long after a dial was due a peer still counts as unreachable: the dial
	// may be under way. When it is over nothing is known, as with too many connections nobody
	// is dialled any more.
	retryTime = 30 * time.Second
	// aliveBackoff is MaxBackoff for peers that others still hear of: a path that has healed
	// is found soon.
	aliveBackoff = time.Minute
	// firstBackoff is MaxBackoff for peers that this one may depend on while it has fewer than it
	// wants: those of a token, and those with a public address, over which others are found. It is
	// aloneBackoff while there are none at all. A dial in vain over QUIC takes some 20 KB.
	firstBackoff = 20 * time.Second
	aloneBackoff = 10 * time.Second
	// sharedBackoff is the first wait after a dial in vain of a peer that many others dial as well.
	sharedBackoff = time.Minute
	// hastenShare is which part of the time that such a peer has been away its next dial may wait.
	hastenShare = 20
	// heardSpread is within what time a peer is dialled that others have heard of again.
	heardSpread = 2 * time.Second
	// missedFor is how long a peer that was met and cannot be reached any more is listed.
	missedFor = time.Hour
)

// Path returns what is known of the way to a peer.
func (h *Host) Path(id ID) Path {
	r, err := h.running()
	if err != nil {
		return h.book.path(id, h.now())
	}
	p, connected, member := Path{}, false, r.gate.get(id) != nil
	if member {
		p, connected = r.connection(id)
	}
	if !connected {
		p = h.book.path(id, h.now())
	}
	since := r.losses.since(id)
	switch {
	case connected:
		since = time.Time{}
		if h.table.of(id, h.now()) == nil { // it was taken to be gone
			since = r.prober.silentSince(id)
		}
	case member && since.IsZero(): // its last connection ends right now
		since = h.now()
	}
	if !since.IsZero() {
		p = Path{State: PathLost, Since: since}
	}
	p.RTT, _ = h.book.rtt(id)
	return p
}

// connection returns the path of the best connection to a peer.
func (r *running) connection(id ID) (best Path, ok bool) {
	for _, c := range r.host.Network().ConnsToPeer(native(id)) {
		p := Path{State: PathDirect, Since: c.Stat().Opened}
		if isRelayed(c.RemoteMultiaddr()) {
			p.State, p.Via = PathRelayed, relayOf(c.RemoteMultiaddr())
		} else {
			p.Addr = wire.Addr(c.RemoteMultiaddr().String())
		}
		if !ok || best.State == PathRelayed && p.State == PathDirect {
			best, ok = p, true
		}
	}
	return best, ok
}

// relayOf returns the relay that a relayed address leads through, "" if it names none.
func relayOf(a multiaddr.Multiaddr) ID {
	text, err := a.ValueForProtocol(multiaddr.P_P2P) // the first one; the peer's own follows
	if err != nil {
		return ""
	}
	id, err := ParseID(text)
	if err != nil {
		return ""
	}
	return id
}

// Paths returns the ways to the peers that are known to be of the swarm: those connected or lost a
// moment ago, those that advertise, bootstrap peers, and those that were met in the last hour.
func (h *Host) Paths() map[ID]Path {
	out := make(map[ID]Path)
	note := func(id ID) {
		if _, done := out[id]; !done && id != h.ID() {
			out[id] = h.Path(id)
		}
	}
	if r, err := h.running(); err == nil {
		for id := range r.gate.members() {
			note(id)
		}
		for _, id := range r.losses.all() {
			note(id)
		}
	}
	for _, a := range h.Adverts() {
		note(a.Peer)
	}
	for _, id := range h.book.missed(h.now()) {
		note(id)
	}
	return out
}

// roundTrips returns those that others should know of, of a peer that serves something: to those
// that do, too, the nearest first. Only to these it hands over.
func (h *Host) roundTrips() []wire.PeerRTT {
	serving := map[ID]bool{}
	for _, a := range h.Adverts() {
		serving[a.Peer] = serves(a)
	}
	peers := slices.DeleteFunc(h.Peers(), func(p Peer) bool { return p.Path.RTT == 0 || !serving[p.ID] })
	slices.SortStableFunc(peers, func(a, b Peer) int { return cmp.Compare(a.Path.RTT, b.Path.RTT) })
	var out []wire.PeerRTT
	for _, p := range peers[:min(len(peers), protocol.MaxAdvertRTTs)] {
		out = append(out, wire.PeerRTT{Peer: p.ID, Micros: uint32(min(p.Path.RTT.Microseconds(), 1<<31)), Relayed: p.Path.State == PathRelayed})
	}
	return out
}

// Handovers returns what an advert tells of hand-overs to peers that serve something: those
// measured, and those dialled in vain. Both are sorted, and empty if its own peer serves nothing.
func (h *Host) Handovers(own *wire.Advert) (measured, unreached []ID) {
	if !serves(own) {
		return nil, nil
	}
	for _, a := range h.Adverts() {
		if p := h.Path(a.Peer); serves(a) && p.Connected() && p.RTT > 0 {
			measured = append(measured, a.Peer)
		}
	}
	unreached = h.unreached()
	slices.Sort(measured)
	slices.Sort(unreached)
	return measured, unreached
}

func serves(a *wire.Advert) bool {
	return slices.ContainsFunc(a.Models, func(m wire.ModelAdvert) bool { return len(m.Served) > 0 })
}

// unreached lists peers that serve something and that this one has dialled in vain: others
// must not count on it to hand over to them.
func (h *Host) unreached() []ID {
	var out []ID
	for _, a := range h.Adverts() {
		if len(out) == protocol.MaxAdvertUnreached {
			break
		}
		if serves(a) && h.Path(a.Peer).State == PathUnreachable {
			out = append(out, a.Peer)
		}
	}
	return out
}

// path returns what is known of the way to a peer that is not connected.
func (b *book) path(id ID, now time.Time) Path {
	rtt, _ := b.rtt(id)
	b.mu.Lock()
	defer b.mu.Unlock()
	p := Path{State: PathUntried, RTT: rtt}
	switch k := b.peers[id]; {
	case k == nil:
	case len(k.addrs) == 0:
		p.State, p.Reason = PathUnreachable, reasonNoAddress
	case k.failure != "" && (k.dialing > 0 || now.Before(k.next.Add(retryTime))):
		p.State, p.Reason, p.Clock, p.Since = PathUnreachable, k.failure, k.apart, k.failing
	}
	return p
}

// missed lists bootstrap peers, and those that were met a short while ago and then dialled in
// vain.
func (b *book) missed(now time.Time) []ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []ID
	for id, k := range b.peers {
		if k.sticky || k.failure != "" && now.Sub(k.seen) < missedFor {
			out = append(out, id)
		}
	}
	return out
}

// lastMet returns the peers that were met last, at most n, the latest first.
func (b *book) lastMet(n int) []ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []ID
	for id, k := range b.peers {
		if !k.seen.IsZero() {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(x, y ID) int {
		return cmp.Or(b.peers[y].seen.Compare(b.peers[x].seen), cmp.Compare(x, y))
	})
	return out[:min(len(out), n)]
}

// pathCollector counts paths when metrics are asked for.
type pathCollector struct {
	h    *Host
	desc *prometheus.Desc
}

var _ prometheus.Collector = pathCollector{}

func newPathCollector(h *Host) pathCollector {
	return pathCollector{h, prometheus.NewDesc("covey_peers", "Known peers by the path to them.", []string{"path"}, nil)}
}

// Describe tells the name.
func (c pathCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect counts.
func (c pathCollector) Collect(out chan<- prometheus.Metric) {
	n := map[PathState]int{PathDirect: 0, PathRelayed: 0, PathUnreachable: 0, PathLost: 0, PathUntried: 0}
	for _, p := range c.h.Paths() {
		n[p.State]++
	}
	for _, s := range slices.Sorted(maps.Keys(n)) {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n[s]), string(s))
	}
}
