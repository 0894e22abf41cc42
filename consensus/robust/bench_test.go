package robust_test

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/covey-network/covey/consensus/robust"
)

// BenchmarkAggregate combines a million values of each of 4, 8 and 16 senders. Bytes are those
// of the updates.
func BenchmarkAggregate(b *testing.B) {
	const d = 1 << 20
	rng := rand.New(rand.NewPCG(1, 1))
	updates := normal(rng, 16, d)
	dst, reference := make([]float32, d), make([]float32, d)
	for _, name := range []string{"mean", "weighted", "median", "trimmed", "multikrum", "geomedian", "norm", "clip", "nnm+trimmed"} {
		for _, n := range []int{4, 8, 16} {
			b.Run(name+"/"+strconv.Itoa(n), func(b *testing.B) {
				r, err := robust.Parse(name)
				if err != nil {
					b.Fatal(err)
				}
				weights := make([]float64, n)
				for i := range weights {
					weights[i] = 1
				}
				b.SetBytes(int64(4 * d * n))
				for b.Loop() {
					if _, err := r.Aggregate(dst, updates[:n], weights, reference); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
