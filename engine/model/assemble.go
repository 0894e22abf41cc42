package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/tensor"
)

// assembly puts the tensors of a file in the order of a model's parts.
type assembly struct {
	cfg      Config
	names    naming
	raw      map[string]rawTensor
	quantize *tensor.DType                         // nil keeps the types of the file
	unpair   func(part Part, canonical string) int // nil where the file has our row order
	ignore   func(name string) bool
}

// sources lists the tensors of all parts. A tensor that is missing, has another shape or
// would be left over is an error: the model would compute something else.
func (a *assembly) sources() ([]TensorSource, error) {
	var out []TensorSource
	used := map[string]bool{}
	for _, part := range a.cfg.Parts() {
		for _, spec := range a.cfg.Specs(part) {
			s, own, err := a.source(part, spec)
			if err != nil {
				return nil, err
			}
			used[own] = true
			out = append(out, s)
		}
	}
	var left []string
	for name := range a.raw {
		if !used[name] && !a.ignore(name) {
			left = append(left, name)
		}
	}
	if len(left) > 0 {
		slices.Sort(left)
		return nil, fmt.Errorf("%d tensors have no place in the architecture %s, the first is %.100q", len(left), a.cfg.Arch, left[0])
	}
	return out, nil
}

func (a *assembly) source(part Part, spec Spec) (TensorSource, string, error) {
	own, err := a.names.name(part, spec.Name)
	if err != nil {
		return TensorSource{}, "", err
	}
	raw, ok := a.raw[own]
	if !ok {
		return TensorSource{}, "", fmt.Errorf("tensor %q is missing, want shape %v", own, spec.Shape)
	}
	if !raw.shape.Equal(spec.Shape) {
		return TensorSource{}, "", fmt.Errorf("tensor %q has shape %v, want %v", own, raw.shape, spec.Shape)
	}
	c := conversion{raw: raw}
	if c.to, err = a.dtype(raw, spec); err != nil {
		return TensorSource{}, "", fmt.Errorf("tensor %q: %w", own, err)
	}
	if a.unpair != nil {
		c.unpair = a.unpair(part, spec.Name)
	}
	s, err := c.source(part, spec.Name)
	return s, own, err
}

// dtype chooses the type a tensor is stored in: vectors become F32, which holds every type
// of theirs exactly; matrices keep theirs unless they are to be quantised.
func (a *assembly) dtype(raw rawTensor, spec Spec) (tensor.DType, error) {
	if !raw.dtype.Valid() {
		return 0, fmt.Errorf("type %.40q is not one that weights can have", raw.word)
	}
	if len(spec.Shape) == 1 {
		return tensor.F32, nil
	}
	if err := checkRunnable(raw.dtype); err != nil {
		return 0, err
	}
	if a.quantize == nil || !quantizable(spec.Name) || spec.Shape[1]%a.quantize.BlockLen() != 0 {
		return raw.dtype, nil
	}
	if raw.dtype.Quantized() {
		return 0, fmt.Errorf("it is %v already, only float tensors can be quantised", raw.dtype)
	}
	return *a.quantize, nil
}

// quantizable reports whether a matrix is large enough in a model, and robust enough, to be
// quantised: those of the blocks, the token embedding and the output.
func quantizable(name string) bool {
	return strings.HasPrefix(name, "attn.") || strings.HasPrefix(name, "ffn.") || name == "tokens.weight" || name == "output.weight"
}

// checkRunnable reports types that can be read but have no matrix kernel.
func checkRunnable(d tensor.DType) error {
	_, err := kernel.NewMatrix(d, 1, d.BlockLen(), make([]byte, d.BlockBytes()))
	return err
}

// checkQuantize reports types that importing cannot quantise to.
func checkQuantize(d *tensor.DType) error {
	if d != nil && *d != tensor.Q8_0 && *d != tensor.Q4_0 {
		return fmt.Errorf("quantise to %v: want %v or %v", *d, tensor.Q8_0, tensor.Q4_0)
	}
	return nil
}
