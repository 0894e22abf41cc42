package host

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

func TestJoinByToken(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		t.Run(listen, func(t *testing.T) {
			t.Parallel()
			edit := func(c *Config) { c.Listen = []string{listen}; c.Roles = []string{wire.RoleStore} }
			a := startPeer(t, foundSwarm(t, t.TempDir()), edit)
			a.Handle("/covey/echo/1.0.0", echo)
			b := startPeer(t, invited(t, a, t.TempDir(), Invitation{Name: "home"}), edit)
			b.Handle("/covey/echo/1.0.0", echo)
			until(t, "b is a member", knows(a, b))
			until(t, "a is a member", knows(b, a))
			for _, way := range []struct{ from, to *peerOf }{{a, b}, {b, a}} {
				got, err := roundTrip(t.Context(), way.from, way.to.ID(), "/covey/echo/1.0.0", "hello covey")
				if err != nil || got != "hello covey" {
					t.Errorf("echo: %q, %v", got, err)
				}
				until(t, "round trip measured", func() bool { return way.from.Path(way.to.ID()).RTT > 0 })
			}
			p := a.Peers()[0]
			if p.Version != "test" || p.Capability != protocol.Capability || !slices.Equal(p.Roles, []string{wire.RoleStore}) || p.Path.State != PathDirect {
				t.Errorf("got %+v", p)
			}
			if _, err := b.Open(t.Context(), b.ID(), "/covey/echo/1.0.0"); err == nil {
				t.Error("a stream to itself opens")
			}
		})
	}
}

// TestOpenLooksUp opens a stream to a peer of which no address is known, and that the routing table knows.
func TestOpenLooksUp(t *testing.T) {
	t.Parallel()
	routes := func(c *Config) { c.DHT, c.Times.Discover = true, time.Hour }
	a := startPeer(t, foundSwarm(t, t.TempDir()), routes)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), routes)
	c := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), func(c *Config) { c.PeersLow = 1 }) // it connects to a alone
	c.Handle("/covey/echo/1.0.0", echo)
	r, err := b.running()
	if err != nil {
		t.Fatal(err)
	}
	until(t, "b has somebody to ask, who knows c", func() bool { return r.dht.RoutingTable().Size() > 0 && knows(a, c)() })
	if n := len(r.host.Peerstore().Addrs(native(c.ID()))) + len(r.book.addrs(c.ID())); n > 0 {
		t.Fatalf("b knows %d addresses of c before it is asked for it", n)
	}
	if got, err := roundTrip(t.Context(), b, c.ID(), "/covey/echo/1.0.0", "hello covey"); err != nil || got != "hello covey" {
		t.Errorf("echo: %q, %v", got, err)
	}
	at := time.Now()
	if l := new(lookUps); !l.due(c.ID(), at) || l.due(c.ID(), at.Add(lookUpAgain-1)) || !l.due(c.ID(), at.Add(lookUpAgain)) {
		t.Error("how often a peer is looked up")
	}
}

// TestAnnounce tells others an address that leads here through something else.
func TestAnnounce(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Announce = []string{"/ip4/127.0.0.1/tcp/4242"} })
	want := []wire.Addr{wire.Addr("/ip4/127.0.0.1/tcp/4242/p2p/" + a.ID().String())}
	if got := a.Addrs(); !slices.Equal(got, want) {
		t.Errorf("tells %v, want %v", got, want)
	}
}

func TestMembershipRefused(t *testing.T) {
	t.Parallel()
	later := func() time.Time { return time.Now().Add(30 * 24 * time.Hour) }
	owner := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	late := startPeer(t, owner.creds, func(c *Config) { c.Now, c.Credentials = later, withKey(t, owner.creds) })
	good := invited(t, owner, t.TempDir(), Invitation{})
	stolen := *good
	stolen.Key, stolen.ID = foundSwarm(t, t.TempDir()).Key, ""
	stolen.ID = wire.PeerIDOf(public(stolen.Key))
	foreign := foundSwarm(t, t.TempDir())
	forged := *foreign
	forged.Swarm = owner.Swarm() // claims the swarm with the grant of its own
	storage := invited(t, owner, t.TempDir(), Invitation{Scopes: []string{wire.ScopeServe}})
	for _, c := range []struct {
		name  string
		creds *Credentials
		to    *peerOf
		want  wire.Code
	}{
		{"expired grant", good, late, wire.CodeExpired},
		{"another's membership", &stolen, owner, wire.CodeRefused},
		{"foreign swarm", foreign, owner, wire.CodeForeign},
		{"foreign grant", &forged, owner, wire.CodeForeign},
		{"no scope to ask", storage, owner, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.to.Handle("/covey/secret/1.0.0", echo)
			p := startPeer(t, withoutBootstrap(c.creds), nil)
			err := p.Connect(t.Context(), c.to.Addrs()[0])
			if c.want == 0 {
				if err != nil {
					t.Fatal(err)
				}
			} else if e := (*wire.Error)(nil); !errors.As(err, &e) || e.Code != c.want {
				t.Errorf("connect: got %v, want code %s", err, c.want)
			} else if c.to.isMember(p.ID()) || p.isMember(c.to.ID()) {
				t.Error("a refused peer is a member")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if got, err := roundTrip(ctx, p, c.to.ID(), "/covey/secret/1.0.0", "x"); got == "x" && err == nil {
				t.Error("a refused peer is served")
			}
		})
	}
}

