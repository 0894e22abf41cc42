package tensor_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/engine/tensor"
)

// TestNotFinite compares with a count of the decoded values, of random bytes: all patterns
// of scales and exponents are among them.
func TestNotFinite(t *testing.T) {
	t.Parallel()
	const seed = 11
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, d := range tensor.Types() {
		found := int64(0)
		for trial := range 400 {
			data := make([]byte, (1+trial%37)*d.BlockBytes())
			for i := range data {
				if data[i] = byte(rng.Uint32()); rng.IntN(4) == 0 {
					data[i] |= 0x7c
				}
			}
			values := make([]float32, len(data)/d.BlockBytes()*d.BlockLen())
			if err := tensor.Dequantize(values, d, data); err != nil {
				t.Fatal(err)
			}
			want := int64(0)
			for _, v := range values {
				if v := float64(v); math.IsNaN(v) || math.IsInf(v, 0) {
					want++
				}
			}
			if got := tensor.NotFinite(d, data); got != want {
				t.Fatalf("%v, seed %d, trial %d: %d values, want %d", d, seed, trial, got, want)
			}
			found += want
		}
		if found == 0 && d != tensor.MXFP4 {
			t.Errorf("%v: no value was not finite", d)
		}
	}
}

func BenchmarkNotFinite(b *testing.B) {
	data := make([]byte, 16<<20)
	for _, d := range []tensor.DType{tensor.F32, tensor.BF16, tensor.Q4_K} {
		b.Run(d.String(), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				tensor.NotFinite(d, data)
			}
		})
	}
}
