package host

import (
	"cmp"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/covey-network/covey/protocol/wire"
)

// atAddr is what the local network tells of a peer.
func atAddr(id ID, addrs ...wire.Addr) peer.AddrInfo {
	return peer.AddrInfo{ID: native(id), Addrs: addrsOf(addrs)}
}

// mute listens and says nothing to whoever dials.
func mute(t *testing.T) wire.Addr {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return wire.Addr("/ip4/127.0.0.1/tcp/" + port)
}

// TestOtherProgramAtAddress has a web server where a peer should be.
func TestOtherProgramAtAddress(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	a := foundSwarm(t, t.TempDir())
	_, port, _ := net.SplitHostPort(web.Listener.Addr().String())
	token, err := a.Invite(Invitation{Addrs: []wire.Addr{wire.Addr("/ip4/127.0.0.1/tcp/" + port + "/p2p/" + a.ID.String())}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenCredentials(t.TempDir(), token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b := startPeer(t, c, nil)
	until(t, "it is found out", func() bool { return b.Path(a.ID).Reason == reasonOther })
}

// TestHeardWhileDialling has a peer wait for an answer at an old address of another, and hear of
// its new one on the local network: it does not wait for the old one first, after which it would
// not dial for long.
func TestHeardWhileDialling(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	c := invited(t, a, t.TempDir(), Invitation{})
	c.Bootstrap = []wire.Addr{mute(t) + wire.Addr("/p2p/"+a.ID().String())}
	b := startPeer(t, c, func(cfg *Config) { cfg.Times.Backoff = time.Hour })
	r, err := b.running()
	if err != nil {
		t.Fatal(err)
	}
	until(t, "dialling", func() bool { return r.book.underWay() == 1 })
	r.heard(atAddr(a.ID(), withoutPeer(a.Addrs()[0])))
	until(t, "they meet", knows(b, a))
}

// TestHeardAfterFailure has a peer hear on the local network of one that it would not dial for an
// hour, at the address that it knows.
func TestHeardAfterFailure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := startPeer(t, foundSwarm(t, dir), keepsPort(dir))
	c := invited(t, a, t.TempDir(), Invitation{})
	at := withoutPeer(a.Addrs()[0])
	a.stop()
	b := startPeer(t, c, func(cfg *Config) { cfg.Times.Backoff = time.Hour })
	until(t, "unreachable", func() bool { return b.Path(a.ID()).State == PathUnreachable })
	a = startPeer(t, a.creds, keepsPort(dir))
	r, err := b.running()
	if err != nil {
		t.Fatal(err)
	}
	r.heard(atAddr(a.ID(), at))
	until(t, "they meet", knows(b, a))
}

// TestHeardInsteadOfRelay has a peer that reaches another over a relay hear of it on the local
// network. It has as many peers as it looks for. When the relayed connection does not answer any more
// the direct one stays.
func TestHeardInsteadOfRelay(t *testing.T) {
	t.Parallel()
	founder := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Relay = RelayOn })
	a := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), func(c *Config) { onlyDials(c); c.PeersLow = 2 })
	b := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), onlyDials)
	through := wire.Addr(string(founder.Addrs()[0]) + "/p2p-circuit/p2p/" + b.ID().String())
	until(t, "they meet", func() bool { return a.Connect(t.Context(), through) == nil })
	until(t, "relayed", func() bool { return a.Path(b.ID()).State == PathRelayed })
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	rb, err := b.running()
	if err != nil {
		t.Fatal(err)
	}
	if err := rb.host.Network().Listen(addrsOf([]wire.Addr{"/ip4/127.0.0.1/tcp/0"})...); err != nil {
		t.Fatal(err)
	}
	r.heard(peer.AddrInfo{ID: native(b.ID()), Addrs: rb.interfaceAddrs()})
	until(t, "direct", func() bool { return a.Path(b.ID()).State == PathDirect })
	if at := a.Path(b.ID()).Addr; !slices.Contains(textsOf(rb.interfaceAddrs()), textsOf(addrsOf([]wire.Addr{at}))[0]) {
		t.Errorf("at %s, it listens at %v", at, rb.interfaceAddrs())
	}

	events, stop := a.Subscribe()
	defer stop()
	relayed := slices.DeleteFunc(r.host.Network().ConnsToPeer(native(b.ID())), func(c network.Conn) bool { return !c.Stat().Limited })
	if len(relayed) == 0 {
		t.Fatal("no relayed connection is left")
	}
	r.endSilent(b.ID(), relayed)
	until(t, "it has ended", func() bool { return !slices.ContainsFunc(relayed, func(c network.Conn) bool { return !c.IsClosed() }) })
	if a.Path(b.ID()).State != PathDirect || r.prober.buried(b.ID()) {
		t.Errorf("the direct connection has ended too: %+v", a.Path(b.ID()))
	}
	for len(events) > 0 {
		if e, ok := (<-events).(EvtPeerLeft); ok && e.Peer == b.ID() {
			t.Error("the peer has left")
		}
	}
}

