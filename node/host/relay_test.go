package host

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/multiformats/go-multiaddr"

	"github.com/covey-network/covey/protocol/wire"
)

// onlyDials makes a peer that nobody can dial, as one behind a router.
func onlyDials(c *Config) { c.NAT, c.Listen, c.Relay = true, nil, RelayOff }

// TestRelay lets two peers that nobody can dial meet through the founder, the only one that
// can be dialled. What a session sends passes, as far and as fast as the relay's owner lets it.
func TestRelay(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a hidden state. ", 40<<10) // five times what the library lets through
	for _, c := range []struct {
		name        string
		rate, daily int64
		least       time.Duration
		passes      bool
	}{
		{"by default", DefaultRelayRate, DefaultRelayBytes, 0, true},
		{"an owner who lends little a day", DefaultRelayRate, 64 << 10, 0, false},
		// There and back, but for what passes at once: a tenth of a second's worth.
		{"an owner who lends little a second", 1 << 20, DefaultRelayBytes, 1100 * time.Millisecond, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			founder := startPeer(t, foundSwarm(t, t.TempDir()), func(cfg *Config) { cfg.Relay, cfg.RelayRate, cfg.RelayBytes = RelayOn, c.rate, c.daily })
			a := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), onlyDials)
			b := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), onlyDials)
			b.Handle(echoProto, echo)
			through := wire.Addr(string(founder.Addrs()[0]) + "/p2p-circuit/p2p/" + b.ID().String())
			until(t, "they meet", func() bool { return a.Connect(t.Context(), through) == nil })
			s, err := a.Open(t.Context(), b.ID(), echoProto)
			if err != nil {
				t.Fatal(err)
			}
			if !s.Relayed() {
				t.Error("the stream does not count as relayed")
			}
			defer s.Close()
			since := time.Now()
			wrote := make(chan error, 1)
			go func() {
				_, err := io.WriteString(s, long)
				wrote <- errors.Join(err, s.CloseWrite())
			}()
			got, err := io.ReadAll(s)
			err = errors.Join(err, <-wrote)
			if passed := err == nil && string(got) == long; passed != c.passes {
				t.Errorf("%d of %d bytes came back, %v; want all: %v", len(got), len(long), err, c.passes)
			}
			if took := time.Since(since); c.passes && took < c.least {
				t.Errorf("took %s, faster than its owner lends", took)
			}
		})
	}
}

// TestRelayMeter lets days pass.
func TestRelayMeter(t *testing.T) {
	now := time.Unix(1e9, 0)
	cfg := Config{RelayRate: 1 << 30, RelayBytes: 100, Now: func() time.Time { return now }}
	m := newRelayMeter(t.Context(), &cfg)
	for _, step := range []struct {
		bytes int
		after time.Duration
		pause time.Duration
	}{
		{60, 0, 0},
		{30, 23 * time.Hour, 0}, // 90 of this day
		{5, time.Hour, 0},       // a new day
		{94, time.Hour, 0},
		{1, time.Hour, 22 * time.Hour},
		{9, 21 * time.Hour, time.Hour},
		{0, time.Hour, 0},
	} {
		now = now.Add(step.after)
		if step.bytes > 0 {
			m.BytesTransferred(step.bytes)
		}
		if got := m.pause(); got != step.pause {
			t.Errorf("after %d more bytes: a pause of %s, want %s", step.bytes, got, step.pause)
		}
	}
}

