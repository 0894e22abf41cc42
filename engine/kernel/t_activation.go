package kernel

import "fmt"

// Activation is an elementwise function between the layers of a network.
type Activation int

// The activations.
const (
	ActReLU     Activation = iota // max(x, 0)
	ActGELU                       // x times the normal distribution function of x
	ActGELUTanh                   // the approximation of GELU with a hyperbolic tangent
	ActSiLU                       // x / (1 + exp(-x)), also called swish
	ActTanh                       // hyperbolic tangent
	ActSigmoid                    // 1 / (1 + exp(-x))
	activations                   // how many there are
)

// String returns the name that [ParseActivation] takes.
func (a Activation) String() string {
	switch a {
	case ActReLU:
		return "relu"
	case ActGELU:
		return "gelu"
	case ActGELUTanh:
		return "gelu_tanh"
	case ActSiLU:
		return "silu"
	case ActTanh:
		return "tanh"
	case ActSigmoid:
		return "sigmoid"
	}
	return fmt.Sprintf("Activation(%d)", int(a))
}

// ParseActivation is the inverse of [Activation.String].
func ParseActivation(name string) (Activation, error) {
	for a := range activations {
		if name == a.String() {
			return a, nil
		}
	}
	return 0, fmt.Errorf("activation %.40q is not one of relu, gelu, gelu_tanh, silu, tanh, sigmoid", name)
}

// value and slope are the scalar twins of the vector code. The slope of ReLU, tanh and
// sigmoid is taken from the result, that of the others from the argument.
func (a Activation) value() func(float32) float32 {
	return [activations]func(float32) float32{reluf, geluf, geluTanhValue, siluValue, tanhf, sigmoidf}[a]
}

func (a Activation) slope() func(float32) float32 {
	return [activations]func(float32) float32{reluSlope, geluSlope, geluTanhSlope, siluSlope, tanhSlope, sigmoidSlope}[a]
}

func (a Activation) slopeFromResult() bool { return a == ActReLU || a == ActTanh || a == ActSigmoid }

// ActivationOp computes an [Activation] and its gradient.
type ActivationOp struct {
	onISA
	act  Activation
	task mapTask
}

// NewActivationOp returns an op of an activation; it panics if there is no such activation.
func NewActivationOp(a Activation) *ActivationOp {
	if a < 0 || a >= activations {
		panic(fmt.Sprintf("kernel: no activation %d", int(a)))
	}
	return &ActivationOp{onISA: onISA{current}, act: a}
}

// Forward writes the activation of each x to y, which has the length that counts and may
// be x.
func (o *ActivationOp) Forward(p *Pool, y, x []float32) {
	checkLen("ActivationOp.Forward", len(y), len(x))
	o.task = mapTask{do: activate, isa: o.isa, kind: int(o.act), y: y, a: x}
	o.task.run(p, len(y))
}

// Backward writes dy times the slope of the activation to dx, which has the length that
// counts and may be dy. It takes the input x and the output y of Forward: ReLU, tanh and
// sigmoid read only y, the others only x; the one that is not read may be nil. ReLU has
// slope 0 at 0.
func (o *ActivationOp) Backward(p *Pool, dx, dy, x, y []float32) {
	from := x
	if o.act.slopeFromResult() {
		from = y
	}
	checkLen("ActivationOp.Backward", len(dx), len(dy), len(from))
	o.task = mapTask{do: activateBack, isa: o.isa, kind: int(o.act), y: dx, a: dy, b: from}
	o.task.run(p, len(dx))
}

func activate(t *mapTask, lo, hi int) {
	y, x, act := t.y[lo:hi], t.a[lo:hi], Activation(t.kind)
	if activateSIMD(t.isa, act, y, x) {
		return
	}
	f := act.value()
	for i, v := range x {
		y[i] = f(v)
	}
}

func activateBack(t *mapTask, lo, hi int) {
	dx, dy, from, act := t.y[lo:hi], t.a[lo:hi], t.b[lo:hi], Activation(t.kind)
	if activateBackSIMD(t.isa, act, dx, dy, from) {
		return
	}
	if act == ActReLU { // not a product: the gradient where x < 0 is 0 even if dy is not finite
		for i, y := range from {
			dx[i] = reluBack(dy[i], y)
		}
		return
	}
	f := act.slope()
	for i, v := range from {
		dx[i] = dy[i] * f(v)
	}
}
