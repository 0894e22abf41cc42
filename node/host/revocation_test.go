package host

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/covey-network/covey/protocol/wire"
)

// TestRevocationTravels takes back an invitation of which a peer that the founder does not
// talk to is a member, over a member between them and one that comes later.
func TestRevocationTravels(t *testing.T) {
	t.Parallel()
	few := func(dir string) func(*Config) {
		return func(c *Config) { c.Dir, c.PeersLow, c.PeersHigh = dir, 1, 8 }
	}
	aDir := t.TempDir()
	a := startPeer(t, foundSwarm(t, aDir), few(aDir))
	lost, err := a.creds.Invite(Invitation{}, a.now())
	if err != nil {
		t.Fatal(err)
	}
	dirs := []string{t.TempDir(), t.TempDir()}
	b := startPeer(t, invited(t, a, dirs[0], Invitation{}), few(dirs[0]))
	until(t, "renewed", bound(b, a.now().Add(60*day)))
	lateCreds := invited(t, a, dirs[1], Invitation{})
	thief, err := OpenCredentials(t.TempDir(), lost, a.now())
	if err != nil {
		t.Fatal(err)
	}
	c := startPeer(t, thief, few(""))
	until(t, "c has a membership of its own", func() bool {
		return c.Connect(t.Context(), a.Addrs()[0]) == nil && bound(c, a.now().Add(60*day))()
	})
	until(t, "c is b's peer", func() bool { return c.Connect(t.Context(), b.Addrs()[0]) == nil && b.isMember(c.ID()) })
	if err := b.RevokeMore(nil, []ID{c.ID()}); !errors.Is(err, ErrNotOwner) {
		t.Errorf("revoked by a member: %v", err)
	}
	if err := a.RevokeMore(nil, []ID{a.ID()}); err == nil {
		t.Error("the founder revokes itself")
	}
	if err := a.RevokeMore([][]byte{openToken(t, lost).ID}, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "cut off by all", func() bool { return !a.isMember(c.ID()) && !b.isMember(c.ID()) && b.isMember(a.ID()) })

	// A second list has both; b keeps it over a restart, and tells a peer that was not there.
	if err := a.RevokeMore(nil, []ID{c.ID()}); err != nil {
		t.Fatal(err)
	}
	until(t, "b has both", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		l := b.revoke.list
		return l != nil && len(l.Grants) == 1 && len(l.Peers) == 1
	})
	b.stop()
	a.stop()
	creds, err := OpenCredentials(dirs[0], nil, a.now())
	if err != nil {
		t.Fatal(err)
	}
	b = startPeer(t, creds, few(dirs[0]))
	late := startPeer(t, withoutBootstrap(lateCreds), few(dirs[1]))
	until(t, "the late one meets b", func() bool { return late.Connect(t.Context(), b.Addrs()[0]) == nil })
	until(t, "the late one knows", func() bool { return late.revoked(&c.creds.Grant, c.ID()) })
	for _, p := range []*peerOf{b, late} {
		var e *wire.Error
		if err := c.Connect(t.Context(), p.Addrs()[0]); !errors.As(err, &e) || e.Code != wire.CodeRefused {
			t.Errorf("connect after revocation: %v", err)
		}
	}
	if m := c.Membership(); m.Refused == nil {
		t.Error("a peer that was taken off does not know")
	}
}

