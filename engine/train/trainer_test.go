package train_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/net"
)

// small returns a small configuration of each kind, with dropout where there is any, and a
// batch for it.
func small(kind string) (train.Config, func(n int) *train.Batch) {
	cfg := train.Config{Optimizer: train.Optimizer{Kind: train.AdamW, LR: 0.005, Decay: 0.01}, Clip: 1, Smoothing: 0.1, Seed: 3}
	cfg.Model.Kind = kind
	image := func(n int) *train.Batch {
		return &train.Batch{N: n, Floats: uniform("pixels", 1, n*3*8*8, 1, 0), Labels: integers("labels", 1, n, 4)}
	}
	switch kind {
	case net.KindMLP:
		cfg.Model.MLP = &net.MLP{Input: 12, Hidden: []int{20, 9}, Output: 4, Activation: "gelu", Dropout: 0.1}
		return cfg, func(n int) *train.Batch {
			return &train.Batch{N: n, Floats: uniform("features", 1, n*12, 1, 0), Labels: integers("labels", 1, n, 4)}
		}
	case net.KindCNN:
		zero := 0
		cfg.Model.CNN = &net.CNN{Input: []int{3, 8, 8}, Classes: 4, Layers: []net.Layer{
			{Type: net.LayerConv, Channels: 6, ReLU: true},
			{Type: net.LayerResidual, Channels: 8, Stride: 2},
			{Type: net.LayerAvgPool, Kernel: 2, Pad: &zero},
			{Type: net.LayerFlatten},
			{Type: net.LayerLinear, Channels: 10, ReLU: true},
			{Type: net.LayerDropout, Rate: 0.2},
		}}
		return cfg, image
	case net.KindResNet:
		cfg.Model.ResNet = &net.ResNet{Depth: 50, Input: []int{3, 8, 8}, Classes: 4, Width: 2, Stem: net.StemCIFAR}
		return cfg, image
	case net.KindLlama:
		cfg.Model.Llama = &net.Llama{Vocab: 30, Dim: 24, Blocks: 2, Heads: 4, KVHeads: 2, FFN: 40, Context: 16, Tied: true, QKVBias: true, Dropout: 0.1, AttentionDropout: 0.1}
		return cfg, func(n int) *train.Batch {
			return &train.Batch{N: n, Seq: 9, IDs: integers("ids", 1, n*9, 30), Labels: integers("next", 1, n*9, 30)}
		}
	}
	cfg.Model.Bert = &net.Bert{Vocab: 30, Dim: 24, Blocks: 2, Heads: 3, FFN: 40, Context: 16, Labels: []string{"a", "b", "c"}, Dropout: 0.1, AttentionDropout: 0.1}
	return cfg, func(n int) *train.Batch {
		b := &train.Batch{N: n, Seq: 9, IDs: integers("ids", 1, n*9, 30), Labels: integers("labels", 1, n, 3), Lengths: integers("lengths", 1, n, 9)}
		for i := range b.Lengths {
			b.Lengths[i]++
		}
		return b
	}
}

// long is small for a model of text whose attention takes an odd number of tokens, more
// than fit into 3 groups of 16, in heads of 64.
func long(kind string) (train.Config, func(n int) *train.Batch) {
	const seq = 51
	cfg, _ := small(kind)
	if kind == net.KindLlama {
		l := cfg.Model.Llama
		l.Dim, l.Heads, l.KVHeads, l.Context = 128, 2, 1, 64
		return cfg, func(n int) *train.Batch {
			return &train.Batch{N: n, Seq: seq, IDs: integers("ids", 1, n*seq, 30), Labels: integers("next", 1, n*seq, 30)}
		}
	}
	b := cfg.Model.Bert
	b.Dim, b.Heads, b.Context = 128, 2, 64
	return cfg, func(n int) *train.Batch {
		x := &train.Batch{N: n, Seq: seq, IDs: integers("ids", 1, n*seq, 30), Labels: integers("labels", 1, n, 3), Lengths: make([]int32, n)}
		for i := range x.Lengths {
			x.Lengths[i] = seq - 2*int32(i%2)
		}
		return x
	}
}

