package train_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/train"
)

// rows is a list of rows of numbers.
type rows [][]float32

func (r rows) flat() []float32 { return slices.Concat(r...) }

// gradients is what fixtures of operations have in common.
type gradients struct {
	X, DY, Y, DX, Weight, Bias, DWeight, DBias []float32
	RunningMean, RunningVar                    []float32
	Eps                                        float32
	Rows, Width, Batch                         int
}

// opFixtures is testdata/ops.json: single operations as PyTorch computes them.
type opFixtures struct {
	Optimisers struct {
		Params []float32
		Grads  rows
		Cases  []optimiserCase
	}
	Schedules    []scheduleCase
	CrossEntropy struct {
		Logits  rows
		Targets []int32
		Counted int
		Cases   []struct {
			Smoothing float32
			Loss      float64
			Grad      rows
		}
	}
	BatchNorm struct {
		Eps, Momentum      float32
		Weight, Bias, Eval []float32
		Batches            []gradients
	}
	Pools []struct {
		gradients
		Kind                         string
		Planes, H, W, K, Stride, Pad int
	}
	Norms map[string]gradients
	Rope  struct {
		Dim       int
		Theta     float64
		Positions []int32
		X, Y      []float32
	}
	Activations struct {
		X     []float32
		Cases []struct {
			Name    string
			Y, DYDX []float32
		}
	}
	Attention []attentionCase
}

type optimiserCase struct {
	Name, Kind   string
	LR           float32
	Momentum     float32
	Nesterov     bool
	Betas        []float32
	Eps          float32
	WeightDecay  float32 `json:"weight_decay"`
	AfterEachOne rows    `json:"params"`
}

type scheduleCase struct {
	Name          string
	Warmup, Steps int
	Min, Factor   float64
	Every         int
	At            []int
	Factors       []float64
}

type attentionCase struct {
	Name                                string
	Causal                              bool
	Lengths                             []int32
	Batch, Seq, Heads, KVHeads, HeadDim int
	Scale, Dropout                      float32
	Seed                                uint64
	Q, K, V, Out, DOut, DQ, DK, DV      []float32
}

// near compares with PyTorch, relative to the largest number.
func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	largest := 1.0
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%s: %d numbers, PyTorch has %d", what, len(got), len(want))
		return
	}
	for i, v := range want {
		if !(math.Abs(float64(got[i]-v)) <= 3e-6*largest) {
			t.Errorf("%s: element %d is %v, PyTorch has %v", what, i, got[i], v)
			return
		}
	}
}

func TestOperationsAgreeWithPyTorch(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/ops.json")
	if err != nil {
		t.Fatal(err)
	}
	f := &opFixtures{}
	if err := json.Unmarshal(data, f); err != nil {
		t.Fatal(err)
	}
	p := kernel.NewPool(2)
	t.Cleanup(p.Close)
	for name, check := range map[string]func(t *testing.T, p *kernel.Pool){
		"optimisers": f.optimisers, "schedules": f.schedules, "cross-entropy": f.crossEntropy, "batch norm": f.batchNorm,
		"pools": f.pools, "norms": f.norms, "rope": f.rope, "activations": f.activations, "attention": f.attention,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, p)
		})
	}
}

func (f *opFixtures) optimisers(t *testing.T, p *kernel.Pool) {
	adam, sgd := kernel.NewAdamOp(), kernel.NewSGDOp()
	if len(f.Optimisers.Cases) == 0 {
		t.Error("no cases")
	}
	for _, c := range f.Optimisers.Cases {
		x := slices.Clone(f.Optimisers.Params)
		m, v := make([]float32, len(x)), make([]float32, len(x))
		for i, want := range c.AfterEachOne {
			g := f.Optimisers.Grads[i]
			if c.Kind == train.SGD {
				sgd.Run(p, x, g, m, kernel.SGD{LR: c.LR, Momentum: c.Momentum, Nesterov: c.Nesterov, Decay: c.WeightDecay}, 1)
			} else {
				adam.Run(p, x, g, m, v, kernel.AdamW{
					LR: c.LR, Beta1: c.Betas[0], Beta2: c.Betas[1], Eps: c.Eps, Decay: c.WeightDecay, Step: i + 1, L2: c.Kind == train.Adam,
				}, 1)
			}
			// The last element has no gradient there, and so no decay.
			near(t, c.Name, x[:len(x)-1], want[:len(want)-1])
		}
	}
}

