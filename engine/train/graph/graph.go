package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/covey-network/covey/engine/kernel"
)

// Node is a value in a graph.
type Node = G.Node

// Graph collects operations. The first error of any call sticks: later calls return nil
// nodes, and Compile returns it, so that a model is written without a check at each line.
type Graph struct {
	expr     *G.ExprGraph
	params   *Params
	pool     *kernel.Pool
	training bool
	state    *runState

	err    error
	ops    []*fused
	leaves map[string]*leaf
	byNode map[*Node]*leaf
	seed   *Node           // the gradient of the loss: 1
	grads  map[*leaf]*Node // gradients of parameters
	parts  []part
	fixed  map[*Node]bool // values of operations that depend on no parameter
	flops  struct{ run, back int64 }
	used   bool // compiled: operations keep state for one machine
}

// part is what one reader of a value adds to the value's gradient.
type part struct{ value, grad *Node }

// runState is what differs from run to run; operations read it while they run.
type runState struct{ seed uint64 }

// leaf is a node without operation: an input or a parameter.
type leaf struct {
	node   *Node
	floats []float32
	ints   []int32
	param  Param // of parameters
	isPar  bool
}

// New returns an empty graph over parameters. In a training graph operations behave as in
// training (dropout, batch statistics) and gradients can be taken. Kernels run on pool.
func New(params *Params, pool *kernel.Pool, training bool) *Graph {
	return &Graph{
		expr: G.NewGraph(), params: params, pool: pool, training: training, state: &runState{},
		leaves: map[string]*leaf{}, byNode: map[*Node]*leaf{}, fixed: map[*Node]bool{},
	}
}

// Training reports whether the graph is for training.
func (g *Graph) Training() bool { return g.training }

// Expr returns Gorgonia's graph, for its own machines.
func (g *Graph) Expr() *G.ExprGraph { return g.expr }

// Len returns the number of operations so far.
func (g *Graph) Len() int { return len(g.ops) }

// FLOPs returns the floating-point operations of the matrix products of all operations, and
// of the gradients that a step of training needs: two products for each, but one where the
// gradient of the data would be the other.
func (g *Graph) FLOPs() (run, back int64) { return g.flops.run, g.flops.back }

// isFixed reports whether a node's value depends on no parameter.
func (g *Graph) isFixed(n *Node) bool {
	if l := g.byNode[n]; l != nil {
		return !l.isPar
	}
	return g.fixed[n]
}

// Err returns the first error.
func (g *Graph) Err() error { return g.err }

// Fail notes an error unless there is one already.
func (g *Graph) Fail(err error) {
	if g.err == nil && err != nil {
		g.err = fmt.Errorf("build graph: %w", err)
	}
}

// Floats adds an input of float32. The slice that it is read from is the second result; it
// stays the same for the graph's life and is filled before each run.
func (g *Graph) Floats(name string, shape ...int) (*Node, []float32) {
	if g.err != nil {
		return nil, nil
	}
	n, err := elements(shape)
	if err != nil || len(shape) == 0 {
		g.Fail(fmt.Errorf("input %q has shape %v", name, shape))
		return nil, nil
	}
	l := &leaf{floats: make([]float32, n)}
	g.addLeaf(l, name, shape)
	return l.node, l.floats
}

// Ints adds an input of int32, with memory as of Floats.
func (g *Graph) Ints(name string, n int) (*Node, []int32) {
	if g.err != nil {
		return nil, nil
	}
	if n < 1 {
		g.Fail(fmt.Errorf("input %q has %d elements", name, n))
		return nil, nil
	}
	l := &leaf{ints: make([]int32, n)}
	g.addLeaf(l, name, []int{n})
	return l.node, l.ints
}

