package net_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
	"github.com/covey-network/covey/engine/train/net"
)

func configs() map[string]net.Config {
	return map[string]net.Config{
		"mlp": {Kind: net.KindMLP, MLP: &net.MLP{Input: 5, Hidden: []int{6}, Output: 3, Activation: "silu", Dropout: 0.3}},
		"cnn": {Kind: net.KindCNN, CNN: &net.CNN{Input: []int{2, 8, 8}, Classes: 3, Layers: []net.Layer{
			{Type: net.LayerConv, Channels: 4, Norm: true, ReLU: true}, {Type: net.LayerMaxPool}, {Type: net.LayerResidual, Channels: 6, Stride: 2}, {Type: net.LayerGlobalPool}, {Type: net.LayerDropout, Rate: 0.5},
		}}},
		"resnet18": {Kind: net.KindResNet, ResNet: &net.ResNet{Depth: 18, Input: []int{3, 33, 33}, Classes: 3, Width: 2}},
		"resnet50": {Kind: net.KindResNet, ResNet: &net.ResNet{Depth: 50, Input: []int{3, 16, 16}, Classes: 3, Width: 2, Stem: net.StemCIFAR}},
		"tied":     {Kind: net.KindLlama, Llama: &net.Llama{Vocab: 11, Dim: 8, Blocks: 2, Heads: 2, KVHeads: 1, FFN: 10, Context: 6, Tied: true}},
		"llama":    {Kind: net.KindLlama, Llama: &net.Llama{Vocab: 11, Dim: 8, Blocks: 1, Heads: 2, HeadDim: 6, FFN: 10, Context: 6, QKVBias: true, AttentionDropout: 0.4}},
		"bert":     {Kind: net.KindBert, Bert: &net.Bert{Vocab: 11, Dim: 8, Blocks: 2, Heads: 2, FFN: 10, Context: 6, Labels: []string{"a", "b"}, Dropout: 0.1, AttentionDropout: 0.2}},
	}
}

// build makes the graph of a model with a batch of three in its inputs.
func build(t *testing.T, m *net.Model, pool *kernel.Pool) (*graph.Graph, *net.Built) {
	t.Helper()
	shape := net.Shape{Batch: 3}
	if m.Context() > 0 {
		shape.Seq = 5
	}
	g := graph.New(m.Params, pool, true)
	b, err := m.Build(g, shape, net.Loss{Smoothing: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.Inputs.Floats {
		b.Inputs.Floats[i] = float32(math.Sin(float64(i * i)))
	}
	for i := range b.Inputs.IDs {
		b.Inputs.IDs[i] = int32(i * 7 % m.Vocab())
	}
	for i := range b.Inputs.Labels {
		b.Inputs.Labels[i] = int32(i * 5 % m.Outputs())
	}
	for i := range b.Inputs.Lengths {
		b.Inputs.Lengths[i] = int32(5 - i)
	}
	return g, b
}

// Gorgonia's own machine computes the same loss and gradients of whole models.
func TestTapeMachineAgrees(t *testing.T) {
	t.Parallel()
	for name, cfg := range configs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := kernel.NewPool(2)
			defer pool.Close()
			m, err := net.New(cfg, 5)
			if err != nil {
				t.Fatal(err)
			}
			g, b := build(t, m, pool)
			machine, err := g.Compile(b.Loss)
			if err != nil {
				t.Fatal(err)
			}
			if err := machine.Run(0); err != nil {
				t.Fatal(err)
			}
			loss, grads := machine.Output(b.Loss)[0], slices.Clone(m.Params.Grads)

			g, b = build(t, m, pool)
			if err := g.Verify(); err != nil {
				t.Fatal(err)
			}
			vm := G.NewTapeMachine(g.Expr())
			defer vm.Close()
			if err := vm.RunAll(); err != nil {
				t.Fatal(err)
			}
			if got := b.Loss.Value().Data().(float32); got != loss {
				t.Errorf("loss %v, tape machine %v", loss, got)
			}
			for _, p := range g.Parameters() {
				got := g.Gradient(p.Node).Value().Data().([]float32)
				want := grads[p.Offset : p.Offset+len(got)]
				for i := range got {
					if math.Abs(float64(got[i]-want[i])) > 1e-6*(1+math.Abs(float64(want[i]))) {
						t.Errorf("gradient of %s: element %d is %v, tape machine %v", p.Node.Name(), i, want[i], got[i])
						break
					}
				}
			}
		})
	}
}

