package host

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/covey-network/covey/protocol/wire"
)

// These tests use the intervals of Default, as nodes do. soon is what "within seconds"
// means to them: well above what is needed on an idle machine, below the half minute that
// timeouts of the network take.
const soon = 25 * time.Second

// within is until with a time limit that is part of what is tested.
func within(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	start := time.Now()
	until(t, what, cond)
	took := time.Since(start)
	t.Logf("%s after %v", what, took.Round(time.Millisecond))
	if took > limit {
		t.Errorf("%s took %v, want at most %v", what, took, limit)
	}
}

func defaultTimes(c *Config) { c.Times = Default().Times }

// childListenVar tells a child where to listen.
const childListenVar = "COVEY_TEST_LISTEN"

// childMain is a peer in a process of its own: it echoes, and publishes its advert whenever
// a peer joins, until it is killed.
func childMain(dir string) int {
	c, err := OpenCredentials(dir, nil, time.Now())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cfg := Default()
	cfg.Credentials, cfg.Version, cfg.Listen = c, "child", strings.Split(os.Getenv(childListenVar), ",")
	cfg.MDNS, cfg.DHT, cfg.NAT = false, false, false
	h, err := New(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	h.Handle(echoProto, echo)
	events, stop := h.Subscribe()
	defer stop()
	go func() {
		for e := range events {
			if _, ok := e.(EvtPeerJoined); ok {
				_ = h.PublishAdvert(context.Background(), capacity())
			}
		}
	}()
	if err := h.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// startChild starts a peer of owner's swarm in a process of its own and returns its id and
// what kills it.
func startChild(t *testing.T, owner *peerOf, listen string) (id ID, kill func()) {
	t.Helper()
	dir := t.TempDir()
	c := invited(t, owner, dir, Invitation{})
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childVar+"="+dir, childListenVar+"="+listen)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dead := false
	kill = func() {
		if dead {
			return
		}
		dead = true
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
	}
	t.Cleanup(kill)
	return c.ID, kill
}

const (
	echoProto  = "/covey/echo/1.0.0"
	listenTCP  = "/ip4/127.0.0.1/tcp/0"
	listenQUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
)

func TestAdvertOfKilledPeerIsDropped(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{listenTCP, listenQUIC} {
		t.Run(listen, func(t *testing.T) {
			t.Parallel()
			edit := func(c *Config) { defaultTimes(c); c.Listen = []string{listen} }
			a := startPeer(t, foundSwarm(t, t.TempDir()), edit)
			b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), edit)
			id, kill := startChild(t, a, listen)
			for _, p := range []*peerOf{a, b} {
				within(t, soon, "the advert is there", func() bool { return p.hasAdvert(id) })
				within(t, soon, "the peer is there", func() bool { return p.isMember(id) })
			}
			s, err := a.Open(t.Context(), id, echoProto)
			if err != nil {
				t.Fatal(err)
			}
			kill()
			start := time.Now()
			if _, err := io.ReadAll(s); err == nil { // the stream of a session
				t.Error("a stream to a dead peer ends in good order")
			}
			_ = s.Reset()
			if took := time.Since(start); took > soon {
				t.Errorf("the stream ended after %v", took)
			}
			for _, p := range []*peerOf{a, b} {
				within(t, soon, "the advert is dropped", func() bool { return !p.hasAdvert(id) })
				within(t, soon, "the peer is no member", func() bool { return !p.isMember(id) })
			}
			start = time.Now()
			if s, err := a.Open(t.Context(), id, echoProto); err == nil {
				_ = s.Reset()
				t.Error("a stream to a dead peer opens")
			}
			if took := time.Since(start); took > soon/2 {
				t.Errorf("open to a dead peer fails after %v", took)
			}
		})
	}
}

// TestRefusedPeerIsSoonGone kills a peer that listens over TCP and QUIC. As its machine refuses TCP
// nobody waits for an answer over QUIC, which takes seconds, and what is shown of it is true meanwhile.
func TestRefusedPeerIsSoonGone(t *testing.T) {
	t.Parallel()
	const both = listenTCP + "," + listenQUIC
	edit := func(c *Config) { defaultTimes(c); c.Listen = strings.Split(both, ",") }
	a := startPeer(t, foundSwarm(t, t.TempDir()), edit) // the child dials it
	id, kill := startChild(t, a, both)
	until(t, "the advert is there", func() bool { return a.hasAdvert(id) && a.isMember(id) && a.Path(id).State == PathDirect })
	start := time.Now()
	kill()
	var seen []PathState
	within(t, lostTimeout/2, "the peer is gone", func() bool {
		p := a.Path(id)
		if len(seen) == 0 || seen[len(seen)-1] != p.State {
			seen = append(seen, p.State)
		}
		if p.State == PathLost && (p.Since.Before(start) || time.Since(p.Since) > lostTimeout) {
			t.Errorf("lost since %v, killed at %v", p.Since, start)
		}
		return !a.hasAdvert(id) && p.State == PathUnreachable
	})
	if p := a.Path(id); p.Reason != ReasonRefused {
		t.Errorf("it is unreachable: %s", p.Reason)
	}
	if seen[0] == PathDirect {
		seen = seen[1:]
	}
	if len(seen) != 2 || seen[0] != PathLost {
		t.Errorf("it was shown as %v, want lost and unreachable", seen)
	}
}

