package nn

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/tensor"
)

// Loader reads the tensors of one part and turns them into layers. The first error stops
// it: later calls return zero layers, and Err tells what went wrong. Tensors are packed
// one after another, so that a loader holds at most one twice.
type Loader struct {
	ctx     context.Context
	weights Weights
	part    Part
	bytes   int64
	err     error
}

// NewLoader returns a loader for a part. The context ends it between two tensors.
func NewLoader(ctx context.Context, w Weights, part Part) *Loader {
	return &Loader{ctx: ctx, weights: w, part: part}
}

// LoadParts calls load with a loader for each part, of several parts at once, and returns
// the memory of all layers. load gets the part's number in the list and must touch nothing
// that it shares with others.
func LoadParts(ctx context.Context, w Weights, parts []Part, workers int, load func(l *Loader, i int)) (bytes int64, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, workers))
	sizes := make([]int64, len(parts))
	for i, part := range parts {
		g.Go(func() error {
			l := NewLoader(ctx, w, part)
			load(l, i)
			sizes[i] = l.bytes
			return l.err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	for _, n := range sizes {
		bytes += n
	}
	return bytes, nil
}

// Err returns the first error.
func (l *Loader) Err() error { return l.err }

// Bytes returns the memory of the layers loaded so far.
func (l *Loader) Bytes() int64 { return l.bytes }

func (l *Loader) tensor(name string, shape ...int) (tensor.Tensor, bool) {
	if l.err != nil {
		return tensor.Tensor{}, false
	}
	t, err := l.fetch(name, shape)
	if err != nil {
		l.err = fmt.Errorf("load tensor %q of %v: %w", name, l.part, err)
		return tensor.Tensor{}, false
	}
	return t, true
}

func (l *Loader) fetch(name string, shape tensor.Shape) (tensor.Tensor, error) {
	if err := l.ctx.Err(); err != nil {
		return tensor.Tensor{}, err
	}
	t, err := l.weights.Tensor(l.ctx, l.part, name)
	if err != nil {
		return tensor.Tensor{}, err
	}
	if !t.Shape.Equal(shape) {
		return tensor.Tensor{}, fmt.Errorf("shape is %v, want %v", t.Shape, shape)
	}
	return t, t.Check()
}

// Vector loads n floats: norm weights and biases.
func (l *Loader) Vector(name string, n int) []float32 { return l.Floats(name, n) }

// Floats loads a tensor of any shape as floats, row-major.
func (l *Loader) Floats(name string, shape ...int) []float32 {
	t, ok := l.tensor(name, shape...)
	if !ok {
		return nil
	}
	v, err := t.Floats()
	if err != nil {
		l.err = fmt.Errorf("load tensor %q of %v: %w", name, l.part, err)
		return nil
	}
	l.bytes += int64(len(v)) * 4
	return v
}

// Linear loads a weight matrix of out rows and in columns, and the bias if it has one.
// The tensors are called name.weight and name.bias.
func (l *Loader) Linear(name string, out, in int, bias bool) Linear {
	t, ok := l.tensor(name+".weight", out, in)
	if !ok {
		return Linear{}
	}
	m, err := kernel.NewMatrix(t.DType, out, in, t.Data)
	if err != nil {
		l.err = fmt.Errorf("load tensor %q of %v: %w", t.Name, l.part, err)
		return Linear{}
	}
	l.bytes += m.Bytes()
	lin := Linear{Weight: m}
	if bias {
		lin.Bias = l.Vector(name+".bias", out)
	}
	return lin
}

// Table loads a matrix of which single rows are looked up.
func (l *Loader) Table(name string, rows, cols int) Table {
	t, ok := l.tensor(name, rows, cols)
	if !ok {
		return Table{}
	}
	l.bytes += int64(len(t.Data))
	return Table{data: t.Data, dtype: t.DType, rows: rows, cols: cols, rowBytes: len(t.Data) / rows}
}

// Norm loads the weight of a root-mean-square norm.
func (l *Loader) Norm(name string, n int) []float32 { return l.Vector(name+".weight", n) }
