package host

import (
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"

	"github.com/covey-network/covey/protocol/wire"
)

// crowd starts a founder and n peers that join it at once and publish their adverts, and waits
// until all have heard of all.
func crowd(t *testing.T, n int, founder, others func(*Config)) []*peerOf {
	t.Helper()
	all := []*peerOf{startPeer(t, foundSwarm(t, t.TempDir()), founder)}
	for range n {
		all = append(all, startPeer(t, invited(t, all[0], t.TempDir(), Invitation{}), others))
	}
	for _, p := range all {
		if err := p.PublishAdvert(t.Context(), capacity()); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range all {
		until(t, "all adverts are there", func() bool { return len(p.Adverts()) == n })
	}
	return all
}

// TestOneConnectionToEachPeer has peers that all dial each other at once.
func TestOneConnectionToEachPeer(t *testing.T) {
	t.Parallel()
	all := crowd(t, 7, nil, nil)
	for _, p := range all {
		r, err := p.running()
		if err != nil {
			t.Fatal(err)
		}
		until(t, "one connection to each peer", func() bool {
			return len(p.Peers()) == len(all)-1 && len(r.host.Network().Conns()) == len(all)-1
		})
	}
}

// TestSurplusPeersPart has a founder with more connections than it wants: those that it ends
// are told, so nobody takes the other for dead or dials again.
func TestSurplusPeersPart(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	all := crowd(t, 12, func(c *Config) {
		c.PeersLow, c.PeersHigh = 5, 7 // gossip needs six
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}, func(c *Config) { c.PeersLow = 3 })
	founder := all[0]
	for _, p := range all[1:] {
		until(t, "joined", knows(founder, p))
		until(t, "knows others", func() bool { return len(p.Peers()) >= 3 })
	}
	lost, stop := founder.Subscribe()
	defer stop()
	ahead.Store(int64(connGrace + time.Second))
	until(t, "surplus connections ended", func() bool { return len(founder.Peers()) <= 7 })
	parted := 0
	for _, p := range all[1:] {
		if p.book.hasParted(founder.ID(), time.Now()) {
			parted++
		}
		if !p.hasAdvert(founder.ID()) || !founder.hasAdvert(p.ID()) {
			t.Error("a peer that has parted is taken for dead")
		}
	}
	if parted < 5 {
		t.Errorf("%d peers were told", parted)
	}
	for len(lost) > 0 {
		if e, ok := (<-lost).(EvtAdvertExpired); ok {
			t.Errorf("advert of %s dropped", e.Peer)
		}
	}
	// One that has parted is reached when it is needed.
	for _, p := range all[1:] {
		p.Handle(echoProto, echo)
		if !knows(founder, p)() {
			if got, err := roundTrip(t.Context(), founder, p.ID(), echoProto, "hello"); err != nil || got != "hello" {
				t.Errorf("echo %q, %v", got, err)
			}
			break
		}
	}
}

// chainOf starts peers of which each is connected to its neighbours in the list only, and waits
// until the first has the advert of the last.
func chainOf(t *testing.T, n int) []*peerOf {
	t.Helper()
	few := func(c *Config) { c.PeersLow, c.PeersHigh = 1, 8 }
	chain := []*peerOf{startPeer(t, foundSwarm(t, t.TempDir()), few)}
	for i := range n - 1 {
		c := invited(t, chain[0], t.TempDir(), Invitation{})
		c.Bootstrap = chain[i].Addrs()
		chain = append(chain, startPeer(t, c, few))
		until(t, "joined", knows(chain[i], chain[i+1]))
		until(t, "joined", knows(chain[i+1], chain[i]))
	}
	last := chain[n-1]
	until(t, "the advert arrives", func() bool {
		if err := last.PublishAdvert(t.Context(), capacity()); err != nil {
			t.Fatal(err)
		}
		return chain[0].hasAdvert(last.ID())
	})
	return chain
}

// TestLostPeerIsForgottenByAll ends a peer that the first one is not connected to.
func TestLostPeerIsForgottenByAll(t *testing.T) {
	t.Parallel()
	chain := chainOf(t, 4)
	last := chain[3]
	last.stop()
	start := time.Now()
	for _, p := range chain[:3] {
		until(t, "forgotten", func() bool { return !p.hasAdvert(last.ID()) })
	}
	if took := time.Since(start); took > 10*time.Second { // half of it is the patience with a peer that lives
		t.Errorf("forgotten after %v", took)
	}
}

func TestRumoursAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var u rumours
	take := func(by, of ID, seq uint64, grant string, at time.Time) bool {
		return u.take(&wire.Lost{By: by, Peer: of, Seq: seq}, seq, grant, at)
	}
	for i, c := range []struct {
		by, of ID
		seq    uint64
		grant  string
		at     time.Time
		want   bool
	}{
		{"a", "x", 1, "g", now, true},
		{"a", "x", 1, "g", now, false},
		{"b", "x", 2, "g", now, false}, // of the same invitation
		{"c", "x", 1, "h", now, false}, // has been told
		{"c", "x", 2, "h", now, true},
		{"a", "y", 1, "g", now, true},
		{"a", "x", 2, "h", now.Add(toldApart / 2), false},
		{"a", "x", 2, "h", now.Add(toldApart), true}, // a repeat
		{"b", "x", 2, "i", now.Add(2 * toldApart), true},
		{"b", "x", 2, "i", now.Add(3 * toldApart), true},
		{"b", "x", 3, "i", now.Add(4 * toldApart), false}, // it has contradicted
		{"a", "x", 3, "g", now.Add(rumourWindow + time.Second), true},
	} {
		if got := take(c.by, c.of, c.seq, c.grant, c.at); got != c.want {
			t.Errorf("%d: got %v", i, got)
		}
	}
	taken := 0
	for i := range time.Duration(2 * maxTold) {
		if take("b", "z", 1, "g", now.Add(rumourWindow+(2+i)*toldApart)) {
			taken++
		}
	}
	if taken != maxTold {
		t.Errorf("one is told to be lost %d times", taken)
	}
	taken = 0
	for i := range 2 * maxRumours {
		if take("liar", ID(rune('A'+i)), 1, "g", now.Add(rumourWindow+time.Second)) {
			taken++
		}
	}
	if taken != maxRumours {
		t.Errorf("%d of a liar are believed", taken)
	}
}