// TestPeersAreWrittenDownSoon looks for two peers in each other's peers file before it is saved for
// its age: one that is killed has somebody to dial when it starts again.
func TestPeersAreWrittenDownSoon(t *testing.T) {
	t.Parallel()
	edit := func(c *Config) { defaultTimes(c); c.Dir = t.TempDir() }
	a := startPeer(t, foundSwarm(t, t.TempDir()), edit)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), edit)
	for _, way := range []struct{ at, of *peerOf }{{a, b}, {b, a}} {
		within(t, Default().Times.Save/4, "the peer is in the file", func() bool {
			written := newBook(way.at.ID(), time.Second)
			return written.load(filepath.Join(way.at.cfg.Dir, peersFile)) == nil && len(written.addrs(way.of.ID())) > 0
		})
	}
}

// TestPeerThatIsWrittenDownWakesNobody has a peer tell where it listens again and again: only an address
// that is not in the peers file is a reason to write it.
func TestPeerThatIsWrittenDownWakesNobody(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { defaultTimes(c); c.Dir = t.TempDir() })
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the peer is in the file", func() bool {
		told := r.listenAddrs(b.ID())
		return len(told) > 0 && !a.book.unwritten(b.ID(), told)
	})
	until(t, "nothing else is to be written", func() bool { return len(r.saves) == 0 })
	for range 10 {
		if r.identified(b.ID()); len(r.saves) > 0 {
			t.Fatal("the file is to be written again")
		}
	}
	const other = "/ip4/127.0.0.1/tcp/1"
	r.host.Peerstore().AddAddrs(native(b.ID()), addrsOf([]wire.Addr{other}), time.Hour)
	r.identified(b.ID())
	within(t, Default().Times.Save/4, "the other address is in the file", func() bool { return !a.book.unwritten(b.ID(), []wire.Addr{other}) })
}

// TestGonePeersAreRemembered has more peers with models go than are remembered, and one come back.
func TestGonePeersAreRemembered(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	adverts := make([]*wire.Advert, maxGone+2)
	for i := range adverts {
		x := serving()
		x.Peer, x.Seq, x.Issued = ID(fmt.Sprintf("peer %d", i)), 1, now.UnixMilli()
		adverts[i] = &x
		r.table.put(&x, "g", []byte{1}, false, now)
		if i > 0 { // the first was never met
			r.book.verified(x.Peer, nil, now)
		}
		if !r.forsake(x.Peer) {
			t.Fatal("no advert")
		}
	}
	gone := a.Gone()
	if len(gone) != maxGone || gone[0].Peer != adverts[maxGone+1].Peer || gone[maxGone-1].Peer != adverts[2].Peer || len(gone[0].Models) != 1 || gone[0].Since.Before(now) {
		t.Errorf("%d are remembered, from %v", len(gone), gone)
	}
	r.table.put(adverts[maxGone+1], "g", []byte{1}, true, now)
	if gone := a.Gone(); len(gone) != maxGone-1 || gone[0].Peer != adverts[maxGone].Peer {
		t.Errorf("with one that is back, %d are remembered, the latest is %v", len(gone), gone[0].Peer)
	}
}

// TestNextDialIsOnTime has a peer whose next dial is due before the usual look at the book.
func TestNextDialIsOnTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBook(foundSwarm(t, t.TempDir()).ID, time.Second)
	id := foundSwarm(t, t.TempDir()).ID
	b.verified(id, []wire.Addr{"/ip4/127.0.0.1/tcp/1"}, now)
	const usual = 2 * time.Second
	if got := b.untilDue(now, usual); got != usual {
		t.Errorf("of a peer that is there: %v", got)
	}
	b.failed(id, ReasonRefused, false, now)
	got := b.untilDue(now, usual)
	if got <= 0 || got > time.Second || len(b.due(now.Add(got-1), byID)) != 0 || len(b.due(now.Add(got), byID)) != 1 {
		t.Errorf("of a peer that was dialled in vain: %v", got)
	}
	if got := b.untilDue(now.Add(got), usual); got != usual {
		t.Errorf("of one that is due: %v", got)
	}
}

// TestAdvertOutlivesItsConnection has a connection that ends while the peer is well.
func TestAdvertOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	until(t, "joined", knows(a, b))
	until(t, "joined", knows(b, a))
	if err := b.PublishAdvert(t.Context(), capacity()); err != nil {
		t.Fatal(err)
	}
	until(t, "advert", func() bool { return a.hasAdvert(b.ID()) })
	events, stop := a.Subscribe()
	defer stop()
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	conns := func() []network.Conn { return r.host.Network().ConnsToPeer(native(b.ID())) }
	old := conns()[0].ID()
	if err := r.host.Network().ClosePeer(native(b.ID())); err != nil {
		t.Fatal(err)
	}
	until(t, "connected again", func() bool { return len(conns()) > 0 && conns()[0].ID() != old && a.isMember(b.ID()) })
	if !a.hasAdvert(b.ID()) {
		t.Error("no advert")
	}
	for len(events) > 0 {
		if e, ok := (<-events).(EvtAdvertExpired); ok {
			t.Errorf("the advert of a peer that is well was dropped: %v", e)
		}
	}
}