var kinds = []string{net.KindMLP, net.KindCNN, net.KindResNet, net.KindLlama, net.KindBert}

// digest trains for some steps of changing batch sizes and hashes all numbers.
func digest(t *testing.T, name string, threads int) string {
	t.Helper()
	cfg, batch := small(name)
	if kind, ok := strings.CutPrefix(name, "long "); ok {
		cfg, batch = long(kind)
	}
	tr := newTrainer(t, cfg, threads)
	for i := range 5 {
		if _, err := tr.Step(batch(7 - i%3)); err != nil {
			t.Fatal(err)
		}
	}
	h := sha256.New()
	_ = binary.Write(h, binary.LittleEndian, tr.Params().Values)
	_ = binary.Write(h, binary.LittleEndian, tr.Model().Stats.Values)
	return fmt.Sprintf("%s %x", name, h.Sum(nil)[:8])
}

const envDigest = "COVEY_TEST_TRAIN_DIGEST"

// Training gives the same bits on every instruction set and for any number of threads. The
// test runs itself with the other sets.
func TestSameBitsEverywhere(t *testing.T) {
	names := append(slices.Clone(kinds), "long "+net.KindLlama, "long "+net.KindBert)
	if os.Getenv(envDigest) != "" {
		for _, name := range names {
			fmt.Println(digest(t, name, 2))
		}
		os.Exit(0)
	}
	t.Parallel()
	want := ""
	for _, name := range names {
		one := digest(t, name, 1)
		if three := digest(t, name, 3); three != one {
			t.Errorf("%s on three threads, %s on one", three, one)
		}
		want += one + "\n"
	}
	for _, isa := range kernel.Supported() {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSameBitsEverywhere$")
		cmd.Env = append(os.Environ(), envDigest+"=1", kernel.EnvCPU+"="+isa.String())
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%v: %v\n%swant\n%s", isa, err, out, want)
		}
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	for _, kind := range kinds {
		for _, threads := range []int{1, 2} {
			cfg, batch := small(kind)
			tr := newTrainer(t, cfg, threads)
			b := batch(8)
			for range 4 {
				if _, err := tr.Step(b); err != nil {
					t.Fatal(err)
				}
			}
			if n := testing.AllocsPerRun(10, func() { _, _ = tr.Step(b) }); n != 0 {
				t.Errorf("%s on %d threads: %v allocations in a step", kind, threads, n)
			}
		}
	}
}

// Every model learns a batch by heart.
func TestModelsLearn(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cfg, batch := small(kind)
			cfg.Smoothing, cfg.Optimizer.LR = 0, 0.01
			tr, b := newTrainer(t, cfg, 1), batch(6)
			var first, last train.Result
			for i := range 150 {
				r, err := tr.Step(b)
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					first = r
				}
				last = r
			}
			s, err := tr.Evaluate(b)
			if err != nil {
				t.Fatal(err)
			}
			if last.Loss > 0.5*first.Loss || s.Accuracy() < 0.8 {
				t.Errorf("loss from %v to %v, accuracy %v", first.Loss, last.Loss, s.Accuracy())
			}
			own, err := tr.TrainScore(b)
			if err != nil || math.Abs(own.Mean()-last.Loss) > 1e-6 || own.Count != s.Count {
				t.Errorf("score of the last step %+v, its loss %v, %v", own, last.Loss, err)
			}
		})
	}
}

