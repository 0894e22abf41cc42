package round_test

import (
	"testing"

	"github.com/covey-network/covey/consensus/round"
)

// TestRoundOfNothing has no member with anything to give, in one group and in several: nobody waits
// for results that do not come.
func TestRoundOfNothing(t *testing.T) {
	t.Parallel()
	for _, size := range []int{4, 2} {
		took := func(samples uint64) int {
			w := newWorld(4, func(cfg *round.Config) { cfg.Group = size })
			w.fail = t.Errorf
			for _, nd := range w.nodes {
				nd.claim = func(u *round.Update) { u.Samples = samples }
			}
			for w.now < 1000 && w.newest() < 1 {
				w.tick()
			}
			return w.now
		}
		if nothing, usual := took(0), took(5); nothing > usual {
			t.Errorf("groups of %d: a round of nothing takes %d ticks, a usual one %d", size, nothing, usual)
		}
	}
}
