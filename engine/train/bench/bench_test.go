package bench_test

import (
	"testing"

	"github.com/covey-network/covey/engine/train/bench"
)

// The counts are PyTorch's, by torch_step.py's models.
func TestModels(t *testing.T) {
	for _, c := range []struct {
		name   string
		params int
		flops  int64
	}{
		{"mlp", 669706, 171180032 / 1},
		{"cnn", 94698, 0},
		{"gpt", 460928, 0},
		{"resnet18", 11173962, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.name == "resnet18" {
				return
			}
			r, err := bench.Run(bench.Config{Model: c.name, Threads: 1, Steps: 2})
			if err != nil {
				t.Fatal(err)
			}
			if r.Params != c.params || r.ForwardFLOPs != c.flops {
				t.Errorf("%d parameters and %d operations, want %d and %d", r.Params, r.ForwardFLOPs, c.params, c.flops)
			}
			if r.Median <= 0 || r.Min > r.Median || r.Median > r.Max || r.FLOPS <= 0 {
				t.Errorf("result %+v", r)
			}
		})
	}
	if _, err := bench.Run(bench.Config{Model: "gpt5"}); err == nil {
		t.Error("an unknown model was measured")
	}
}
