package graph_test

import (
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/engine/train/graph"
)

// Pieces that live at the same time do not overlap, and those that do not share memory.
func TestPlace(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for round := range 300 {
		n := 1 + r.IntN(60)
		sizes, first, last := make([]int, n), make([]int, n), make([]int, n)
		sum := 0
		for i := range n {
			sizes[i], first[i] = 1+r.IntN(100), r.IntN(20)
			last[i] = first[i] + r.IntN(6)
			sum += (sizes[i] + 15) / 16 * 16
		}
		at, total := graph.Place(sizes, first, last)
		for i := range n {
			if at[i]%16 != 0 || at[i]+sizes[i] > total {
				t.Fatalf("round %d: piece %d at %d of %d", round, i, at[i], total)
			}
			for k := range i {
				if first[i] <= last[k] && first[k] <= last[i] && at[i] < at[k]+sizes[k] && at[k] < at[i]+sizes[i] {
					t.Fatalf("round %d: pieces %d and %d overlap", round, i, k)
				}
			}
		}
		if total > sum {
			t.Fatalf("round %d: %d elements for pieces of %d", round, total, sum)
		}
	}
	if at, total := graph.Place([]int{160, 160, 160}, []int{0, 1, 2}, []int{1, 2, 3}); total != 320 {
		t.Errorf("a chain of three is at %v of %d, want two in turn", at, total)
	}
}
