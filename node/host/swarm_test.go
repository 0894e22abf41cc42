package host

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/covey-network/covey/protocol/wire"
)

// patience is how long a test waits for what must happen; it is not part of any result.
const patience = 30 * time.Second

// childVar holds the data directory of a peer that runs in a process of its own.
const childVar = "COVEY_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVar); dir != "" {
		os.Exit(childMain(dir))
	}
	goleak.VerifyTestMain(m)
}

// peerOf is a running host of a test.
type peerOf struct {
	*Host
	creds *Credentials
	stop  func()
}

// found returns the credentials of a new swarm in a new directory.
func foundSwarm(t *testing.T, dir string) *Credentials {
	t.Helper()
	c, err := OpenCredentials(dir, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// invited returns the credentials of a new peer that joins by a token of owner.
func invited(t *testing.T, owner *peerOf, dir string, in Invitation) *Credentials {
	t.Helper()
	in.Addrs = owner.Addrs()
	token, err := owner.creds.Invite(in, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenCredentials(dir, token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testConfig(t *testing.T, c *Credentials, edit func(*Config)) Config {
	t.Helper()
	cfg := Default()
	cfg.Credentials, cfg.Version = c, "test"
	cfg.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	cfg.MDNS, cfg.DHT, cfg.NAT = false, false, false
	cfg.Times = Times{Hello: 5 * time.Second, Dial: 50 * time.Millisecond, Backoff: 50 * time.Millisecond, Ping: 200 * time.Millisecond, Save: 200 * time.Millisecond, Renew: 50 * time.Millisecond, Discover: 300 * time.Millisecond}
	if os.Getenv("COVEY_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if edit != nil {
		edit(&cfg)
	}
	return cfg
}

// startPeer runs a host until the test ends or stop is called.
func startPeer(t *testing.T, c *Credentials, edit func(*Config)) *peerOf {
	t.Helper()
	h, err := New(testConfig(t, c, edit))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stopped := false
	p := &peerOf{Host: h, creds: c, stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}}
	t.Cleanup(p.stop)
	select {
	case <-h.Ready():
	case err := <-done:
		done <- err
		t.Fatalf("run ended early: %v", err)
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	return p
}

// keepsPort has a peer listen at the port that it keeps in its directory, which is none that the system
// gives to connections of others while the peer is away.
func keepsPort(dir string) func(*Config) { return func(c *Config) { c.Dir = dir } }

// until polls a condition that no event announces.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never: %s", what)
		}
	}
}

func knows(a, b *peerOf) func() bool {
	return func() bool { return a.isMember(b.ID()) }
}

func (p *peerOf) isMember(id ID) bool {
	for _, q := range p.Peers() {
		if q.ID == id {
			return true
		}
	}
	return false
}

func (p *peerOf) hasAdvert(id ID) bool {
	for _, a := range p.Adverts() {
		if a.Peer == id {
			return true
		}
	}
	return false
}

// echo is a handler that sends back what it gets.
func echo(_ context.Context, s Stream) {
	_, err := io.Copy(s, s)
	if errors.Join(err, s.Close()) != nil {
		_ = s.Reset()
	}
}

func roundTrip(ctx context.Context, from *peerOf, to ID, proto, text string) (string, error) {
	s, err := from.Open(ctx, to, proto)
	if err != nil {
		return "", err
	}
	defer s.Close()
	if _, err := io.WriteString(s, text); err != nil {
		return "", err
	}
	if err := s.CloseWrite(); err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(s, 1<<20))
	return string(b), err
}

func capacity() wire.Advert {
	return wire.Advert{TTLSec: 60, Cores: 2, Memory: wire.Space{Total: 1 << 30, Lent: 1 << 30, Free: 1 << 29}, Disk: wire.Space{Total: 1 << 40, Lent: 1 << 38, Free: 1 << 37}}
}