// withKey returns credentials of the same swarm for another peer, signed by the owner.
func withKey(t *testing.T, owner *Credentials) *Credentials {
	t.Helper()
	token, err := owner.Invite(Invitation{TTL: 365 * 24 * time.Hour}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenCredentials(t.TempDir(), token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func withoutBootstrap(c *Credentials) *Credentials {
	out := *c
	out.Bootstrap = nil
	return &out
}

func TestRevokedPeerIsCutOff(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	until(t, "joined", knows(a, b))
	until(t, "joined", knows(b, a))
	list, err := wire.SignRevocation(a.creds.SwarmKey, &wire.Revocation{Swarm: a.Swarm(), Seq: 1, Grants: [][]byte{b.creds.Grant.ID}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Revoke(list); err != nil {
		t.Fatal(err)
	}
	until(t, "cut off", func() bool { return !a.isMember(b.ID()) && !b.isMember(a.ID()) })
	var e *wire.Error
	if err := b.Connect(t.Context(), a.Addrs()[0]); !errors.As(err, &e) || e.Code != wire.CodeRefused {
		t.Errorf("connect after revocation: %v", err)
	}
}

func TestExpiredMemberIsCutOff(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Now = clock.now })
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{TTL: time.Hour}), nil)
	until(t, "joined", knows(a, b))
	until(t, "renewed", func() bool { return b.Membership().Grant.Peer == b.ID() })
	clock.add(2 * time.Hour) // b did not tell a yet, perhaps
	until(t, "told", func() bool { return a.isMember(b.ID()) && a.Peers()[0].Expires.After(clock.now()) })
	clock.add(100 * 24 * time.Hour)
	until(t, "cut off", func() bool { return !a.isMember(b.ID()) })
}

func TestRestartReconnects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := startPeer(t, foundSwarm(t, dir), func(c *Config) { c.Dir = dir })
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	until(t, "joined", knows(a, b))
	until(t, "b's address is known", func() bool { return len(a.Peers()) == 1 && len(a.Peers()[0].Addrs) > 0 })
	a.stop()
	until(t, "a left", func() bool { return !b.isMember(a.ID()) })

	// The founder has no bootstrap address and comes back at another port: it is its peers
	// book that finds b again.
	again := startPeer(t, foundSwarm(t, dir), func(c *Config) { c.Dir = dir })
	if again.ID() != a.ID() || again.Swarm() != a.Swarm() {
		t.Fatal("another identity after the restart")
	}
	until(t, "reconnected", knows(again, b))
	until(t, "reconnected", knows(b, again))
}

func TestBootstrapIsDialledUntilItAnswers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := startPeer(t, foundSwarm(t, dir), keepsPort(dir))
	creds := invited(t, a, t.TempDir(), Invitation{})
	a.stop()
	b := startPeer(t, creds, nil)
	until(t, "a first dial failed", func() bool { b.book.mu.Lock(); defer b.book.mu.Unlock(); return b.book.peers[a.ID()].failures > 0 })
	back := startPeer(t, foundSwarm(t, dir), keepsPort(dir))
	until(t, "joined", knows(b, back))
}

func TestEvents(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	events, stop := a.Subscribe()
	defer stop()
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	next := func() Event {
		select {
		case e := <-events:
			return e
		case <-time.After(patience):
			t.Fatal("no event")
			return nil
		}
	}
	if e, ok := next().(EvtPeerJoined); !ok || e.Peer != b.ID() || e.Hello.Version != "test" {
		t.Errorf("got %+v", e)
	}
	until(t, "mutual", knows(b, a))
	if err := b.PublishAdvert(t.Context(), capacity()); err != nil {
		t.Fatal(err)
	}
	if e, ok := next().(EvtAdvertReceived); !ok || e.Peer != b.ID() {
		t.Errorf("got %+v", e)
	}
	b.stop()
	if e, ok := next().(EvtPeerLeft); !ok || e.Peer != b.ID() {
		t.Errorf("got %+v", e)
	}
}

func TestNotRunning(t *testing.T) {
	t.Parallel()
	h, err := New(testConfig(t, foundSwarm(t, t.TempDir()), nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Open(t.Context(), h.ID(), "/x"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("open: %v", err)
	}
	if err := h.PublishAdvert(t.Context(), capacity()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("publish: %v", err)
	}
	if h.Addrs() != nil || h.Peers() != nil {
		t.Error("a host that does not run has addresses or peers")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Run(ctx); err != nil {
		t.Errorf("run with an ended context: %v", err)
	}
	if err := h.Run(ctx); err == nil {
		t.Error("a second run")
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*Config){
		"no credentials":  func(c *Config) { c.Credentials = nil },
		"bad listen":      func(c *Config) { c.Listen = []string{"here"} },
		"nameless peer":   func(c *Config) { c.Bootstrap = []wire.Addr{"/ip4/1.2.3.4/tcp/1"} },
		"no peers":        func(c *Config) { c.PeersLow = 0 },
		"no interval":     func(c *Config) { c.Times.Ping = 0 },
		"roles in a mess": func(c *Config) { c.Roles = []string{"b", "a"} },
	} {
		if _, err := New(testConfig(t, foundSwarm(t, t.TempDir()), edit)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if def := Default(); def.Times.Hello != protocol.HelloTimeout {
		t.Error("default of the hello timeout")
	}
}
