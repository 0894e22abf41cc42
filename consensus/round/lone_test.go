package round_test

import (
	"testing"

	"github.com/covey-network/covey/protocol/train"
)

// TestJoinWhileOneApplies lets a Join come, and views pass, while the driver of a lone member
// finds out what its outcome makes of the state. A driver whose work is the outcome can do so for
// one outcome in a round.
func TestJoinWhileOneApplies(t *testing.T) {
	t.Parallel()
	w := newWorld(1, nil)
	w.fail = t.Fatalf
	nd := w.nodes[0]
	nd.slow = true
	for range 50 {
		w.tick()
	}
	if len(nd.asked) != 1 {
		t.Fatalf("%d outcomes are to be applied, want 1", len(nd.asked))
	}
	join := &train.Join{Job: job, Peer: peerOf(keys[1]), Membership: membership}
	if err := nd.m.Step(w.open(sign(1, join))); err != nil {
		t.Fatal(err)
	}
	w.pump(nd)
	for range 100 {
		w.tick()
	}
	if len(nd.asked) != 1 {
		t.Fatalf("%d outcomes of one round are to be applied, want 1", len(nd.asked))
	}
	nd.slow = false
	w.apply(nd, nd.asked[0])
	for range 20 {
		w.tick()
	}
	if nd.m.Round() < 2 {
		t.Fatalf("the member is in round %d", nd.m.Round())
	}
	if train.Place(nd.m.Members(), join.Peer) < 0 {
		t.Errorf("members %v: the newcomer is not among them", nd.m.Members())
	}
}
