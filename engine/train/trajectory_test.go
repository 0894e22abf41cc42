package train_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/net"
)

// fixture is a file of testdata: what PyTorch did with a model (see testdata/make/README.md).
type fixture struct {
	Seed    uint64           `json:"seed"`
	Batches int              `json:"batches"`
	Streams map[string][]int `json:"streams"`
	Config  struct {
		Input        []int   `json:"input"`
		Hidden       any     `json:"hidden"`
		Channels     []int   `json:"channels"`
		Classes      int     `json:"classes"`
		Width        int     `json:"width"`
		Vocab        int     `json:"vocab"`
		Layers       int     `json:"layers"`
		Heads        int     `json:"heads"`
		KVHeads      int     `json:"kvHeads"`
		HeadDim      int     `json:"headDim"`
		Intermediate int     `json:"intermediate"`
		MaxPositions int     `json:"maxPositions"`
		Types        int     `json:"types"`
		Labels       int     `json:"labels"`
		RMSEps       float64 `json:"rmsEps"`
		RopeTheta    float64 `json:"ropeTheta"`
		Tied         bool    `json:"tied"`

		RopeScaling *net.RopeScaling `json:"ropeScaling"`
	} `json:"config"`
	Tensors []struct {
		Name   string  `json:"name"`
		Shape  []int   `json:"shape"`
		Center float32 `json:"center"`
		Bound  float64 `json:"bound"`
		Decay  bool    `json:"decay"`
	} `json:"tensors"`
	Runs []run `json:"runs"`
}

type run struct {
	Name      string `json:"name"`
	Optimizer struct {
		Kind                string
		LR, Momentum, Decay float64
		Nesterov            bool
		Beta1, Beta2, Eps   *float64
	} `json:"optimizer"`
	Schedule  []float64             `json:"schedule"`
	Clip      float64               `json:"clip"`
	Smoothing float64               `json:"smoothing"`
	Ignore    int                   `json:"ignore"`
	Free      []string              `json:"free"`
	Loss      []float64             `json:"loss"`
	GradNorm  []float64             `json:"gradNorm"`
	Grad0     map[string][2]float64 `json:"grad0"`
	Final     map[string][2]float64 `json:"final"`
	EvalLoss  float64               `json:"evalLoss"`
}

func readFixture(t *testing.T, name string) *fixture {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return &f
}