// TestNewestRevocationIsKept gets lists in any order and at once, as from many peers: the one
// that is kept for the next start is the newest.
func TestNewestRevocationIsKept(t *testing.T) {
	t.Parallel()
	creds, dir := foundSwarm(t, t.TempDir()), t.TempDir()
	cfg := Default()
	cfg.Credentials, cfg.Dir, cfg.Log = creds, dir, slog.New(slog.DiscardHandler)
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	const lists = 32
	var all sync.WaitGroup
	for i := range lists {
		signed, err := wire.SignRevocation(creds.SwarmKey, &wire.Revocation{Swarm: creds.Swarm, Seq: uint64(i + 1)})
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if err := h.Revoke(signed); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	h.revoke = revocations{}
	if err := h.loadRevocation(); err != nil || h.revoke.list == nil || h.revoke.list.Seq != lists {
		t.Errorf("kept %+v, %v, want the list %d", h.revoke.list, err, lists)
	}
}

// TestRevokedIsNotCalledBack has a peer that is off the swarm knock again and again. The founder,
// whose routing table hears of each that connects, turns it away and does not dial it.
func TestRevokedIsNotCalledBack(t *testing.T) {
	t.Parallel()
	routes := func(c *Config) { c.DHT = true }
	a := startPeer(t, foundSwarm(t, t.TempDir()), routes)
	creds := invited(t, a, t.TempDir(), Invitation{})
	if err := a.RevokeMore(nil, []ID{creds.ID}); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	b := startPeer(t, creds, func(c *Config) { routes(c); c.Registerer = reg })
	for range 10 {
		if err := b.Connect(t.Context(), a.Addrs()[0]); err == nil {
			t.Error("connected")
		}
	}
	// A hello that b accepts is one of the founder's: its own are refused.
	if n := hellos(t, reg, "ok"); n != 0 {
		t.Errorf("the founder called back %v times", n)
	}
}

// hellos returns how many had an outcome.
func hellos(t *testing.T, reg *prometheus.Registry, outcome string) (n float64) {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			if f.GetName() == "host_hellos_total" && m.GetLabel()[0].GetValue() == outcome {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// TestRevokedComesBack takes an invitation back, then a peer, and mends both in the same data
// directory: by a token of another invitation, and by a list without the peer.
func TestRevokedComesBack(t *testing.T) {
	t.Parallel()
	a, dir := startPeer(t, foundSwarm(t, t.TempDir()), nil), t.TempDir()
	in := func(c *Config) { c.Dir = dir }
	b := startPeer(t, invited(t, a, dir, Invitation{}), in)
	until(t, "renewed", bound(b, a.now().Add(60*day)))
	grant := b.Membership().Grant
	if err := a.RevokeMore([][]byte{grant.Invitation()}, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "told of the invitation", func() bool {
		why := b.Membership().Refused
		return errors.Is(why, wire.ErrRevoked) && !errors.Is(why, wire.ErrPeerRevoked)
	})
	b.stop()
	b = startPeer(t, invited(t, a, dir, Invitation{}), in)
	until(t, "a member again", func() bool { return a.isMember(b.ID()) && bound(b, a.now().Add(60*day))() })
	if err := a.RevokeMore(nil, []ID{b.ID()}); err != nil {
		t.Fatal(err)
	}
	b.stop()
	b = startPeer(t, invited(t, a, dir, Invitation{}), in)
	until(t, "told that it is the peer", func() bool { return errors.Is(b.Membership().Refused, wire.ErrPeerRevoked) })
	if err := a.Readmit([]ID{a.ID()}); !errors.Is(err, ErrNotRevoked) {
		t.Errorf("readmits who was not taken off: %v", err)
	}
	if err := a.Readmit([]ID{b.ID()}); err != nil {
		t.Fatal(err)
	}
	until(t, "in again", func() bool { return a.isMember(b.ID()) && b.Membership().Refused == nil })
	if err := b.Readmit([]ID{b.ID()}); !errors.Is(err, ErrNotOwner) {
		t.Errorf("readmitted by a member: %v", err)
	}
}

// TestTokenCountsWhenAccepted starts again after the token has expired: that a start wrote a
// membership down is not enough, a peer must have let it in.
func TestTokenCountsWhenAccepted(t *testing.T) {
	t.Parallel()
	clock, dirs := newClock(), []string{t.TempDir(), t.TempDir(), t.TempDir()}
	token, err := foundSwarm(t, t.TempDir()).Invite(Invitation{TTL: time.Hour}, clock.now())
	if err != nil {
		t.Fatal(err)
	}
	var creds [3]*Credentials
	for i, dir := range dirs {
		if creds[i], err = OpenCredentials(dir, token, clock.now()); err != nil {
			t.Fatal(err)
		}
	}
	b, c := startPeer(t, creds[0], timed(clock, dirs[0])), startPeer(t, creds[1], timed(clock, dirs[1]))
	until(t, "met", func() bool { return b.Connect(t.Context(), c.Addrs()[0]) == nil && c.isMember(b.ID()) })
	until(t, "kept", func() bool {
		for _, dir := range dirs[:2] {
			if s, err := readMembership(dir); err != nil || !s.Accepted {
				return false
			}
		}
		return true
	})
	for i, dir := range dirs {
		for _, tok := range []*wire.Token{nil, token} {
			_, err := OpenCredentials(dir, tok, clock.now().Add(2*time.Hour))
			if accepted := i < 2; accepted != (err == nil) || !accepted && !errors.Is(err, wire.ErrExpired) {
				t.Errorf("start %d after the token has expired: %v", i, err)
			}
		}
	}
}
