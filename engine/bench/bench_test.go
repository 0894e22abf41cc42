package bench_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/bench"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/model/llama"
	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/tensor"
)

func small() model.Config {
	return model.Config{Arch: model.ArchLlama, Llama: &llama.Config{
		Dim: 64, Blocks: 2, Heads: 4, KVHeads: 2, HeadDim: 16, FFN: 128, Vocab: 96, Context: 64, Eps: 1e-5, Rope: nn.Rope{Theta: 10000},
	}}
}

func TestRunMeasuresAMadeUpModel(t *testing.T) {
	t.Parallel()
	for _, d := range []tensor.DType{tensor.Q8_0, tensor.BF16} {
		var stages []string
		r, err := bench.Run(t.Context(), bench.Config{
			Shape: small(), Type: d, Threads: 2, Prompt: 20, Tokens: 5, Streams: 3, Repeat: 2,
			Progress: func(what string) { stages = append(stages, what) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(stages, " "); got != "machine load decode prefill" {
			t.Errorf("%v: stages %q", d, got)
		}
		if r.Threads != 2 || r.Types[d.String()] != 15 || r.WeightBytes < 64<<10 {
			t.Errorf("%v: report %+v", d, r)
		}
		if r.Decode.Tokens != 15 || r.Prefill.Tokens != 20 {
			t.Errorf("%v: %d and %d tokens, want 15 and 20", d, r.Decode.Tokens, r.Prefill.Tokens)
		}
		// Two operations for each weight but the embedding's, and token.
		const weights = 2*(64*64*2+2*32*64+3*64*128) + 96*64
		for _, p := range []bench.Phase{r.Decode, r.Prefill} {
			if rel := p.Ops / (2 * weights * p.Rate); rel < 0.999 || rel > 1.001 {
				t.Errorf("%v: %v operations at %v tokens a second", d, p.Ops, p.Rate)
			}
			if p.Best <= 0 || p.Best > p.Mean || p.Bytes <= 0 || p.OfRead <= 0 || p.OfPeak <= 0 || p.BoundBy == "" {
				t.Errorf("%v: phase %+v", d, p)
			}
		}
		if m := r.Machine; m.ReadBytes < 1e8 || m.DotOps < 1e8 || m.FMAOps < 1e8 {
			t.Errorf("machine %+v", m)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	encoder := small()
	encoder.Llama.Dim = 0
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	cases := []struct {
		name string
		ctx  context.Context
		cfg  bench.Config
		want string
	}{
		{"negative", t.Context(), bench.Config{Repeat: -1}, "repeat is -1"},
		{"too many", t.Context(), bench.Config{Threads: 1 << 20, Streams: 1 << 20}, "streams is"},
		{"no such file", t.Context(), bench.Config{Path: filepath.Join(t.TempDir(), "none.gguf")}, "no such file"},
		{"bad shape", t.Context(), bench.Config{Shape: encoder}, "dim is 0"},
		{"long prompt", t.Context(), bench.Config{Shape: small(), Prompt: 65}, "the model takes 64"},
		{"type that cannot be made", t.Context(), bench.Config{Shape: small(), Type: tensor.Q4_K, Prompt: 4, Tokens: 4}, "Q4_K"},
		{"ended", ended, bench.Config{Shape: small(), Prompt: 4, Tokens: 4}, "canceled"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := bench.Run(c.ctx, c.cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if c.name == "ended" && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want it to wrap %v", err, context.Canceled)
			}
		})
	}
}
