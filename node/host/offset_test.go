package host

import (
	"errors"
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
	if o := (offset{by: protocol.MaxClockSkew, known: true}); !o.far() || (offset{by: time.Second, known: true}).far() || (offset{}).far() {
		t.Error("what is far")
	}
}