// TestRelayWithoutNAT has an owner without a router turn the help against routers off: the peer
// relays all the same, while others can reach it.
func TestRelayWithoutNAT(t *testing.T) {
	t.Parallel()
	var log logBuffer
	p := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) {
		c.NAT, c.Relay, c.Log = false, RelayAuto, slog.New(slog.NewTextHandler(&log, nil))
	})
	a := startPeer(t, invited(t, p, t.TempDir(), Invitation{}), onlyDials)
	b := startPeer(t, invited(t, p, t.TempDir(), Invitation{}), onlyDials)
	r, err := p.running()
	if err != nil {
		t.Fatal(err)
	}
	emitter, err := r.host.EventBus().Emitter(new(event.EvtLocalReachabilityChanged), eventbus.Stateful)
	if err != nil {
		t.Fatal(err)
	}
	defer emitter.Close()
	tell := func(to network.Reachability) {
		if err := emitter.Emit(event.EvtLocalReachabilityChanged{Reachability: to}); err != nil {
			t.Fatal(err)
		}
	}
	tell(network.ReachabilityPublic)
	through := wire.Addr(string(p.Addrs()[0]) + "/p2p-circuit/p2p/" + b.ID().String())
	until(t, "two meet through it", func() bool { return a.Connect(t.Context(), through) == nil })
	tell(network.ReachabilityPrivate)
	until(t, "it relays no longer", func() bool { return log.count("relays no longer") == 1 })
}

// TestListensOn443 has a peer that relays for sure, at a port and, if it is to be had, at 443.
func TestListensOn443(t *testing.T) {
	t.Parallel()
	any4, _ := parseListen("/ip4/0.0.0.0/tcp/0")
	free := any4.bind(t.Context(), widePort) == nil
	var log logBuffer
	p := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) {
		c.Relay, c.Listen, c.Log = RelayOn, []string{"/ip4/0.0.0.0/tcp/0"}, slog.New(slog.NewTextHandler(&log, nil))
	})
	listens := slices.ContainsFunc(p.Addrs(), func(a wire.Addr) bool { return strings.Contains(string(a), "/tcp/443/") })
	if said := log.count("does not listen on port 443") == 1; listens != free || said == free || len(p.Addrs()) < 1 {
		t.Errorf("443 is free: %v, listened on: %v, not said: %v", free, listens, !said)
	}
}

func TestRelayServesMembersOnly(t *testing.T) {
	t.Parallel()
	founder := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Relay = RelayOn })
	stranger, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	_, err = client.Reserve(t.Context(), stranger, peer.AddrInfo{ID: native(founder.ID()), Addrs: addrsOf(founder.Addrs()[:1])})
	if e := (client.ReservationError{}); !errors.As(err, &e) || e.Status.String() != "PERMISSION_DENIED" {
		t.Errorf("a stranger's reservation: %v", err)
	}
}

func TestReachability(t *testing.T) {
	t.Parallel()
	some := addrsOf([]wire.Addr{"/ip4/8.8.8.8/tcp/1"})
	for _, c := range []struct {
		name   string
		addr   wire.Addr
		events []any
		want   bool
	}{
		{"a public address", "/ip4/8.8.8.8/tcp/1", nil, true},
		{"a home's address", "/ip4/192.168.1.2/tcp/1", nil, false},
		{"loopback", "/ip4/127.0.0.1/tcp/1", nil, false},
		{"a public IPv6 address, perhaps behind a firewall", "/ip6/2600::1/tcp/1", nil, false},
		{"one that was dialled", "/ip6/2600::1/tcp/1", []any{event.EvtHostReachableAddrsChanged{Reachable: some}}, true},
		{"a forwarded port", "/ip4/192.168.1.2/tcp/1", []any{event.EvtLocalReachabilityChanged{Reachability: network.ReachabilityPublic}}, true},
		{"a public address behind a firewall", "/ip4/8.8.8.8/tcp/1", []any{event.EvtHostReachableAddrsChanged{Unreachable: some}}, false},
		{"a public address, beside IPv6 behind a firewall", "/ip4/8.8.8.8/tcp/1", []any{event.EvtHostReachableAddrsChanged{Unreachable: addrsOf([]wire.Addr{"/ip6/2600::1/tcp/1"})}}, true},
		{"one that was public", "/ip4/8.8.8.8/tcp/1", []any{event.EvtHostReachableAddrsChanged{Reachable: some}, event.EvtHostReachableAddrsChanged{Unreachable: some}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var k reachability
			for _, e := range c.events {
				k.note(e)
			}
			got := k.public(func() ([]multiaddr.Multiaddr, error) { return addrsOf([]wire.Addr{c.addr}), nil })
			if got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
