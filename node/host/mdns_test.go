package host

import (
	"bytes"
	"log/slog"
	"net"
	"sync"
	"testing"
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
