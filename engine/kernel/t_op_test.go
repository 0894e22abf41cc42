package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

// everyWay runs an op on every instruction set with one to three threads and checks that
// the results have the same bits. It returns them.
func everyWay(t *testing.T, what string, run func(isa kernel.ISA, p *kernel.Pool) []float32) []float32 {
	t.Helper()
	one := kernel.NewPool(1)
	defer one.Close()
	want := run(kernel.Generic, one)
	for threads := 1; threads <= 3; threads++ {
		p := kernel.NewPool(threads)
		for _, isa := range kernel.Supported() {
			sameBits(t, fmt.Sprintf("%s, %s, %d threads", what, isa, threads), run(isa, p), want)
		}
		p.Close()
	}
	return want
}

// joined returns all parts in one slice.
func joined(parts ...[]float32) []float32 {
	var out []float32
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// newPoolFor returns a pool that ends with the test.
func newPoolFor(t *testing.T, threads int) *kernel.Pool {
	t.Helper()
	p := kernel.NewPool(threads)
	t.Cleanup(p.Close)
	return p
}

func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// dotWith returns the sum of x * w: with w the gradient of x it is the function whose
// gradient an op's Backward computes.
func dotWith(x []float64, w []float32) float64 {
	s := 0.0
	for i, v := range x {
		s += v * float64(w[i])
	}
	return s
}

// gradientNear compares got with central differences of f at x, in float64.
func gradientNear(t *testing.T, what string, got, x []float32, tolerance float64, f func(x []float64) float64) {
	t.Helper()
	at := wide(x)
	worst := 0.0
	for i, v := range at {
		h := 1e-5 * math.Max(1, math.Abs(v))
		at[i] = v + h
		up := f(at)
		at[i] = v - h
		down := f(at)
		at[i] = v
		want := (up - down) / (2 * h)
		diff := math.Abs(float64(got[i])-want) / math.Max(1, math.Abs(want))
		worst = math.Max(worst, diff)
		if !(diff <= tolerance) {
			t.Fatalf("%s: gradient %d is %v, want %v", what, i, got[i], want)
		}
	}
	t.Logf("%s: largest error of the gradient %.2g", what, worst)
}

func nearAll(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	for i, w := range want {
		near(t, fmt.Sprintf("%s, element %d", what, i), got[i], w, tolerance)
	}
}

func rngOf(n int) *rand.Rand { return rand.New(rand.NewPCG(uint64(n), 99)) }

func filled(n int, v float32) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// mustPanic checks that f panics.
func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}
