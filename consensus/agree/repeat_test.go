package agree_test

import (
	"slices"
	"testing"

	"github.com/covey-network/covey/consensus/agree"
)

// TestRepeats lets a leader wait for others that are silent: it repeats its proposal less and less often.
func TestRepeats(t *testing.T) {
	t.Parallel()
	w := newWorld(3, agree.Majority(3), func(c *agree.Config) {
		c.Timeouts = agree.Timeouts{Propose: 100, Prevote: 100, Precommit: 100, Resend: 4, ResendMax: 16}
	})
	m := w.nodes[0].m
	m.Start()
	if err := m.Propose(0, idOf("A"), []byte("A")); err != nil {
		t.Fatal(err)
	}
	m.Ready()
	var at []int
	for i := range 60 {
		m.Tick()
		if len(m.Ready().Send) > 0 {
			at = append(at, i+1)
		}
	}
	if want := []int{4, 12, 28, 44, 60}; !slices.Equal(at, want) {
		t.Errorf("the proposal is repeated at %v, want %v", at, want)
	}
}
