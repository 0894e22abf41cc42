package quality

import (
	"slices"
	"strings"
	"testing"
)

func TestRow(t *testing.T) {
	t.Parallel()
	r := &Row{Task: "t", Data: ByChance, Alone: []float64{3, 1, 2, 100}, Together: []float64{2, 2.5, 2.75, 9}, Parameters: 1000, Steps: 1000, All: 1e4}
	if a, b := median(r.Alone), median(r.Together); a != 2.5 || b != 2.625 {
		t.Errorf("medians %v and %v", a, b)
	}
	if over := r.Over(); !slices.Equal(over, []string{"loss"}) {
		t.Errorf("over %v, want the loss", over)
	}
	r.Together[2] = 2.5
	if over := r.Over(); len(over) > 0 {
		t.Errorf("over %v with the same loss", over)
	}
	if r.Lost = 0.5; !strings.Contains(r.String(), "50 %") {
		t.Errorf("row %s", r)
	}
}

// TestFold holds each sample out in one of four seeds, and chooses by none that the same seed is
// measured on.
func TestFold(t *testing.T) {
	t.Parallel()
	const n = 178
	var count [n]int
	for seed := range uint64(folds) {
		held, kept := fold(n, seed, false)
		if len(held)+len(kept) != n || len(held) < n/folds || len(held) > n/folds+1 {
			t.Errorf("seed %d: %d held and %d kept of %d", seed, len(held), len(kept), n)
		}
		for _, i := range held {
			count[i]++
			if slices.Contains(kept, i) {
				t.Errorf("seed %d: sample %d is held out and is not", seed, i)
			}
		}
		chosen, rest := fold(n, seed, true)
		if both := append(slices.Clone(chosen), rest...); slices.ContainsFunc(both, func(i int) bool { return slices.Contains(held, i) }) {
			t.Errorf("seed %d: what it is measured on is there when something is chosen", seed)
		}
		if len(chosen)+len(rest) != n-len(held) || len(chosen) < n/folds {
			t.Errorf("seed %d: chosen by %d, learned from %d", seed, len(chosen), len(rest))
		}
	}
	if slices.Min(count[:]) != 1 || slices.Max(count[:]) != 1 {
		t.Errorf("times that samples are held out: %v", count)
	}
}
