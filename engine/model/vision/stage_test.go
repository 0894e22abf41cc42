package vision_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model/vision"
	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/tensor"
)

// constant gives every tensor the same value, running variances 1.
type constant struct{ value float32 }

func (c constant) Tensor(_ context.Context, part nn.Part, name string) (tensor.Tensor, error) {
	cfg := small()
	for _, s := range cfg.Specs(part) {
		if s.Name != name {
			continue
		}
		n, err := s.Shape.Elems()
		if err != nil {
			return tensor.Tensor{}, err
		}
		t := tensor.Tensor{Name: name, DType: tensor.F32, Shape: s.Shape, Data: make([]byte, 4*n)}
		return t, tensor.Quantize(t.Data, tensor.F32, slices.Repeat([]float32{c.value}, int(n)))
	}
	return tensor.Tensor{}, context.Canceled
}

// small has a layer of every type.
func small() vision.Config {
	return vision.Config{
		Input: []int{3, 12, 10}, Prepare: vision.Prepare{Filter: "bilinear"}, Eps: 1e-5, Labels: []string{"a", "b"},
		Layers: []vision.Layer{
			{Type: vision.Conv, Name: "c", Norm: "n", Channels: 8, Kernel: 3, Stride: 1, Pad: 1, Bias: true, Activation: "relu"},
			{Type: vision.MaxPool, Kernel: 2, Stride: 2},
			{Type: vision.Basic, Name: "b", Channels: 16, Stride: 1},
			{Type: vision.Bottleneck, Name: "d", Channels: 16, Stride: 2},
			{Type: vision.AvgPool, Kernel: 2, Stride: 1},
			{Type: vision.Flatten},
			{Type: vision.Linear, Name: "f", Channels: 5, Bias: true, Activation: "gelu"},
			{Type: vision.Linear, Name: "g", Channels: 2},
		},
	}
}

func load(t *testing.T, value float32, threads int) *vision.Stage {
	t.Helper()
	p := kernel.NewPool(threads)
	t.Cleanup(p.Close)
	cfg := small()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := vision.Load(t.Context(), cfg, constant{value}, p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestForwardDoesNotAllocate runs one image after another.
func TestForwardDoesNotAllocate(t *testing.T) { // counts the allocations of the process
	s := load(t, 0.1, 2)
	x, out, ctx := make([]float32, s.InputLen()), make([]float32, s.OutWidth()), t.Context()
	run := func() {
		if err := s.Forward(ctx, out, x); err != nil {
			t.Error(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations for an image, want 0", n)
	}
}

// TestNotANumber checks that a number which is none reaches the scores.
func TestNotANumber(t *testing.T) {
	t.Parallel()
	s := load(t, 0.1, 1)
	x, out := make([]float32, s.InputLen()), make([]float32, s.OutWidth())
	x[17] = float32(math.NaN())
	if err := s.Forward(t.Context(), out, x); err != nil {
		t.Fatal(err)
	}
	if !math.IsNaN(float64(out[0])) {
		t.Errorf("scores %v, want NaN", out)
	}
}

func TestForwardEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := load(t, 0.1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Forward(ctx, make([]float32, s.OutWidth()), make([]float32, s.InputLen())); err == nil {
		t.Error("no error from a pass whose context has ended")
	}
}

func TestResNet(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ depth, params int }{{18, 11689512}, {34, 21797672}, {50, 25557032}, {101, 44549160}, {152, 60192808}} { // of torchvision's models
		layers, err := vision.ResNet(tc.depth, 64, 1000, false)
		if err != nil {
			t.Fatal(err)
		}
		cfg := vision.Config{Input: []int{3, 224, 224}, Prepare: vision.Prepare{Filter: "bilinear", Resize: 256}, Eps: 1e-5, Labels: make([]string, 1000), Layers: layers}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		params := 0
		for _, s := range cfg.Specs(nn.Part{Kind: nn.Block}) {
			n, err := s.Shape.Elems()
			if err != nil {
				t.Fatal(err)
			}
			if s.Name[len(s.Name)-4:] != "mean" && s.Name[len(s.Name)-3:] != "var" {
				params += int(n)
			}
		}
		if params != tc.params {
			t.Errorf("ResNet-%d has %d parameters, want %d", tc.depth, params, tc.params)
		}
	}
	for _, width := range []int{0, -1, 1 << 30} {
		if _, err := vision.ResNet(18, width, 10, false); err == nil {
			t.Errorf("width %d was taken", width)
		}
	}
}
