package robust_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/covey-network/covey/consensus/robust"
)

// TestByHand has results on a line, worked out by hand.
func TestByHand(t *testing.T) {
	t.Parallel()
	wrong := []float32{}
	for _, k := range []struct {
		rule    string
		updates [][]float32
		want    float32
	}{
		// The scores by 3 others: 15.24, 6.84, 6.44, 16.52, then more. By 2 the second
		// would win, by 4 the fourth.
		{"krum:2", [][]float32{{0}, {1}, {2}, {3.2}, {10}, {11}, {12}}, 2},
		// The median length of two is the shorter one.
		{"norm", [][]float32{{3}, {1}}, 1},
		{"norm", [][]float32{{-1}, {3}, {3}, {9}}, 2},
		// Updates of the wrong length are among the two liars.
		{"trimmed:2", [][]float32{{1}, wrong, {3}, {8}, wrong}, 4},
		{"trimmed:2", [][]float32{{1}, wrong, {3}, {8}, {9}}, 5.5},
		// The nearest two of each are 1 3, 1 3, 3 6.
		{"nnm:1+mean", [][]float32{{1}, {3}, {6}}, 8.5 / 3},
		{"sign", [][]float32{{1}, {-5}, {3}}, 3},
		{"sign", [][]float32{{1}, {-5}, {0}}, 0},
	} {
		dst := make([]float32, 1)
		if _, err := parse(t, k.rule).Aggregate(dst, k.updates, nil, nil); err != nil || math.Abs(float64(dst[0]-k.want)) > 1e-6 {
			t.Errorf("%s of %v: got %v and %v, want %v", k.rule, k.updates, dst[0], err, k.want)
		}
	}
}

// TestNobodyLies checks that Krum of all updates has the bits of the mean.
func TestNobodyLies(t *testing.T) {
	t.Parallel()
	updates := normal(rand.New(rand.NewPCG(1, 1)), 9, 600)
	want, _ := apply(t, "mean", updates, make([]float32, 600))
	for _, name := range []string{"multikrum:0", "nnm:0+mean"} {
		if got, report := apply(t, name, updates, make([]float32, 600)); !slices.Equal(bits(got), bits(want)) || len(report.Out) > 0 {
			t.Errorf("%s is not the mean; out: %v", name, report.Out)
		}
	}
}

func ExampleRule_Aggregate() {
	rule, err := robust.Parse("nnm+trimmed:1")
	if err != nil {
		panic(err)
	}
	updates := [][]float32{{1, 2}, {1.5, 2.5}, {2, 3}, {-900, 900}}
	result := make([]float32, 2)
	report, err := rule.Aggregate(result, updates, nil, nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(result)
	for _, out := range report.Out {
		fmt.Println("sender", out.Sender, out.Reason)
	}
	// Output:
	// [1.5 2.5]
	// sender 3 is far from the others
}
