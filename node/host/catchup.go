package host

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/covey-network/covey/protocol"
)

const (
	// catchUpLook is how often it is looked whether a swap is due, and the least time between two.
	catchUpLook = 2 * time.Second
	// catchUpMost is the time between two swaps when they bring nothing.
	catchUpMost = 2 * time.Minute
	// catchUpRate is how many bytes a second the sums of known adverts may take, so that a large
	// swarm in which somebody is always new swaps less often.
	catchUpRate = 100
)

// catchUp is when the next swap with some neighbour is due: what gossip lost is found by it. It
// belongs to one loop.
type catchUp struct {
	last  time.Time
	pause time.Duration
	known int // adverts, at the last look
}

// due reports whether a swap is due when some adverts are known. One of a new peer is a reason to
// look soon: others may have come, too. Each swap in vain doubles the time until the next.
func (c *catchUp) due(known int, now time.Time) bool {
	sums := time.Duration(known*protocol.AdvertSum) * time.Second / catchUpRate
	if known > c.known {
		c.pause = max(catchUpLook, sums)
	}
	c.known = known
	if now.Sub(c.last) < c.pause {
		return false
	}
	c.last, c.pause = now, min(2*max(c.pause, catchUpLook), max(catchUpMost, sums))
	return true
}

// catchUpNext swaps adverts with a neighbour, if that is due.
func (r *running) catchUpNext() {
	var can []ID
	for id, m := range r.gate.members() {
		if m.hello.Capability >= protocol.SwapCapability {
			can = append(can, id)
		}
	}
	if len(can) == 0 || !r.catchUp.due(len(r.Adverts()), r.now()) {
		return
	}
	slices.Sort(can)
	id := can[rand.IntN(len(can))]
	r.tasks.start(func() {
		if err := r.swap(id); err != nil {
			r.log.Debug("adverts not swapped", "peer", id, "err", err)
		}
	})
}
