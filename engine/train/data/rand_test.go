package data_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// TestRand fixes the bits: a change of them would change every training run.
func TestRand(t *testing.T) {
	t.Parallel()
	r := data.NewRand(0x0123456789abcdef, 3, 1<<33+5)
	got := []uint64{r.Uint64(), r.Uint64(), r.Uint64()}
	if want := []uint64{0x938dde107d01a74f, 0x410a85a6d9bc6205, 0x1fd264f31d630a61}; !slices.Equal(got, want) {
		t.Errorf("got %#x, want %#x", got, want)
	}
	for name, other := range map[string]data.Rand{
		"seed": data.NewRand(1, 0, 0), "epoch": data.NewRand(0, 1, 0), "sample": data.NewRand(0, 0, 1),
	} {
		base := data.NewRand(0, 0, 0)
		if base.Uint64() == other.Uint64() {
			t.Errorf("another %s gives the same draws", name)
		}
	}
}

func TestRandRanges(t *testing.T) {
	t.Parallel()
	r := data.NewRand(1, 0, 0)
	counts, sum := make([]int, 7), 0.0
	const n = 70000
	for range n {
		counts[r.IntN(7)]++
		u := r.Uniform(-2, 4)
		if u < -2 || u >= 4 {
			t.Fatalf("got %g, want -2 to 4", u)
		}
		sum += u
	}
	for i, c := range counts { // standard deviation 93
		if c < n/7-500 || c > n/7+500 {
			t.Errorf("%d was drawn %d times of %d", i, c, n)
		}
	}
	if mean := sum / n; math.Abs(mean-1) > 0.03 { // standard deviation 0.0065
		t.Errorf("mean of uniform draws: got %g, want 1", mean)
	}
	if got := r.Uniform(3, 3); got != 3 {
		t.Errorf("got %g, want 3", got)
	}
}

// TestMath compares with package math, which is within an ulp of the true value.
func TestMath(t *testing.T) {
	t.Parallel()
	near := func(what string, x, got, want float64) {
		if math.Abs(got-want) > 4e-15*max(1, math.Abs(want)) {
			t.Errorf("%s of %g: got %.17g, want %.17g", what, x, got, want)
		}
	}
	for i := -4000; i <= 4000; i++ {
		x := float64(i) * 0.1713
		sin, cos := data.SinCosOf(x)
		near("sine", x, sin, math.Sin(x*(math.Pi/180)))
		near("cosine", x, cos, math.Cos(x*(math.Pi/180)))
		near("exp", x/100, data.ExpOf(x/100), math.Exp(x/100))
		if i > 0 {
			near("log", x, data.LogOf(x), math.Log(x))
		}
	}
	for degrees, want := range map[float64][2]float64{0: {0, 1}, 90: {1, 0}, -90: {-1, 0}, 180: {0, -1}, 270: {-1, 0}, 450: {1, 0}} {
		if sin, cos := data.SinCosOf(degrees); sin != want[0] || cos != want[1] {
			t.Errorf("%g degrees: got %g and %g, want %g and %g", degrees, sin, cos, want[0], want[1])
		}
	}
}

func TestPermutation(t *testing.T) {
	t.Parallel()
	got, err := data.Permutation(nil, 10, data.NewRand(7, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if want := []uint32{2, 1, 3, 4, 9, 8, 5, 7, 6, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	counts := map[string]int{}
	const n = 6000
	for i := range n {
		p, err := data.Permutation(got, 3, data.NewRand(9, i, 0))
		if err != nil {
			t.Fatal(err)
		}
		counts[fmt.Sprint(p)]++
	}
	for order, c := range counts { // standard deviation 29
		if c < n/6-150 || c > n/6+150 {
			t.Errorf("order %s came %d times of %d", order, c, n)
		}
	}
	if _, err := data.Permutation(nil, 1<<31, data.NewRand(0, 0, 0)); err == nil {
		t.Error("2^31 samples: want an error")
	}
}
