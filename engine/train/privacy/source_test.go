package privacy_test

import (
	"math"
	"testing"

	"github.com/covey-network/covey/engine/train/privacy"
)

// TestNoiseIsNormal compares moments and the distribution of many numbers with those of the normal
// distribution.
func TestNoiseIsNormal(t *testing.T) {
	t.Parallel()
	s := privacy.NewSource([32]byte{7})
	const n = 1 << 20
	var sum, squares, fourth, pairs, last float64
	bins := make([]int, 16) // of equal probability
	for range n {
		x := s.Normal()
		sum, squares, fourth, pairs = sum+x, squares+x*x, fourth+x*x*x*x, pairs+x*last
		last = x
		bins[min(15, int(16*math.Erfc(-x/math.Sqrt2)/2))]++
	}
	// Limits are five deviations of what chance alone makes of each figure.
	for _, c := range []struct {
		name                 string
		got, want, deviation float64
	}{
		{"mean", sum / n, 0, 1},
		{"variance", squares / n, 1, math.Sqrt(2)},
		{"fourth moment", fourth / n, 3, math.Sqrt(96)},
		{"product of neighbours", pairs / n, 0, 1},
	} {
		if d := math.Abs(c.got - c.want); d > 5*c.deviation/math.Sqrt(n) {
			t.Errorf("%s is %v, want %v", c.name, c.got, c.want)
		}
	}
	for i, k := range bins {
		if d := math.Abs(float64(k) - n/16.0); d > 5*math.Sqrt(n/16.0) {
			t.Errorf("bin %d has %d of %d", i, k, n)
		}
	}
}

// TestSourceBySeed gives the same for a seed and other things for another, and draws one stream
// without a trace in the other.
func TestSourceBySeed(t *testing.T) {
	t.Parallel()
	a, b, other := privacy.NewSource([32]byte{1}), privacy.NewSource([32]byte{1}), privacy.NewSource([32]byte{31: 1})
	same := 0
	for range 1000 {
		b.Chosen(0.5)
		x := a.Normal()
		if y := b.Normal(); x != y {
			t.Fatalf("got %v and %v of one seed", x, y)
		}
		if x == other.Normal() {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d of 1000 numbers are those of another seed", same)
	}
	chosen := 0
	for range 100_000 {
		if a.Chosen(0.03) {
			chosen++
		}
		if a.Chosen(0) || !a.Chosen(1) {
			t.Fatal("chosen at a rate of 0, or not at 1")
		}
	}
	if d := math.Abs(float64(chosen) - 3000); d > 5*math.Sqrt(3000) {
		t.Errorf("%d of 100000 are chosen, want 3000", chosen)
	}
}
