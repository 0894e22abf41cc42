//go:build !race

// The race detector's run time crashes now and then in bubbles of synctest that switch between very many
// goroutines ("CHECK failed: tsan_rtl.cpp", or SIGSEGV within it, go1.26.8).

package host

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
)

var virtualNodes = flag.Int("nodes", 16, "size of the swarm of TestSwarmInVirtualTime")

// virtualPeer is a host on a fakeNet.
type virtualPeer struct {
	*Host
	ip   netip.Addr
	stop func()
}

// startVirtual runs a host that advertises as a node does.
func startVirtual(t *testing.T, n *fakeNet, i int, c *Credentials) *virtualPeer {
	t.Helper()
	ip := netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)})
	return runVirtual(t, n, ip, c, nil, func(ctx context.Context, h *Host) error {
		return advertiseSlowly(ctx, h, rand.New(rand.NewPCG(1, uint64(i))))
	})
}

// runVirtual runs a host, and besides it something else.
func runVirtual(t *testing.T, n *fakeNet, ip netip.Addr, c *Credentials, edit func(*Config), besides func(context.Context, *Host) error) *virtualPeer {
	t.Helper()
	p := &virtualPeer{ip: ip}
	var closeNet func() error
	cfg := Default()
	cfg.Credentials, cfg.Version = c, "test"
	cfg.Listen, cfg.Relay = []string{fmt.Sprintf("/ip4/%s/udp/4001/quic-v1", p.ip)}, RelayOff
	cfg.MDNS, cfg.NAT = false, false
	var opts []libp2p.Option
	opts, closeNet = n.machine(p.ip)
	cfg.library = opts
	if edit != nil {
		edit(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.Host = h
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- h.Run(ctx) }()
	go func() { done <- besides(ctx, h) }()
	p.stop = func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("peer at %s: %v", ip, err)
			}
		}
		if err := closeNet(); err != nil {
			t.Errorf("peer at %s: %v", ip, err)
		}
	}
	return p
}

// advertiseSlowly publishes an advert at the start and every 150 to 210 s.
func advertiseSlowly(ctx context.Context, h *Host, rng *rand.Rand) error {
	<-h.Ready()
	for {
		a := capacity()
		a.TTLSec = 600
		if err := h.PublishAdvert(ctx, a); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(150*time.Second + time.Duration(rng.Int64N(int64(time.Minute)))):
		}
	}
}

// TestSwarmInVirtualTime has a swarm over QUIC of which a third goes silent at once. -nodes tries a
// larger one.
func TestSwarmInVirtualTime(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") // so not parallel
	n := *virtualNodes
	synctest.Test(t, func(t *testing.T) {
		lan := newFakeNet(10 * time.Millisecond)
		all := []*virtualPeer{startVirtual(t, lan, 1, foundSwarm(t, t.TempDir()))}
		defer func() {
			for _, p := range all {
				p.stop()
			}
		}()
		<-all[0].Ready()
		token, err := all[0].cfg.Credentials.Invite(Invitation{Addrs: all[0].Addrs()}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for i := 2; i <= n; i++ {
			c, err := OpenCredentials(t.TempDir(), token, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, startVirtual(t, lan, i, c))
			time.Sleep(100 * time.Millisecond)
		}
		took := virtually(t, "all know all", func() bool { return allKnow(all, n-1) })
		if took > 5*time.Second {
			t.Errorf("all know all %v after the last start", took)
		}
		time.Sleep(30 * time.Second)
		const over = 210 * time.Second
		before := lan.sum()
		time.Sleep(over)
		rate := float64(lan.sum()-before) / over.Seconds() / float64(n)
		t.Logf("%d nodes: each sends %.0f bytes a second", n, rate)
		if most := 600 + 25*float64(n); rate > most {
			t.Errorf("each of %d nodes sends %.0f bytes a second, at most %.0f", n, rate, most)
		}
		most := 0
		for _, p := range all {
			r, err := p.running()
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, len(r.host.Network().Conns()))
		}
		t.Logf("at most %d connections", most)
		if most > Default().PeersHigh {
			t.Errorf("a node has %d connections", most)
		}
		living := all[:n-n/3]
		for _, p := range all[n-n/3:] {
			lan.unplug(p.ip)
		}
		if took := virtually(t, "a third is forgotten", func() bool { return allKnow(living, len(living)-1) }); took > 5*time.Second {
			t.Errorf("a third is forgotten after %v", took)
		}
	})
}

// allKnow reports whether each of some peers has as many adverts.
func allKnow(all []*virtualPeer, want int) bool {
	for _, p := range all {
		if len(p.Adverts()) != want {
			return false
		}
	}
	return true
}

// virtually waits until cond holds and returns how long that took, in the time of the bubble.
func virtually(t *testing.T, what string, cond func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !cond() {
		time.Sleep(100 * time.Millisecond)
		if time.Since(start) > 2*time.Minute {
			t.Fatalf("never: %s", what)
		}
	}
	took := time.Since(start)
	t.Logf("%s after %v", what, took)
	return took
}