func (f *opFixtures) schedules(t *testing.T, _ *kernel.Pool) {
	for _, c := range f.Schedules {
		s := train.Schedule{Warmup: c.Warmup, Steps: c.Steps, Final: c.Min}
		switch {
		case c.At != nil:
			continue // steps at any places are not offered
		case c.Every != 0:
			s.Kind, s.Every, s.Gamma = train.Stepwise, c.Every, &c.Factor
		case c.Name == "linear":
			s.Kind = train.Linear
		case c.Steps != 0:
			s.Kind = train.Cosine
		}
		for step, want := range c.Factors {
			if got := s.Factor(step); !(math.Abs(got-want) <= 1e-6) {
				t.Errorf("%s: factor %v at step %d, PyTorch has %v", c.Name, got, step, want)
			}
		}
	}
}

func (f *opFixtures) crossEntropy(t *testing.T, p *kernel.Pool) {
	logits := f.CrossEntropy.Logits.flat()
	n := len(f.CrossEntropy.Logits)
	for _, c := range f.CrossEntropy.Cases {
		op := kernel.NewCrossEntropyOp(n, len(logits)/n, c.Smoothing)
		loss, counted := op.Forward(p, logits, f.CrossEntropy.Targets)
		if !(math.Abs(float64(loss)-c.Loss) <= 1e-6*c.Loss) || counted != f.CrossEntropy.Counted {
			t.Errorf("smoothing %v: loss %v of %d, PyTorch has %v of %d", c.Smoothing, loss, counted, c.Loss, f.CrossEntropy.Counted)
		}
		got := make([]float32, len(logits))
		op.Backward(p, got, 1)
		near(t, "gradient", got, c.Grad.flat())
	}
}

func (f *opFixtures) batchNorm(t *testing.T, p *kernel.Pool) {
	b := &f.BatchNorm
	c := len(b.Weight)
	mean, variance := make([]float32, c), slices.Repeat([]float32{1}, c)
	for _, d := range b.Batches {
		op := kernel.NewBatchNormOp(kernel.BatchNorm{Batch: d.Batch, C: c, Size: len(d.X) / d.Batch / c, Eps: b.Eps, Momentum: b.Momentum})
		y, dx, dw, db := make([]float32, len(d.X)), make([]float32, len(d.X)), make([]float32, c), make([]float32, c)
		op.Train(p, y, d.X, b.Weight, b.Bias, mean, variance)
		op.Backward(p, dx, dw, db, d.DY, d.X, nil, b.Weight)
		for _, s := range []struct {
			what      string
			got, want []float32
		}{{"y", y, d.Y}, {"dx", dx, d.DX}, {"dweight", dw, d.DWeight}, {"dbias", db, d.DBias}, {"mean", mean, d.RunningMean}, {"variance", variance, d.RunningVar}} {
			near(t, s.what, s.got, s.want)
		}
	}
	d := b.Batches[0]
	y := make([]float32, len(d.X))
	kernel.NewBatchNormOp(kernel.BatchNorm{Batch: d.Batch, C: c, Size: len(d.X) / d.Batch / c, Eps: b.Eps}).Eval(p, y, d.X, b.Weight, b.Bias, mean, variance)
	near(t, "evaluation", y, b.Eval)
}

func (f *opFixtures) pools(t *testing.T, p *kernel.Pool) {
	for _, c := range f.Pools {
		y, dx := make([]float32, len(c.Y)), make([]float32, len(c.X))
		shape := kernel.MaxPool{Planes: c.Planes, H: c.H, W: c.W, K: c.K, Stride: c.Stride, Pad: c.Pad}
		if c.Kind == "max" {
			op := kernel.NewMaxPoolOp(shape)
			op.Forward(p, y, c.X)
			op.Backward(p, dx, c.DY)
		} else {
			op := kernel.NewAvgPoolOp(kernel.AvgPool(shape))
			op.Forward(p, y, c.X)
			op.Backward(p, dx, c.DY)
		}
		near(t, c.Kind, y, c.Y)
		near(t, c.Kind+" gradient", dx, c.DX)
	}
}

