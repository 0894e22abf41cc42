package kernel_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

func TestFMA32RoundsOnce(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 200_000 {
		a, b, c := math.Float32frombits(rng.Uint32()), math.Float32frombits(rng.Uint32()), math.Float32frombits(rng.Uint32())
		if i%2 == 0 { // near exponents, short mantissas: ties
			a, b = float32(rng.IntN(1<<13)), float32(rng.IntN(1<<13)-1<<12)
			c = float32(rng.IntN(1<<24)) * float32(math.Ldexp(1, rng.IntN(60)-30))
		}
		got, want := kernel.FMA32(a, b, c), exactFMA(a, b, c)
		if math.Float32bits(got) != math.Float32bits(want) && !(got != got && want != want) {
			t.Fatalf("fma32(%b, %b, %b) = %b, want %b", a, b, c, got, want)
		}
	}
}

// exactFMA computes with unbounded precision and rounds once.
func exactFMA(a, b, c float32) float32 {
	for _, v := range []float32{a, b, c} {
		if v != v || math.IsInf(float64(v), 0) {
			return float32(math.FMA(float64(a), float64(b), float64(c)))
		}
	}
	exact := func(v float32) *big.Float { return new(big.Float).SetPrec(2000).SetFloat64(float64(v)) }
	sum := exact(a)
	sum.Mul(sum, exact(b)).Add(sum, exact(c))
	if sum.Sign() == 0 {
		return float32(float64(a)*float64(b) + float64(c)) // the sign of zero
	}
	f, _ := sum.Float32()
	return f
}
