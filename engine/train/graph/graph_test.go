package graph_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
)

// The operations of these tests, in plain Go. mul is the element-wise product.
func mul(g *graph.Graph, a, b *graph.Node) *graph.Node {
	if g.Err() != nil {
		return nil
	}
	return g.Apply(&graph.Op{
		Name: "mul", Shape: a.Shape(), Grads: []int{0, 1}, Reads: []int{0, 1},
		Run: func(c *graph.Call) {
			for i := range c.Value {
				c.Value[i] = c.In[0].F[i] * c.In[1].F[i]
			}
		},
		Back: func(c *graph.Call) {
			for i, d := range c.Grad {
				if c.Out[0] != nil {
					c.Out[0][i] = d * c.In[1].F[i]
				}
				if c.Out[1] != nil {
					c.Out[1][i] = d * c.In[0].F[i]
				}
			}
		},
	}, a, b)
}

// tanh keeps what Back needs in a saved buffer.
func tanh(g *graph.Graph, x *graph.Node) *graph.Node {
	if g.Err() != nil {
		return nil
	}
	n := x.Shape().TotalSize()
	return g.Apply(&graph.Op{
		Name: "tanh", Shape: x.Shape(), Saved: []int{n}, Grads: []int{0},
		Run: func(c *graph.Call) {
			for i, v := range c.In[0].F {
				c.Value[i] = float32(math.Tanh(float64(v)))
				c.Saved[0][i] = 1 - c.Value[i]*c.Value[i]
			}
		},
		Back: func(c *graph.Call) {
			for i, d := range c.Grad {
				c.Out[0][i] = d * c.Saved[0][i]
			}
		},
	}, x)
}

func pass(g *graph.Graph, a, b *graph.Node) *graph.Node {
	return g.Apply(&graph.Op{
		Name: "add", Shape: a.Shape(), Grads: []int{graph.PassGrad, graph.PassGrad},
		Run: func(c *graph.Call) {
			for i := range c.Value {
				c.Value[i] = c.In[0].F[i] + c.In[1].F[i]
			}
		},
	}, a, b)
}

func alias(g *graph.Graph, x *graph.Node, shape ...int) *graph.Node {
	return g.Apply(&graph.Op{Name: "alias", Shape: shape, Alias: true, Grads: []int{graph.PassGrad}}, x)
}

func total(g *graph.Graph, x *graph.Node) *graph.Node {
	return g.Apply(&graph.Op{
		Name: "total", Grads: []int{0},
		Run: func(c *graph.Call) {
			c.Value[0] = 0
			for i, v := range c.In[0].F {
				c.Value[0] += v * float32(i+1)
			}
		},
		Back: func(c *graph.Call) {
			for i := range c.Out[0] {
				c.Out[0][i] = c.Grad[0] * float32(i+1)
			}
		},
	}, x)
}

func newParams(t *testing.T, specs ...graph.Spec) *graph.Params {
	t.Helper()
	p, err := graph.NewParams(specs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Values {
		p.Values[i] = float32(math.Sin(float64(3*i+1))) * 0.7
	}
	return p
}

func newPool(t *testing.T, threads int) *kernel.Pool {
	t.Helper()
	p := kernel.NewPool(threads)
	t.Cleanup(p.Close)
	return p
}

// model is a graph with shared parameters, a residual, aliases, dead gradients and an input
// without gradient.
func model(g *graph.Graph) (loss, y *graph.Node) {
	x, data := g.Floats("x", 6)
	for i := range data {
		data[i] = float32(i)*0.3 - 0.8
	}
	w, v, u := g.Param("w"), g.Param("v"), g.Param("u", "u2")
	h := tanh(g, mul(g, x, w))
	r := pass(g, mul(g, h, v), h) // residual
	r = pass(g, r, tanh(g, mul(g, r, w)))
	r = pass(g, alias(g, alias(g, r, 2, 3), 6), mul(g, r, w)) // w for the third time
	y = mul(g, r, u)
	return total(g, y), y
}

var specs = []graph.Spec{{Name: "u", Shape: []int{4}, Decay: true}, {Name: "b", Shape: []int{6}}, {Name: "u2", Shape: []int{2}, Decay: true}, {Name: "w", Shape: []int{6}, Decay: true}, {Name: "v", Shape: []int{6}}}

func build(t *testing.T, p *graph.Params, pool *kernel.Pool) (*graph.Graph, *graph.Node, *graph.Node) {
	t.Helper()
	g := graph.New(p, pool, true)
	loss, y := shared(g)
	g.Differentiate(loss)
	return g, loss, y
}

// shared is model with a parameter whose gradient another one has as well.
func shared(g *graph.Graph) (loss, y *graph.Node) {
	_, y = model(g)
	y = pass(g, y, g.Param("b"))
	return total(g, y), y
}

// branches is a graph in which what passes through an addition is a term of one sum and is
// read once more after it, by an operation that was applied before.
func branches(g *graph.Graph) (loss, y *graph.Node) {
	x, data := g.Floats("x", 6)
	for i := range data {
		data[i] = float32(i)*0.3 - 0.8
	}
	early := tanh(g, mul(g, mul(g, x, g.Param("v")), g.Param("b")))
	late := tanh(g, mul(g, x, g.Param("w")))
	side := mul(g, late, g.Param("u", "u2"))
	y = pass(g, pass(g, late, early), side)
	return total(g, y), y
}

func TestGradients(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(g *graph.Graph) (loss, y *graph.Node){"shared": shared, "branches": branches} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkGradients(t, of)
		})
	}
}

