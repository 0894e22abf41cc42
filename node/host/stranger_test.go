package host

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/covey-network/covey/protocol"
)

// stranger makes a peer that speaks to p without a hello.
func stranger(t *testing.T, p *peerOf) p2phost.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics(), libp2p.DisableRelay(), libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	h.Peerstore().AddAddrs(native(p.ID()), addrsOf(p.Addrs()), time.Hour)
	return h
}

func connect(ctx context.Context, h p2phost.Host, p *peerOf) error {
	return h.Connect(ctx, peer.AddrInfo{ID: native(p.ID())})
}

func isConnected(h p2phost.Host, p *peerOf) bool {
	return h.Network().Connectedness(native(p.ID())) == network.Connected
}

// TestSilentStrangerIsCutOff waits for the end of a connection on which nothing is said. The
// clock of the comparison runs beside it, so that a slow machine does not matter.
func TestSilentStrangerIsCutOff(t *testing.T) {
	t.Parallel()
	const limit = 2 * time.Second
	a := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Times.Hello = limit })
	s := stranger(t, a)
	if err := connect(t.Context(), s, a); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	timer := time.AfterFunc(limit*7/4, func() { close(over) })
	defer timer.Stop()
	until(t, "cut off", func() bool { return !isConnected(s, a) })
	select {
	case <-over:
		t.Errorf("a silent stranger stays much longer than %v", limit)
	default:
	}
}

// TestStrangersAreBounded has strangers open streams and connections: few are held, and a
// member gets in meanwhile.
func TestStrangersAreBounded(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Times.Hello = patience })
	a.Handle(echoProto, echo)
	one := stranger(t, a)
	if err := connect(t.Context(), one, a); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 4*protocol.MaxStrangerStreams)
	for range cap(ended) {
		s, err := one.NewStream(t.Context(), native(a.ID()), echoProto)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte("x")); err != nil {
			ended <- err
			continue
		}
		go func() {
			_, err := io.ReadFull(s, make([]byte, 1))
			ended <- err
		}()
	}
	for range cap(ended) - protocol.MaxStrangerStreams {
		if err := <-ended; err == nil {
			t.Error("a stranger is answered")
		}
	}
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	r.gate.mu.Lock()
	if r.gate.waits != protocol.MaxStrangerStreams {
		t.Errorf("%d streams of a stranger wait, want %d", r.gate.waits, protocol.MaxStrangerStreams)
	}
	r.gate.mu.Unlock()
	for range protocol.MaxStrangers + 5 {
		if err := connect(t.Context(), stranger(t, a), a); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the oldest strangers are cut off", func() bool { return !isConnected(one, a) && len(r.host.Network().Peers()) <= protocol.MaxStrangers })
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	until(t, "a member joins", knows(a, b))
	until(t, "nothing of the stranger waits", func() bool { r.gate.mu.Lock(); defer r.gate.mu.Unlock(); return r.gate.waits == 0 })
}
