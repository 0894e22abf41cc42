package graph

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Limits of a model's parameters.
const (
	maxParams = 1 << 16
	maxFloats = 1 << 34
)

// Spec declares a parameter.
type Spec struct {
	Name  string
	Shape []int
	Decay bool // takes part in weight decay: weights do, biases and norms do not
}

// Param is a parameter within the flat vectors: Shape in row-major order at Offset.
type Param struct {
	Spec
	Offset, Size int // in elements
}

// Params holds the parameters of a model in Values and their gradients in Grads. Both are
// flat; the slices keep their address for life, so that whoever averages or saves them can
// hold on to them. Those with decay come first, in the order of declaration, then the rest.
type Params struct {
	Values, Grads []float32

	list    []Param
	index   map[string]int
	decayed int
}

// NewParams lays out parameters, all zero. Names must differ and shapes be positive.
func NewParams(specs []Spec) (*Params, error) {
	p, total, err := layOut(specs)
	if err != nil {
		return nil, err
	}
	p.Values, p.Grads = make([]float32, total), make([]float32, total)
	return p, nil
}

// Count returns how many elements parameters have in all, or the error of NewParams. It
// takes no memory for them.
func Count(specs []Spec) (int, error) {
	_, total, err := layOut(specs)
	return total, err
}

// layOut gives parameters their places; their memory is not taken yet.
func layOut(specs []Spec) (*Params, int, error) {
	if len(specs) > maxParams {
		return nil, 0, fmt.Errorf("lay out parameters: %d of them, at most %d", len(specs), maxParams)
	}
	p := &Params{index: make(map[string]int, len(specs))}
	var errs []error
	total := 0
	for _, decay := range []bool{true, false} {
		for _, s := range specs {
			if s.Decay != decay {
				continue
			}
			n, err := elements(s.Shape)
			if err == nil && total+n > maxFloats {
				err = fmt.Errorf("more than %d elements in all", maxFloats)
			}
			if _, twice := p.index[s.Name]; twice && err == nil {
				err = errors.New("declared twice")
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("parameter %q: %w", s.Name, err))
				continue
			}
			p.index[s.Name] = len(p.list)
			s.Shape = slices.Clone(s.Shape)
			p.list = append(p.list, Param{Spec: s, Offset: total, Size: n})
			total += n
		}
		if decay {
			p.decayed = total
		}
	}
	if len(errs) > 0 {
		return nil, 0, fmt.Errorf("lay out parameters: %w", errors.Join(errs...))
	}
	return p, total, nil
}

// elements returns the number of elements of a shape.
func elements(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 1 || n > math.MaxInt32*8/d {
			return 0, fmt.Errorf("shape %v is not positive or too large", shape)
		}
		n *= d
	}
	return n, nil
}

// List returns the parameters in the order of the flat vectors.
func (p *Params) List() []Param { return slices.Clone(p.list) }

// Decayed returns how many elements take part in weight decay: those before it in Values.
func (p *Params) Decayed() int { return p.decayed }

// Lookup finds a parameter by name.
func (p *Params) Lookup(name string) (Param, bool) {
	i, ok := p.index[name]
	if !ok {
		return Param{}, false
	}
	return p.list[i], true
}

// Value returns the view of a parameter, nil if there is none of that name.
func (p *Params) Value(name string) []float32 { return p.view(name, p.Values) }

// Grad returns the view of a parameter's gradient, nil if there is none of that name.
func (p *Params) Grad(name string) []float32 { return p.view(name, p.Grads) }

func (p *Params) view(name string, flat []float32) []float32 {
	i, ok := p.index[name]
	if !ok {
		return nil
	}
	q := p.list[i]
	return flat[q.Offset : q.Offset+q.Size : q.Offset+q.Size]
}

// stack returns adjacent parameters as one whose first dimension is the sum of theirs.
func (p *Params) stack(names []string) (Param, error) {
	var out Param
	for i, name := range names {
		q, ok := p.Lookup(name)
		switch {
		case !ok:
			return out, fmt.Errorf("no parameter %q", name)
		case i == 0:
			out = q
			out.Shape = slices.Clone(q.Shape)
			continue
		case q.Offset != out.Offset+out.Size:
			return out, fmt.Errorf("parameter %q does not follow %q in memory", name, names[i-1])
		case len(q.Shape) == 0 || !slices.Equal(q.Shape[1:], out.Shape[1:]):
			return out, fmt.Errorf("parameter %q has shape %v, cannot be stacked on %v", name, q.Shape, out.Shape)
		}
		out.Name += "|" + name
		out.Shape[0] += q.Shape[0]
		out.Size += q.Size
	}
	return out, nil
}
