package kernel

import "fmt"

// AddOp adds two slices: the residual connection.
type AddOp struct {
	onISA
	// ReLU says that negative sums become 0. The gradient is that of [ActReLU], from the
	// result, for both operands.
	ReLU bool
	task mapTask
}

// NewAddOp returns an op without ReLU.
func NewAddOp() *AddOp { return &AddOp{onISA: onISA{current}} }

// Forward writes a + b to y, which has the length that counts and may be a or b.
func (o *AddOp) Forward(p *Pool, y, a, b []float32) {
	checkLen("AddOp.Forward", len(y), len(a), len(b))
	o.task = mapTask{do: addSlices, isa: o.isa, y: y, a: a, b: b}
	if o.ReLU {
		o.task.do = addSlicesReLU
	}
	o.task.run(p, len(y))
}

func addSlices(t *mapTask, lo, hi int) { addTo(t.isa, t.y[lo:hi], t.a[lo:hi], t.b[lo:hi], false) }

func addSlicesReLU(t *mapTask, lo, hi int) { addTo(t.isa, t.y[lo:hi], t.a[lo:hi], t.b[lo:hi], true) }

// addTo writes a + b, or the ReLU of it, to y.
func addTo(isa ISA, y, a, b []float32, relu bool) {
	if addToSIMD(isa, y, a, b, relu) {
		return
	}
	for i := range y {
		v := a[i] + b[i]
		if relu {
			v = reluf(v)
		}
		y[i] = v
	}
}

// BiasOp adds a bias to rows.
type BiasOp struct {
	onISA
	task biasTask
}

// NewBiasOp returns an op.
func NewBiasOp() *BiasOp { return &BiasOp{onISA: onISA{current}} }

type biasTask struct {
	isa        ISA
	back       bool
	y, x, bias []float32
	stride     int // of the rows that are summed
	n          int
}

// Forward writes x + bias to each of the n rows of y (n, len(bias)), which may be x.
func (o *BiasOp) Forward(p *Pool, y, x, bias []float32, n int) {
	w := len(bias)
	if n < 0 || len(y) < n*w || len(x) < n*w {
		panic(fmt.Sprintf("kernel: BiasOp.Forward of %d rows of %d, %d and %d elements", n, w, len(y), len(x)))
	}
	o.task = biasTask{isa: o.isa, y: y, x: x, bias: bias, n: n}
	p.Run(n, grainRows(w), &o.task)
	o.task = biasTask{}
}

// Backward writes the sum of the n rows of dy (n, len(dbias)) to dbias, row by row in
// order.
func (o *BiasOp) Backward(p *Pool, dbias, dy []float32, n int) {
	w := len(dbias)
	if n < 0 || len(dy) < n*w {
		panic(fmt.Sprintf("kernel: BiasOp.Backward of %d rows of %d, %d elements", n, w, len(dy)))
	}
	o.task = biasTask{isa: o.isa, back: true, y: dbias, x: dy, stride: w, n: n}
	o.task.sum(p)
	o.task = biasTask{}
}

// sum runs the task over units of columns.
func (t *biasTask) sum(p *Pool) {
	units := (len(t.y) + sumColumns - 1) / sumColumns
	p.Run(units, max(1, grainElements/(sumColumns*max(t.n, 1))), t)
}

// sumColumns is the number of columns that are summed at once.
const sumColumns = 64

func (t *biasTask) Do(lo, hi int) {
	if t.back {
		lo, hi = lo*sumColumns, min(hi*sumColumns, len(t.y))
		sumRows(t.isa, t.y[lo:hi], t.x[lo:], t.stride, t.n)
		return
	}
	w := len(t.bias)
	for i := lo; i < hi; i++ {
		addTo(t.isa, t.y[i*w:(i+1)*w], t.x[i*w:(i+1)*w], t.bias, false)
	}
}

// sumRows writes the sum of n rows of x, stride elements apart, to dst: each column is a
// chain from 0 in the order of the rows.
func sumRows(isa ISA, dst, x []float32, stride, n int) {
	if n == 0 || len(dst) == 0 {
		clear(dst)
		return
	}
	_ = x[(n-1)*stride+len(dst)-1]
	if sumRowsSIMD(isa, dst, x, stride, n) {
		return
	}
	clear(dst)
	for i := range n {
		for j, v := range x[i*stride : i*stride+len(dst)] {
			dst[j] += v
		}
	}
}

// SwiGLUOp computes the gated unit of Shazeer, "GLU variants improve transformer" (2020).
type SwiGLUOp struct {
	onISA
	task swigluTask
}

// NewSwiGLUOp returns an op.
func NewSwiGLUOp() *SwiGLUOp { return &SwiGLUOp{onISA: onISA{current}} }

type swigluTask struct {
	isa        ISA
	y, dgu, gu []float32
	h          int
}

// Forward writes silu(gate) * up to y (n, h). Each row of gu (n, 2h) holds the gate and
// then the up projection.
func (o *SwiGLUOp) Forward(p *Pool, y, gu []float32, n, h int) {
	o.run(p, "Forward", swigluTask{y: y, gu: gu}, n, h)
}

// Backward writes the gradients of both halves to dgu (n, 2h), which may be gu, from dy
// (n, h).
func (o *SwiGLUOp) Backward(p *Pool, dgu, dy, gu []float32, n, h int) {
	if n > 0 && len(dgu) < 2*n*h {
		panic(fmt.Sprintf("kernel: SwiGLUOp.Backward of %d rows of %d into %d elements", n, h, len(dgu)))
	}
	o.run(p, "Backward", swigluTask{y: dy, dgu: dgu, gu: gu}, n, h)
}

func (o *SwiGLUOp) run(p *Pool, name string, t swigluTask, n, h int) {
	if n < 0 || h < 0 || len(t.y) < n*h || len(t.gu) < 2*n*h {
		panic(fmt.Sprintf("kernel: SwiGLUOp.%s of %d rows of %d, %d and %d elements", name, n, h, len(t.y), len(t.gu)))
	}
	o.task = t
	o.task.isa, o.task.h = o.isa, h
	p.Run(n, max(1, grainRows(h)/2), &o.task) // an exponential and a division for each element
	o.task = swigluTask{}
}

func (t *swigluTask) Do(lo, hi int) {
	h := t.h
	for i := lo; i < hi; i++ {
		y, gate, up := t.y[i*h:(i+1)*h], t.gu[2*i*h:(2*i+1)*h], t.gu[(2*i+1)*h:(2*i+2)*h]
		if t.dgu == nil {
			swiglu(t.isa, y, gate, up)
			continue
		}
		swigluBack(t.isa, t.dgu[2*i*h:(2*i+1)*h], t.dgu[(2*i+1)*h:(2*i+2)*h], y, gate, up)
	}
}

func swiglu(isa ISA, y, gate, up []float32) {
	if swigluSIMD(isa, y, gate, up) {
		return
	}
	for i := range y {
		y[i] = siluValue(gate[i]) * up[i]
	}
}

func swigluBack(isa ISA, dgate, dup, dy, gate, up []float32) {
	if swigluBackSIMD(isa, dgate, dup, dy, gate, up) {
		return
	}
	for i, d := range dy {
		value, slope := siluBoth(gate[i])
		dgate[i], dup[i] = float32(d*up[i])*slope, d*value
	}
}