func checkGradients(t *testing.T, of func(g *graph.Graph) (loss, y *graph.Node)) {
	t.Helper()
	p := newParams(t, specs...)
	g := graph.New(p, newPool(t, 1), true)
	loss, y := of(g)
	g.Differentiate(loss)
	m, err := g.Compile(loss, y)
	if err != nil {
		t.Fatal(err)
	}
	run := func() float64 {
		if err := m.Run(0); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i, v := range m.Output(y) {
			sum += float64(v) * float64(i+1)
		}
		return sum
	}
	run()
	got := slices.Clone(p.Grads)
	for i, v := range p.Values {
		const step = 1.0 / 256
		p.Values[i] = v + step
		up := run()
		p.Values[i] = v - step
		want := (up - run()) / (2 * step)
		p.Values[i] = v
		if math.Abs(float64(got[i])-want) > 2e-3*(1+math.Abs(want)) {
			t.Errorf("gradient %d is %v, differences give %v", i, got[i], want)
		}
	}
	run()
	if !slices.Equal(got, p.Grads) {
		t.Error("a second run gives other gradients")
	}
}

func TestTapeMachineAgrees(t *testing.T) {
	t.Parallel()
	p := newParams(t, specs...)
	pool := newPool(t, 2)
	g, loss, _ := build(t, p, pool)
	tape := G.NewTapeMachine(g.Expr())
	defer tape.Close()
	if err := tape.RunAll(); err != nil {
		t.Fatal(err)
	}
	tapeLoss := loss.Value().Data().(float32)
	tapeGrads := map[string][]float32{}
	for _, names := range [][]string{{"w"}, {"v"}, {"b"}, {"u", "u2"}} {
		n := g.Param(names...)
		tapeGrads[strings.Join(names, "|")] = slices.Clone(g.Gradient(n).Value().Data().([]float32))
	}
	g, loss, _ = build(t, p, pool)
	m, err := g.Compile(loss)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	if got := m.Output(loss)[0]; got != tapeLoss {
		t.Errorf("loss %v, tape machine %v", got, tapeLoss)
	}
	for names, want := range tapeGrads {
		var got []float32
		for name := range strings.SplitSeq(names, "|") {
			got = append(got, p.Grad(name)...)
		}
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 1e-5*(1+math.Abs(float64(want[i]))) {
				t.Errorf("gradient of %s is %v, tape machine %v", names, got, want)
				break
			}
		}
	}
}

func TestParamsLayout(t *testing.T) {
	t.Parallel()
	p := newParams(t, specs...)
	var names []string
	for _, q := range p.List() {
		names = append(names, fmt.Sprint(q.Name, "@", q.Offset))
	}
	if got, want := strings.Join(names, " "), "u@0 u2@4 w@6 b@12 v@18"; got != want {
		t.Errorf("layout %s, want %s", got, want)
	}
	if p.Decayed() != 12 || len(p.Values) != 24 || len(p.Grads) != 24 {
		t.Errorf("%d of %d elements decay", p.Decayed(), len(p.Values))
	}
	if &p.Value("w")[0] != &p.Values[6] || &p.Grad("w")[0] != &p.Grads[6] || p.Value("x") != nil {
		t.Error("views do not lie in the flat vectors")
	}
	for _, bad := range [][]graph.Spec{{{Name: "a", Shape: []int{1}}, {Name: "a", Shape: []int{1}}}, {{Name: "a", Shape: []int{0}}}, {{Name: "a", Shape: []int{1 << 30, 1 << 30}}}} {
		if _, err := graph.NewParams(bad); err == nil {
			t.Errorf("parameters %v were accepted", bad)
		}
	}
}

func TestRunDoesNotAllocate(t *testing.T) {
	p := newParams(t, specs...)
	g, loss, _ := build(t, p, newPool(t, 1))
	m, err := g.Compile(loss)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(20, func() { _ = m.Run(1) }); n != 0 {
		t.Errorf("%v allocations in a run", n)
	}
}

func TestDeadNodesDoNotRun(t *testing.T) {
	t.Parallel()
	p := newParams(t, specs...)
	g := graph.New(p, newPool(t, 1), false)
	_, y := model(g)
	m, err := g.Compile(y)
	if err != nil {
		t.Fatal(err)
	}
	if m.Steps() != 10 { // 5 products, 3 sums, 2 tanh; neither the loss nor the aliases
		t.Errorf("%d steps, want 10", m.Steps())
	}
}

func TestManyNodesStayApart(t *testing.T) {
	t.Parallel()
	g := graph.New(newParams(t), newPool(t, 1), false)
	x, _ := g.Floats("x", 1)
	const n = 9000 // Gorgonia's own nodes are merged from number 8550 on
	y := x
	for range n {
		y = tanh(g, y)
	}
	m, err := g.Compile(y)
	if err != nil {
		t.Fatal(err)
	}
	if m.Steps() != n {
		t.Errorf("%d steps, want %d", m.Steps(), n)
	}
}

func TestPanicBecomesError(t *testing.T) {
	t.Parallel()
	g := graph.New(newParams(t), newPool(t, 2), false)
	x, _ := g.Floats("x", 100)
	y := g.Apply(&graph.Op{Name: "broken", Shape: x.Shape(), Run: func(c *graph.Call) {
		c.Pool.For(100, 1, func(lo, _ int) {
			if lo == 77 {
				panic("item 77")
			}
		})
	}}, x)
	m, err := g.Compile(y)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Run(0); err == nil || !strings.Contains(err.Error(), "broken") || !strings.Contains(err.Error(), "item 77") {
		t.Errorf("error %v does not name the operation and the cause", err)
	}
}
