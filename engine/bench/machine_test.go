package bench_test

import (
	"testing"

	"github.com/covey-network/covey/engine/bench"
)

// TestBestOfTwoMachines checks that a measurement which other work disturbed does not count.
func TestBestOfTwoMachines(t *testing.T) {
	t.Parallel()
	a := bench.Machine{ReadBytes: 3, DotOps: 1, FMAOps: 5}
	b := bench.Machine{ReadBytes: 2, DotOps: 4, FMAOps: 6}
	if got := bench.Best(a, b); got != (bench.Machine{ReadBytes: 3, DotOps: 4, FMAOps: 6}) {
		t.Errorf("got %+v", got)
	}
}
