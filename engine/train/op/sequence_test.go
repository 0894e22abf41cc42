package op_test

import (
	"math"
	"slices"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
	"github.com/covey-network/covey/engine/train/op"
)

func sequenceChecks() []check {
	ids := []int32{2, 0, 2, 5, 2, 1, 0}
	targets := []int32{1, -1, 3, 0, 3}
	lengths := []int32{5, 2, 7}
	return []check{
		{
			name: "embedding", shapes: [][]int{{6, 5}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node {
				n, data := g.Ints("ids", len(ids))
				copy(data, ids)
				return op.Embedding(g, in[0], n)
			},
			ref: func(in [][]float64) []float64 {
				var y []float64
				for _, id := range ids {
					y = append(y, in[0][id*5:id*5+5]...)
				}
				return y
			},
		},
		{
			name: "tied embedding", shapes: [][]int{{6, 5}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node {
				n, data := g.Ints("ids", len(ids))
				copy(data, ids)
				return op.Linear(g, op.Embedding(g, in[0], n), in[0], nil)
			},
			ref: func(in [][]float64) []float64 {
				var h []float64
				for _, id := range ids {
					h = append(h, in[0][id*5:id*5+5]...)
				}
				return refLinear(h, in[0], nil, len(ids), 5, 6)
			},
		},
		{name: "cross-entropy", shapes: [][]int{{5, 4}}, build: crossEntropy(targets, 0), ref: refCrossEntropy(targets, 0)},
		{name: "cross-entropy with smoothing", shapes: [][]int{{5, 4}}, build: crossEntropy(targets, 0.2), ref: refCrossEntropy(targets, 0.2)},
		{name: "causal attention", shapes: [][]int{{14, 3 * 8}}, tol: 5e-5, build: attention(2, 7, 2, 2, 4, true, false, nil), ref: refAttention(2, 7, 2, 2, 4, true, false, nil)},
		{name: "grouped attention with rotation", shapes: [][]int{{14, (4 + 2*2) * 4}}, tol: 5e-5, build: attention(2, 7, 4, 2, 4, true, true, nil), ref: refAttention(2, 7, 4, 2, 4, true, true, nil)},
		{name: "padded attention", shapes: [][]int{{21, 3 * 6}}, tol: 5e-5, build: attention(3, 7, 2, 2, 3, false, false, lengths), ref: refAttention(3, 7, 2, 2, 3, false, false, lengths)},
	}
}

func crossEntropy(targets []int32, smoothing float32) func(g *graph.Graph, in []*graph.Node) *graph.Node {
	return func(g *graph.Graph, in []*graph.Node) *graph.Node {
		n, data := g.Ints("targets", len(targets))
		copy(data, targets)
		return op.CrossEntropy(g, in[0], n, smoothing)
	}
}

// refCrossEntropy is for rows of 4 classes.
func refCrossEntropy(targets []int32, smoothing float64) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		loss, n := 0.0, 0.0
		for r, target := range targets {
			if target < 0 {
				continue
			}
			n++
			sum := 0.0
			for _, v := range in[0][r*4 : r*4+4] {
				sum += math.Exp(v)
			}
			for i, v := range in[0][r*4 : r*4+4] {
				p := smoothing / 4
				if i == int(target) {
					p += 1 - smoothing
				}
				loss -= p * (v - math.Log(sum))
			}
		}
		return []float64{loss / n}
	}
}

func angle(pos, pair int) (cos, sin float64) {
	a := float64(pos) / math.Pow(30, float64(pair)/3)
	return math.Cos(a), math.Sin(a)
}

