package bench_test

import (
	"testing"

	"github.com/covey-network/covey/engine/train/bench"
)

// The counts are PyTorch's for its models of the same shapes.
func TestModels(t *testing.T) {
	for _, c := range []struct {
		name   string
		params int
		flops  int64 // of the forward pass
		first  int64 // multiply-adds of the layer on the data
	}{
		{"mlp", 669706, 171180032, 128 * 784 * 512},
		{"cnn", 94218, 1236291584, 16 * 32 * 32 * 32 * 3 * 9},
		{"gpt", 461440, 505413632, 0},
		{"resnet18", 11173962, 8886763520, 8 * 64 * 32 * 32 * 3 * 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := bench.Run(bench.Config{Model: c.name, Threads: 1, Steps: 1})
			if err != nil {
				t.Fatal(err)
			}
			if r.Params != c.params || r.ForwardFLOPs != c.flops {
				t.Errorf("%d parameters and %d operations, want %d and %d", r.Params, r.ForwardFLOPs, c.params, c.flops)
			}
			if want := 3*c.flops - 2*c.first; r.StepFLOPs != want {
				t.Errorf("a step has %d operations, want %d: all but the gradient of the data", r.StepFLOPs, want)
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
