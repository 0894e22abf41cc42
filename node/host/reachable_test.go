package host

import (
	"net/netip"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/covey-network/covey/protocol/wire"
)

// TestForeignAddressesLast checks when addresses of a peer in another house are dialled.
func TestForeignAddressesLast(t *testing.T) {
	t.Parallel()
	own := []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("127.0.0.0/8")}
	const (
		near   = "/ip4/192.168.1.9/tcp/1"
		far    = "/ip4/192.168.2.9/tcp/1"
		public = "/ip4/8.8.8.8/tcp/1"
		relay  = "/ip4/8.8.8.8/tcp/1/p2p/12D3KooWNdEakZdCJ2VjWPAkmyBPR1uASTnoPfDHseBm6xZHD5Li/p2p-circuit"
	)
	delays := map[string]time.Duration{}
	for _, d := range rank(addrsOf([]wire.Addr{far, relay, public, near}), own, noRelay) {
		delays[d.Addr.String()] = d.Delay
	}
	if len(delays) != 4 || delays[near] != 0 || delays[far] < max(delays[public], delays[relay])+foreignDelay {
		t.Errorf("got %v", delays)
	}
	if d := rank(addrsOf([]wire.Addr{far}), own, noRelay); len(d) != 1 || d[0].Delay != 0 {
		t.Errorf("the only address of a peer waits: %v", d)
	}
}

// TestLoopbackOfOthers checks which loopback addresses are dialled.
func TestLoopbackOfOthers(t *testing.T) {
	t.Parallel()
	owner := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	p := startPeer(t, invited(t, owner, t.TempDir(), Invitation{}), nil)
	r, err := p.running()
	if err != nil {
		t.Fatal(err)
	}
	const loopback = "/ip4/127.0.0.1/tcp/1"
	elsewhere, here := foundSwarm(t, t.TempDir()).ID, foundSwarm(t, t.TempDir()).ID
	r.host.Peerstore().AddAddrs(native(elsewhere), addrsOf([]wire.Addr{loopback, "/ip4/192.168.2.9/tcp/1"}), peerstore.PermanentAddrTTL)
	r.host.Peerstore().AddAddrs(native(here), addrsOf([]wire.Addr{loopback}), peerstore.PermanentAddrTTL)
	r.host.Peerstore().AddAddrs(native(owner.ID()), addrsOf([]wire.Addr{"/ip4/192.168.2.9/tcp/1"}), peerstore.PermanentAddrTTL)
	given := withoutPeer(p.creds.Bootstrap[0])
	for _, c := range []struct {
		name string
		id   ID
		addr wire.Addr
		want bool
	}{
		{"of a peer with other addresses", elsewhere, loopback, false},
		{"another address of it", elsewhere, "/ip4/192.168.2.9/tcp/1", true},
		{"of a peer with none", here, loopback, true},
		{"of the join token", owner.ID(), given, true},
		{"not of the join token", owner.ID(), loopback, false},
	} {
		if got := (dialGate{r}).InterceptAddrDial(native(c.id), addrsOf([]wire.Addr{c.addr})[0]); got != c.want {
			t.Errorf("a loopback address %s: dialled %v, want %v", c.name, got, c.want)
		}
	}
}

func noRelay(ID) int { return relayFar }