// TestStranded takes away the address that a connection is from, and another one.
func TestStranded(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	until(t, "they meet", knows(b, a))
	r, err := b.running()
	if err != nil {
		t.Fatal(err)
	}
	conns := r.host.Network().ConnsToPeer(native(a.ID()))
	for _, own := range [][]net.IP{{net.IPv4(127, 0, 0, 1), net.IPv4(192, 168, 1, 9)}, nil} { // nil: the system did not tell
		if got := r.stranded(own); len(got) > 0 {
			t.Fatalf("with the addresses %v: %v", own, got)
		}
	}
	r.endStranded([]net.IP{net.IPv4(192, 168, 1, 9)})
	until(t, "it has ended", conns[0].IsClosed)
	until(t, "they meet again", func() bool { return knows(b, a)() && b.Path(a.ID()).State == PathDirect })
}

// TestTwins checks which of two connections to a peer stays, and when the older one is asked for
// an answer.
func TestTwins(t *testing.T) {
	t.Parallel()
	at := func(seconds int, d network.Direction, limited bool) network.ConnStats {
		return network.ConnStats{Stats: network.Stats{Direction: d, Opened: time.Unix(int64(1000+seconds), 0), Limited: limited}}
	}
	const in, out = network.DirInbound, network.DirOutbound
	for _, c := range []struct {
		name           string
		old, now       network.ConnStats
		stays, expires bool
	}{
		{"both dialled at once", at(0, out, false), at(1, in, false), false, false},
		{"both dialled at once, the other first", at(0, in, false), at(1, out, false), true, false},
		{"the other starts again at once", at(0, out, false), at(3, in, false), false, true},
		{"the other dials again", at(0, out, false), at(60, in, false), true, true},
		{"this one dials again", at(0, in, false), at(60, out, false), true, false},
		{"direct after a relay", at(0, in, true), at(60, in, false), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			better := staying([]network.ConnStats{c.old, c.now}, true)
			if stays := better(c.now, c.old) < 0; stays != c.stays || better(c.old, c.now) < 0 == stays {
				t.Errorf("the new one stays: %v, want %v", stays, c.stays)
			}
			if got := outdated(c.old, c.now); got != c.expires {
				t.Errorf("the old one is asked: %v, want %v", got, c.expires)
			}
		})
	}
}

// TestStayingIsAnOrder has three random connections to a peer: which one is to stay depends neither on
// the order in which they are listed nor on who of the two looks.
func TestStayingIsAnOrder(t *testing.T) {
	t.Parallel()
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	for n := range 100_000 {
		var here, there [3]network.ConnStats
		ahead := time.Duration(rng.Int64N(int64(time.Hour))) // the other's clock
		for i := range here {
			at := time.Unix(1000, 0).Add(time.Duration(rng.IntN(8)) * twinsApart / 2)
			d, back := network.DirInbound, network.DirOutbound
			if rng.IntN(2) == 0 {
				d, back = back, d
			}
			here[i].Opened, here[i].Direction = at, d
			there[i].Opened, there[i].Direction = at.Add(ahead), back
		}
		x, y := staying(here[:], true), staying(there[:], false)
		sign := func(a, b int) int { return cmp.Compare(x(here[a], here[b]), 0) }
		for _, p := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
			a, b, c := p[0], p[1], p[2]
			switch {
			case sign(a, a) != 0, sign(a, b) != -sign(b, a), sign(a, b) < 0 && sign(b, c) < 0 && sign(a, c) >= 0, sign(a, b) == 0 && sign(a, c) != sign(b, c):
				t.Fatalf("case %d of seed %d: no order: %+v", n, seed, here)
			case sign(a, b) != cmp.Compare(y(there[a], there[b]), 0):
				t.Fatalf("case %d of seed %d: the two peers differ: %+v", n, seed, here)
			}
		}
	}
}

