package trainer

import (
	"math"
	"testing"

	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// TestScalesWithoutWhatCannotBe has members that tell what no certificate could have in a sum: the sum
// is that of the others.
func TestScalesWithoutWhatCannotBe(t *testing.T) {
	t.Parallel()
	c := newTestChain(t, 0)
	s := c.session(t, t.TempDir())
	s.columns = []train.Moments{{Count: 2, Mean: 1, Squares: 2}}
	s.wishes = map[wire.PeerID]*train.Join{
		"far":     {Columns: []train.Moments{{Count: 1 << 40, Mean: 1.2e154, Squares: 1}}},
		"many":    {Columns: []train.Moments{{Count: 1 << 40, Mean: 1, Squares: 1}}},
		"squares": {Columns: []train.Moments{{Count: 1, Mean: 1, Squares: math.MaxFloat64}}},
		"other":   {Columns: []train.Moments{{Count: 1, Mean: 1}, {Count: 1, Mean: 1}}},
		"honest":  {Columns: []train.Moments{{Count: 2, Mean: 3, Squares: 2}}},
	}
	want := train.Moments{Count: 4, Mean: 2, Squares: 8} // of 0, 2, 2 and 4
	got := s.scales([]wire.PeerID{"far", "honest", "many", "other", c.me})
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := s.scales([]wire.PeerID{"squares", "squares", c.me}); train.ValidMoments(got) != nil {
		t.Errorf("got %v, which no certificate can have", got)
	}
}