func attention(batch, seq, heads, kv, dim int, causal, rotate bool, lengths []int32) func(g *graph.Graph, in []*graph.Node) *graph.Node {
	return func(g *graph.Graph, in []*graph.Node) *graph.Node {
		cfg := op.AttentionConfig{Batch: batch, Seq: seq, Heads: heads, KVHeads: kv, HeadDim: dim, Causal: causal}
		if rotate {
			cfg.Rope = &op.Rope{Half: dim / 2}
			for pos := range seq {
				for i := range dim / 2 {
					c, s := angle(pos, i)
					cfg.Rope.Cos, cfg.Rope.Sin = append(cfg.Rope.Cos, float32(c)), append(cfg.Rope.Sin, float32(s))
				}
			}
		}
		if lengths == nil {
			return op.Attention(g, in[0], nil, cfg)
		}
		n, data := g.Ints("lengths", batch)
		copy(data, lengths)
		return op.Attention(g, in[0], n, cfg)
	}
}

func refAttention(batch, seq, heads, kv, dim int, causal, rotate bool, lengths []int32) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		width := (heads + 2*kv) * dim
		head := func(b, pos, h int) []float64 {
			x := slices.Clone(in[0][(b*seq+pos)*width+h*dim:][:dim])
			if half := dim / 2; rotate && h < heads+kv {
				for i := range half {
					c, s := angle(pos, i)
					x[i], x[i+half] = x[i]*c-x[i+half]*s, x[i+half]*c+x[i]*s
				}
			}
			return x
		}
		var y []float64
		for b := range batch {
			for q := range seq {
				for h := range heads {
					last := seq - 1
					if causal {
						last = q
					}
					if lengths != nil {
						last = min(last, int(lengths[b])-1)
					}
					sum, out := 0.0, make([]float64, dim)
					for k := range last + 1 {
						s := 0.0
						for i, v := range head(b, q, h) {
							s += v * head(b, k, heads+h/(heads/kv))[i] / math.Sqrt(float64(dim))
						}
						e := math.Exp(s)
						sum += e
						for i, v := range head(b, k, heads+kv+h/(heads/kv)) {
							out[i] += e * v
						}
					}
					for _, v := range out {
						y = append(y, v/sum)
					}
				}
			}
		}
		return y
	}
}

// Attention drops weights only in training: others in each run and at each place.
func TestAttentionDropout(t *testing.T) {
	t.Parallel()
	const seq, width = 70, 4
	p, err := graph.NewParams([]graph.Spec{{Name: "x", Shape: []int{seq, 3 * width}}})
	if err != nil {
		t.Fatal(err)
	}
	copy(p.Values, numbers(len(p.Values), 0.5))
	pool := kernel.NewPool(2)
	defer pool.Close()
	run := func(training bool, rate float32, seed uint64) (a, b []float32) {
		g := graph.New(p, pool, training)
		cfg := op.AttentionConfig{Batch: 1, Seq: seq, Heads: 2, KVHeads: 2, HeadDim: width / 2, Dropout: rate}
		first, second := op.Attention(g, g.Param("x"), nil, cfg), op.Attention(g, g.Param("x"), nil, cfg)
		m, err := g.Compile(first, second)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Run(seed); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(m.Output(first)), slices.Clone(m.Output(second))
	}
	whole, _ := run(true, 0, 1)
	if a, b := run(false, 0.5, 1); !slices.Equal(a, whole) || !slices.Equal(b, whole) {
		t.Error("weights are dropped outside of training")
	}
	a, b := run(true, 0.5, 1)
	again, _ := run(true, 0.5, 1)
	other, _ := run(true, 0.5, 2)
	if !slices.Equal(a, again) || slices.Equal(a, whole) || slices.Equal(a, b) || slices.Equal(a, other) {
		t.Error("the weights that are dropped are not those of the seed and the place")
	}
	sum := make([]float64, len(whole))
	const runs = 2000
	for seed := range uint64(runs) {
		a, _ := run(true, 0.1, seed)
		for i, v := range a {
			sum[i] += float64(v) / runs
		}
	}
	near(t, "mean", whole, sum, 0.02)
}

