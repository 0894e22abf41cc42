package vision

import (
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
)

// shape is what is between two layers: planes, or a vector of length c.
type shape struct {
	c, h, w int
	flat    bool
}

func (s shape) len() int { return s.c * s.h * s.w }

func (s shape) String() string {
	if s.flat {
		return fmt.Sprintf("a vector of %d", s.c)
	}
	return fmt.Sprintf("%d planes of %d x %d", s.c, s.h, s.w)
}

// registers is how many intermediate results live at once: the input of a residual block,
// and two to compute in.
const registers = 3

// step is one operation on the registers. in and out are what it reads and makes.
type step struct {
	op       string // a layer type, or add
	src, dst int    // registers
	add      int    // register that is added, with op add
	in, out  shape
	name     string // of the tensors
	norm     string
	bias     bool
	act      string // activation, empty for none
	conv     kernel.Conv
	pool     kernel.MaxPool
}

// add is the op of the sum at the end of a residual block.
const add = "add"

// tensors calls f for each tensor of a step.
func (s *step) tensors(f func(name string, shape ...int)) {
	switch s.op {
	case Conv:
		f(s.name+".weight", s.conv.OutC, s.conv.InC, s.conv.KH, s.conv.KW)
	case Linear:
		f(s.name+".weight", s.out.c, s.in.len())
	default:
		return
	}
	if s.bias {
		f(s.name+".bias", s.out.c)
	}
	if s.norm != "" {
		for _, n := range normTensors() {
			f(s.norm+"."+n, s.out.c)
		}
	}
}

// normTensors are the tensors of a batch norm as PyTorch names them.
func normTensors() [4]string { return [4]string{"weight", "bias", "running_mean", "running_var"} }

// planner makes the steps of layers, one after the other.
type planner struct {
	steps []step
	at    int // register of the current result
	now   shape
	work  int64
	names map[string]bool
}

// plan checks the configuration and returns the steps of its layers. It allocates nothing
// that depends on sizes in the configuration but the list itself.
func (c *Config) plan() ([]step, error) {
	if err := c.checkScalars(); err != nil {
		return nil, err
	}
	p := &planner{now: shape{c: c.Input[0], h: c.Input[1], w: c.Input[2]}, names: map[string]bool{}}
	for i, l := range c.Layers {
		if err := p.layer(l); err != nil {
			return nil, fmt.Errorf("layer %d (%.20q): %w", i+1, l.Type, err)
		}
		if p.now.len() > MaxPlanes {
			return nil, fmt.Errorf("layer %d (%.20q): %v are more than %d numbers", i+1, l.Type, p.now, MaxPlanes)
		}
		if p.work > MaxWork {
			return nil, fmt.Errorf("layer %d (%.20q): more than %d multiply-adds for an image", i+1, l.Type, int64(MaxWork))
		}
	}
	if last := c.Layers[len(c.Layers)-1]; last.Type != Linear || p.now.c != len(c.Labels) {
		return nil, fmt.Errorf("the layers end in %v by %.20q, want a linear layer with a score for each of the %d labels", p.now, last.Type, len(c.Labels))
	}
	return p.steps, nil
}

func (p *planner) layer(l Layer) error {
	if l.Activation != "" {
		if _, err := kernel.ParseActivation(l.Activation); err != nil {
			return err
		}
	}
	switch l.Type {
	case Conv, MaxPool, AvgPool, Basic, Bottleneck, GlobalPool:
		if p.now.flat {
			return fmt.Errorf("it follows %v, want planes", p.now)
		}
	}
	switch l.Type {
	case Conv:
		return p.conv(p.at, (p.at+1)%registers, p.now, l.Name, l.Norm, l)
	case MaxPool, AvgPool:
		return p.pool(l)
	case GlobalPool:
		p.push(step{op: GlobalPool, src: p.at, dst: (p.at + 1) % registers, in: p.now, out: shape{c: p.now.c, h: 1, w: 1, flat: true}})
	case Flatten:
		p.now = shape{c: p.now.len(), h: 1, w: 1, flat: true}
	case Linear:
		return p.linear(l)
	case Basic:
		return p.residual(l, []Layer{{Kernel: 3, Stride: l.Stride, Pad: 1, Channels: l.Channels}, {Kernel: 3, Stride: 1, Pad: 1, Channels: l.Channels}})
	case Bottleneck:
		if l.Channels%expansion != 0 {
			return fmt.Errorf("channels are %d, want a multiple of %d", l.Channels, expansion)
		}
		inner := l.Channels / expansion
		return p.residual(l, []Layer{
			{Kernel: 1, Stride: 1, Channels: inner}, {Kernel: 3, Stride: l.Stride, Pad: 1, Channels: inner}, {Kernel: 1, Stride: 1, Channels: l.Channels},
		})
	default:
		return fmt.Errorf("it is not one of %s, %s, %s, %s, %s, %s, %s, %s", Conv, MaxPool, AvgPool, GlobalPool, Basic, Bottleneck, Flatten, Linear)
	}
	return nil
}

// push adds a step whose result is the current one.
func (p *planner) push(s step) {
	p.steps = append(p.steps, s)
	p.at, p.now = s.dst, s.out
}

// name takes the name of a layer's tensors, which no other layer may have.
func (p *planner) name(name string) error {
	switch {
	case name == "" || len(name) > maxNameBytes:
		return fmt.Errorf("name of %d bytes, want 1 to %d", len(name), maxNameBytes)
	case p.names[name]:
		return fmt.Errorf("name %q is that of another layer", name)
	}
	p.names[name] = true
	return nil
}

