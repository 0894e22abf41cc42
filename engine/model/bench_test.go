package model_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/model/llama"
	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/tensor"
)

// shape1B is a Llama of 1.1 billion parameters, the shape the project's peers are measured on.
func shape1B() model.Config {
	return model.Config{Arch: model.ArchLlama, Llama: &llama.Config{
		Dim: 2048, Blocks: 16, Heads: 32, KVHeads: 8, HeadDim: 64, FFN: 8192, Vocab: 32000, Context: 8192, Eps: 1e-5, Rope: nn.Rope{Theta: 10000},
	}}
}

// randomWeights makes up tensors of a type: random quants, scales that keep states finite.
type randomWeights struct {
	cfg   model.Config
	dtype tensor.DType
}

func (w randomWeights) Tensor(_ context.Context, part model.Part, name string) (tensor.Tensor, error) {
	for _, s := range w.cfg.Specs(part) {
		if s.Name != name {
			continue
		}
		d := w.dtype
		if len(s.Shape) == 1 {
			d = tensor.F32
		}
		n, err := d.Bytes(s.Shape)
		if err != nil {
			return tensor.Tensor{}, err
		}
		t := tensor.Tensor{Name: name, DType: d, Shape: s.Shape, Data: make([]byte, n)}
		return t, fillRandom(t)
	}
	return tensor.Tensor{}, fmt.Errorf("no tensor %q", name)
}

// fillRandom fills all rows with copies of a few random ones.
func fillRandom(t tensor.Tensor) error {
	cols := t.Shape[len(t.Shape)-1]
	rows := len(t.Data) / (cols / t.DType.BlockLen() * t.DType.BlockBytes())
	rng := rand.New(rand.NewPCG(uint64(len(t.Data)), 1))
	distinct := min(rows, 61)
	floats := make([]float32, distinct*cols)
	for i := range floats {
		floats[i] = float32(rng.NormFloat64()) * 0.02
		if len(t.Shape) == 1 {
			floats[i] = 1
		}
	}
	pattern := make([]byte, distinct*(len(t.Data)/rows))
	if err := tensor.Quantize(pattern, t.DType, floats); err != nil {
		return err
	}
	for at := 0; at < len(t.Data); at += len(pattern) {
		copy(t.Data[at:], pattern)
	}
	return nil
}

// BenchmarkStage measures decode of one and of eight sessions and prefill of 256 tokens.
// Each case reports tokens per second and the rate its kind of work is bound by: bytes of
// weights read, or operations of the products with weights.
func BenchmarkStage(b *testing.B) {
	for _, d := range []tensor.DType{tensor.Q4_0, tensor.Q8_0} {
		cfg := shape1B()
		p := pool(b, min(2, runtime.GOMAXPROCS(0)))
		s, err := model.Load(b.Context(), cfg, cfg.Whole(), randomWeights{cfg, d}, p)
		if err != nil {
			b.Fatal(err)
		}
		params := 0.0 // that each token is multiplied with
		for _, part := range cfg.Parts() {
			for _, spec := range cfg.Specs(part) {
				if n, _ := spec.Shape.Elems(); part.Kind != model.Embedding {
					params += float64(n)
				}
			}
		}
		embed, err := d.Bytes(tensor.Shape{cfg.Vocab(), cfg.Dim()}) // of which a step reads one row
		if err != nil {
			b.Fatal(err)
		}
		for _, sessions := range []int{1, 8} {
			b.Run(fmt.Sprintf("%v/%v/decode/%d", d, kernel.Current(), sessions), func(b *testing.B) {
				benchmarkDecode(b, s, sessions, s.WeightBytes()-embed)
			})
		}
		b.Run(fmt.Sprintf("%v/%v/prefill/256", d, kernel.Current()), func(b *testing.B) {
			benchmarkPrefill(b, s, 256, params)
		})
	}
}

func benchmarkDecode(b *testing.B, s *model.Stage, sessions int, read int64) {
	const prompt, limit = 64, 256
	batch := make([]model.Input, sessions)
	for i := range batch {
		run := open(b, limit, s)
		run.step(b, make([]int32, prompt), model.LogitsNone)
		batch[i] = model.Input{Session: run.sessions[0], Tokens: []int32{7}, Logits: model.LogitsLast}
	}
	for b.Loop() {
		if _, err := s.Forward(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		if ses := batch[0].Session; ses.Len() == ses.Max() {
			for i := range batch {
				if err := batch[i].Session.Rollback(prompt); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	steps := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(steps*float64(sessions), "tok/s")
	b.ReportMetric(steps*float64(read)/1e9, "GB/s")
}

func benchmarkPrefill(b *testing.B, s *model.Stage, n int, params float64) {
	run := open(b, n, s)
	in := []model.Input{{Session: run.sessions[0], Tokens: make([]int32, n), Logits: model.LogitsLast}}
	for i := range in[0].Tokens {
		in[0].Tokens[i] = int32(i * 31 % s.Config().Vocab())
	}
	for b.Loop() {
		if _, err := s.Forward(b.Context(), in); err != nil {
			b.Fatal(err)
		}
		run.rollback(b, 0)
	}
	rate := float64(b.N*n) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "tok/s")
	b.ReportMetric(2*rate*params/1e9, "GOP/s")
}
