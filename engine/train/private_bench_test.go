package train_test

import (
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/net"
	"github.com/covey-network/covey/engine/train/privacy"
)

// BenchmarkPrivate compares gradients of batches of 32 with those that hide each sample.
func BenchmarkPrivate(b *testing.B) {
	layers := []net.Layer{
		{Type: net.LayerConv, Channels: 16, ReLU: true},
		{Type: net.LayerConv, Channels: 32, Stride: 2, ReLU: true},
		{Type: net.LayerConv, Channels: 32, ReLU: true},
		{Type: net.LayerGlobalPool},
	}
	const n = 32
	for _, c := range []struct {
		name  string
		model net.Config
		batch train.Batch
	}{
		{"mlp", net.Config{Kind: net.KindMLP, MLP: &net.MLP{Input: 64, Hidden: []int{128, 128}, Output: 10}}, train.Batch{Floats: uniform("x", 1, n*64, 1, 0), Labels: integers("y", 1, n, 10)}},
		{"cnn", net.Config{Kind: net.KindCNN, CNN: &net.CNN{Input: []int{1, 28, 28}, Classes: 10, Layers: layers}}, train.Batch{Floats: uniform("x", 1, n*28*28, 1, 0), Labels: integers("y", 1, n, 10)}},
		{"llama", net.Config{Kind: net.KindLlama, Llama: &net.Llama{Vocab: 256, Dim: 128, Blocks: 4, Heads: 4, FFN: 384, Context: 128}}, train.Batch{Seq: 128, IDs: integers("x", 1, n*128, 256), Labels: integers("y", 1, n*128, 256)}},
		{"bert", net.Config{Kind: net.KindBert, Bert: &net.Bert{Vocab: 256, Dim: 128, Blocks: 2, Heads: 4, FFN: 512, Context: 64, Labels: []string{"a", "b"}}}, train.Batch{Seq: 64, IDs: integers("x", 1, n*64, 256), Labels: integers("y", 1, n, 2)}},
	} {
		pool := kernel.NewPool(0)
		b.Cleanup(pool.Close)
		tr, err := train.New(train.Config{Model: c.model, Optimizer: train.Optimizer{Kind: train.Adam, LR: 0.001}}, pool)
		if err != nil {
			b.Fatal(err)
		}
		c.batch.N = n
		b.Run(c.name+"/plain", func(b *testing.B) {
			for b.Loop() {
				if _, err := tr.Gradient(&c.batch); err != nil {
					b.Fatal(err)
				}
			}
		})
		p := train.Private{Clip: 1, Noise: 1, Expected: n, Normal: privacy.NewSource([32]byte{}).Normal}
		b.Run(c.name+"/private", func(b *testing.B) {
			for b.Loop() {
				if _, err := tr.PrivateGradient(&c.batch, &p, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(tr.Params().Values)), "parameters")
		})
	}
}
