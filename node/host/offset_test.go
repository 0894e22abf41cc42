package host

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// TestClockOffset has a peer whose clock is five minutes fast: both sides see it, by hellos
// and, as with older peers, by adverts.
func TestClockOffset(t *testing.T) {
	t.Parallel()
	fast := newClock()
	fast.add(5 * time.Minute)
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), func(c *Config) { c.Now = fast.now })
	seen := func(p, other *peerOf, want time.Duration) func() bool {
		return func() bool {
			for _, q := range p.Peers() {
				if q.ID == other.ID() {
					return (q.Clock - want).Abs() < 2*time.Minute // hellos may take a while
				}
			}
			return false
		}
	}
	until(t, "the right one sees it", seen(a, b, 5*time.Minute))
	until(t, "the fast one sees it", seen(b, a, -5*time.Minute))

	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	r.gate.mu.Lock()
	r.gate.entries[b.ID()].member.hello.Time = 0 // an older peer
	r.gate.mu.Unlock()
	r.gate.noteClock(b.ID(), offset{})
	if err := b.PublishAdvert(t.Context(), capacity()); err != nil {
		t.Fatal(err)
	}
	until(t, "its advert shows it", seen(a, b, 5*time.Minute))
	if a.hasAdvert(b.ID()) {
		t.Error("an advert from the future counts")
	}
}

// TestClock has a peer whose clock is five minutes fast: it knows by how much each other one's differs, and
// once it is connected to three takes those it is not connected to for right.
func TestClock(t *testing.T) {
	t.Parallel()
	fast := newClock()
	fast.add(5 * time.Minute)
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), func(c *Config) { c.Now = fast.now })
	about := func(got, want time.Duration) bool { return (got - want).Abs() < 2*time.Minute } // hellos may take a while
	stranger := invited(t, a, t.TempDir(), Invitation{}).ID
	until(t, "the others' clocks are known", func() bool { return about(a.Clock(b.ID()), 5*time.Minute) && about(b.Clock(a.ID()), -5*time.Minute) })
	if a.Clock(stranger) != 0 || b.Clock(stranger) != 0 {
		t.Error("one peer tells which clock is wrong")
	}
	for range 2 {
		o := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
		if err := b.Connect(t.Context(), o.Addrs()[0]); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "most clocks differ from this one", func() bool { return about(b.Clock(stranger), -5*time.Minute) })
	if got := a.Clock(stranger); !about(got, 0) {
		t.Errorf("one clock of three that is wrong makes those of strangers %v", got)
	}
}

// TestRefusalTellsOfClocks has a token made by a clock that is an hour fast.
func TestRefusalTellsOfClocks(t *testing.T) {
	t.Parallel()
	fast := newClock()
	fast.add(time.Hour)
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	token, err := a.creds.Invite(Invitation{Addrs: a.Addrs()}, fast.now())
	if err != nil {
		t.Fatal(err)
	}
	creds, err := OpenCredentials(t.TempDir(), token, fast.now())
	if err != nil {
		t.Fatal(err)
	}
	b := startPeer(t, withoutBootstrap(creds), func(c *Config) { c.Now = fast.now })
	var e *wire.Error
	err = b.Connect(t.Context(), a.Addrs()[0])
	if !errors.As(err, &e) || e.Code != wire.CodeExpired || !strings.Contains(e.Message, "your clock is 1h0m0s ahead of this peer's") && !strings.Contains(e.Message, "your clock is 59m5") {
		t.Errorf("refused with %v", err)
	}
	about := func(got, want time.Duration) bool { return (got - want).Abs() < 2*time.Minute } // hellos may take a while
	if ahead, ok := ClocksApart(b.Membership().Refused); !ok || !about(ahead, -time.Hour) {
		t.Errorf("the refusal tells of clocks %v apart", ahead)
	}
	until(t, "the path tells of clocks", func() bool {
		p := b.Path(a.ID())
		return p.State == PathUnreachable && about(p.Clock, -time.Hour)
	})
	if o := (offset{by: protocol.MaxClockSkew, known: true}); !o.far() || (offset{by: time.Second, known: true}).far() || (offset{}).far() {
		t.Error("what is far")
	}
}

// TestRefusalForClocksIsUnderstood has a peer whose clock is three hours fast or slow: whoever turns the
// other away, each side learns by how much.
func TestRefusalForClocksIsUnderstood(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{3 * time.Hour, -3 * time.Hour} {
		here := offset{by, true}.explain(wire.ErrExpired)
		if got, ok := ClocksApart(fmt.Errorf("peer x: %w", here)); !ok || got != by || !errors.Is(here, wire.ErrExpired) {
			t.Errorf("who turns away a peer %v ahead: %v, %t", by, got, ok)
		}
		if got, ok := ClocksApart(refusal(here)); !ok || got != -by {
			t.Errorf("who is turned away %v ahead: %v, %t", by, got, ok)
		}
	}
	for _, err := range []error{
		nil, wire.ErrExpired, wire.Errorf(wire.CodeExpired, "grant expired"), wire.Errorf(wire.CodeExpired, "your clock is"),
		wire.Errorf(wire.CodeExpired, "your clock is odd ahead of this peer's"), wire.Errorf(wire.CodeExpired, "your clock is 3h"),
		wire.Errorf(wire.CodeRefused, "your clock is 3h0m0s ahead of this peer's"), offset{time.Second, true}.explain(wire.ErrExpired),
	} {
		if got, ok := ClocksApart(err); ok {
			t.Errorf("%v is for clocks %v apart", err, got)
		}
	}
}

// TestFindingOfClocks tells the owner of this machine whose clock is ahead, in words that are not meant
// for the peer.
func TestFindingOfClocks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		by   time.Duration
		err  error
		want string
	}{
		{3 * time.Hour, wire.ErrNotYet, "it answers, but its clock is 3h0m0s ahead of this machine's, so that its membership is not valid yet here"},
		{-time.Hour, wire.ErrExpired, "it answers, but its clock is 1h0m0s behind this machine's, so that its membership is over here"},
	} {
		if got := finding(offset{c.by, true}.explain(c.err)); got != c.want {
			t.Errorf("%s, %v: %s", c.by, c.err, got)
		}
	}
}
