package graph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

type kind int

const (
	forward  kind = iota
	backward      // all gradients of an operation; the value is the first of them
	pick          // one of the other gradients
)

// fused is a node's operation for Gorgonia: one value for one node. Gorgonia's operations
// have one output, so a backward operation with several gradients is a node for the first
// and a pick for each of the others, which depends on that node.
type fused struct {
	graph  *Graph
	kind   kind
	id     uint32 // position in graph.ops, unique in the graph
	op     *Op
	shape  []int
	inputs []*Node
	node   *Node

	fwd   *fused // of backward: the operation it belongs to
	first int    // of backward: which output the node's value is
	back  *fused // of pick: where it takes its value
	index int    // of pick: which output

	// Memory of the last run on one of Gorgonia's machines; ours has its own.
	saved, outs [][]float32
}

var _ G.SDOp = (*fused)(nil)

func (g *Graph) newFused(k kind, op *Op, shape []int, inputs []*Node) *fused {
	f := &fused{graph: g, kind: k, id: uint32(len(g.ops)), op: op, shape: shape, inputs: inputs}
	g.ops = append(g.ops, f)
	return f
}

func (g *Graph) apply(f *fused) (*Node, error) {
	n, err := G.ApplyOp(f, f.inputs...)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", f, err)
	}
	if n.Op() != G.Op(f) {
		return nil, fmt.Errorf("%v: was merged with %v", f, n.Op())
	}
	f.node = n
	return n, nil
}

// key orders operations: forward ones as they were applied, then backward ones in reverse.
func (f *fused) key() int {
	switch f.kind {
	case backward:
		return 2*len(f.graph.ops) - int(f.fwd.id)
	case pick:
		return f.back.key()
	}
	return int(f.id)
}

// Arity returns the number of inputs.
func (f *fused) Arity() int { return len(f.inputs) }

// Type returns the function type; Gorgonia pools it, so it is made anew at each call.
func (f *fused) Type() hm.Type {
	types := make([]hm.Type, 0, len(f.inputs)+1)
	for _, n := range f.inputs {
		types = append(types, n.Type())
	}
	if len(f.shape) == 0 {
		return hm.NewFnType(append(types, tensor.Float32)...)
	}
	return hm.NewFnType(append(types, G.TensorType{Dims: len(f.shape), Of: tensor.Float32})...)
}

// InferShape returns the shape of the value.
func (f *fused) InferShape(...G.DimSizer) (tensor.Shape, error) {
	if len(f.shape) == 0 {
		return tensor.ScalarShape(), nil
	}
	return append(tensor.Shape(nil), f.shape...), nil
}

// ReturnsPtr, CallsExtern and OverwritesInput tell Gorgonia's tape machine that Do returns
// memory of its own and leaves the inputs alone.
func (f *fused) ReturnsPtr() bool     { return true }
func (f *fused) CallsExtern() bool    { return false }
func (f *fused) OverwritesInput() int { return -1 }

// WriteHash writes what no other operation of the graph writes: Gorgonia makes one node of
// two with equal hashes.
func (f *fused) WriteHash(h hash.Hash) {
	var b [8]byte
	copy(b[:], "fuse")
	binary.LittleEndian.PutUint32(b[4:], f.id)
	h.Write(b[:])
}

// Hashcode is different for all operations of a graph: a multiplication by an odd number is
// one to one.
func (f *fused) Hashcode() uint32 { return (f.id + 1) * 2654435769 }

// String names the operation in errors.
func (f *fused) String() string {
	switch f.kind {
	case backward:
		return fmt.Sprintf("gradient of %v", f.fwd)
	case pick:
		return fmt.Sprintf("gradient %d of %v", f.index, f.back.fwd)
	}
	return fmt.Sprintf("%s (operation %d)", f.op.Name, f.id)
}

// DiffWRT tells which inputs have a gradient.
func (f *fused) DiffWRT(inputs int) []bool {
	out := make([]bool, inputs)
	if f.kind == forward {
		for i, k := range f.op.Grads {
			out[i] = k != NoGrad
		}
	}
	return out
}

