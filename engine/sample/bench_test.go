package sample_test

import (
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/engine/sample"
)

// BenchmarkSample draws from a vocabulary of 152k. Peaked logits are like a model's: some
// likely tokens over a broad rest; flat ones are the worst case of the selections.
func BenchmarkSample(b *testing.B) {
	const vocab = 151936
	flat := random(rand.New(rand.NewPCG(1, 0)), vocab, 1)
	peaked := random(rand.New(rand.NewPCG(2, 0)), vocab, 2.5)
	for i := range 50 {
		peaked[i*3000] += 10
	}
	history := make([]int32, 4000)
	for i := range history {
		history[i] = int32(i * 31 % vocab)
	}
	for _, bm := range []struct {
		name   string
		p      sample.Params
		logits []float32
	}{
		{"greedy", sample.Params{}, peaked},
		{"temperature", sample.Params{Temperature: 0.8}, peaked},
		{"top-p", sample.Params{Temperature: 0.8, TopP: 0.95}, peaked},
		{"top-p flat", sample.Params{Temperature: 1, TopP: 0.95}, flat},
		{"top-k", sample.Params{Temperature: 0.8, TopK: 40}, peaked},
		{"top-k flat", sample.Params{Temperature: 0.8, TopK: 40}, flat},
		{"min-p", sample.Params{Temperature: 0.8, MinP: 0.05}, peaked},
		{"all", sample.Params{Temperature: 0.8, TopK: 40, TopP: 0.95, MinP: 0.01, RepetitionPenalty: 1.1, Logprobs: 5}, peaked},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bm.p.Seed++
				if _, err := sample.Sample(bm.p, bm.logits, history, 2000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
