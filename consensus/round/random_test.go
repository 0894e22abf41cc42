package round_test

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

var seed = flag.Uint64("seed", 0, "run one random schedule alone, with its log")

var membership = func() wire.Membership {
	g := &wire.Grant{
		Swarm: wire.SwarmIDOf(peerOf(keys[0]).PublicKey()), ID: bytes.Repeat([]byte{1}, wire.GrantIDSize), Scopes: wire.Scopes(),
		NotBefore: 1_800_000_000, Expires: 1_800_000_000 + int64(30*24*time.Hour/time.Second), Peer: peerOf(keys[1]),
	}
	s, err := wire.SignGrant(keys[0], g)
	if err != nil {
		panic(err)
	}
	return wire.Membership{Grant: s}
}()

// timeout is the longest that a round waits in each phase, with the views of two leaders that
// are gone.
func timeout(t *round.Times) int {
	views := 0
	for v := range 3 {
		views += t.Votes.Propose + t.Votes.Prevote + t.Votes.Precommit + 3*v*t.Votes.Grow
	}
	return t.Headers.Cap + t.Slices.Cap + t.Results.Cap + views
}

// repeats is how seldom messages are repeated in the end, in ticks: as often as at first, or not.
func repeats(seed uint64) int { return []int{0, 16}[seed%2] }

// TestKillTwoOfFive stops two of five members at each point of a round, 1,000 times: the
// survivors end the round within two timeouts, with the same bits, and go on.
func TestKillTwoOfFive(t *testing.T) {
	t.Parallel()
	first, last := uint64(1), uint64(1000)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	longest := 0
	for s := first; s <= last; s++ {
		longest = max(longest, killTwo(t, s))
		if t.Failed() {
			t.Fatalf("seed %d: replay with -run %s -seed %d", s, t.Name(), s)
		}
	}
	t.Logf("the longest round took %d ticks", longest)
}

func killTwo(t *testing.T, s uint64) int {
	rng := rand.New(rand.NewPCG(s, 2))
	w := newWorld(5, func(c *round.Config) { c.Times.ResendMax = repeats(s) })
	w.verbose = *seed != 0
	w.fail = t.Errorf
	w.route = lossy(rng, 0, 0.1, 2)
	events := []string{"header", "reveal", "reduce", "reduced", "proposal", "prevote", "precommit", "commit"}
	whens := []string{"before", "while", "after"}
	victims := rng.Perm(5)[:2]
	tr := trap{event: events[s%8], when: whens[s/8%3], round: 2 + rng.Uint64N(2)}
	if tr.event == "proposal" { // it comes from one member in a round
		victims[0] = int(tr.round) % 5
	}
	for i, v := range victims {
		own := tr
		if i > 0 && rng.IntN(2) == 0 {
			own.event, own.when = events[(s+1+rng.Uint64N(3))%8], whens[rng.IntN(3)]
		}
		if i > 0 && own.event == "proposal" {
			own.event = "prevote"
		}
		w.nodes[v].trap = &own
	}
	back := rng.IntN(2) == 0 // the victims come back later
	longest, began, seen := 0, 0, uint64(0)
	for w.now < 3000 && w.newest() < 7 && !t.Failed() {
		w.tick()
		if r := w.newest(); r != seen {
			longest, began, seen = max(longest, w.now-began), w.now, r
		}
		if back && seen >= 4 {
			back = false
			for _, v := range victims {
				if w.nodes[v].joining = true; w.nodes[v].m == nil {
					w.boot(w.nodes[v])
				}
			}
		}
	}
	if limit := 2 * timeout(&w.nodes[0].cfg.Times); longest > limit || w.newest() < 7 {
		t.Errorf("round %d is the last one; the longest took %d ticks, two timeouts are %d", w.newest(), longest, limit)
	}
	for _, v := range victims {
		if w.nodes[v].trap != nil {
			t.Errorf("member %d was not stopped: %+v", v, *w.nodes[v].trap)
		}
	}
	for range 10 { // what is certified reaches the slowest
		w.tick()
	}
	w.same(t)
	if w.verbose {
		t.Logf("victims %v, %+v\n%s", victims, tr, w.log.String())
	}
	return longest
}

// TestRandomSchedules lets faults of every kind happen for a while, then stops them: two more
// rounds end within two timeouts each, and all who live have the same bits.
func TestRandomSchedules(t *testing.T) {
	t.Parallel()
	first, last := uint64(1), uint64(200)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	seen := map[string]int{} // what happened in all of them
	for s := first; s <= last; s++ {
		schedule(t, s, seen)
		if t.Failed() {
			t.Fatalf("seed %d: replay with -run %s -seed %d", s, t.Name(), s)
		}
	}
	t.Logf("%v", seen)
	for _, what := range []string{"applied", "expelled", "joined", "left", "silent", "state taken", "chain asked", "later view", "slice unchanged"} {
		if seen[what] == 0 && first != last {
			t.Errorf("in no schedule: %s", what)
		}
	}
}

