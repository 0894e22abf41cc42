package host

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPortIsKept starts a peer several times on the same directory: it listens on the same
// port over TCP and QUIC, unless somebody else does.
func TestPortIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	creds := foundSwarm(t, dir)
	var log bytes.Buffer
	port := func() string {
		t.Helper()
		log.Reset()
		p := startPeer(t, creds, func(c *Config) {
			c.Dir, c.Listen = dir, []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
			c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		defer p.stop()
		kept, err := os.ReadFile(filepath.Join(dir, "port"))
		if err != nil {
			t.Fatal(err)
		}
		n := strings.TrimSpace(string(kept))
		addrs := p.Addrs()
		if len(addrs) != 2 || !strings.Contains(string(addrs[0]), "/tcp/"+n+"/") || !strings.Contains(string(addrs[1]), "/udp/"+n+"/quic-v1") {
			t.Errorf("listens at %v, keeps port %s", addrs, n)
		}
		return n
	}
	first := port()
	if again := port(); again != first || log.Len() > 0 {
		t.Errorf("port %s after a restart, before %s; %s", again, first, &log)
	}
	taken, err := net.Listen("tcp4", "127.0.0.1:"+first)
	if err != nil {
		t.Fatal(err)
	}
	second := port()
	if second == first || !strings.Contains(log.String(), "taken="+first) {
		t.Errorf("port %s while %s is taken; %s", second, first, &log)
	}
	taken.Close()
	if again := port(); again != second || log.Len() > 0 {
		t.Errorf("port %s after a restart, before %s; %s", again, second, &log)
	}
	for _, bad := range []string{"", "70000", "x"} {
		if err := os.WriteFile(filepath.Join(dir, "port"), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		port()
		if !strings.Contains(log.String(), "kept port not read") {
			t.Errorf("port file %q: %s", bad, &log)
		}
	}
}
