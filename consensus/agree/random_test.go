package agree_test

import (
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/consensus/agree"
)

// TestRandomSchedules lets faults happen for a while, then stops them, and wants a decision
// soon after at all who live, the same at all.
func TestRandomSchedules(t *testing.T) {
	t.Parallel()
	if *seed != 0 {
		schedule(t, *seed, true)
		return
	}
	for s := uint64(1); s <= 1500; s++ {
		schedule(t, s, false)
		if t.Failed() {
			t.Fatalf("seed %d: replay with -run %s -seed %d", s, t.Name(), s)
		}
	}
}

func schedule(t *testing.T, seed uint64, verbose bool) {
	rng := rand.New(rand.NewPCG(seed, 1))
	n := 1 + rng.IntN(8)
	liars, quorum := 0, agree.Majority(n)
	if rng.IntN(2) == 0 {
		quorum = agree.TwoThirds(n)
		liars = rng.IntN(n - quorum + 1)
	}
	// Short timeouts and rare repetition leave members with different views of a vote.
	times := agree.Timeouts{Propose: 2 + rng.IntN(10), Prevote: 1 + rng.IntN(5), Precommit: 1 + rng.IntN(5), Resend: 2 + rng.IntN(20)}
	times.ResendMax = []int{0, 4 * times.Resend}[seed%2]
	tune := func(c *agree.Config) { c.Timeouts = times }
	w := newWorld(n, quorum, tune)
	w.quiet = !verbose
	bad := false
	w.fail = func(f string, a ...any) { bad = true; t.Errorf(f, a...) }
	for i := range liars { // the first leaders: that is the harder place
		w.add(i, quorum, tune)
	}
	w.printf("%d members, quorum %d, %d liars", n, quorum, liars)
	all := func() (out []int) {
		for i := range w.nodes {
			out = append(out, i)
		}
		return out
	}()
	w.route = lossy(rng, 0.7*rng.Float64(), 0.2, rng.IntN(8))
	faults := 100 + rng.IntN(200)
	for range faults {
		if rng.IntN(10) == 0 {
			w.start(all[rng.IntN(len(all))])
		}
		mischief(w, rng)
		w.tick()
		if bad {
			break
		}
	}
	// The last fault is over: a quorum lives, the rest may stay down for good.
	w.route = lossy(rng, 0, 0, 1)
	clear(w.cut)
	live := w.live()
	for i := range w.n {
		if w.nodes[i].m == nil && (live < quorum || rng.IntN(2) == 0) {
			w.boot(i)
			live++
		}
		w.nodes[i].stop = crashNever
		w.nodes[i].slow = false
	}
	for i := range w.nodes { // a slow driver has lost what it was asked: it starts again
		if w.nodes[i].m != nil {
			w.boot(i)
		}
	}
	w.start(all...)
	w.settle()
	took := 0
	for ; took < 1500 && !w.finished() && !bad; took++ {
		w.tick()
	}
	if !w.finished() {
		t.Errorf("no decision %d ticks after the last fault; %d of %d live, quorum %d", took, live, n, quorum)
	}
	if verbose {
		t.Logf("%d ticks after the last fault\n%s", took, w.log.String())
	}
}

func (w *world) live() (n int) {
	for _, nd := range w.nodes[:w.n] {
		if nd.m != nil {
			n++
		}
	}
	return n
}

// finished reports whether every honest member that lives has decided.
func (w *world) finished() bool {
	for i, nd := range w.nodes[:w.n] {
		if _, ok := w.decided[i]; nd.m != nil && w.honest(i) && !ok {
			return false
		}
	}
	return true
}

// mischief lets one random thing happen now and then.
func mischief(w *world, rng *rand.Rand) {
	i := rng.IntN(len(w.nodes))
	switch nd := w.nodes[i]; rng.IntN(50) {
	case 0:
		if nd.m != nil {
			w.kill(i)
		}
	case 1, 2, 3, 4:
		nd.stop = crash(1 + rng.IntN(3))
	case 5, 6, 7, 8, 9, 10:
		if nd.m == nil {
			w.boot(i)
		}
	case 11, 12:
		var a, b []int
		for j := range w.nodes {
			if rng.IntN(2) == 0 {
				a = append(a, j)
			} else {
				b = append(b, j)
			}
		}
		w.split(a, b)
	case 13, 14, 15:
		clear(w.cut)
	case 17, 18, 19, 20: // each direction of each link for itself
		clear(w.cut)
		share := rng.Float64()
		for a := range w.nodes {
			for b := range w.nodes {
				if a != b && rng.Float64() < share {
					w.cut[[2]int{a, b}] = true
				}
			}
		}
	case 16:
		nd.slow = !nd.slow
	}
}
