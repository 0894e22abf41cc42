package graph

import (
	"fmt"
	"strings"

	G "gorgonia.org/gorgonia"
)

// banned says why operations of Gorgonia v0.9.18 must not be in a graph, by a prefix of
// the Go type's name. What is not listed is refused all the same, only with less to say.
var banned = []struct{ prefix, reason string }{
	{"reshapeOp", "aliases its input, which later operations then overwrite (gorgonia#511)"},
	{"*sliceOp", "hashes offsets modulo 256, so different slices become one node"},
	{"sliceIncrOp", "is the gradient of a slice, whose hash is not unique"},
	{"concatOp", "its gradient is a slice, whose hash is not unique"},
	{"*dropout", "its gradient is scaled by the wrong probability"},
	{"dropout", "its gradient is scaled by the wrong probability"},
	{"*avgPoolOp", "its gradient is wrong"},
	{"*globalAveragePoolOp", "it has no gradient"},
	{"*GroupNormalizationOp", "its gradient prints to the log"},
	{"*BatchNormOp", "its mode is shared by all machines of a graph"},
	{"*upsampleOp", "allocates for every element"},
	{"sumOp", "is wrong over the third axis of four"},
	{"constantTensor", "constants are compared by their shortened text"},
	{"*softmaxOp", "softmax and its logarithm have the same hash"},
	{"elemUnaryOp", "the gradient of inverse square root is wrong, others allocate at each step"},
	{"randomOp", "has a generator of its own"},
}

// Verify does what Compile does and also refuses different nodes whose 32-bit hashes are
// equal. Gorgonia's tape machine would take them for one; ours does not look at hashes.
func (g *Graph) Verify() error {
	if err := g.verify(); err != nil {
		return err
	}
	seen := map[uint32]*Node{}
	for _, n := range g.expr.AllNodes() {
		if o, twice := seen[n.Hashcode()]; twice {
			return fmt.Errorf("verify graph: %v and %v have the same hash %08x", o, n, n.Hashcode())
		}
		seen[n.Hashcode()] = n
	}
	return nil
}

// verify refuses nodes that are not ours, but for additions of equal shapes, which
// Gorgonia's gradient inserts and the machine replaces, and operations of ours whose node
// is another's.
func (g *Graph) verify() error {
	for _, n := range g.expr.AllNodes() {
		if err := g.allowed(n); err != nil {
			return fmt.Errorf("verify graph: %w", err)
		}
	}
	for i, f := range g.ops {
		if f.node == nil || f.node.Op() != G.Op(f) {
			return fmt.Errorf("verify graph: node of operation %d is not in the graph", i)
		}
	}
	return nil
}

func (g *Graph) allowed(n *Node) error {
	op := n.Op()
	if op == nil {
		if g.byNode[n] == nil && n != g.seed {
			return fmt.Errorf("input %v was not made by this package", n)
		}
		return nil
	}
	if f, ok := op.(*fused); ok {
		if f.graph != g {
			return fmt.Errorf("%v belongs to another graph", f)
		}
		return nil
	}
	if isAdd(n) {
		a, b := g.children(n)[0], g.children(n)[1]
		if sizeOf(a.Shape()) == sizeOf(b.Shape()) && sizeOf(a.Shape()) == size(n) {
			return nil
		}
		return fmt.Errorf("addition of shapes %v and %v", a.Shape(), b.Shape())
	}
	name := strings.Replace(fmt.Sprintf("%T", op), "gorgonia.", "", 1)
	for _, b := range banned {
		if strings.HasPrefix(name, b.prefix) {
			return fmt.Errorf("operation %v of Gorgonia (%s) is banned: %s", op, name, b.reason)
		}
	}
	return fmt.Errorf("operation %v of Gorgonia (%s) is not let in", op, name)
}

// isAdd reports whether a node is Gorgonia's element-wise addition.
func isAdd(n *Node) bool {
	op := n.Op()
	if op == nil {
		return false
	}
	_, ours := op.(*fused)
	return !ours && fmt.Sprintf("%T", op) == "gorgonia.elemBinOp" && strings.HasPrefix(op.String(), "+")
}

// children returns the inputs of a node in order.
func (g *Graph) children(n *Node) []*Node {
	if f, ok := n.Op().(*fused); ok {
		return f.inputs
	}
	var out []*Node
	for it := g.expr.From(n.ID()); it.Next(); {
		out = append(out, it.Node().(*Node))
	}
	return out
}