// Dropout's gradient has the mask of its value, another one in each run and at each place.
func TestDropout(t *testing.T) {
	t.Parallel()
	const n, rate = 4000, 0.2
	p, err := graph.NewParams([]graph.Spec{{Name: "x", Shape: []int{n}}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Values {
		p.Values[i] = 1
	}
	pool := kernel.NewPool(2)
	defer pool.Close()
	g := graph.New(p, pool, true)
	x := g.Param("x")
	a, b := op.Dropout(g, x, rate), op.Dropout(g, x, rate)
	ones := make([]float32, n)
	for i := range ones {
		ones[i] = 1
	}
	loss := weigh(g, op.Add(g, a, b), ones)
	g.Differentiate(loss)
	m, err := g.Compile(loss, a, b)
	if err != nil {
		t.Fatal(err)
	}
	run := func(seed uint64) (av, bv, grad []float32) {
		if err := m.Run(seed); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(m.Output(a)), slices.Clone(m.Output(b)), slices.Clone(p.Grads)
	}
	av, bv, grad := run(1)
	kept := 0
	for i := range av {
		if av[i] != 0 && av[i] != 1.25 {
			t.Fatalf("element %d is %v, want 0 or 1.25", i, av[i])
		}
		if av[i] != 0 {
			kept++
		}
		if grad[i] != av[i]+bv[i] {
			t.Fatalf("gradient %d is %v, values %v and %v", i, grad[i], av[i], bv[i])
		}
	}
	if kept < n*76/100 || kept > n*84/100 {
		t.Errorf("%d of %d elements kept", kept, n)
	}
	if slices.Equal(av, bv) {
		t.Error("two places have the same mask")
	}
	again, _, _ := run(1)
	other, _, _ := run(2)
	if !slices.Equal(av, again) || slices.Equal(av, other) {
		t.Error("the mask does not depend on the seed alone")
	}
	eval := graph.New(p, pool, false)
	if x := eval.Param("x"); op.Dropout(eval, x, rate) != x {
		t.Error("there is dropout outside of training")
	}
}

func TestShapesAreRefused(t *testing.T) {
	t.Parallel()
	pool := kernel.NewPool(1)
	defer pool.Close()
	for name, build := range map[string]func(g *graph.Graph, m, im, v *graph.Node) *graph.Node{
		"linear":      func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.Linear(g, m, v, nil) },
		"linear bias": func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.Linear(g, m, m, v) },
		"convolution": func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.Conv(g, im, m, nil, 1, 1) },
		"conv bias":   func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.Conv(g, im, im, v, 1, 1) },
		"batch norm": func(g *graph.Graph, m, im, v *graph.Node) *graph.Node {
			return op.BatchNorm(g, im, v, v, op.BatchNormConfig{})
		},
		"pooling":       func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.MaxPool(g, m, 2, 2, 0) },
		"large pooling": func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.MaxPool(g, im, 9, 2, 0) },
		"addition":      func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.Add(g, m, v) },
		"norm":          func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.RMSNorm(g, m, v, 1e-5) },
		"embedding":     func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.Embedding(g, v, m) },
		"attention": func(g *graph.Graph, m, im, v *graph.Node) *graph.Node {
			return op.Attention(g, m, nil, op.AttentionConfig{Batch: 1, Seq: 4, Heads: 1, KVHeads: 1, HeadDim: 3})
		},
		"reshape": func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.Reshape(g, m, 5) },
		"rows":    func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.FirstRows(g, m, 3) },
		"dropout": func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.Dropout(g, m, 1) },
		"nothing": func(g *graph.Graph, m, im, v *graph.Node) *graph.Node { return op.Linear(g, nil, m, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			p, err := graph.NewParams(nil)
			if err != nil {
				t.Fatal(err)
			}
			g := graph.New(p, pool, true)
			m, _ := g.Floats("m", 4, 5)
			im, _ := g.Floats("im", 2, 3, 4, 4)
			v, _ := g.Floats("v", 7)
			if n := build(g, m, im, v); n != nil || g.Err() == nil {
				t.Errorf("node %v, error %v", n, g.Err())
			}
		})
	}
}
