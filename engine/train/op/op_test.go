package op_test

import (
	"fmt"
	"math"
	"testing"

	G "gorgonia.org/gorgonia"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
	"github.com/covey-network/covey/engine/train/op"
)

// check is one operation with a reference in float64. Its inputs are parameters, so that
// all have gradients.
type check struct {
	name   string
	shapes [][]int
	build  func(g *graph.Graph, in []*graph.Node) *graph.Node
	ref    func(in [][]float64) []float64
	// first, if not nil, changes the inputs before use.
	first func(in [][]float32)
	tol   float64 // of values and gradients, relative to their scale; 0 is 2e-5
}

// numbers makes well-spread values with a name of their own.
func numbers(n int, phase float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(1.3 * math.Sin(float64(i*i%97)*1.7+phase+float64(i)*0.61))
	}
	return out
}

// weigh is the loss of the checks: the sum of the values, each with a weight.
func weigh(g *graph.Graph, y *graph.Node, w []float32) *graph.Node {
	return g.Apply(&graph.Op{
		Name: "weighted sum", Grads: []int{0},
		Run: func(c *graph.Call) {
			s := 0.0
			for i, v := range c.In[0].F {
				s += float64(v) * float64(w[i])
			}
			c.Value[0] = float32(s)
		},
		Back: func(c *graph.Call) {
			for i := range c.Out[0] {
				c.Out[0][i] = w[i] * c.Grad[0]
			}
		},
	}, y)
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// setup makes the parameters and the graph of a check.
func (c *check) setup(t *testing.T, threads int) (*graph.Params, *graph.Graph, *graph.Node, *graph.Node, []float32) {
	t.Helper()
	var specs []graph.Spec
	for i, s := range c.shapes {
		specs = append(specs, graph.Spec{Name: fmt.Sprint("in", i), Shape: s})
	}
	p, err := graph.NewParams(specs)
	if err != nil {
		t.Fatal(err)
	}
	pool := kernel.NewPool(threads)
	t.Cleanup(pool.Close)
	g := graph.New(p, pool, true)
	var in []*graph.Node
	var values [][]float32
	for i, s := range c.shapes {
		v := p.Value(fmt.Sprint("in", i))
		copy(v, numbers(size(s), float64(i)+0.3))
		values = append(values, v)
		in = append(in, g.Param(fmt.Sprint("in", i)))
	}
	if c.first != nil {
		c.first(values)
	}
	y := c.build(g, in)
	if g.Err() != nil {
		t.Fatal(g.Err())
	}
	w := numbers(max(1, y.Shape().TotalSize()), 77)
	loss := y
	if !y.IsScalar() {
		loss = weigh(g, y, w)
	} else {
		w = []float32{1}
	}
	g.Differentiate(loss)
	return p, g, y, loss, w
}

func (c *check) inputs(p *graph.Params) [][]float64 {
	var in [][]float64
	for i := range c.shapes {
		var x []float64
		for _, v := range p.Value(fmt.Sprint("in", i)) {
			x = append(x, float64(v))
		}
		in = append(in, x)
	}
	return in
}

func near(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	scale := 0.0
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	worst, at := 0.0, 0
	for i, v := range want {
		if d := math.Abs(float64(got[i]) - v); d > worst || d != d {
			worst, at = d, i
		}
	}
	if !(worst <= tol*max(scale, 0.1)) {
		t.Errorf("%s: element %d is %v, want %v", what, at, got[at], want[at])
	}
}

// run checks the value against the reference and each gradient against central differences
// of the reference, all in float64.
func (c *check) run(t *testing.T) {
	tol := c.tol
	if tol == 0 {
		tol = 2e-5
	}
	p, g, y, loss, w := c.setup(t, 2)
	m, err := g.Compile(y, loss)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Grads {
		p.Grads[i] = float32(math.NaN()) // all must be written
	}
	if err := m.Run(5); err != nil {
		t.Fatal(err)
	}
	in := c.inputs(p)
	near(t, "value", m.Output(y), c.ref(in), tol)
	total := func() float64 {
		s := 0.0
		for i, v := range c.ref(in) {
			s += v * float64(w[i])
		}
		return s
	}
	for i, x := range in {
		want := make([]float64, len(x))
		for k, v := range x {
			const step = 1e-5
			x[k] = v + step
			up := total()
			x[k] = v - step
			want[k] = (up - total()) / (2 * step)
			x[k] = v
		}
		near(t, fmt.Sprint("gradient of input ", i), p.Grad(fmt.Sprint("in", i)), want, tol)
	}
	c.tape(t, p)
}

// tape compares with Gorgonia's own machine.
func (c *check) tape(t *testing.T, ours *graph.Params) {
	t.Helper()
	_, g, _, _, _ := c.setup(t, 1)
	vm := G.NewTapeMachine(g.Expr())
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	for i := range c.shapes {
		name := fmt.Sprint("in", i)
		got := g.Gradient(g.Param(name)).Value().Data().([]float32)
		for k, v := range ours.Grad(name) {
			if got[k] != v {
				t.Errorf("gradient of input %d: tape machine %v, ours %v", i, got[k], v)
				return
			}
		}
	}
}

func TestOps(t *testing.T) {
	t.Parallel()
	for _, list := range [][]check{denseChecks(), imageChecks(), sequenceChecks()} {
		for _, c := range list {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t)
			})
		}
	}
}

