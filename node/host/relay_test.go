package host

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/multiformats/go-multiaddr"

	"github.com/covey-network/covey/protocol/wire"
)

// onlyDials makes a peer that nobody can dial, as one behind a router.
func onlyDials(c *Config) { c.NAT, c.Listen, c.Relay = true, nil, RelayOff }

// TestRelay lets two peers that nobody can dial meet through the founder, the only one that
// can be dialled. What a session sends passes, as far as the relay's owner lets it.
func TestRelay(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a hidden state. ", 40<<10) // five times what the library lets through
	for _, c := range []struct {
		name   string
		limit  int64
		passes bool
	}{{"by default", DefaultRelayBytes, true}, {"an owner who lends little", 64 << 10, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			founder := startPeer(t, foundSwarm(t, t.TempDir()), func(cfg *Config) { cfg.Relay, cfg.RelayBytes = RelayOn, c.limit })
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
		})
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
