package round_test

import (
	"slices"
	"testing"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
)

// TestRepeats lets a member wait for others that are silent: it repeats its header less and less often,
// and begins anew when it has more to say.
func TestRepeats(t *testing.T) {
	t.Parallel()
	w := newWorld(3, func(c *round.Config) { c.Times.Resend, c.Times.ResendMax = 4, 16 })
	m := w.nodes[0].m
	m.Ready()
	told := func(ticks int) (at []int) {
		for i := range ticks {
			m.Tick()
			for _, s := range m.Ready().Send {
				if s.Messages[0].Kind == train.KindHeader {
					at = append(at, i+1)
				}
			}
		}
		return at
	}
	if at := told(20); at != nil {
		t.Errorf("a header is told at %v before there is one", at)
	}
	part := train.HashOf([]byte("part"))
	if err := m.Update(1, round.Update{Samples: 1, Slices: []train.Hash{part, part, part}}); err != nil {
		t.Fatal(err)
	}
	m.Ready()
	if at, want := told(60), []int{4, 12, 28, 44, 60}; !slices.Equal(at, want) {
		t.Errorf("the header is repeated at %v, want %v", at, want)
	}
	m.Leave()
	if at, want := told(16), []int{1, 5, 13}; !slices.Equal(at, want) {
		t.Errorf("after there is more to say it is repeated at %v, want %v", at, want)
	}
}