// words is the stream of a name that testdata/make/formula.py defines.
func words(name string, seed uint64, n int) []uint64 {
	h := uint64(0xcbf29ce484222325)
	for _, b := range []byte(name) {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	h ^= seed
	out := make([]uint64, n)
	for i := range out {
		z := h + uint64(i) + 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		out[i] = z ^ z>>31
	}
	return out
}

func uniform(name string, seed uint64, n int, bound float64, center float32) []float32 {
	out := make([]float32, n)
	for i, w := range words(name, seed, n) {
		out[i] = center + float32((float64(w>>40)*0x1p-23-1)*bound)
	}
	return out
}

func integers(name string, seed uint64, n int, below uint64) []int32 {
	out := make([]int32, n)
	for i, w := range words(name, seed, n) {
		out[i] = int32(w % below)
	}
	return out
}

func (f *fixture) model(name string) net.Config {
	c := &f.Config
	switch name {
	case "mlp":
		m := &net.MLP{Input: c.Input[0], Output: c.Classes}
		for _, h := range c.Hidden.([]any) {
			m.Hidden = append(m.Hidden, int(h.(float64)))
		}
		return net.Config{Kind: net.KindMLP, MLP: m}
	case "cnn":
		bias := true
		return net.Config{Kind: net.KindCNN, CNN: &net.CNN{Input: c.Input, Classes: c.Classes, Layers: []net.Layer{
			{Type: net.LayerConv, Channels: c.Channels[0], Norm: true, ReLU: true, Bias: &bias},
			{Type: net.LayerConv, Channels: c.Channels[1], Norm: true, ReLU: true, Bias: &bias},
			{Type: net.LayerMaxPool},
			{Type: net.LayerResidual, Name: "block", Channels: c.Channels[1]},
		}}}
	case "resnet18", "resnet34", "resnet50":
		depth := map[string]int{"resnet18": 18, "resnet34": 34, "resnet50": 50}[name]
		return net.Config{Kind: net.KindResNet, ResNet: &net.ResNet{Depth: depth, Input: c.Input, Classes: c.Classes, Stem: net.StemCIFAR, Width: c.Width}}
	case "bert":
		labels := make([]string, c.Labels)
		for i := range labels {
			labels[i] = fmt.Sprint("label ", i)
		}
		return net.Config{Kind: net.KindBert, Bert: &net.Bert{Vocab: c.Vocab, Dim: int(c.Hidden.(float64)), Blocks: c.Layers, Heads: c.Heads, FFN: c.Intermediate, Context: c.MaxPositions, Types: c.Types, Labels: labels}}
	}
	return net.Config{Kind: net.KindLlama, Llama: &net.Llama{
		Vocab: c.Vocab, Dim: int(c.Hidden.(float64)), Blocks: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, FFN: c.Intermediate,
		Context: 32, Eps: c.RMSEps, RopeTheta: c.RopeTheta, RopeScaling: c.RopeScaling, Tied: c.Tied,
	}}
}

// batch makes batch i.
func (f *fixture) batch(i, ignore int) *train.Batch {
	size := func(name string) int {
		n := 1
		for _, d := range f.Streams[name] {
			n *= d
		}
		return n
	}
	part := func(name string, below int) []int32 {
		n := size(name)
		return integers(name, f.Seed, n*f.Batches, uint64(below))[i*n : (i+1)*n]
	}
	switch {
	case f.Streams["inputs"] != nil:
		n := size("inputs")
		return &train.Batch{N: f.Streams["labels"][0], Floats: uniform("inputs", f.Seed, n*f.Batches, 1, 0)[i*n : (i+1)*n], Labels: part("labels", f.Config.Classes)}
	case f.Streams["lengths"] != nil:
		seq := f.Streams["ids"][1]
		b := &train.Batch{N: f.Streams["labels"][0], Seq: seq, IDs: part("ids", f.Config.Vocab-1), Lengths: part("lengths", seq/2+1), Labels: part("labels", f.Config.Labels)}
		for k := range b.Lengths {
			b.Lengths[k] += int32(seq / 2)
		}
		for k := range b.IDs {
			if b.IDs[k]++; k%seq >= int(b.Lengths[k/seq]) {
				b.IDs[k] = 0
			}
		}
		return b
	}
	n, long := f.Streams["ids"][0], f.Streams["ids"][1]
	b := &train.Batch{N: n, Seq: long - 1}
	rows := part("ids", f.Config.Vocab)
	for k := range n {
		b.IDs = append(b.IDs, rows[k*long:(k+1)*long-1]...)
		b.Labels = append(b.Labels, rows[k*long+1:(k+1)*long]...)
	}
	if ignore > 0 {
		for k, v := range part("ignore", ignore) {
			if v == 0 {
				b.Labels[k] = -1
			}
		}
	}
	return b
}

// trainer returns a trainer with the fixture's first weights.
func (f *fixture) trainer(t *testing.T, name string, r *run, pool *kernel.Pool) *train.Trainer {
	t.Helper()
	o := r.Optimizer
	cfg := train.Config{
		Model: f.model(name), Clip: r.Clip, Smoothing: r.Smoothing,
		Optimizer: train.Optimizer{Kind: o.Kind, LR: o.LR, Momentum: o.Momentum, Nesterov: o.Nesterov, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, Decay: o.Decay, DecayAll: o.Kind == train.SGD},
	}
	if r.Name == "scheduled" {
		cfg.Schedule = train.Schedule{Kind: train.Cosine, Warmup: 5, Steps: 20}
		for s, want := range r.Schedule {
			if got := cfg.Schedule.Factor(s); math.Abs(got-want) > 1e-6 {
				t.Errorf("factor of step %d is %v, want %v", s, got, want)
			}
		}
	}
	tr, err := train.New(cfg, pool)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(tr.Params().List()), len(f.Tensors); got != want {
		t.Errorf("%d parameters, PyTorch has %d", got, want)
	}
	for _, p := range f.Tensors {
		q, ok := tr.Params().Lookup(p.Name)
		if !ok || !slices.Equal(q.Shape, p.Shape) || q.Decay != p.Decay {
			t.Fatalf("parameter %s of shape %v, decay %v; want shape %v, decay %v", p.Name, q.Shape, q.Decay, p.Shape, p.Decay)
		}
		copy(tr.Params().Value(p.Name), uniform(p.Name, f.Seed, q.Size, p.Bound, p.Center))
	}
	return tr
}

// measure returns the norm of x and its product with the stream that probes it.
func (f *fixture) measure(name string, x []float32) [2]float64 {
	var m [2]float64
	for i, v := range uniform(name+".probe", f.Seed, len(x), 1, 0) {
		m[0] += float64(x[i]) * float64(x[i])
		m[1] += float64(x[i]) * float64(v)
	}
	m[0] = math.Sqrt(m[0])
	return m
}

func TestTrajectories(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mlp", "cnn", "resnet18", "resnet34", "resnet50", "bert", "lm_tied", "lm_untied", "lm_linear", "lm_llama3"} {
		f := readFixture(t, name)
		for _, r := range f.Runs {
			t.Run(name+"/"+r.Name, func(t *testing.T) {
				t.Parallel()
				pool := kernel.NewPool(2)
				defer pool.Close()
				f.follow(t, &r, f.trainer(t, name, &r, pool))
			})
		}
	}
}

