package group_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/covey-network/covey/consensus/group"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

var job = train.HashOf([]byte("job"))

func peers(n int) []wire.PeerID {
	list := make([]wire.PeerID, n)
	for i := range list {
		list[i] = wire.PeerID(fmt.Sprintf("peer %05d", i))
	}
	return list
}

// TestEveryMemberInOneGroup tries each number of members and round.
func TestEveryMemberInOneGroup(t *testing.T) {
	t.Parallel()
	const size = group.Size
	for n := 1; n <= 700; n++ {
		members := peers(n)
		for r := range uint64(4) {
			groups := group.Of(job, r, members, size)
			var all []wire.PeerID
			least, most := n, 0
			for _, g := range groups {
				if !slices.IsSorted(g) {
					t.Fatalf("%d members: a group is not sorted", n)
				}
				least, most = min(least, len(g)), max(most, len(g))
				all = append(all, g...)
			}
			if slices.Sort(all); !slices.Equal(all, members) {
				t.Fatalf("%d members, round %d: groups are not all members once", n, r)
			}
			if most > size || n >= size/2 && least < size/2-2 || most-least > 2 {
				t.Fatalf("%d members, round %d: groups of %d to %d", n, r, least, most)
			}
		}
	}
}

// TestGridReachesAll checks that after as many rounds as the grid has axes, whatever one
// member knew is known to all, where the grid is full.
func TestGridReachesAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, size, axes int }{{64, 16, 2}, {81, 16, 2}, {256, 16, 2}, {240, 16, 2}, {512, 16, 3}, {9, 4, 2}, {27, 4, 3}, {16, 16, 1}} {
		if got := group.Axes(c.n, c.size); got != c.axes {
			t.Errorf("%d members in groups of %d: %d axes, want %d", c.n, c.size, got, c.axes)
			continue
		}
		members := peers(c.n)
		value := map[wire.PeerID]float64{}
		value[members[0]] = float64(c.n) // the mean is 1
		for r := range uint64(c.axes) {
			for _, g := range group.Of(job, uint64(c.axes)*7+r, members, c.size) {
				sum := 0.0
				for _, p := range g {
					sum += value[p]
				}
				for _, p := range g {
					value[p] = sum / float64(len(g))
				}
			}
		}
		for _, p := range members {
			if math.Abs(value[p]-1) > 1e-9 {
				t.Fatalf("%d members: %q has %v after %d rounds, the mean is 1", c.n, p, value[p], c.axes)
			}
		}
	}
}

// TestGroupsChange checks that job, round and members each change who is together, and that
// equal ones do not.
func TestGroupsChange(t *testing.T) {
	t.Parallel()
	members := peers(40)
	same := func(a, b [][]wire.PeerID) bool { return slices.EqualFunc(a, b, slices.Equal) }
	base := group.Of(job, 3, members, 16)
	if !same(base, group.Of(job, 3, peers(40), 16)) {
		t.Error("equal input, other groups")
	}
	if same(base, group.Of(job, 4, members, 16)) || same(base, group.Of(train.HashOf(nil), 3, members, 16)) {
		t.Error("another round or job, equal groups")
	}
	for _, p := range members {
		if g := group.Mine(base, p); !slices.Contains(g, p) {
			t.Errorf("group of %q is %q", p, g)
		}
	}
	if g := group.Mine(base, "stranger"); g != nil {
		t.Errorf("group of a stranger: %q", g)
	}
}

// TestNeighboursAverage checks both ends of each edge, and that halves sent to one neighbour a
// round make the exact mean of a power of two of members.
func TestNeighboursAverage(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 40; n++ {
		members := peers(n)
		value := map[wire.PeerID]float64{members[0]: float64(n)}
		rounds := 0
		for 1<<rounds < n {
			rounds++
		}
		for r := range rounds {
			next := map[wire.PeerID]float64{}
			for _, p := range members {
				to, from := group.Neighbours(job, uint64(5*rounds+r), members, p)
				if _, back := group.Neighbours(job, uint64(5*rounds+r), members, to); back != p || to == p || from == p {
					t.Fatalf("%d members: %q sends to %q, which receives from %q", n, p, to, back)
				}
				next[p] = (value[p] + value[from]) / 2
			}
			value = next
		}
		least, most := math.Inf(1), math.Inf(-1)
		for _, p := range members {
			least, most = min(least, value[p]), max(most, value[p])
		}
		if exact := 1<<rounds == n; exact && (least != 1 || most != 1) || !exact && least <= 0 {
			t.Errorf("%d members: values from %v to %v after %d rounds, the mean is 1", n, least, most, rounds)
		}
	}
	if to, from := group.Neighbours(job, 1, peers(3), "stranger"); to != "" || from != "" {
		t.Errorf("a stranger has neighbours %q and %q", to, from)
	}
}

// TestDrawnEdges checks how many edges are drawn, that both ends know, and that a member more
// changes hardly any.
func TestDrawnEdges(t *testing.T) {
	t.Parallel()
	const n, degree = 300, 8
	members := peers(n + 1)
	edges, other, changed := 0, 0, 0
	for _, a := range members[:n] {
		for _, b := range members[:n] {
			one := group.Drawn(job, 3, a, b, n, degree)
			if one {
				edges++
			}
			if one && group.Drawn(job, 4, a, b, n, degree) {
				other++
			}
			if one != group.Drawn(job, 3, a, b, n+1, degree) {
				changed++
			}
		}
		if group.Drawn(job, 3, a, a, n, degree) || !group.Drawn(job, 3, a, members[n], 5, degree) {
			t.Fatalf("%q sends to itself, or not to all of a few", a)
		}
	}
	if mean := float64(edges) / n; math.Abs(mean-degree) > 0.6 {
		t.Errorf("%.2f edges of a member, want about %d", mean, degree)
	}
	if other > edges/10 || changed > edges/50 {
		t.Errorf("of %d edges %d are those of another turn too, and a member more changes %d", edges, other, changed)
	}
}
