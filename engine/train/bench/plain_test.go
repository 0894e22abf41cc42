package bench_test

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/covey-network/covey/engine/train/bench"
)

// plain builds a model of Gorgonia's own operations: its tape machine and gonum's products
// are what the fused operations and kernels are compared with.
type plain struct {
	g      *G.ExprGraph
	rng    *rand.Rand
	params G.Nodes
	err    error
}

func (p *plain) floats(scale float64, shape ...int) *tensor.Dense {
	x := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range x {
		x[i] = float32(p.rng.NormFloat64() * scale)
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))
}

func (p *plain) input(name string, v *tensor.Dense) *G.Node {
	return G.NewTensor(p.g, v.Dtype(), v.Dims(), G.WithShape(v.Shape()...), G.WithName(name), G.WithValue(v))
}

func (p *plain) param(name string, scale float64, shape ...int) *G.Node {
	n := p.input(name, p.floats(scale, shape...))
	p.params = append(p.params, n)
	return n
}

// must keeps the first error.
func (p *plain) must(n *G.Node, err error) *G.Node {
	if p.err == nil {
		p.err = err
	}
	return n
}

func (p *plain) linear(name string, x *G.Node, out int, bias bool) *G.Node {
	if p.err != nil {
		return nil
	}
	in := x.Shape()[1]
	y := p.must(G.Mul(x, p.param(name+".w", 1/math.Sqrt(float64(in)), in, out)))
	if bias && p.err == nil {
		y = p.must(G.BroadcastAdd(y, p.param(name+".b", 0, 1, out), nil, []byte{0}))
	}
	return y
}

// crossEntropy is the loss against random classes.
func (p *plain) crossEntropy(logits *G.Node) *G.Node {
	if p.err != nil {
		return nil
	}
	rows, classes := logits.Shape()[0], logits.Shape()[1]
	hot := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(rows, classes))
	for i := range rows {
		hot.Float32s()[i*classes+p.rng.IntN(classes)] = -1 / float32(rows)
	}
	return p.must(G.Sum(p.must(G.HadamardProd(p.must(G.LogSoftMax(logits)), p.input("targets", hot)))))
}

func (p *plain) mlp() *G.Node {
	x := p.input("x", p.floats(1, 128, 784))
	x = p.must(G.Rectify(p.linear("fc1", x, 512, true)))
	x = p.must(G.Rectify(p.linear("fc2", x, 512, true)))
	return p.linear("fc3", x, 10, true)
}

// conv is a convolution of 3x3 with batch norm, and ReLU if asked for.
func (p *plain) conv(name string, x *G.Node, out int, bias, relu bool) *G.Node {
	if p.err != nil {
		return nil
	}
	in := x.Shape()[1]
	one := []int{1, 1}
	x = p.must(G.Conv2d(x, p.param(name+".w", 1/math.Sqrt(float64(9*in)), out, in, 3, 3), tensor.Shape{3, 3}, one, one, one))
	if bias {
		x = p.must(G.BroadcastAdd(x, p.param(name+".b", 0, 1, out, 1, 1), nil, []byte{0, 2, 3}))
	}
	y, _, _, _, err := G.BatchNorm(x, p.param(name+".gamma", 1, 1, out, 1, 1), p.param(name+".beta", 0, 1, out, 1, 1), 0.1, 1e-5)
	y = p.must(y, err)
	if relu {
		y = p.must(G.Rectify(y))
	}
	return y
}

func (p *plain) cnn() *G.Node {
	x := p.conv("conv1", p.input("x", p.floats(1, 16, 3, 32, 32)), 32, true, true)
	x = p.must(G.MaxPool2D(p.conv("conv2", x, 64, true, true), tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}))
	y := p.conv("block.2", p.conv("block.1", x, 64, false, true), 64, false, false)
	x = p.must(G.Rectify(p.must(G.Add(y, x))))
	x = p.must(G.Mean(p.must(G.Reshape(x, tensor.Shape{16 * 64, 16 * 16})), 1))
	return p.linear("fc", p.must(G.Reshape(x, tensor.Shape{16, 64})), 10, true)
}

// Sizes of the language model.
const (
	gptBatch, gptSeq, gptDim, gptHeads, gptFFN, gptVocab = 8, 64, 128, 4, 344, 512

	gptRows = gptBatch * gptSeq
)

func (p *plain) norm(name string, x *G.Node) *G.Node {
	mean := p.must(G.Mean(p.must(G.Square(x)), 1))
	inv := p.must(G.Inverse(p.must(G.Sqrt(p.must(G.Add(mean, G.NewConstant(float32(1e-6))))))))
	x = p.must(G.BroadcastHadamardProd(x, p.must(G.Reshape(inv, tensor.Shape{gptRows, 1})), nil, []byte{1}))
	return p.must(G.BroadcastHadamardProd(x, p.param(name, 1, 1, gptDim), nil, []byte{0}))
}

