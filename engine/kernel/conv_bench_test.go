package kernel_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/kernel"
)

// convLayers are the convolutions of a small image classifier (batch 16) and of ResNet-18
// for images of 32 x 32 (batch 8).
var convLayers = []struct {
	name string
	kernel.Conv
}{
	{"cnn,3-32", kernel.Conv{Batch: 16, InC: 3, H: 32, W: 32, OutC: 32, KH: 3, KW: 3, Stride: 1, Pad: 1}},
	{"cnn,32-64", kernel.Conv{Batch: 16, InC: 32, H: 32, W: 32, OutC: 64, KH: 3, KW: 3, Stride: 1, Pad: 1}},
	{"cnn,64-64", kernel.Conv{Batch: 16, InC: 64, H: 16, W: 16, OutC: 64, KH: 3, KW: 3, Stride: 1, Pad: 1}},
	{"resnet,3-64", kernel.Conv{Batch: 8, InC: 3, H: 32, W: 32, OutC: 64, KH: 3, KW: 3, Stride: 1, Pad: 1}},
	{"resnet,64-64", kernel.Conv{Batch: 8, InC: 64, H: 32, W: 32, OutC: 64, KH: 3, KW: 3, Stride: 1, Pad: 1}},
	{"resnet,64-128s2", kernel.Conv{Batch: 8, InC: 64, H: 32, W: 32, OutC: 128, KH: 3, KW: 3, Stride: 2, Pad: 1}},
	{"resnet,64-128s2k1", kernel.Conv{Batch: 8, InC: 64, H: 32, W: 32, OutC: 128, KH: 1, KW: 1, Stride: 2}},
	{"resnet,128-128", kernel.Conv{Batch: 8, InC: 128, H: 16, W: 16, OutC: 128, KH: 3, KW: 3, Stride: 1, Pad: 1}},
	{"resnet,128-256s2", kernel.Conv{Batch: 8, InC: 128, H: 16, W: 16, OutC: 256, KH: 3, KW: 3, Stride: 2, Pad: 1}},
	{"resnet,128-256s2k1", kernel.Conv{Batch: 8, InC: 128, H: 16, W: 16, OutC: 256, KH: 1, KW: 1, Stride: 2}},
	{"resnet,256-256", kernel.Conv{Batch: 8, InC: 256, H: 8, W: 8, OutC: 256, KH: 3, KW: 3, Stride: 1, Pad: 1}},
	{"resnet,256-512s2", kernel.Conv{Batch: 8, InC: 256, H: 8, W: 8, OutC: 512, KH: 3, KW: 3, Stride: 2, Pad: 1}},
	{"resnet,256-512s2k1", kernel.Conv{Batch: 8, InC: 256, H: 8, W: 8, OutC: 512, KH: 1, KW: 1, Stride: 2}},
	{"resnet,512-512", kernel.Conv{Batch: 8, InC: 512, H: 4, W: 4, OutC: 512, KH: 3, KW: 3, Stride: 1, Pad: 1}},
}

// BenchmarkConv measures each layer's forward pass and gradients on one and two threads, in
// GFLOP/s (two for each weight and position, padding included) and in percent of the peak
// of fused multiply-adds, measured in between.
func BenchmarkConv(b *testing.B) {
	for _, threads := range []int{1, 2} {
		for _, l := range convLayers {
			d := newConvData(l.Conv)
			op := kernel.NewConvOp(l.Conv)
			ops := float64(2*len(d.y)) * float64(l.InC*l.KH*l.KW)
			p := newPool(b, threads)
			for _, pass := range []struct {
				name string
				do   func()
			}{
				{"y", func() { op.Forward(p, d.y, d.x, d.w, nil) }},
				{"dx", func() { op.GradInput(p, d.dx, d.dy, d.w) }},
				{"dw", func() { op.GradWeights(p, d.dw, nil, d.dy, d.x) }},
			} {
				b.Run(fmt.Sprintf("threads=%d/%s/%s", threads, l.name, pass.name), func(b *testing.B) {
					benchmarkShare(b, p, ops, pass.do)
				})
			}
		}
	}
}

// benchmarkShare runs do and reports its rate and share of the machine's peak.
func benchmarkShare(b *testing.B, p *kernel.Pool, ops float64, do func()) {
	do()
	best := 0.0
	for b.Loop() {
		do()
	}
	each := b.Elapsed().Seconds() / float64(b.N)
	for range 40 {
		start := time.Now()
		n := kernel.Peak(p, kernel.PeakFMA, nil)
		best = max(best, float64(n)/time.Since(start).Seconds())
	}
	b.ReportMetric(ops/each/1e9, "GFLOP/s")
	b.ReportMetric(100*ops/each/best, "%peak")
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(1e3*each, "ms/op")
}

// BenchmarkBatchNorm measures a batch norm with ReLU on two threads: Train and Backward.
func BenchmarkBatchNorm(b *testing.B) {
	for _, s := range []kernel.BatchNorm{{Batch: 8, C: 64, Size: 1024}, {Batch: 8, C: 128, Size: 256}, {Batch: 8, C: 256, Size: 64}, {Batch: 8, C: 512, Size: 16}} {
		s.Eps, s.Momentum, s.ReLU = 1e-5, 0.1, true
		p, d, op := newPool(b, 2), newBNData(s), kernel.NewBatchNormOp(s)
		b.Run(fmt.Sprintf("%dx%dx%d/train", s.Batch, s.C, s.Size), func(b *testing.B) {
			for b.Loop() {
				op.Train(p, d.y, d.x, d.gamma, d.beta, d.runMean, d.runVar)
			}
		})
		b.Run(fmt.Sprintf("%dx%dx%d/backward", s.Batch, s.C, s.Size), func(b *testing.B) {
			for b.Loop() {
				op.Backward(p, d.dx, d.dgamma, d.dbeta, d.dy, d.x, d.y, d.gamma)
			}
		})
	}
}

// BenchmarkMaxPool measures a max pool of 2 x 2 on two threads.
func BenchmarkMaxPool(b *testing.B) {
	m := kernel.MaxPool{Planes: 16 * 64, H: 32, W: 32, K: 2, Stride: 2}
	x := randoms(rand.New(rand.NewPCG(1, 1)), m.Planes*m.H*m.W, 1)
	y, p, op := make([]float32, len(x)/4), newPool(b, 2), kernel.NewMaxPoolOp(m)
	b.Run("forward", func(b *testing.B) {
		for b.Loop() {
			op.Forward(p, y, x)
		}
	})
	b.Run("backward", func(b *testing.B) {
		for b.Loop() {
			op.Backward(p, x, y)
		}
	})
}