func (f *opFixtures) norms(t *testing.T, p *kernel.Pool) {
	for name, d := range f.Norms {
		y, dx, dw, db := make([]float32, len(d.X)), make([]float32, len(d.X)), make([]float32, d.Width), make([]float32, d.Width)
		if name == "rms" {
			op := kernel.NewRMSNormOp(d.Rows, d.Width, d.Eps)
			op.Forward(p, y, d.X, d.Weight)
			op.Backward(p, dx, dw, d.DY, d.X, d.Weight)
		} else {
			op := kernel.NewLayerNormOp(d.Rows, d.Width, d.Eps)
			op.Forward(p, y, d.X, d.Weight, d.Bias)
			op.Backward(p, dx, dw, db, d.DY, d.X, d.Weight)
			near(t, name+" dbias", db, d.DBias)
		}
		near(t, name+" y", y, d.Y)
		near(t, name+" dx", dx, d.DX)
		near(t, name+" dweight", dw, d.DWeight)
	}
}

func (f *opFixtures) rope(t *testing.T, p *kernel.Pool) {
	r := &f.Rope
	angles := nn.Rope{Theta: r.Theta}.Frequencies(r.Dim)
	half := len(angles)
	most := int(slices.Max(r.Positions)) + 1
	cos, sin := make([]float32, most*half), make([]float32, most*half)
	for i := range most {
		angles.SinCos(cos[i*half:(i+1)*half], sin[i*half:(i+1)*half], i)
	}
	x, op := slices.Clone(r.X), kernel.NewRopeOp(cos, sin, half)
	at := kernel.RopeRows{N: len(r.Positions), Stride: r.Dim, Heads: 1, HeadDim: r.Dim, Positions: r.Positions}
	op.Forward(p, x, at)
	near(t, "rotated", x, r.Y)
	op.Inverse(p, x, at)
	near(t, "and back", x, r.X)
}

func (f *opFixtures) activations(t *testing.T, p *kernel.Pool) {
	x := f.Activations.X
	for _, c := range f.Activations.Cases {
		a, err := kernel.ParseActivation(c.Name)
		if err != nil {
			t.Fatal(err)
		}
		y, dx, op := make([]float32, len(x)), make([]float32, len(x)), kernel.NewActivationOp(a)
		op.Forward(p, y, x)
		op.Backward(p, dx, slices.Repeat([]float32{1}, len(x)), x, y)
		near(t, c.Name, y, c.Y)
		near(t, "slope of "+c.Name, dx, c.DYDX)
	}
}

func (f *opFixtures) attention(t *testing.T, p *kernel.Pool) {
	for _, c := range f.Attention {
		op := kernel.NewAttentionOp(kernel.AttentionShape{Batch: c.Batch, Seq: c.Seq, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, Causal: c.Causal, Scale: c.Scale, Dropout: c.Dropout})
		op.Seed = c.Seed
		if len(c.Lengths) > 0 {
			op.Lengths = c.Lengths
		}
		wide, narrow := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
		s := kernel.AttentionStrides{Q: wide, K: narrow, V: narrow, Out: wide}
		out, dq, dk, dv := make([]float32, len(c.Q)), make([]float32, len(c.Q)), make([]float32, len(c.K)), make([]float32, len(c.K))
		op.Forward(p, out, c.Q, c.K, c.V, s)
		op.Backward(p, dq, dk, dv, c.DOut, c.Q, c.K, c.V, out, s)
		near(t, c.Name+" out", out, c.Out)
		near(t, c.Name+" dq", dq, c.DQ)
		near(t, c.Name+" dk", dk, c.DK)
		near(t, c.Name+" dv", dv, c.DV)
	}
}
