package host

import (
	"testing"
	"time"

	"github.com/covey-network/covey/protocol/wire"
)

// TestAdvertThatGossipLostIsCaughtUp has an advert that one of two connected peers knows without
// having gossiped it.
func TestAdvertThatGossipLostIsCaughtUp(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	until(t, "joined", knows(a, b))
	until(t, "joined", knows(b, a))
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // the two swaps that follow a join bring two of them
		c := invited(t, a, t.TempDir(), Invitation{})
		advert := capacity()
		advert.Swarm, advert.Peer, advert.Seq, advert.Issued = c.Swarm, c.ID, 1, time.Now().UnixMilli()
		advert.Capability, advert.Version, advert.Membership = 1, "x", c.Membership
		raw, err := wire.SignAdvert(c.Key, &advert)
		if err != nil {
			t.Fatal(err)
		}
		if v := r.receive(b.ID(), raw); v != verdictAccept {
			t.Fatalf("verdict %s", v)
		}
		until(t, "the other one has it", func() bool { return b.hasAdvert(c.ID) })
	}
}

func TestCatchUpSlowsDown(t *testing.T) {
	t.Parallel()
	now := time.Now()
	swaps := func(c *catchUp, known int, over time.Duration) (n int) {
		for end := now.Add(over); now.Before(end); now = now.Add(catchUpLook) {
			if c.due(known, now) {
				n++
			}
		}
		return n
	}
	var c catchUp
	if n := swaps(&c, 10, 10*time.Minute); n < 8 || n > 12 {
		t.Errorf("%d swaps in the first ten minutes", n)
	}
	if n := swaps(&c, 10, time.Hour); n != 30 {
		t.Errorf("%d swaps in an hour", n)
	}
	if n := swaps(&c, 11, time.Minute); n < 4 {
		t.Errorf("%d swaps in the minute after a new advert", n)
	}
	newest := 1000
	n := 0
	for range 100 { // somebody is new all the time
		newest++
		n += swaps(&c, newest, 6*time.Second)
	}
	if most := int(600*catchUpRate/8/1000) + 1; n > most {
		t.Errorf("%d swaps of a thousand sums in ten minutes, at most %d", n, most)
	}
}