func denseChecks() []check {
	list := []check{
		{
			name: "linear", shapes: [][]int{{5, 7}, {3, 7}, {3}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.Linear(g, in[0], in[1], in[2]) },
			ref:   func(in [][]float64) []float64 { return refLinear(in[0], in[1], in[2], 5, 7, 3) },
		},
		{
			name: "linear without bias", shapes: [][]int{{33, 40}, {19, 40}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.Linear(g, in[0], in[1], nil) },
			ref:   func(in [][]float64) []float64 { return refLinear(in[0], in[1], nil, 33, 40, 19) },
		},
		{
			name: "linear of shared weights", shapes: [][]int{{6, 6}, {6, 6}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node {
				return op.Linear(g, op.Linear(g, in[0], in[1], nil), in[1], nil)
			},
			ref: func(in [][]float64) []float64 {
				return refLinear(refLinear(in[0], in[1], nil, 6, 6, 6), in[1], nil, 6, 6, 6)
			},
		},
		{
			name: "addition", shapes: [][]int{{4, 5}, {4, 5}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.Add(g, in[0], in[1]) },
			ref:   func(in [][]float64) []float64 { return zip(in[0], in[1], func(a, b float64) float64 { return a + b }) },
		},
		{
			name: "addition with ReLU", shapes: [][]int{{4, 5}, {4, 5}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.AddReLU(g, in[0], in[1]) },
			ref: func(in [][]float64) []float64 {
				return zip(in[0], in[1], func(a, b float64) float64 { return max(0, a+b) })
			},
		},
		{
			name: "residual", shapes: [][]int{{4, 6}, {6, 6}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node {
				h := op.Add(g, in[0], op.Linear(g, in[0], in[1], nil))
				return op.Add(g, h, op.Reshape(g, op.Reshape(g, h, 24, 1), 4, 6))
			},
			ref: func(in [][]float64) []float64 {
				return zip(in[0], refLinear(in[0], in[1], nil, 4, 6, 6), func(a, b float64) float64 { return 2 * (a + b) })
			},
		},
		{
			name: "SwiGLU", shapes: [][]int{{4, 10}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.SwiGLU(g, in[0]) },
			ref: func(in [][]float64) []float64 {
				var out []float64
				for r := range 4 {
					for i := range 5 {
						gate := in[0][r*10+i]
						out = append(out, gate/(1+math.Exp(-gate))*in[0][r*10+5+i])
					}
				}
				return out
			},
		},
		{
			name: "RMS norm", shapes: [][]int{{5, 19}, {19}}, tol: 1e-4,
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.RMSNorm(g, in[0], in[1], 1e-5) },
			ref: func(in [][]float64) []float64 {
				return refNorm(in[0], 5, 19, false, func(i int, v float64) float64 { return v * in[1][i] })
			},
		},
		{
			name: "layer norm", shapes: [][]int{{5, 19}, {19}, {19}}, tol: 1e-4,
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.LayerNorm(g, in[0], in[1], in[2], 1e-5) },
			ref: func(in [][]float64) []float64 {
				return refNorm(in[0], 5, 19, true, func(i int, v float64) float64 { return v*in[1][i] + in[2][i] })
			},
		},
		{
			name: "first rows", shapes: [][]int{{6, 3}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.FirstRows(g, in[0], 2) },
			ref:   func(in [][]float64) []float64 { return append(append([]float64{}, in[0][:3]...), in[0][9:12]...) },
		},
		{
			name: "mean squared error", shapes: [][]int{{5, 3}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node {
				target, data := g.Floats("target", 5, 3)
				copy(data, numbers(15, 9))
				return op.MSE(g, in[0], target)
			},
			ref: func(in [][]float64) []float64 {
				s := 0.0
				for i, v := range numbers(15, 9) {
					s += (in[0][i] - float64(v)) * (in[0][i] - float64(v)) / 15
				}
				return []float64{s}
			},
		},
	}
	for a, f := range map[kernel.Activation]func(x float64) float64{
		kernel.ActReLU:     func(x float64) float64 { return max(0, x) },
		kernel.ActGELU:     func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) },
		kernel.ActGELUTanh: func(x float64) float64 { return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) },
		kernel.ActSiLU:     func(x float64) float64 { return x / (1 + math.Exp(-x)) },
		kernel.ActTanh:     math.Tanh,
		kernel.ActSigmoid:  func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
	} {
		list = append(list, check{
			name: a.String(), shapes: [][]int{{4, 9}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.Activate(g, in[0], a) },
			ref:   func(in [][]float64) []float64 { return zip(in[0], in[0], func(x, _ float64) float64 { return f(x) }) },
		})
	}
	return list
}

func zip(a, b []float64, f func(a, b float64) float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = f(a[i], b[i])
	}
	return out
}

func refLinear(x, w, b []float64, rows, in, out int) []float64 {
	y := make([]float64, rows*out)
	for r := range rows {
		for o := range out {
			for i := range in {
				y[r*out+o] += x[r*in+i] * w[o*in+i]
			}
			if b != nil {
				y[r*out+o] += b[o]
			}
		}
	}
	return y
}

func refNorm(x []float64, rows, width int, center bool, f func(i int, v float64) float64) []float64 {
	out := make([]float64, len(x))
	for r := range rows {
		row := x[r*width : (r+1)*width]
		mean, square := 0.0, 0.0
		for _, v := range row {
			mean += v / float64(width)
		}
		if !center {
			mean = 0
		}
		for _, v := range row {
			square += (v - mean) * (v - mean) / float64(width)
		}
		for i, v := range row {
			out[r*width+i] = f(i, (v-mean)/math.Sqrt(square+1e-5))
		}
	}
	return out
}
