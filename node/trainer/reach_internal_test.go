package trainer

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// startHost runs a host until the test ends.
func startHost(t *testing.T, c *host.Credentials) *host.Host {
	t.Helper()
	cfg := host.Default()
	cfg.Credentials, cfg.Version, cfg.Listen = c, "test", []string{"/ip4/127.0.0.1/tcp/0"}
	cfg.MDNS, cfg.DHT, cfg.NAT = false, false, false
	h, err := host.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1) // 1: the only one
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-h.Ready():
	case err := <-done:
		t.Fatalf("run ended early: %v", err)
	}
	return h
}

// TestMemberIsNotReached has a member of which no address is known: the log says so once, what
// describes the swarm too, until the host has heard where it is.
func TestMemberIsNotReached(t *testing.T) {
	t.Parallel()
	owner, err := host.OpenCredentials(t.TempDir(), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := startHost(t, owner)
	token, err := owner.Invite(host.Invitation{Addrs: h.Addrs()}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	guest, err := host.OpenCredentials(t.TempDir(), token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := newTestChain(t, 0)
	s := c.session(t, t.TempDir())
	var log bytes.Buffer
	s.log, s.missed, s.net.host = slog.New(slog.NewTextHandler(&log, nil)), map[wire.PeerID]int{}, h
	if s.topic, err = h.Topic(protocol.JobTopic(h.Swarm().String(), c.id.String()), host.TopicConfig{MaxBytes: 1 << 10, Receive: s.receive}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.topic.Close(); err != nil {
			t.Error(err)
		}
	}()
	tr := &Trainer{cfg: Config{Net: &Network{Name: func(wire.PeerID) string { return "" }}}}
	missed := func() bool {
		v := view{last: c.all[0], members: []wire.PeerID{guest.ID}, status: round.Status{Round: 1}}
		return tr.describe(s, &v).Peers[0].Missed
	}
	for i := range 4 {
		s.reach(t.Context(), guest.ID)
		if got := missed(); got != (i+1 >= missedOften) {
			t.Errorf("after %d tries: missed is %t", i+1, got)
		}
	}
	if n := strings.Count(log.String(), "a member is not reached"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
	other := startHost(t, guest)
	other.Handle(protocol.Train, func(_ context.Context, s host.Stream) { _ = s.Reset() })
	h.AddAddrs(other.ID(), other.Addrs())
	s.reach(t.Context(), other.ID())
	if missed() || !strings.Contains(log.String(), "reached again") {
		t.Errorf("it is reached, and that is not told:\n%s", log.String())
	}
}
