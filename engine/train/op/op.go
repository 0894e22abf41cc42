package op

import (
	"fmt"

	"github.com/covey-network/covey/engine/train/graph"
)

// Node is a value in a graph.
type Node = graph.Node

// ready reports whether an operation can be built: no error so far, and inputs of the
// given ranks. Inputs that are nil have failed before.
func ready(g *graph.Graph, name string, ranks []int, inputs ...*Node) bool {
	if g.Err() != nil {
		return false
	}
	for i, n := range inputs {
		if n == nil {
			g.Fail(fmt.Errorf("%s: input %d is missing", name, i))
			return false
		}
		if n.Dims() != ranks[i] || n.IsScalar() {
			g.Fail(fmt.Errorf("%s: input %d has shape %v, want %d dimensions", name, i, n.Shape(), ranks[i]))
			return false
		}
	}
	return true
}

// fits fails the graph unless a node has a shape.
func fits(g *graph.Graph, name string, n *Node, shape ...int) bool {
	got := n.Shape()
	ok := len(got) == len(shape)
	for i := range shape {
		ok = ok && got[i] == shape[i]
	}
	if !ok {
		g.Fail(fmt.Errorf("%s: shape %v, want %v", name, got, shape))
	}
	return ok
}

func size(n *Node) int { return n.Shape().TotalSize() }