// TestAnnouncement checks what is told to the local network, and that it is understood.
func TestAnnouncement(t *testing.T) {
	t.Parallel()
	id := foundSwarm(t, t.TempDir()).ID
	const loopback, lan, lan6 = "/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.9/tcp/1", "/ip6/fd00::9/udp/1/quic-v1"
	var many []wire.Addr
	for range 40 {
		many = append(many, lan)
	}
	for _, c := range []struct {
		name        string
		addrs, want []wire.Addr
		ips         int
	}{
		{"nothing", nil, nil, 0},
		{"a machine without a network", []wire.Addr{loopback}, []wire.Addr{loopback}, 1},
		{"loopback is for nobody else", []wire.Addr{loopback, lan, lan6}, []wire.Addr{lan, lan6}, 2},
		{"one packet", many, many[:maxMDNSTexts], 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			texts, ips := announcement(id, addrsOf(c.addrs))
			var got []wire.Addr
			foundIn(append([]string{"x", mdnsText, mdnsText + "/ip4/1"}[:min(3, maxMDNSTexts-len(texts))], texts...), func(i peer.AddrInfo) {
				if ID(i.ID) != id {
					t.Errorf("of %s", i.ID)
				}
				got = fromLibrary(i)
			})
			if !slices.Equal(got, c.want) || len(ips) != c.ips {
				t.Errorf("got %v with %v, want %v with %d", got, ips, c.want, c.ips)
			}
		})
	}
	foundIn([]string{mdnsText + lan}, func(peer.AddrInfo) { t.Error("an address of nobody") })
}

// sleeping has a machine with a clock sleep now, and again every few seconds: it may not have looked at the
// time yet.
func sleeping(c *clock, cond func() bool) func() bool {
	var slept time.Time
	return func() bool {
		if time.Since(slept) > 5*localEvery {
			c.add(2 * asleepAfter)
			slept = time.Now()
		}
		return cond()
	}
}

// TestSleep has a machine sleep and wake up elsewhere: connections from the address that it had end, though
// they still work here, and others take their place.
func TestSleep(t *testing.T) {
	t.Parallel()
	var moved atomic.Bool
	clock := newClock()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), func(c *Config) {
		c.Now = clock.now
		c.ownAddrs = func() []net.IP {
			if moved.Load() {
				return []net.IP{net.IPv4(192, 168, 1, 9)}
			}
			return []net.IP{net.IPv4(127, 0, 0, 1)}
		}
	})
	until(t, "they meet", knows(b, a))
	before := b.Path(a.ID()).Since
	moved.Store(true)
	until(t, "they meet anew", sleeping(clock, func() bool { return knows(b, a)() && b.Path(a.ID()).Since.After(before) }))
}

// TestDialsAfterSleep has a peer that was dialled in vain, and is there again when this machine has slept: it
// is dialled at once, and not minutes later.
func TestDialsAfterSleep(t *testing.T) {
	t.Parallel()
	clock, dir := newClock(), t.TempDir()
	founder := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	a := startPeer(t, invited(t, founder, dir, Invitation{}), keepsPort(dir))
	b := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), func(c *Config) {
		c.Listen, c.Now, c.Times.Backoff = nil, clock.now, time.Hour
	})
	until(t, "they meet the founder", func() bool { return knows(a, founder)() && knows(b, founder)() })
	if err := b.Connect(t.Context(), a.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	a.stop()
	until(t, "given up", func() bool { return b.Path(a.ID()).State == PathUnreachable })
	a = startPeer(t, a.creds, keepsPort(dir))
	until(t, "it meets the founder", knows(a, founder))
	until(t, "they meet", sleeping(clock, knows(b, a)))
}
