package graph_test

import (
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/covey-network/covey/engine/train/graph"
)

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		apply      func(x, im *graph.Node) (*graph.Node, error)
	}{
		{"reshape", "aliases", func(x, _ *graph.Node) (*graph.Node, error) { return G.Reshape(x, tensor.Shape{6, 4}) }},
		{"slice", "modulo 256", func(x, _ *graph.Node) (*graph.Node, error) { return G.Slice(x, G.S(0, 2)) }},
		{"concat", "slice", func(x, _ *graph.Node) (*graph.Node, error) { return G.Concat(0, x, x) }},
		{"dropout", "banned", func(x, _ *graph.Node) (*graph.Node, error) { return G.Dropout(x, 0.5) }},
		{"average pooling", "gradient is wrong", func(_, im *graph.Node) (*graph.Node, error) {
			return G.AveragePool2D(im, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})
		}},
		{"global average pooling", "no gradient", func(_, im *graph.Node) (*graph.Node, error) { return G.GlobalAveragePool2D(im) }},
		{"inverse square root", "inverse square root", func(x, _ *graph.Node) (*graph.Node, error) { return G.InverseSqrt(x) }},
		{"mean", "banned", func(_, im *graph.Node) (*graph.Node, error) { return G.Mean(im, 2) }},
		{"sum", "third axis", func(_, im *graph.Node) (*graph.Node, error) { return G.Sum(im, 2) }},
		{"constant", "constant", func(x, _ *graph.Node) (*graph.Node, error) {
			return G.Add(x, G.NewConstant(tensor.New(tensor.WithShape(4, 6), tensor.Of(tensor.Float32))))
		}},
		{"upsampling", "allocates", func(_, im *graph.Node) (*graph.Node, error) { return G.Upsample2D(im, 2) }},
		{"softmax", "same hash", func(x, _ *graph.Node) (*graph.Node, error) { return G.SoftMax(x) }},
		{"product", "not let in", func(x, _ *graph.Node) (*graph.Node, error) { return G.HadamardProd(x, x) }},
		{"foreign input", "not made by this package", func(x, _ *graph.Node) (*graph.Node, error) {
			return G.Add(x, G.NewMatrix(x.Graph(), G.Float32, G.WithShape(4, 6), G.WithName("y")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := graph.New(newParams(t), newPool(t, 1), true)
			x, _ := g.Floats("x", 4, 6)
			im, _ := g.Floats("im", 1, 2, 4, 4)
			if _, err := c.apply(x, im); err != nil {
				t.Fatal(err)
			}
			if err := g.Verify(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestGraphRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		use        func(g *graph.Graph, x *graph.Node)
	}{
		{"name twice", "twice", func(g *graph.Graph, _ *graph.Node) { g.Floats("x", 6) }},
		{"no such parameter", "no parameter", func(g *graph.Graph, _ *graph.Node) { g.Param("nobody") }},
		{"parameters apart", "does not follow", func(g *graph.Graph, _ *graph.Node) { g.Param("u", "w") }},
		{"overlap", "overlaps", func(g *graph.Graph, _ *graph.Node) { g.Param("u"); g.Param("u", "u2") }},
		{"no input", "missing", func(g *graph.Graph, x *graph.Node) { g.Apply(&graph.Op{Name: "op", Shape: []int{6}}, x, nil) }},
		{"gradients", "gradients of 2", func(g *graph.Graph, x *graph.Node) {
			g.Apply(&graph.Op{Name: "op", Shape: []int{6}, Grads: []int{0, 1}}, x)
		}},
		{"alias", "cannot become", func(g *graph.Graph, x *graph.Node) { alias(g, x, 7) }},
		{"unused parameters", "not in the graph", func(g *graph.Graph, x *graph.Node) { g.Differentiate(total(g, mul(g, x, g.Param("w")))) }},
		{"lost part", "got lost", func(g *graph.Graph, x *graph.Node) {
			y := mul(g, mul(g, x, g.Param("w")), mul(g, g.Param("v"), mul(g, g.Param("b"), g.Param("u", "u2"))))
			part, _ := g.Floats("part", 6)
			g.AddPart(g.Param("w"), part)
			g.Differentiate(total(g, y))
		}},
		{"no scalar", "scalar", func(g *graph.Graph, x *graph.Node) { g.Differentiate(mul(g, x, g.Param("w"))) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := graph.New(newParams(t, specs...), newPool(t, 1), true)
			x, _ := g.Floats("x", 6)
			c.use(g, x)
			if _, err := g.Compile(x); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