func schedule(t *testing.T, s uint64, seen map[string]int) {
	rng := rand.New(rand.NewPCG(s, 3))
	n := 1 + rng.IntN(7)
	quorum, liars, whole := train.Majority, 0, rng.IntN(3) == 0
	if rng.IntN(2) == 0 {
		quorum = train.TwoThirds
		liars = rng.IntN(n - quorum.Of(n) + 1)
	}
	size := 2 * rng.IntN(2) * (1 + rng.IntN(2)) // of groups: 0, 2 or 4
	tune := func(c *round.Config) {
		c.Quorum, c.Whole, c.Group, c.Times.ResendMax = quorum, whole, size, repeats(s)
	}
	w := newWorld(n, tune)
	w.verbose, w.fail = *seed != 0, t.Errorf
	for i := range liars {
		w.add(i, tune)
	}
	for i := range rng.IntN(3) { // who come later
		w.add(n+i, tune).joining = true
	}
	w.printf("%d members, quorum %s, %d liars, whole %v, groups of %d", n, quorum, liars, whole, size)
	for _, nd := range w.nodes {
		nd.work = rng.IntN(10)
	}
	w.route = lossy(rng, 0.5*rng.Float64(), 0.2, rng.IntN(6))
	rate := rng.Float64()
	for range 200 + rng.IntN(300) {
		if rng.Float64() < rate*rate {
			w.mischief(rng)
		}
		if w.tick(); t.Failed() {
			break
		}
	}
	w.route = lossy(rng, 0, 0.1, 2)
	clear(w.cut)
	for _, nd := range w.nodes {
		nd.joining, nd.trap = true, nil
		clear(nd.mute)
		w.boot(nd)
	}
	before, limit := w.newest(), 4*timeout(&w.nodes[0].cfg.Times)
	took := 0
	for ; took < limit && w.newest() < before+2 && !t.Failed(); took++ {
		w.tick()
	}
	if w.newest() < before+2 {
		t.Errorf("round %d is the last one %d ticks after the last fault, %d before it", w.newest(), took, before)
	}
	for range 10 {
		w.tick()
	}
	w.same(t)
	for k, v := range w.seen {
		seen[k] += v
	}
	if w.verbose {
		t.Logf("%s", w.log.String())
	}
}

// mischief lets one random thing happen now and then.
func (w *world) mischief(rng *rand.Rand) {
	nd := w.nodes[rng.IntN(len(w.nodes))]
	if nd.m == nil && rng.IntN(15) == 0 {
		w.boot(nd)
	}
	switch rng.IntN(60) {
	case 0:
		w.kill(nd, "")
	case 1, 2, 3:
		events := []string{"header", "reveal", "reduce", "reduced", "proposal", "prevote", "precommit", "commit"}
		nd.trap = &trap{event: events[rng.IntN(8)], when: []string{"before", "while", "after"}[rng.IntN(3)]}
	case 4:
		w.split(w.halves(rng))
	case 5: // each direction of each link for itself
		clear(w.cut)
		share := rng.Float64()
		for a := range w.nodes {
			for b := range w.nodes {
				if a != b && rng.Float64() < share {
					w.cut[[2]int{a, b}] = true
				}
			}
		}
	case 6, 7:
		clear(w.cut)
	case 8:
		what := []string{"header", "reveal", "reduce"}[rng.IntN(3)]
		nd.mute[what] = !nd.mute[what]
	case 9:
		if nd.m != nil && rng.IntN(4) == 0 {
			nd.joining = false
			nd.m.Leave()
			w.printf("%d leaves", nd.id)
		}
	case 10:
		if nd.m != nil {
			nd.joining = true
			nd.m.Join(1, membership)
		}
	}
}

func (w *world) halves(rng *rand.Rand) (a, b []int) {
	for i := range w.nodes {
		if rng.IntN(2) == 0 {
			a = append(a, i)
		} else {
			b = append(b, i)
		}
	}
	return a, b
}

// same fails if two live members that are level have different states.
func (w *world) same(t *testing.T) {
	t.Helper()
	for _, nd := range w.nodes {
		if nd.m == nil || w.liars[nd.peer] {
			continue
		}
		last := nd.m.Last().Outcome
		if train.Place(last.Members, nd.peer) >= 0 && last.Round > 0 && nd.disk.root != w.roots[last.Round] {
			t.Errorf("%d holds %s after round %d, certified is %s", nd.id, nd.disk.root.Short(), last.Round, w.roots[last.Round].Short())
		}
	}
}

// lossy makes a route that loses, doubles and delays.
func lossy(rng *rand.Rand, loss, dup float64, delay int) func(packet) []packet {
	return func(p packet) []packet {
		if rng.Float64() < loss {
			return nil
		}
		out := []packet{p}
		if rng.Float64() < dup {
			out = append(out, p)
		}
		for i := range out {
			out[i].at += rng.IntN(delay + 1)
		}
		return out
	}
}
