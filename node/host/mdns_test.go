package host

import (
	"bytes"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

// hasMulticast reports whether this machine has an interface that mDNS can use.
func hasMulticast(t *testing.T) bool {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagMulticast != 0 {
			return true
		}
	}
	return false
}

// logBuffer keeps what a host logs.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write takes a line.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte(text))
}

// TestLocalDiscovery lets two peers that know no address of each other meet on the local
// network. Where there is no multicast, each says so once.
func TestLocalDiscovery(t *testing.T) {
	t.Parallel()
	const off = "local discovery is off"
	var log logBuffer
	edit := func(c *Config) { c.MDNS, c.Log = true, slog.New(slog.NewTextHandler(&log, nil)) }
	a := startPeer(t, foundSwarm(t, t.TempDir()), edit)
	b := startPeer(t, withoutBootstrap(invited(t, a, t.TempDir(), Invitation{})), edit)
	if !hasMulticast(t) {
		until(t, "each says that there is no multicast", func() bool { return log.count(off) == 2 })
		return
	}
	until(t, "they meet", func() bool { return knows(a, b)() && knows(b, a)() })
	if n := log.count(off); n > 0 {
		t.Errorf("%d warnings that local discovery is off", n)
	}
}

// TestLocalDiscoveryFollowsAddresses tells a host that its addresses have changed, first when
// they have not, and then when it listens at a further one: discovery starts again once, with
// what others are to be told now. Where there is no multicast it is tried again.
func TestLocalDiscoveryFollowsAddresses(t *testing.T) {
	t.Parallel()
	var log logBuffer
	p := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) {
		c.MDNS, c.Log = true, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	began := "local discovery is on"
	if !hasMulticast(t) {
		began = "local discovery is off"
	}
	until(t, "it begins", func() bool { return log.count(began) == 1 })
	r, err := p.running()
	if err != nil {
		t.Fatal(err)
	}
	emitter, err := r.host.EventBus().Emitter(new(event.EvtLocalAddressesUpdated), eventbus.Stateful)
	if err != nil {
		t.Fatal(err)
	}
	defer emitter.Close()
	if err := emitter.Emit(event.EvtLocalAddressesUpdated{}); err != nil {
		t.Fatal(err)
	}
	if err := r.host.Network().Listen(addrsOf(textAddrs([]string{"/ip4/127.0.0.1/tcp/0"}))...); err != nil {
		t.Fatal(err)
	}
	all, err := r.host.Network().InterfaceListenAddresses()
	if err != nil || len(all) < 2 {
		t.Fatalf("listens at %v, %v", all, err)
	}
	if err := emitter.Emit(event.EvtLocalAddressesUpdated{}); err != nil {
		t.Fatal(err)
	}
	until(t, "it begins again", func() bool { return log.count(began) >= 2 })
	if n := log.count(began); n != 2 {
		t.Errorf("it began %d times, want 2", n)
	}
	if began == "local discovery is on" {
		for _, a := range all {
			if log.count(a.String()) == 0 {
				t.Errorf("it is not told of %s", a)
			}
		}
	}
}
