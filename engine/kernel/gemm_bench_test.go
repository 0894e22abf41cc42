package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/kernel"
)

// gemmBench lists the products of training steps: a layer forward (NT: weights are
// (outputs, inputs)), its input's gradient (NN) and its weights' (TN).
var gemmBench = []struct {
	form    string
	m, n, k int
}{
	{"NN", 1024, 1024, 1024},
	{"NT", 1024, 1024, 1024},
	{"TN", 1024, 1024, 1024},
	{"NT", 128, 512, 784},
	{"TN", 512, 784, 128},
	{"NN", 128, 784, 512},
	{"NT", 512, 384, 128},
	{"NN", 512, 128, 384},
	{"TN", 384, 128, 512},
	{"NT", 512, 688, 128},
	{"NN", 512, 128, 688},
	{"TN", 688, 128, 512},
	{"NT", 512, 128, 344},
	{"NN", 512, 344, 128},
	{"TN", 128, 344, 512},
	{"NT", 512, 512, 128},
	{"NN", 512, 128, 512},
	{"TN", 512, 128, 512},
	{"NT", 128, 10, 512},
	{"NN", 128, 512, 10},
	{"TN", 10, 512, 128},
	{"NN", 64, 64, 32},
	{"NT", 64, 64, 32},
	{"NN", 64, 32, 64},
	{"NT", 1, 512, 784},
	{"NN", 1, 784, 512},
	{"NN", 4096, 4096, 512},
}

// BenchmarkGemm reports GFLOP/s, and the share of the fused multiply-adds that the machine
// can do at most, measured in turns with the product. Both are those of the best turn, since
// a machine that others use as well is only at times all ours; ns/op is the mean.
func BenchmarkGemm(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, isa := range kernel.Supported() {
		if isa == kernel.Generic {
			continue
		}
		for threads := 1; threads <= 2; threads++ {
			for _, s := range gemmBench {
				g := &kernel.Gemm{
					TransA: s.form[0] == 'T', TransB: s.form[1] == 'T', M: s.m, N: s.n, K: s.k,
					A: randoms(rng, s.m*s.k, 1), B: randoms(rng, s.k*s.n, 1), C: make([]float32, s.m*s.n), LDC: s.n,
				}
				g.LDA, g.LDB = gemmStrides(g)
				b.Run(fmt.Sprintf("%s/threads=%d/%s-%dx%dx%d", isa, threads, s.form, s.m, s.n, s.k), func(b *testing.B) {
					benchGemm(b, isa, threads, g)
				})
			}
		}
	}
}

// benchGemm takes turns: about half a millisecond of products, or one, then of the peak.
func benchGemm(b *testing.B, isa kernel.ISA, threads int, g *kernel.Gemm) {
	p := newPool(b, threads)
	kernel.GemmISA(isa, p, g) // buffers
	ops := 2 * float64(g.M) * float64(g.N) * float64(g.K)
	turn := max(1, int(1e8*float64(threads)/ops))
	best, peak := 0.0, 0.0
	b.ResetTimer()
	for done := 0; done < b.N; done += turn {
		n := min(turn, b.N-done)
		start := time.Now()
		for range n {
			kernel.GemmISA(isa, p, g)
		}
		best = max(best, ops*float64(n)/time.Since(start).Seconds())
		b.StopTimer()
		peak = max(peak, peakRate(isa, p))
		b.StartTimer()
	}
	b.ReportMetric(best/1e9, "GFLOP/s")
	b.ReportMetric(100*best/peak, "%peak")
}

// peakRate returns the fused multiply-adds of a second, two operations each.
func peakRate(isa kernel.ISA, p *kernel.Pool) float64 {
	ops := int64(0)
	start := time.Now()
	for range 5 {
		ops += kernel.PeakISA(isa, p, kernel.PeakFMA, nil)
	}
	return float64(ops) / time.Since(start).Seconds()
}