// heads makes (batch * heads, positions, width) of a matrix of rows.
func (p *plain) heads(x *G.Node) *G.Node {
	x = p.must(G.Transpose(p.must(G.Reshape(x, tensor.Shape{gptBatch, gptSeq, gptHeads, gptDim / gptHeads})), 0, 2, 1, 3))
	return p.must(G.Reshape(x, tensor.Shape{gptBatch * gptHeads, gptSeq, gptDim / gptHeads}))
}

func (p *plain) attention(name string, x, mask *G.Node) *G.Node {
	q, k, v := p.heads(p.linear(name+".q", x, gptDim, false)), p.heads(p.linear(name+".k", x, gptDim, false)), p.heads(p.linear(name+".v", x, gptDim, false))
	s := p.must(G.Mul(p.must(G.BatchedMatMul(q, k, false, true)), G.NewConstant(float32(1/math.Sqrt(gptDim/gptHeads)))))
	y := p.must(G.BatchedMatMul(p.must(G.SoftMax(p.must(G.Add(s, mask)), 2)), v))
	y = p.must(G.Transpose(p.must(G.Reshape(y, tensor.Shape{gptBatch, gptHeads, gptSeq, gptDim / gptHeads})), 0, 2, 1, 3))
	return p.linear(name+".o", p.must(G.Reshape(y, tensor.Shape{gptRows, gptDim})), gptDim, false)
}

func (p *plain) gpt() *G.Node {
	ids := make([]int, gptRows)
	for i := range ids {
		ids[i] = p.rng.IntN(gptVocab)
	}
	causal := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(gptBatch*gptHeads, gptSeq, gptSeq))
	for i := range causal.Float32s() {
		if i%gptSeq > i/gptSeq%gptSeq {
			causal.Float32s()[i] = -1e9
		}
	}
	mask, table := p.input("mask", causal), p.param("embedding", 0.02, gptVocab, gptDim)
	x := p.must(G.ByIndices(table, p.input("ids", tensor.New(tensor.WithShape(gptRows), tensor.WithBacking(ids))), 0))
	for _, name := range []string{"1", "2"} {
		x = p.must(G.Add(x, p.attention(name, p.norm(name+".norm1", x), mask)))
		h := p.norm(name+".norm2", x)
		gate := p.linear(name+".gate", h, gptFFN, false)
		gated := p.must(G.HadamardProd(p.must(G.HadamardProd(gate, p.must(G.Sigmoid(gate)))), p.linear(name+".up", h, gptFFN, false)))
		x = p.must(G.Add(x, p.linear(name+".down", gated, gptDim, false)))
	}
	return p.must(G.Mul(p.norm("norm", x), p.must(G.Transpose(table, 1, 0))))
}

// step returns what does a step of training and returns the loss.
func (p *plain) step(logits *G.Node) func() (float32, error) {
	loss := p.crossEntropy(logits)
	if p.err != nil {
		return func() (float32, error) { return 0, p.err }
	}
	if _, err := G.Grad(loss, p.params...); err != nil {
		return func() (float32, error) { return 0, err }
	}
	var value G.Value
	G.Read(loss, &value)
	vm, solver := G.NewTapeMachine(p.g, G.BindDualValues(p.params...)), G.NewAdamSolver(G.WithLearnRate(1e-3))
	return func() (float32, error) {
		if err := vm.RunAll(); err != nil {
			return 0, err
		}
		err := solver.Step(G.NodesToValueGrads(p.params))
		vm.Reset()
		return value.Data().(float32), err
	}
}

// BenchmarkPlain times a step of Gorgonia's own operations with gonum's products, and
// reports how many times longer it takes than ours (the medians of one run on as many
// processors). It is the loss of the last step that shows that it learns.
func BenchmarkPlain(b *testing.B) {
	for _, m := range []struct {
		name  string
		build func(p *plain) *G.Node
	}{{"mlp", (*plain).mlp}, {"cnn", (*plain).cnn}, {"gpt", (*plain).gpt}} {
		b.Run(m.name, func(b *testing.B) {
			p := &plain{g: G.NewGraph(), rng: rand.New(rand.NewPCG(1, 2))}
			step := p.step(m.build(p))
			first, err := step()
			if err != nil {
				b.Fatal(err)
			}
			ours, err := bench.Run(bench.Config{Model: m.name, Threads: runtime.GOMAXPROCS(0)})
			if err != nil {
				b.Fatal(err)
			}
			var times []time.Duration
			last := first
			for b.Loop() {
				start := time.Now()
				if last, err = step(); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(start))
			}
			slices.Sort(times)
			median := times[len(times)/2]
			b.ReportMetric(median.Seconds()*1e3, "ms/step")
			b.ReportMetric(ours.Median.Seconds()*1e3, "ours-ms/step")
			b.ReportMetric(float64(median)/float64(ours.Median), "times")
			b.ReportMetric(float64(last-first), "loss-change")
		})
	}
}