// Param returns the node of a parameter, or of several that are adjacent in memory stacked
// along their first dimension, such as the weights of query, key and value.
func (g *Graph) Param(names ...string) *Node {
	if g.err != nil {
		return nil
	}
	key := strings.Join(names, "|")
	if l, ok := g.leaves[key]; ok && l.isPar {
		return l.node
	}
	q, err := g.params.stack(names)
	if err != nil {
		g.Fail(err)
		return nil
	}
	for _, l := range g.leaves {
		if l.isPar && l.param.Offset < q.Offset+q.Size && q.Offset < l.param.Offset+l.param.Size {
			g.Fail(fmt.Errorf("parameter %q overlaps %q, which is in the graph", key, l.param.Name))
			return nil
		}
	}
	l := &leaf{isPar: true, param: q, floats: g.params.Values[q.Offset : q.Offset+q.Size : q.Offset+q.Size]}
	g.addLeaf(l, key, q.Shape)
	return l.node
}

func (g *Graph) addLeaf(l *leaf, name string, shape []int) {
	if _, twice := g.leaves[name]; twice || name == "" {
		g.Fail(fmt.Errorf("input %q stands twice or has no name", name)) // Gorgonia would make one node of both
		return
	}
	dtype, backing := tensor.Float32, any(l.floats)
	if l.ints != nil {
		dtype, backing = tensor.Int32, l.ints
	}
	value := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing))
	l.node = G.NewTensor(g.expr, dtype, len(shape), G.WithShape(shape...), G.WithName(name), G.WithValue(value))
	g.leaves[name], g.byNode[l.node] = l, l
}

// Differentiate adds the gradient of a scalar loss with respect to every parameter in the
// graph. It may be called once.
func (g *Graph) Differentiate(loss *Node) {
	if g.err != nil {
		return
	}
	if !g.training || g.grads != nil || !loss.IsScalar() {
		g.Fail(errors.New("only one gradient of a scalar can be taken, in a training graph"))
		return
	}
	pars := g.sortedParams()
	covered := 0
	wrt := make(G.Nodes, len(pars))
	for i, l := range pars {
		if l.param.Offset != covered {
			break
		}
		covered += l.param.Size
		wrt[i] = l.node
	}
	if covered != len(g.params.Values) {
		g.Fail(fmt.Errorf("parameters from element %d on are not in the graph", covered))
		return
	}
	// A node of its own for the 1: that of Gorgonia's Grad is shared by all graphs.
	g.seed = G.NewScalar(g.expr, G.Float32, G.WithName("gradient of the loss"), G.WithValue(float32(1)))
	nodes, err := G.Backpropagate(G.Nodes{loss}, G.Nodes{g.seed}, wrt)
	if err != nil {
		g.Fail(fmt.Errorf("take gradient: %w", err))
		return
	}
	g.grads = make(map[*leaf]*Node, len(pars))
	for i, l := range pars {
		g.grads[l] = nodes[i]
	}
	g.Fail(g.checkParts(nodes))
}

// checkParts reports a part of a gradient that was lost. Gorgonia sums the parts, and takes
// two sums for one node if their 32-bit hashes are equal, without a look at the terms.
func (g *Graph) checkParts(gradients []*Node) error {
	active := map[*Node]bool{} // depends on a parameter
	for _, f := range g.ops {
		if f.kind != forward {
			continue
		}
		for _, n := range f.inputs {
			if l := g.byNode[n]; l != nil && l.isPar {
				active[n] = true
			}
			active[f.node] = active[f.node] || active[n]
		}
	}
	for _, p := range g.parts {
		if active[p.value] && g.expr.To(p.grad.ID()).Len() == 0 && !slices.Contains(gradients, p.grad) {
			return fmt.Errorf("a part of the gradient of %v got lost", p.value)
		}
	}
	return nil
}

// Parameter is the node of a parameter, or of several stacked, and where its memory begins
// in the flat vectors.
type Parameter struct {
	Node   *Node
	Offset int
}

// Parameters returns the parameters in the graph, in the order of the flat vectors.
func (g *Graph) Parameters() []Parameter {
	var out []Parameter
	for _, l := range g.sortedParams() {
		out = append(out, Parameter{l.node, l.param.Offset})
	}
	return out
}

// Gradient returns the node of a parameter's gradient after Differentiate, nil without.
func (g *Graph) Gradient(param *Node) *Node {
	if l := g.byNode[param]; l != nil {
		return g.grads[l]
	}
	return nil
}