// TestAccumulatedTrajectories follows PyTorch's runs with each batch divided in two of the same
// size: where no batch norm sees the batch as a whole, that is the same.
func TestAccumulatedTrajectories(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mlp", "bert", "lm_tied"} {
		f := readFixture(t, name)
		for _, r := range f.Runs {
			if r.Ignore > 0 { // the halves have other numbers of tokens that count
				continue
			}
			t.Run(name+"/"+r.Name, func(t *testing.T) {
				t.Parallel()
				pool := kernel.NewPool(2)
				defer pool.Close()
				tr := f.trainer(t, name, &r, pool)
				f.followBy(t, &r, tr, func(b *train.Batch) (float64, error) { return tr.Gradients(halves(b), nil) })
			})
		}
	}
}

// halves divides a batch in two.
func halves(b *train.Batch) []*train.Batch {
	if b.N%2 != 0 {
		panic(fmt.Sprintf("a batch of %d", b.N))
	}
	out := make([]*train.Batch, 2)
	for i := range out {
		cut := func(x []int32) []int32 { return x[i*len(x)/2 : (i+1)*len(x)/2] }
		out[i] = &train.Batch{N: b.N / 2, Seq: b.Seq, IDs: cut(b.IDs), Labels: cut(b.Labels), Floats: b.Floats[i*len(b.Floats)/2 : (i+1)*len(b.Floats)/2]}
		if b.Lengths != nil {
			out[i].Lengths = cut(b.Lengths)
		}
	}
	return out
}

// follow trains as the run did and compares.
func (f *fixture) follow(t *testing.T, r *run, tr *train.Trainer) {
	t.Helper()
	f.followBy(t, r, tr, tr.Gradient)
}

// followBy is follow with another way to the gradient of a batch.
func (f *fixture) followBy(t *testing.T, r *run, tr *train.Trainer, gradient func(b *train.Batch) (float64, error)) {
	t.Helper()
	worst := 0.0
	for step, want := range r.Loss {
		loss, err := gradient(f.batch(step%f.Batches, r.Ignore))
		if err != nil {
			t.Fatal(err)
		}
		if step == 0 {
			for name, want := range r.Grad0 {
				f.compare(t, "gradient of "+name, f.measure(name, tr.Params().Grad(name)), want, 1e-4)
			}
		}
		res, err := tr.Apply()
		if err != nil {
			t.Fatal(err)
		}
		if r.Clip > 0 && math.Abs(res.Norm-r.GradNorm[step]) > 1e-4*r.GradNorm[step] {
			t.Errorf("step %d: norm of the gradient %v, PyTorch %v", step, res.Norm, r.GradNorm[step])
		}
		off := math.Abs(loss-want) / want
		worst = max(worst, off)
		if !(off <= 1e-4) {
			t.Fatalf("step %d: loss %v, PyTorch %v, apart by %.1e", step, loss, want, off)
		}
	}
	t.Logf("losses apart by at most %.1e of PyTorch's", worst)
	for n, want := range r.Final {
		x := tr.Params().Value(n)
		if x == nil {
			x = tr.Model().Stats.View(n)
		}
		switch {
		case x == nil:
			t.Errorf("there is no %s", n)
		case !slices.Contains(r.Free, n):
			f.compare(t, n+" at the end", f.measure(n, x), want, 1e-3)
		}
	}
	if r.EvalLoss != 0 && r.Smoothing == 0 {
		s, err := tr.Evaluate(f.batch(0, r.Ignore))
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(s.Mean()-r.EvalLoss) > 1e-3*r.EvalLoss {
			t.Errorf("loss of evaluation %v, PyTorch %v", s.Mean(), r.EvalLoss)
		}
	}
}

// compare wants a tensor's norm and probe to agree, relative to the norm.
func (f *fixture) compare(t *testing.T, what string, got, want [2]float64, tolerance float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tolerance*want[0]+1e-7) { // NaN too
			t.Errorf("%s: norm and probe %v, PyTorch %v", what, got, want)
			return
		}
	}
}