// A batch in two halves has the gradient of the whole, where no statistics are taken over
// it, and the same score.
func TestBatchSizesAgree(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{net.KindMLP, net.KindLlama, net.KindBert} {
		cfg, batch := small(kind)
		if m := cfg.Model.MLP; m != nil {
			m.Dropout = 0
		}
		if m := cfg.Model.Llama; m != nil {
			m.Dropout, m.AttentionDropout = 0, 0
		}
		if m := cfg.Model.Bert; m != nil {
			m.Dropout, m.AttentionDropout = 0, 0
		}
		tr, b := newTrainer(t, cfg, 2), batch(8)
		if _, err := tr.Gradient(b); err != nil {
			t.Fatal(err)
		}
		whole := slices.Clone(tr.Params().Grads)
		all, err := tr.Evaluate(b)
		if err != nil {
			t.Fatal(err)
		}
		sum := make([]float32, len(whole))
		var halves train.Score
		for _, r := range [][2]int{{0, 3}, {3, 8}} {
			part := slicePart(b, r[0], r[1])
			if _, err := tr.Gradient(part); err != nil {
				t.Fatal(err)
			}
			for i, v := range tr.Params().Grads {
				sum[i] += v * float32(part.N) / 8
			}
			s, err := tr.Evaluate(part)
			if err != nil {
				t.Fatal(err)
			}
			halves.Add(s)
		}
		for i := range sum {
			if math.Abs(float64(sum[i]-whole[i])) > 1e-5 {
				t.Errorf("%s: gradient %d is %v, of parts %v", kind, i, whole[i], sum[i])
				break
			}
		}
		if math.Abs(all.Mean()-halves.Mean()) > 1e-5 || all.Correct != halves.Correct || all.Count != halves.Count {
			t.Errorf("%s: score %+v, of parts %+v", kind, all, halves)
		}
	}
}

// More sizes than graphs are kept: those that were dropped are made again.
func TestManyBatchSizes(t *testing.T) {
	t.Parallel()
	cfg, batch := small(net.KindMLP)
	tr := newTrainer(t, cfg, 1)
	first := map[int]train.Score{}
	for i := range 21 {
		n := 1 + i*5%7
		s, err := tr.Evaluate(batch(n))
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := first[n]; ok && s != before {
			t.Errorf("batch of %d: score %+v, before %+v", n, s, before)
		}
		first[n] = s
	}
}

// Images of one sample may have a single position per channel in the last blocks: there is
// no variance to train with, which is an error, but the running statistics serve.
func TestOneElementPerChannel(t *testing.T) {
	t.Parallel()
	cfg, batch := small(net.KindResNet) // 8x8 with three strides
	tr, two := newTrainer(t, cfg, 1), batch(2)
	if _, err := tr.Step(slicePart(two, 0, 1)); err == nil || !strings.Contains(err.Error(), "variance") || tr.Steps() != 0 {
		t.Errorf("a step on one sample: %v", err)
	}
	if _, err := tr.Step(two); err != nil {
		t.Fatal(err)
	}
	both, err := tr.Predict(two)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(both)
	for i := range two.N {
		got, err := tr.Predict(slicePart(two, i, i+1))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want[i*4:(i+1)*4]) {
			t.Errorf("sample %d alone gives %v, with another %v", i, got, want[i*4:(i+1)*4])
		}
	}
}

func slicePart(b *train.Batch, lo, hi int) *train.Batch {
	cut := func(x []int32) []int32 {
		if x == nil {
			return nil
		}
		w := len(x) / b.N
		return x[lo*w : hi*w]
	}
	p := &train.Batch{N: hi - lo, Seq: b.Seq, IDs: cut(b.IDs), Labels: cut(b.Labels), Lengths: cut(b.Lengths)}
	if b.Floats != nil {
		w := len(b.Floats) / b.N
		p.Floats = b.Floats[lo*w : hi*w]
	}
	return p
}

func TestBatchIsChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, kind string
		change     func(b *train.Batch)
	}{
		{"no samples", net.KindMLP, func(b *train.Batch) { b.N = 0 }},
		{"floats", net.KindMLP, func(b *train.Batch) { b.Floats = b.Floats[1:] }},
		{"labels", net.KindCNN, func(b *train.Batch) { b.Labels = b.Labels[1:] }},
		{"label", net.KindCNN, func(b *train.Batch) { b.Labels[0] = 4 }},
		{"ids", net.KindLlama, func(b *train.Batch) { b.IDs = b.IDs[1:] }},
		{"token", net.KindLlama, func(b *train.Batch) { b.IDs[3] = 30 }},
		{"negative token", net.KindLlama, func(b *train.Batch) { b.IDs[3] = -1 }},
		{"long", net.KindLlama, func(b *train.Batch) {
			b.Seq, b.N = 17, 1
			b.IDs, b.Labels = make([]int32, 17), make([]int32, 17)
		}},
		{"lengths", net.KindBert, func(b *train.Batch) { b.Lengths = b.Lengths[1:] }},
		{"length", net.KindBert, func(b *train.Batch) { b.Lengths[0] = 10 }},
		{"targets", net.KindMLP, func(b *train.Batch) { b.Targets = make([]float32, 3) }},
	} {
		cfg, batch := small(c.kind)
		tr, b := newTrainer(t, cfg, 1), batch(4)
		c.change(b)
		if _, err := tr.Step(b); err == nil || tr.Steps() != 0 {
			t.Errorf("%s: was accepted", c.name)
		}
		if _, err := tr.Step(batch(4)); err != nil {
			t.Error(err)
		}
		if _, err := tr.TrainScore(b); err == nil {
			t.Errorf("%s: was scored", c.name)
		}
	}
}

func TestRegression(t *testing.T) {
	t.Parallel()
	cfg, _ := small(net.KindMLP)
	cfg.Model.MLP = &net.MLP{Input: 2, Hidden: []int{16}, Output: 1, Activation: "tanh", Regression: true}
	cfg.Smoothing, cfg.Optimizer.LR = 0, 0.02
	tr := newTrainer(t, cfg, 1)
	b := &train.Batch{N: 32, Floats: uniform("x", 1, 64, 1, 0)}
	for i := range b.N {
		b.Targets = append(b.Targets, b.Floats[2*i]*b.Floats[2*i+1])
	}
	for range 400 {
		if _, err := tr.Step(b); err != nil {
			t.Fatal(err)
		}
	}
	s, err := tr.Evaluate(b)
	if err != nil || s.Mean() > 0.003 || s.Count != 32 {
		t.Errorf("mean squared error %v of %d, %v", s.Mean(), s.Count, err)
	}
}

// The kinds of decay, on a step whose gradient is 0: all that moves the parameters.
func TestDecay(t *testing.T) {
	t.Parallel()
	const lr, decay = 0.01, 0.1
	for _, c := range []struct {
		name string
		o    train.Optimizer
		want func(w float64) float64
	}{
		{"sgd", train.Optimizer{Kind: train.SGD}, func(w float64) float64 { return w - lr*decay*w }},
		{"adam", train.Optimizer{Kind: train.Adam}, func(w float64) float64 { return w - lr*decay*w/(decay*math.Abs(w)+1e-8) }},
		{"adamw", train.Optimizer{Kind: train.AdamW}, func(w float64) float64 { return w - lr*decay*w }},
		{"all", train.Optimizer{Kind: train.AdamW, DecayAll: true}, func(w float64) float64 { return w - lr*decay*w }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, _ := small(net.KindMLP)
			c.o.LR, c.o.Decay = lr, decay
			cfg.Optimizer = c.o
			tr := newTrainer(t, cfg, 1)
			p := tr.Params()
			before := slices.Clone(p.Values)
			clear(p.Grads)
			if _, err := tr.Apply(); err != nil {
				t.Fatal(err)
			}
			for i, w := range before {
				want := float64(w)
				if i < p.Decayed() || c.o.DecayAll {
					want = c.want(want)
				}
				if math.Abs(float64(p.Values[i])-want) > 1e-6 {
					t.Fatalf("parameter %d of %d that decay went from %v to %v, want %v", i, p.Decayed(), w, p.Values[i], want)
				}
			}
		})
	}
}

