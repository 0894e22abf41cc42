package kernel

// MaxPool is the shape of a pool that takes the largest element of each window of K x K:
// images are (Planes, H, W), Planes being batch times channels, results (Planes, OutH,
// OutW). Pad rows and columns that never win surround each image.
type MaxPool struct{ Planes, H, W, K, Stride, Pad int }

func (m MaxPool) window() window { return window{m.Planes, m.H, m.W, m.K, m.Stride, m.Pad} }

// OutH returns the number of rows of a result.
func (m MaxPool) OutH() int { return m.window().outH() }

// OutW returns the number of columns of a result.
func (m MaxPool) OutW() int { return m.window().outW() }

// Check reports a shape that has no result.
func (m MaxPool) Check() error { return m.window().check("max") }

// MaxPoolOp computes a max pool and its gradient. It keeps where the largest elements were.
// An op is for one goroutine at a time.
type MaxPoolOp struct {
	window
	isa      ISA
	index    []int32 // of the largest element in its plane
	forward  maxForward
	backward maxBackward
}

// NewMaxPoolOp returns an op for a shape that passed [MaxPool.Check].
func NewMaxPoolOp(m MaxPool) *MaxPoolOp { return newMaxPoolOp(current, m) }

func newMaxPoolOp(isa ISA, m MaxPool) *MaxPoolOp {
	if err := m.Check(); err != nil {
		panic("kernel: " + err.Error())
	}
	o := &MaxPoolOp{window: m.window(), isa: isa}
	o.index = make([]int32, o.planes*o.outH()*o.outW())
	o.forward.MaxPoolOp, o.backward.MaxPoolOp = o, o
	return o
}

// Forward writes the largest element of each window of x to y: the first of equals, and NaN
// if there is one.
func (o *MaxPoolOp) Forward(p *Pool, y, x []float32) {
	o.need("max", len(y), len(x))
	o.forward.y, o.forward.x = y, x
	p.Run(o.planes, planesAtOnce(o.h*o.w), &o.forward)
	o.forward.y, o.forward.x = nil, nil
}

// Backward overwrites dx with the gradient of the images of the last Forward, given the
// gradient dy of the result. Where windows overlap, terms are added in the order of the windows.
func (o *MaxPoolOp) Backward(p *Pool, dx, dy []float32) {
	o.need("max", len(dy), len(dx))
	o.backward.dx, o.backward.dy = dx, dy
	p.Run(o.planes, planesAtOnce(o.h*o.w), &o.backward)
	o.backward.dx, o.backward.dy = nil, nil
}

// halves reports whether windows are the quarters of squares of 2 x 2, which has code of
// its own.
func (o *MaxPoolOp) halves() bool { return o.k == 2 && o.stride == 2 && o.pad == 0 }

type maxForward struct {
	*MaxPoolOp
	y, x []float32
}

// Do computes planes [lo, hi).
func (o *maxForward) Do(lo, hi int) {
	oh, ow := o.outH(), o.outW()
	for i := lo; i < hi; i++ {
		x := o.x[i*o.h*o.w : (i+1)*o.h*o.w]
		y, index := o.y[i*oh*ow:(i+1)*oh*ow], o.index[i*oh*ow:(i+1)*oh*ow]
		if o.halves() && maxPairsSIMD(o.isa, y, index, x, o.w) {
			continue
		}
		for r := range oh {
			if o.halves() {
				o.pairs(y[r*ow:(r+1)*ow], index[r*ow:], x, 2*r)
				continue
			}
			for c := range ow {
				y[r*ow+c], index[r*ow+c] = o.largest(x, r, c)
			}
		}
	}
}

// largest returns the largest element of a window and its index.
func (o *maxForward) largest(x []float32, r, c int) (float32, int32) {
	top, bottom := o.bounds(r, o.h)
	left, right := o.bounds(c, o.w)
	at := top*o.w + left
	best := x[at]
	for i := top; i < bottom; i++ {
		for j := left; j < right; j++ {
			if v := x[i*o.w+j]; v > best || (v != v && best == best) {
				best, at = v, i*o.w+j
			}
		}
	}
	return best, int32(at)
}

// pairs computes a row of results from rows row and row+1 of x.
func (o *maxForward) pairs(y []float32, index []int32, x []float32, row int) {
	first, second := x[row*o.w:(row+1)*o.w], x[(row+1)*o.w:(row+2)*o.w]
	for c := range y {
		best, at := first[2*c], 2*c
		for i, v := range [3]float32{first[2*c+1], second[2*c], second[2*c+1]} {
			if v > best || (v != v && best == best) {
				best, at = v, 2*c+(i+1)/2*o.w+(i+1)%2
			}
		}
		y[c], index[c] = best, int32(row*o.w+at)
	}
}

type maxBackward struct {
	*MaxPoolOp
	dx, dy []float32
}

// Do computes planes [lo, hi).
func (o *maxBackward) Do(lo, hi int) {
	size := o.outH() * o.outW()
	for i := lo; i < hi; i++ {
		dx := o.dx[i*o.h*o.w : (i+1)*o.h*o.w]
		dy, index := o.dy[i*size:(i+1)*size], o.index[i*size:(i+1)*size]
		if o.halves() && maxPairsBackSIMD(o.isa, dx, index, dy, o.w) {
			clear(dx[2*o.outH()*o.w:])
			continue
		}
		clear(dx)
		for j, v := range dy {
			dx[index[j]] += v
		}
	}
}