// conv adds a convolution from one register to another.
func (p *planner) conv(src, dst int, in shape, name, norm string, l Layer) error {
	if err := checkWindow(in, l); err != nil {
		return err
	}
	if l.Channels < 1 || l.Channels > MaxChannels {
		return fmt.Errorf("channels are %d, want 1 to %d", l.Channels, MaxChannels)
	}
	if err := p.name(name); err != nil {
		return err
	}
	if norm != "" {
		if err := p.name(norm); err != nil {
			return err
		}
	}
	k := kernel.Conv{Batch: 1, InC: in.c, H: in.h, W: in.w, OutC: l.Channels, KH: l.Kernel, KW: l.Kernel, Stride: l.Stride, Pad: l.Pad}
	if err := k.Check(); err != nil {
		return err
	}
	s := step{
		op: Conv, src: src, dst: dst, in: in, out: shape{c: l.Channels, h: k.OutH(), w: k.OutW()},
		name: name, norm: norm, bias: l.Bias, act: l.Activation, conv: k,
	}
	if s.out.len() > MaxPlanes {
		return fmt.Errorf("%v are more than %d numbers", s.out, MaxPlanes)
	}
	weights := int64(k.OutC) * int64(k.InC) * int64(k.KH) * int64(k.KW)
	if err := p.spend(weights, int64(s.out.h)*int64(s.out.w)); err != nil {
		return err
	}
	if k.KH == 1 && k.Stride == 1 && k.Pad == 0 { // rows may as well be one: fewer lanes are left over
		s.conv.H, s.conv.W = 1, in.h*in.w
	}
	p.push(s)
	return nil
}

// spend counts the multiply-adds of a layer: each weight, of which there may be 2^48, that
// many times.
func (p *planner) spend(weights, times int64) error {
	if weights > MaxWork/times {
		return fmt.Errorf("more than %d multiply-adds for an image", int64(MaxWork))
	}
	p.work += weights * times
	return nil
}

// checkWindow checks the sizes of a window before anything is computed with them.
func checkWindow(in shape, l Layer) error {
	switch {
	case l.Kernel < 1 || l.Kernel > MaxKernel:
		return fmt.Errorf("kernel is %d, want 1 to %d", l.Kernel, MaxKernel)
	case l.Stride < 1 || l.Stride > MaxSide:
		return fmt.Errorf("stride is %d, want 1 to %d", l.Stride, MaxSide)
	case l.Pad < 0 || l.Pad > l.Kernel:
		return fmt.Errorf("pad is %d, want 0 to %d", l.Pad, l.Kernel)
	case l.Kernel > in.h+2*l.Pad || l.Kernel > in.w+2*l.Pad:
		return fmt.Errorf("kernel %d is larger than %d x %d with padding %d", l.Kernel, in.h, in.w, l.Pad)
	}
	return nil
}

func (p *planner) pool(l Layer) error {
	if err := checkWindow(p.now, l); err != nil {
		return err
	}
	k := kernel.MaxPool{Planes: p.now.c, H: p.now.h, W: p.now.w, K: l.Kernel, Stride: l.Stride, Pad: l.Pad}
	if err := k.Check(); err != nil {
		return err
	}
	p.push(step{
		op: l.Type, src: p.at, dst: (p.at + 1) % registers, in: p.now, pool: k,
		out: shape{c: p.now.c, h: k.OutH(), w: k.OutW()},
	})
	return nil
}

func (p *planner) linear(l Layer) error {
	if !p.now.flat {
		return fmt.Errorf("it follows %v, want a vector: put %s or %s before", p.now, GlobalPool, Flatten)
	}
	if l.Channels < 1 || l.Channels > MaxChannels {
		return fmt.Errorf("channels are %d, want 1 to %d", l.Channels, MaxChannels)
	}
	if err := p.name(l.Name); err != nil {
		return err
	}
	if err := p.spend(int64(l.Channels), int64(p.now.len())); err != nil {
		return err
	}
	p.push(step{
		op: Linear, src: p.at, dst: (p.at + 1) % registers, in: p.now, out: shape{c: l.Channels, h: 1, w: 1, flat: true},
		name: l.Name, bias: l.Bias, act: l.Activation,
	})
	return nil
}

// residual adds a block: convolutions with batch norm, ReLU after all but the last, and the
// sum with the short cut, with ReLU.
func (p *planner) residual(l Layer, convs []Layer) error {
	from, in := p.at, p.now
	src, dst := from, (from+1)%registers
	for i, c := range convs {
		if i < len(convs)-1 {
			c.Activation = relu()
		}
		name := func(kind string) string { return fmt.Sprintf("%s.%s%d", l.Name, kind, i+1) }
		if err := p.conv(src, dst, p.now, name("conv"), name("bn"), c); err != nil {
			return err
		}
		src, dst = dst, 3-from-dst // the register that is neither
	}
	sum, other := src, from
	if in.c != l.Channels || l.Stride != 1 {
		out := p.now
		if err := p.conv(from, dst, in, l.Name+".downsample.0", l.Name+".downsample.1", Layer{Kernel: 1, Stride: l.Stride, Channels: l.Channels}); err != nil {
			return err
		}
		if p.now != out {
			return fmt.Errorf("the short cut gives %v, the block %v", p.now, out)
		}
		other = dst
	}
	p.push(step{op: add, src: sum, dst: sum, add: other, in: p.now, out: p.now})
	return nil
}