func TestNotFiniteStops(t *testing.T) {
	t.Parallel()
	cfg, batch := small(net.KindMLP)
	tr, b := newTrainer(t, cfg, 1), batch(4)
	before := slices.Clone(tr.Params().Values)
	b.Floats[5] = float32(math.NaN())
	if _, err := tr.Step(b); !errors.Is(err, train.ErrNotFinite) {
		t.Errorf("error %v", err)
	}
	if !slices.Equal(before, tr.Params().Values) || tr.Steps() != 0 {
		t.Error("the step was done")
	}
	tr.Params().Grads[7] = float32(math.NaN()) // clipping looks at the gradient too
	if _, err := tr.Apply(); !errors.Is(err, train.ErrNotFinite) {
		t.Errorf("error %v", err)
	}
	if !slices.Equal(before, tr.Params().Values) || tr.Steps() != 0 {
		t.Error("the step was done on a gradient that is not finite")
	}
}

func TestScore(t *testing.T) {
	t.Parallel()
	cfg, _ := small(net.KindMLP)
	cfg.Model.MLP = &net.MLP{Input: 7, Output: 7}
	tr := newTrainer(t, cfg, 1)
	w := tr.Params().Value("fc1.weight")
	clear(w)
	clear(tr.Params().Value("fc1.bias"))
	for i := range 7 {
		w[i*8] = 1 // logits are the inputs
	}
	row := []float32{7, 6, 5, 4, 3, 2, 1}
	b := &train.Batch{N: 4, Floats: slices.Concat(row, row, row, row), Labels: []int32{0, 4, 5, -1}}
	s, err := tr.Evaluate(b)
	if err != nil {
		t.Fatal(err)
	}
	if s.Count != 3 || s.Correct != 1 || s.Top5 != 2 {
		t.Errorf("score %+v", s)
	}
	if math.Abs(s.Perplexity()-math.Exp(s.Mean())) > 1e-9 || s.Accuracy() != 1.0/3 || s.Top5Accuracy() != 2.0/3 {
		t.Errorf("score %+v", s)
	}
}

func TestConfigProblemsAreAllNamed(t *testing.T) {
	t.Parallel()
	cfg := train.Config{
		Model:     net.Config{Kind: net.KindLlama, Llama: &net.Llama{Heads: 3, Dim: 8}, MLP: &net.MLP{}},
		Optimizer: train.Optimizer{Kind: "lion", LR: -1, Nesterov: true, Beta1: new(2.0)}, Schedule: train.Schedule{Kind: train.Cosine, Warmup: -1, Final: 2},
		Clip: math.NaN(), Smoothing: 1,
	}
	_, err := train.New(cfg, nil)
	if err == nil {
		t.Fatal("was accepted")
	}
	for _, want := range []string{"mlp does not belong", "vocab", "blocks", "ffn", "context", "heads do not divide", "lion", "lr is", "beta1", "nesterov", "warmup", "steps", "final", "clip", "smoothing"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %q: %v", want, err)
		}
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    train.Schedule
		step int
		want float64
	}{
		{train.Schedule{}, 100, 1},
		{train.Schedule{Warmup: 4}, 0, 0.25},
		{train.Schedule{Warmup: 4}, 3, 1},
		{train.Schedule{Kind: train.Linear, Warmup: 2, Steps: 12, Final: 0.2}, 7, 0.6},
		{train.Schedule{Kind: train.Linear, Steps: 10}, 99, 0},
		{train.Schedule{Kind: train.Cosine, Steps: 10, Final: 0.5}, 5, 0.75},
		{train.Schedule{Kind: train.Stepwise, Every: 3, Gamma: new(0.5)}, 8, 0.25},
		{train.Schedule{Kind: train.Stepwise, Every: 3}, 3, 0.1},
	} {
		if got := c.s.Factor(c.step); math.Abs(got-c.want) > 1e-7 {
			t.Errorf("%+v at step %d: %v, want %v", c.s, c.step, got, c.want)
		}
	}
}