// TestDroppedAdvertIsTakenFromItsPeerOnly checks that others cannot bring back the advert
// of a peer that is gone.
func TestDroppedAdvertIsTakenFromItsPeerOnly(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := &wire.Advert{Peer: "p", Seq: 7, Issued: now.UnixMilli(), TTLSec: 60}
	newer := &wire.Advert{Peer: "p", Seq: 8, Issued: now.UnixMilli(), TTLSec: 60}
	for _, c := range []struct {
		name         string
		a            *wire.Advert
		direct, want bool
	}{
		{"the same from another", a, false, false},
		{"the same from its peer", a, true, true},
		{"a newer one from another", newer, false, true},
	} {
		tab := newTable(func(ID) int { return 0 })
		if !tab.put(a, "g", []byte{1}, false, now) || tab.put(a, "g", []byte{1}, true, now) {
			t.Fatal("the first one")
		}
		if !tab.drop("p") || tab.drop("p") || len(tab.live(now)) != 0 || len(tab.tell("q", now)) != 0 {
			t.Fatal("not dropped")
		}
		if got := tab.put(c.a, "g", []byte{1}, c.direct, now); got != c.want || (len(tab.live(now)) == 1) != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

func TestJoinByTokenIsSoon(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), defaultTimes)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), defaultTimes)
	within(t, soon/5, "b is a member", knows(a, b))
	within(t, soon/5, "a is a member", knows(b, a))
}

// TestPeersOfOneFindEachOther has three peers that only know the first one.
func TestPeersOfOneFindEachOther(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		dht     bool
		adverts bool
	}{{"by adverts", false, true}, {"by the routing table", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			edit := func(cfg *Config) {
				defaultTimes(cfg)
				cfg.DHT = c.dht
				cfg.Listen = []string{listenTCP, listenQUIC}
			}
			first := startPeer(t, foundSwarm(t, t.TempDir()), edit)
			peers := []*peerOf{first}
			for range 3 {
				peers = append(peers, startPeer(t, invited(t, first, t.TempDir(), Invitation{}), edit))
			}
			for _, p := range peers {
				p.Handle(echoProto, echo)
				if c.adverts {
					if err := p.PublishAdvert(t.Context(), capacity()); err != nil {
						t.Fatal(err)
					}
				}
			}
			start := time.Now()
			for _, p := range peers {
				for _, q := range peers {
					if p != q {
						until(t, "all know each other", knows(p, q))
					}
				}
			}
			took := time.Since(start)
			t.Logf("all know each other after %v", took.Round(time.Millisecond))
			if took > soon {
				t.Errorf("took %v", took)
			}
			for _, p := range peers {
				for _, q := range peers {
					if p == q {
						continue
					}
					until(t, "a stream", func() bool {
						got, err := roundTrip(t.Context(), p, q.ID(), echoProto, "hi")
						return err == nil && got == "hi"
					})
				}
			}
		})
	}
}

// TestNearPeersUseTCP checks the order of dials.
func TestNearPeersUseTCP(t *testing.T) {
	t.Parallel()
	addrs := addrsOf([]wire.Addr{
		"/ip4/192.168.1.2/udp/4001/quic-v1", "/ip4/192.168.1.2/tcp/4001", "/ip4/1.2.3.4/udp/4001/quic-v1", "/ip4/1.2.3.4/tcp/4001",
	})
	delays := map[string]time.Duration{}
	for _, d := range rank(addrs, []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}, noRelay) {
		delays[d.Addr.String()] = d.Delay
	}
	if len(delays) != len(addrs) || delays["/ip4/192.168.1.2/tcp/4001"] != 0 || delays["/ip4/192.168.1.2/udp/4001/quic-v1"] < localQUICDelay {
		t.Errorf("got %v", delays)
	}
	if delays["/ip4/1.2.3.4/udp/4001/quic-v1"] >= delays["/ip4/1.2.3.4/tcp/4001"] {
		t.Errorf("far peers are dialled over TCP first: %v", delays)
	}
	both := func(c *Config) { c.Listen = []string{listenQUIC, listenTCP} }
	a := startPeer(t, foundSwarm(t, t.TempDir()), both)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), both)
	until(t, "joined", knows(b, a))
	r, err := b.running()
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range r.host.Network().ConnsToPeer(native(a.ID())) {
		if addrs := addrsOf([]wire.Addr{wire.Addr(conn.RemoteMultiaddr().String())}); r.rankDials(addrs)[0].Delay != 0 {
			t.Errorf("connected over %s", conn.RemoteMultiaddr())
		}
	}
}
