package exchange_test

import (
	"slices"
	"testing"
	"time"

	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// TestOverARelay fetches between two peers that nobody can dial. What the founder, which
// relays, has itself does not come through it from the other one.
func TestOverARelay(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	founder := s.addHost(func(c *host.Config) { c.Relay = host.RelayOn }, func(c *exchange.Config) {
		c.UploadBytesPerSec = 400_000 // so that there is work left while the others look for some
	})
	home := func(c *host.Config) { c.NAT, c.Listen, c.Relay = true, nil, host.RelayOff }
	a, b := s.addHost(home, nil), s.addHost(home, nil)
	through := wire.Addr(string(founder.Addrs()[0]) + "/p2p-circuit/p2p/" + b.ID().String())
	for end := time.Now().Add(patience); a.Connect(t.Context(), through) != nil; {
		if time.Now().After(end) {
			t.Fatal("they do not meet")
		}
	}
	blocks := randomBlocks(t, 7, 80, 10_000) // b is asked on more than two streams
	founder.put(t, blocks[40:60])
	b.put(t, blocks)

	st, err := a.ex.Fetch(t.Context(), cidsOf(blocks[40:60]), []host.ID{b.ID(), founder.ID()}, exchange.Options{})
	if err != nil || st.From[b.ID()] != 0 {
		t.Errorf("with a direct holder: %+v, %v", st, err)
	}
	st, err = a.ex.Fetch(t.Context(), cidsOf(slices.Concat(blocks[:40], blocks[60:])), []host.ID{b.ID(), founder.ID()}, exchange.Options{})
	if err != nil || st.From[b.ID()] != 60*10_000 {
		t.Errorf("with a relayed holder: %+v, %v", st, err)
	}
	a.holds(t, blocks)
}