// SymDiff returns the gradients of the inputs.
func (f *fused) SymDiff(inputs G.Nodes, output, grad *Node) (G.Nodes, error) {
	if f.kind != forward || f.op.Grads == nil {
		return nil, errors.New("has no gradient")
	}
	out, err := f.gradients(inputs, output, grad)
	for i, n := range out {
		if n != nil {
			f.graph.parts = append(f.graph.parts, part{inputs[i], n})
		}
	}
	return out, err
}

func (f *fused) gradients(inputs G.Nodes, output, grad *Node) (G.Nodes, error) {
	if f.op.Alias {
		shape := inputs[0].Shape()
		n, err := f.graph.apply(f.graph.newFused(forward, &Op{Name: f.op.Name + " back", Shape: shape, Alias: true}, shape, []*Node{grad}))
		return G.Nodes{n}, err
	}
	var back *fused
	made := map[int]*Node{}
	out := make(G.Nodes, len(inputs))
	for i, k := range f.op.Grads {
		switch {
		case k == PassGrad:
			out[i] = grad
			continue
		case k == NoGrad:
			continue
		}
		if made[k] == nil {
			n, b, err := f.output(back, k, inputs, output, grad)
			if err != nil {
				return nil, err
			}
			made[k], back = n, b
		}
		out[i] = made[k]
	}
	return out, nil
}

// output makes the node of output k of the backward operation: the operation itself if
// back is nil, a pick from it otherwise.
func (f *fused) output(back *fused, k int, inputs G.Nodes, output, grad *Node) (*Node, *fused, error) {
	shape := inputs[k].Shape()
	if back != nil {
		p := f.graph.newFused(pick, f.op, shape, []*Node{back.node})
		p.back, p.index = back, k
		n, err := f.graph.apply(p)
		return n, back, err
	}
	all := append(append(make([]*Node, 0, len(inputs)+2), inputs...), output, grad)
	back = f.graph.newFused(backward, f.op, shape, all)
	back.fwd, back.first = f, k
	n, err := f.graph.apply(back)
	return n, back, err
}

// Do runs the operation for one of Gorgonia's machines, in fresh memory. Their goroutines
// would end the process on a panic, so it becomes an error.
func (f *fused) Do(values ...G.Value) (v G.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v: %v", f, r)
		}
	}()
	if f.kind == pick {
		return f.value(f.back.outs[f.index]), nil
	}
	bufs := make([]Buf, len(values))
	for i, v := range values {
		bufs[i] = bufOf(v)
	}
	if f.kind == forward {
		y := make([]float32, sizeOf(f.shape))
		if f.op.Alias {
			copy(y, bufs[0].F)
			return f.value(y), nil
		}
		f.saved = buffers(f.op.Saved)
		f.op.Run(&Call{Pool: f.graph.pool, In: bufs, Value: y, Saved: f.saved, run: f.graph.state})
		return f.value(y), nil
	}
	n := len(bufs) - 2
	f.outs = make([][]float32, n)
	for i, k := range f.op.Grads {
		if k == i {
			f.outs[k] = make([]float32, len(bufs[k].F))
		}
	}
	f.op.Back(&Call{Pool: f.graph.pool, In: bufs[:n], Value: bufs[n].F, Saved: f.fwd.saved, Grad: bufs[n+1].F, Out: f.outs, run: f.graph.state})
	return f.value(f.outs[f.first]), nil
}

func (f *fused) value(data []float32) G.Value {
	if len(f.shape) == 0 {
		return G.NewF32(data[0])
	}
	return tensor.New(tensor.WithShape(f.shape...), tensor.WithBacking(data))
}

func bufOf(v G.Value) Buf {
	switch t := v.Data().(type) {
	case []float32:
		return Buf{F: t}
	case []int32:
		return Buf{I: t}
	case float32:
		return Buf{F: []float32{t}}
	}
	panic(fmt.Sprintf("graph: value %T", v))
}

func buffers(sizes []int) [][]float32 {
	out := make([][]float32, len(sizes))
	for i, n := range sizes {
		out[i] = make([]float32, n)
	}
	return out
}