// TestLiarsAboutLaterAdverts tells of a peer that it is lost up to an advert that there is not: what others tell later counts.
func TestLiarsAboutLaterAdverts(t *testing.T) {
	t.Parallel()
	var u rumours
	now := time.Now()
	if !u.take(&wire.Lost{By: "liar", Peer: "x", Seq: math.MaxUint64}, 5, "g", now) || !u.told("x", 5) {
		t.Error("the word does not count")
	}
	if u.told("x", 6) {
		t.Error("a later advert counts as lost")
	}
	if !u.take(&wire.Lost{By: "a", Peer: "x", Seq: 6}, 6, "h", now) {
		t.Error("what another one tells of the later advert does not count")
	}
}

// TestRelayKeepsItsHomes has a relay with more connections than it wants: those that are reached through it stay.
func TestRelayKeepsItsHomes(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	founder := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) {
		c.Relay, c.PeersLow, c.PeersHigh = RelayOn, 3, 4
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	r, err := founder.running()
	if err != nil {
		t.Fatal(err)
	}
	homes := make([]*peerOf, 6)
	for i := range homes {
		homes[i] = startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), onlyDials)
	}
	until(t, "homes have reservations", func() bool {
		return !slices.ContainsFunc(homes, func(h *peerOf) bool { return !r.relaysFor(h.ID()) })
	})
	ahead.Store(int64(connGrace + time.Second))
	if part := r.surplus(r.gate.members()); len(part) > 0 {
		t.Errorf("parts with %d homes that are reached through it", len(part))
	}
	for range 6 { // neighbours that are no homes
		startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), func(c *Config) { c.PeersLow = 1 })
	}
	ahead.Store(int64(2 * connGrace))
	until(t, "those beyond are parted with", func() bool { return len(founder.Peers()) <= len(homes)+4 })
	for _, h := range homes {
		if h.book.hasParted(founder.ID(), time.Now()) || !knows(founder, h)() {
			t.Error("a home that is reached through the relay was parted with")
		}
	}
}

// TestRelayPeers has a relay whose owner lends it to one peer: a second one does not reserve.
func TestRelayPeers(t *testing.T) {
	t.Parallel()
	founder := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Relay, c.RelayPeers = RelayOn, 1 })
	r, err := founder.running()
	if err != nil {
		t.Fatal(err)
	}
	first := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), onlyDials)
	until(t, "the first has a reservation", func() bool { return r.relaysFor(first.ID()) })
	second := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), onlyDials)
	until(t, "the second is connected", knows(founder, second))
	own, err := second.running()
	if err != nil {
		t.Fatal(err)
	}
	relay := peer.AddrInfo{ID: native(founder.ID()), Addrs: own.host.Peerstore().Addrs(native(founder.ID()))}
	if _, err := client.Reserve(t.Context(), own.host, relay); err == nil || r.relaysFor(second.ID()) {
		t.Errorf("a second peer reserves: %v", err)
	}
}

// TestRelayWaitsForHello asks for a reservation while the hello is under way.
func TestRelayWaitsForHello(t *testing.T) {
	t.Parallel()
	g := newGate(time.Minute)
	f := relayFor{&running{gate: g, ctx: t.Context()}}
	if f.AllowReserve("x", nil) {
		t.Error("a stranger may reserve")
	}
	g.begin("x")
	may := make(chan bool)
	go func() { may <- f.AllowReserve("x", nil) }()
	until(t, "the wish waits", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.waits == 1
	})
	if _, err := g.admit("x", &member{}, func() bool { return true }); err != nil {
		t.Error(err)
	}
	if !<-may {
		t.Error("a member whose hello was under way was refused")
	}
}

// TestAllNeighboursAreAsked goes round twice.
func TestAllNeighboursAreAsked(t *testing.T) {
	t.Parallel()
	p := newProber(time.Now)
	members := map[ID]*member{"a": {}, "b": {}, "c": {}}
	asked := map[ID]int{}
	for range 2 * len(members) {
		asked[p.next(members)]++
	}
	for id := range members {
		if asked[id] != 2 {
			t.Errorf("asked %v", asked)
		}
	}
	delete(members, "a")
	delete(members, "b")
	for range 3 {
		if id := p.next(members); id != "c" {
			t.Errorf("asked %q", id)
		}
	}
	if id := p.next(nil); id != "" {
		t.Errorf("asked %q of nobody", id)
	}
}

// TestKnownAdvertCostsNoSignature takes in an advert twice. It runs alone, as the measure is of
// the whole process.
func TestKnownAdvertCostsNoSignature(t *testing.T) {
	a := crowd(t, 1, nil, nil)[0]
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	raw := a.table.tell("nobody", time.Now())[0]
	if n := testing.AllocsPerRun(10, func() {
		if v := r.receive("nobody", raw); v != verdictIgnore {
			t.Fatalf("verdict %s", v)
		}
	}); n > 100 { // to look at its signatures takes hundreds; others are at work, too
		t.Errorf("%v allocations", n)
	}
}

// byID is an order of peers.
func byID(a, b ID) int { return strings.Compare(string(a), string(b)) }
