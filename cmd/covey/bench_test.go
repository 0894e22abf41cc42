package main

import (
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/bench"
)

// TestReportExplainsHighShares prints a decode that read more than the memory gives.
func TestReportExplainsHighShares(t *testing.T) {
	t.Parallel()
	for share, want := range map[float64]bool{0.9: false, 1.43: true} {
		var out strings.Builder
		if err := printReport(&out, bench.Report{Decode: bench.Phase{OfRead: share}}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "processor's caches"); got != want {
			t.Errorf("a share of %v: %s", share, out.String())
		}
	}
}
