package kernel_test

import (
	"fmt"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

// BenchmarkTraining measures the operations at the shapes of a small GPT: 512 rows, 128
// wide, 4 heads, a vocabulary of 512. GB/s count what is read and written once.
func BenchmarkTraining(b *testing.B) {
	const rows, width, hidden, classes, params = 512, 128, 344, 512, 500_000
	rng := rngOf(1)
	randomOf := func(n int) []float32 { return randoms(rng, n, 1) }
	x, dy, dx := randomOf(params), randomOf(params), make([]float32, params)
	y, m, v := make([]float32, params), make([]float32, params), make([]float32, params)
	w, dw, db := randomOf(width), make([]float32, width), make([]float32, width)
	targets := make([]int32, rows)
	for i := range targets {
		targets[i] = int32(i * 37 % classes)
	}
	act, glu, rms, layer := kernel.NewActivationOp(kernel.ActGELU), kernel.NewSwiGLUOp(), kernel.NewRMSNormOp(rows, width, 1e-5), kernel.NewLayerNormOp(rows, width, 1e-5)
	loss, bias, add, embed := kernel.NewCrossEntropyOp(rows, classes, 0), kernel.NewBiasOp(), kernel.NewAddOp(), kernel.NewEmbeddingOp()
	attention, st := kernel.NewAttentionOp(kernel.AttentionShape{Batch: 8, Seq: 64, Heads: 4, KVHeads: 4, HeadDim: 32, Causal: true}), kernel.AttentionStrides{Q: 3 * width, K: 3 * width, V: 3 * width, Out: width}
	long, longSt := kernel.NewAttentionOp(kernel.AttentionShape{Batch: 1, Seq: 512, Heads: 2, KVHeads: 2, HeadDim: 64, Causal: true}), kernel.AttentionStrides{Q: width, K: width, V: width, Out: width}
	dropping := kernel.NewAttentionOp(kernel.AttentionShape{Batch: 8, Seq: 64, Heads: 4, KVHeads: 4, HeadDim: 32, Causal: true, Dropout: 0.1})
	adam, sum, drop, sgd := kernel.NewAdamOp(), kernel.NewSumSquaresOp(), kernel.NewDropoutOp(0.1), kernel.NewSGDOp()
	cfg := kernel.AdamW{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Step: 10}
	cases := []struct {
		name  string
		bytes int
		run   func(p *kernel.Pool)
	}{
		{"gelu/forward", 8 * rows * hidden, func(p *kernel.Pool) { act.Forward(p, y[:rows*hidden], x) }},
		{"gelu/backward", 12 * rows * hidden, func(p *kernel.Pool) { act.Backward(p, dx[:rows*hidden], dy, x, y) }},
		{"swiglu/forward", 12 * rows * hidden, func(p *kernel.Pool) { glu.Forward(p, y, x, rows, hidden) }},
		{"swiglu/backward", 20 * rows * hidden, func(p *kernel.Pool) { glu.Backward(p, dx, dy, x, rows, hidden) }},
		{"rmsnorm/forward", 8 * rows * width, func(p *kernel.Pool) { rms.Forward(p, y, x, w) }},
		{"rmsnorm/backward", 12 * rows * width, func(p *kernel.Pool) { rms.Backward(p, dx, dw, dy, x, w) }},
		{"layernorm/forward", 8 * rows * width, func(p *kernel.Pool) { layer.Forward(p, y, x, w, w) }},
		{"layernorm/backward", 12 * rows * width, func(p *kernel.Pool) { layer.Backward(p, dx, dw, db, dy, x, w) }},
		{"xent/forward", 4 * rows * classes, func(p *kernel.Pool) { loss.Forward(p, x, targets) }},
		{"xent/backward", 8 * rows * classes, func(p *kernel.Pool) { loss.Backward(p, dx, 1) }},
		{"add", 12 * rows * width, func(p *kernel.Pool) { add.Forward(p, y[:rows*width], x, dy) }},
		{"bias/forward", 8 * rows * width, func(p *kernel.Pool) { bias.Forward(p, y, x, w, rows) }},
		{"bias/backward", 4 * rows * width, func(p *kernel.Pool) { bias.Backward(p, db, dy, rows) }},
		{"embedding/forward", 8 * rows * width, func(p *kernel.Pool) { embed.Forward(p, y, x[:classes*width], targets, width) }},
		{"embedding/backward", 8 * rows * width, func(p *kernel.Pool) { embed.Backward(p, dx[:classes*width], dy, targets, width) }},
		{"attention/forward", 16 * rows * width, func(p *kernel.Pool) { attention.Forward(p, y, x, x[width:], x[2*width:], st) }},
		{"attention/backward", 32 * rows * width, func(p *kernel.Pool) {
			attention.Backward(p, dx, dx[width:], dx[2*width:], dy, x, x[width:], x[2*width:], y, st)
		}},
		{"attention with dropout/forward", 16 * rows * width, func(p *kernel.Pool) { dropping.Forward(p, y, x, x[width:], x[2*width:], st) }},
		{"attention with dropout/backward", 32 * rows * width, func(p *kernel.Pool) {
			dropping.Backward(p, dx, dx[width:], dx[2*width:], dy, x, x[width:], x[2*width:], y, st)
		}},
		{"attention512/forward", 16 * rows * width, func(p *kernel.Pool) { long.Forward(p, y, x, dy, x, longSt) }},
		{"attention512/backward", 32 * rows * width, func(p *kernel.Pool) { long.Backward(p, dx, m, v, dy, x, dy, x, y, longSt) }},
		{"dropout", 8 * rows * width, func(p *kernel.Pool) { drop.Forward(p, y[:rows*width], x, 1) }},
		{"adamw", 28 * params, func(p *kernel.Pool) { adam.Run(p, y, dy, m, v, cfg, 1) }},
		{"sgd", 20 * params, func(p *kernel.Pool) { sgd.Run(p, y, dy, m, kernel.SGD{LR: 1e-3, Momentum: 0.9}, 1) }},
		{"sumsquares", 4 * params, func(p *kernel.Pool) { sum.Run(p, dy) }},
	}
	for _, c := range cases {
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("%s/threads=%d", c.name, threads), func(b *testing.B) {
				p := kernel.NewPool(threads)
				defer p.Close()
				clear(m)
				clear(v)
				c.run(p)
				b.SetBytes(int64(c.bytes))
				b.ReportAllocs()
				for b.Loop() {
					c.run(p)
				}
			})
		}
	}
}