// TestGradientIsTheSlope moves the numbers of each parameter, up or down at random, and
// compares how the loss changes (central differences) with what the gradient says.
func TestGradientIsTheSlope(t *testing.T) {
	t.Parallel()
	for name, cfg := range configs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := kernel.NewPool(1)
			defer pool.Close()
			m, err := net.New(cfg, 5)
			if err != nil {
				t.Fatal(err)
			}
			g, b := build(t, m, pool)
			machine, err := g.Compile(b.Loss)
			if err != nil {
				t.Fatal(err)
			}
			loss := func() float64 {
				if err := machine.Run(9); err != nil { // the same dropout each time
					t.Fatal(err)
				}
				return float64(machine.Output(b.Loss)[0])
			}
			loss()
			grads := slices.Clone(m.Params.Grads)
			random := rand.New(rand.NewPCG(1, 2))
			var wrong []string
			for _, p := range m.Params.List() {
				values := m.Params.Value(p.Name)
				grad := grads[p.Offset : p.Offset+len(values)]
				signs, start := make([]float64, len(values)), slices.Clone(values)
				want, norm := 0.0, 0.0
				for i, v := range grad {
					signs[i] = float64(2*random.IntN(2) - 1)
					want += float64(v) * signs[i]
					norm += float64(v) * float64(v)
				}
				norm = math.Sqrt(norm)
				at := func(by float64) float64 {
					for i := range values {
						values[i] = float32(float64(start[i]) + by*signs[i])
					}
					return loss()
				}
				off, limit := math.Inf(1), 0.0
				for _, change := range []float64{3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-2} { // of the loss: between curvature and rounding
					step := min(change/max(norm, 1e-9), 1e-2)
					got := (at(step) - at(-step)) / (2 * step)
					limit = 5e-2*max(math.Abs(got), norm) + 1e-4
					if off = math.Abs(got - want); off <= limit {
						break
					}
				}
				copy(values, start)
				if !(off <= limit) {
					wrong = append(wrong, fmt.Sprintf("%s: the gradient says %v, which is off by %v, at most %v", p.Name, want, off, limit))
				}
			}
			bends := 0 // of ReLU: deep networks of two channels have them everywhere
			if cfg.ResNet != nil {
				bends = len(m.Params.List()) / 20
			}
			if len(wrong) > bends {
				t.Errorf("%d of %d parameters are wrong:\n%s", len(wrong), len(m.Params.List()), strings.Join(wrong, "\n"))
			}
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	all := configs()
	for _, c := range []struct {
		config string
		names  string // some of them
		params int
	}{
		{"mlp", "fc1.weight fc1.bias fc2.weight fc2.bias", 4},
		{"resnet18", "conv1.weight bn1.weight bn1.bias layer1.0.conv1.weight layer2.0.downsample.0.weight layer2.0.downsample.1.bias layer4.1.bn2.weight fc.weight fc.bias", 62},
		{"resnet50", "layer1.0.conv3.weight layer1.0.bn3.bias layer1.0.downsample.0.weight layer3.5.conv2.weight fc.bias", 161},
		{"tied", "model.embed_tokens.weight model.layers.1.self_attn.q_proj.weight model.layers.0.mlp.gate_proj.weight model.layers.0.post_attention_layernorm.weight model.norm.weight", 20},
		{"llama", "model.layers.0.self_attn.v_proj.bias lm_head.weight", 15},
		{"bert", "bert.embeddings.LayerNorm.bias bert.encoder.layer.1.attention.self.key.bias bert.encoder.layer.0.attention.output.LayerNorm.weight bert.pooler.dense.weight classifier.bias", 41},
	} {
		m, err := net.New(all[c.config], 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(m.Params.List()); got != c.params {
			t.Errorf("%s: %d parameters, want %d", c.config, got, c.params)
		}
		for name := range strings.FieldsSeq(c.names) {
			if _, ok := m.Params.Lookup(name); !ok {
				t.Errorf("%s has no parameter %s", c.config, name)
			}
		}
	}
}

func TestFirstWeights(t *testing.T) {
	t.Parallel()
	cfg := net.Config{Kind: net.KindLlama, Llama: &net.Llama{Vocab: 500, Dim: 64, Blocks: 1, Heads: 4, FFN: 100, Context: 6}}
	m, err := net.New(cfg, 5)
	if err != nil {
		t.Fatal(err)
	}
	sum, squares := 0.0, 0.0
	w := m.Params.Value("model.embed_tokens.weight")
	for _, v := range w {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	n := float64(len(w))
	if std := math.Sqrt(squares / n); math.Abs(std-0.02) > 3e-4 || math.Abs(sum/n) > 5e-4 {
		t.Errorf("embedding has mean %v, standard deviation %v", sum/n, std)
	}
	if v := m.Params.Value("model.norm.weight"); slices.Min(v) != 1 || slices.Max(v) != 1 {
		t.Errorf("norm begins at %v", v)
	}
	again, _ := net.New(cfg, 5)
	other, _ := net.New(cfg, 6)
	if !slices.Equal(m.Params.Values, again.Params.Values) || slices.Equal(m.Params.Values, other.Params.Values) {
		t.Error("first weights do not depend on the seed alone")
	}
	mlp, err := net.New(net.Config{Kind: net.KindMLP, MLP: &net.MLP{Input: 100, Hidden: []int{200}, Output: 3}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	v := mlp.Params.Value("fc1.weight")
	if lo, hi := slices.Min(v), slices.Max(v); lo < -0.1 || hi > 0.1 || lo > -0.099 || hi < 0.099 {
		t.Errorf("linear layer begins in [%v, %v], want [-0.1, 0.1]", lo, hi)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, config, want string }{
		{"kind", `{"kind":"rnn"}`, "one of [mlp cnn resnet llama bert]"},
		{"no section", `{"kind":"mlp"}`, "needs a section mlp"},
		{"other section", `{"kind":"mlp","mlp":{"input":1,"output":1},"bert":{}}`, "section bert does not belong"},
		{"activation", `{"kind":"mlp","mlp":{"input":1,"output":1,"activation":"softplus"}}`, "softplus"},
		{"dropout of attention", `{"kind":"bert","bert":{"vocab":1,"dim":1,"blocks":1,"heads":1,"ffn":1,"context":1,"labels":["a"],"attention_dropout":1}}`, "attention_dropout is 1"},
		{"dropout", `{"kind":"mlp","mlp":{"input":1,"output":1,"dropout":1}}`, "dropout is 1"},
		{"image", `{"kind":"cnn","cnn":{"input":[3,8],"classes":2}}`, "channels, height and width"},
		{"layer type", `{"kind":"cnn","cnn":{"input":[3,8,8],"classes":2,"layers":[{"type":"lstm"}]}}`, "layer 1 (lstm)"},
		{"layer shape", `{"kind":"cnn","cnn":{"input":[3,8,8],"classes":2,"layers":[{"type":"flatten"},{"type":"conv","channels":3}]}}`, "layer 2 (conv): input has shape [192]"},
		{"linear on planes", `{"kind":"cnn","cnn":{"input":[3,8,8],"classes":2,"layers":[{"type":"linear","channels":3}]}}`, "put a flatten"},
		{"shrunk away", `{"kind":"cnn","cnn":{"input":[3,4,4],"classes":2,"layers":[{"type":"maxpool"},{"type":"maxpool"},{"type":"maxpool"}]}}`, "layer 3 (maxpool): kernel 2 is larger"},
		{"grown beyond limits", `{"kind":"cnn","cnn":{"input":[1,1,1],"classes":2,"layers":[{"type":"conv","channels":1,"kernel":1,"pad":8000},{"type":"conv","channels":1,"kernel":1,"pad":8000}]}}`, "layer 2 (conv): makes [1 32001 32001]"},
		{"depth", `{"kind":"resnet","resnet":{"depth":20,"input":[3,8,8],"classes":2}}`, "one of 18, 34, 50"},
		{"stem", `{"kind":"resnet","resnet":{"depth":18,"input":[3,8,8],"classes":2,"stem":"small"}}`, "stem"},
		{"heads", `{"kind":"llama","llama":{"vocab":4,"dim":10,"blocks":1,"heads":3,"ffn":4,"context":4}}`, "do not divide dim"},
		{"odd heads", `{"kind":"llama","llama":{"vocab":4,"dim":9,"blocks":1,"heads":3,"ffn":4,"context":4}}`, "not even"},
		{"groups", `{"kind":"llama","llama":{"vocab":4,"dim":16,"blocks":1,"heads":4,"kv_heads":3,"ffn":4,"context":4}}`, "do not divide 4 heads"},
		{"labels", `{"kind":"bert","bert":{"vocab":4,"dim":8,"blocks":1,"heads":2,"ffn":4,"context":4}}`, "number of labels"},
	} {
		var cfg net.Config
		if err := json.Unmarshal([]byte(c.config), &cfg); err != nil {
			t.Fatal(c.name, err)
		}
		if _, err := net.New(cfg, 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	for name, cfg := range configs() {
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShapesOfBatches(t *testing.T) {
	t.Parallel()
	pool := kernel.NewPool(1)
	defer pool.Close()
	for _, c := range []struct {
		config string
		shape  net.Shape
	}{{"mlp", net.Shape{}}, {"mlp", net.Shape{Batch: 1, Seq: 3}}, {"tied", net.Shape{Batch: 1}}, {"bert", net.Shape{Batch: 1, Seq: 7}}} {
		m, err := net.New(configs()[c.config], 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Build(graph.New(m.Params, pool, false), c.shape, net.Loss{}); err == nil {
			t.Errorf("%s: shape %+v was accepted", c.config, c.shape)
		}
	}
}

// TestLayerKeys refuses keys that a layer of the type does not have.
func TestLayerKeys(t *testing.T) {
	t.Parallel()
	for want, l := range map[string]net.Layer{
		"rate belongs to dropout":      {Type: net.LayerConv, Channels: 2, Rate: 0.5},
		"channels belongs to conv":     {Type: net.LayerMaxPool, Channels: 2},
		"relu belongs to conv, linear": {Type: net.LayerFlatten, ReLU: true},
		"norm belongs to conv":         {Type: net.LayerResidual, Channels: 2, Norm: true},
	} {
		c := net.Config{Kind: net.KindCNN, CNN: &net.CNN{Input: []int{1, 8, 8}, Classes: 2, Layers: []net.Layer{l}}}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want an error with %q", l, err, want)
		}
	}
}
