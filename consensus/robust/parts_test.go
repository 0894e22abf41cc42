package robust_test

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestParts combines parts by the rules that are said to have them, with the bits of the whole,
// and finds none in one of the others.
func TestParts(t *testing.T) {
	t.Parallel()
	separable := []string{"mean", "weighted", "median", "trimmed", "trimmed:0"}
	rng := rand.New(rand.NewPCG(5, 6))
	updates, reference := make([][]float32, 7), make([]float32, 5003)
	for i := range updates {
		updates[i] = make([]float32, len(reference))
		for k := range updates[i] {
			updates[i][k] = float32(rng.NormFloat64())
		}
	}
	for _, name := range names {
		if got, want := parse(t, name).Separable(), slices.Contains(separable, name); got != want {
			t.Errorf("%s separable: %v, want %v", name, got, want)
			continue
		}
		if !slices.Contains(separable, name) {
			continue
		}
		want, _ := apply(t, name, updates, reference)
		var got []float32
		for lo, hi := 0, 0; lo < len(reference); lo = hi {
			hi = min(lo+1+rng.IntN(900), len(reference))
			part := make([][]float32, len(updates))
			for i := range part {
				part[i] = updates[i][lo:hi]
			}
			piece, _ := apply(t, name, part, reference[lo:hi])
			got = append(got, piece...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: parts are not the whole", name)
		}
	}
}
