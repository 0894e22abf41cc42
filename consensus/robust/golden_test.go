package robust_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/covey-network/covey/consensus/robust"
)

// TestReference compares with numpy and scipy: testdata/rules.py.
func TestReference(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/rules.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Updates         [][]float32
		Reference       []float32
		Weights, Mixing []float64
		Results         map[string][]float64
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Results) < 15 {
		t.Fatalf("%d results", len(golden.Results))
	}
	for name, want := range golden.Results {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := parse(t, name)
			weights := golden.Weights
			if name == "gossip" || name == "gossip:0.7" {
				weights = golden.Mixing
			}
			got := make([]float32, len(want))
			if _, err := r.Aggregate(got, golden.Updates, weights, golden.Reference); err != nil {
				t.Fatal(err)
			}
			for i, w := range want {
				if math.Abs(float64(got[i])-w) > 3e-6*math.Max(1, math.Abs(w)) {
					t.Errorf("value %d: got %v, want %v", i, got[i], w)
				}
			}
		})
	}
}

func parse(t *testing.T, name string) robust.Rule {
	t.Helper()
	r, err := robust.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
