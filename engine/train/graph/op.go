package graph

import (
	"errors"
	"fmt"
	"slices"

	"github.com/covey-network/covey/engine/kernel"
)

// How the gradient of an input comes about, besides the index of the output of Back that
// holds it.
const (
	NoGrad   = -1 // the input has none: targets, token ids
	PassGrad = -2 // it is the gradient of the value, unchanged
)

// Buf is the memory of an input: one of the two slices is set.
type Buf struct {
	F []float32
	I []int32
}

// Call is one execution of an operation. All slices are bound when the graph is compiled.
type Call struct {
	Pool  *kernel.Pool
	In    []Buf       // the inputs; in Back those of Op.Reads only
	Value []float32   // of the operation: Run writes it, Back reads it if Op.ReadsValue
	Saved [][]float32 // what Run leaves for Back, of the sizes in Op.Saved
	Grad  []float32   // in Back: the gradient of the value
	Out   [][]float32 // in Back: gradients to write, nil where nobody wants one

	run *runState
}

// Seed returns the number of this run for random choices; it is the same in Run and Back.
func (c *Call) Seed() uint64 { return c.run.seed }

// Func does the work of an operation. It overwrites its outputs as a whole, never an
// input, and panics on a bug.
type Func func(c *Call)

// Op describes a fused operation. The value of one may belong to one graph only.
type Op struct {
	Name  string
	Shape []int // of the value; empty for a scalar
	Saved []int // elements of each buffer that Run leaves for Back
	Run   Func
	FLOPs int64 // of Run, for measurements: multiplications and additions of matrix products

	// Alias says that the value is the first input in another shape: no work is done.
	Alias bool

	// Grads says for each input which output of Back is its gradient; inputs may share one.
	// nil means that the operation has no gradient.
	Grads      []int
	Back       Func
	Reads      []int // the inputs that Back reads
	ReadsValue bool
	AllGrads   bool // Back writes all its outputs, whoever wants them
}

// Apply adds an operation on inputs to the graph and returns its value.
func (g *Graph) Apply(op *Op, inputs ...*Node) *Node {
	if g.err != nil {
		return nil
	}
	if err := g.check(op, inputs); err != nil {
		g.Fail(fmt.Errorf("%s: %w", op.Name, err))
		return nil
	}
	f := g.newFused(forward, op, op.Shape, inputs)
	n, err := g.apply(f)
	if err != nil {
		g.Fail(err)
		return nil
	}
	g.fixed[n] = !slices.ContainsFunc(inputs, func(in *Node) bool { return !g.isFixed(in) })
	g.flops.run += op.FLOPs
	g.flops.back += op.FLOPs
	if !g.isFixed(inputs[0]) {
		g.flops.back += op.FLOPs
	}
	return n
}

func (g *Graph) check(op *Op, inputs []*Node) error {
	if slices.Contains(inputs, nil) || len(inputs) == 0 {
		return errors.New("an input is missing")
	}
	if _, err := elements(op.Shape); err != nil {
		return err
	}
	if op.Grads != nil && len(op.Grads) != len(inputs) {
		return fmt.Errorf("gradients of %d inputs, there are %d", len(op.Grads), len(inputs))
	}
	if op.Alias && size(inputs[0]) != sizeOf(op.Shape) {
		return fmt.Errorf("shape %v cannot become %v", inputs[0].Shape(), op.Shape)
	}
	for i, k := range op.Grads {
		if k < PassGrad || k >= len(inputs) || k >= 0 && k > i {
			return fmt.Errorf("gradient of input %d is %d", i, k)
		}
		if k == PassGrad && size(inputs[i]) != sizeOf(op.Shape) {
			return fmt.Errorf("gradient of input %d has another size than the value", i)
		}
		if k >= 0 && !slices.Equal(inputs[k].Shape(), inputs[i].Shape()) {
			return fmt.Errorf("inputs %d and %d share a gradient but have shapes %v and %v", k, i, inputs[k].Shape(), inputs[i].Shape())
		}
	}
	return nil
}

// size returns the number of elements of a node's value.
func size(n *Node) int { return sizeOf(n.Shape()) }

func sizeOf(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
