package round_test

import "testing"

// TestAllTryBeforeTheProposal: no member waits for the proposal to find out what the results make of
// the state, and the proposal of another one, who has seen the same, is no new question.
func TestAllTryBeforeTheProposal(t *testing.T) {
	t.Parallel()
	w := newWorld(4, nil)
	w.fail = t.Fatalf
	for _, nd := range w.nodes {
		nd.slow = true
	}
	for range 50 {
		w.tick()
	}
	for _, nd := range w.nodes {
		if len(nd.asked) != 1 {
			t.Fatalf("member %d is to apply %d outcomes before there is a proposal, want 1", nd.id, len(nd.asked))
		}
		w.apply(nd, nd.asked[0])
	}
	for range 20 {
		w.tick()
	}
	for _, nd := range w.nodes {
		if nd.m.Round() < 2 {
			t.Errorf("member %d is in round %d", nd.id, nd.m.Round())
		}
		for _, a := range nd.asked[1:] {
			if a.Outcome.Round == 1 {
				t.Errorf("member %d is to apply another outcome of round 1", nd.id)
			}
		}
	}
}
