package train

import (
	"errors"
	"fmt"

	"github.com/covey-network/covey/engine/train/net"
)

// Batch is samples with what is to be learned of them. The slices are read only during the
// call that takes the batch. What the model does not need is nil.
type Batch struct {
	N   int // samples
	Seq int // tokens of each sample, 0 for other inputs

	Floats  []float32 // (N, input...): images or features
	IDs     []int32   // (N, Seq): tokens
	Lengths []int32   // (N): tokens that count, of encoders; nil means all
	Labels  []int32   // (N): classes, or (N, Seq): next tokens; below 0 does not count
	Targets []float32 // (N, outputs): of regression
}

// ErrBatch is the error of a batch that does not fit the model.
var ErrBatch = errors.New("batch does not fit the model")

// check reports what does not fit.
func (b *Batch) check(m *net.Model) error {
	if b.N < 1 {
		return fmt.Errorf("%w: %d samples", ErrBatch, b.N)
	}
	want := struct{ floats, ids, labels, targets int }{}
	if m.Context() == 0 {
		want.floats = b.N
		for _, d := range m.Input() {
			want.floats *= d
		}
	} else {
		want.ids = b.N * b.Seq
	}
	switch m.Task() {
	case net.Classify:
		want.labels = b.N
	case net.Generate:
		want.labels = b.N * b.Seq
	case net.Regress:
		want.targets = b.N * m.Outputs()
	}
	for _, s := range []struct {
		name      string
		got, want int
	}{
		{"floats", len(b.Floats), want.floats},
		{"ids", len(b.IDs), want.ids},
		{"labels", len(b.Labels), want.labels},
		{"targets", len(b.Targets), want.targets},
	} {
		if s.got != s.want {
			return fmt.Errorf("%w: %d %s, want %d", ErrBatch, s.got, s.name, s.want)
		}
	}
	if b.Lengths != nil && len(b.Lengths) != b.N {
		return fmt.Errorf("%w: %d lengths of %d samples", ErrBatch, len(b.Lengths), b.N)
	}
	return b.checkValues(m)
}

// checkValues keeps numbers out that would make a kernel panic.
func (b *Batch) checkValues(m *net.Model) error {
	for i, id := range b.IDs {
		if id < 0 || int(id) >= m.Vocab() {
			return fmt.Errorf("%w: token %d is %d, the vocabulary has %d", ErrBatch, i, id, m.Vocab())
		}
	}
	for i, l := range b.Labels {
		if int(l) >= m.Outputs() {
			return fmt.Errorf("%w: label %d is %d, there are %d", ErrBatch, i, l, m.Outputs())
		}
	}
	for i, n := range b.Lengths {
		if n < 1 || int(n) > b.Seq {
			return fmt.Errorf("%w: length %d is %d, sequences have %d", ErrBatch, i, n, b.Seq)
		}
	}
	return nil
}

// fill copies the batch to the inputs of a graph.
func (b *Batch) fill(in *net.Inputs) {
	copy(in.Floats, b.Floats)
	copy(in.IDs, b.IDs)
	copy(in.Labels, b.Labels)
	copy(in.Targets, b.Targets)
	copy(in.Lengths, b.Lengths)
	if b.Lengths == nil {
		for i := range in.Lengths {
			in.Lengths[i] = int32(b.Seq)
		}
	}
}
