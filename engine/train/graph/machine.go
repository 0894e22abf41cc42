package graph

import (
	"fmt"

	G "gorgonia.org/gorgonia"
)

// Machine runs a graph. It implements Gorgonia's VM.
type Machine struct {
	graph   *Graph
	steps   []step
	arena   int
	outputs map[*Node][]float32
	at      int // the step that runs
}

var _ G.VM = (*Machine)(nil)

// step is an operation with its buffers.
type step struct {
	f    Func
	call Call
	name fmt.Stringer
}

// Run does one step. seed is what random operations of this run derive their choices from.
// An error names the operation; the outputs are then undefined, as are the gradients.
func (m *Machine) Run(seed uint64) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("run %v: %v", m.steps[m.at].name, r)
		}
	}()
	m.graph.state.seed = seed
	for m.at = range m.steps {
		s := &m.steps[m.at]
		s.f(&s.call)
	}
	return nil
}

// RunAll is Run with seed 0.
func (m *Machine) RunAll() error { return m.Run(0) }

// Reset does nothing: a machine can run again at any time.
func (m *Machine) Reset() {}

// Close does nothing: the memory goes with the machine.
func (m *Machine) Close() error { return nil }

// Steps returns how many operations a run has.
func (m *Machine) Steps() int { return len(m.steps) }

// Arena returns the number of float32 that hold all values between operations.
func (m *Machine) Arena() int { return m.arena }

// Output returns the memory of an output, valid until the next run.
func (m *Machine) Output(n *Node) []float32 { return m.outputs[n] }
