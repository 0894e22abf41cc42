package kernel

// AvgPool is the shape of a pool that takes the mean of each window of K x K: images are
// (Planes, H, W), Planes being batch times channels, results (Planes, OutH, OutW). Pad rows
// and columns of zeros surround each image and count in the mean.
type AvgPool struct{ Planes, H, W, K, Stride, Pad int }

func (a AvgPool) window() window { return window{a.Planes, a.H, a.W, a.K, a.Stride, a.Pad} }

// OutH returns the number of rows of a result.
func (a AvgPool) OutH() int { return a.window().outH() }

// OutW returns the number of columns of a result.
func (a AvgPool) OutW() int { return a.window().outW() }

// Check reports a shape that has no result.
func (a AvgPool) Check() error { return a.window().check("average") }

// AvgPoolOp computes an average pool and its gradient. An op is for one goroutine at a time.
type AvgPoolOp struct {
	window
	forward  avgForward
	backward avgBackward
}

// NewAvgPoolOp returns an op for a shape that passed [AvgPool.Check].
func NewAvgPoolOp(a AvgPool) *AvgPoolOp {
	if err := a.Check(); err != nil {
		panic("kernel: " + err.Error())
	}
	o := &AvgPoolOp{window: a.window()}
	o.forward.AvgPoolOp, o.backward.AvgPoolOp = o, o
	return o
}

// Forward writes the mean of each window of x to y: the sum in row-major order, divided by K*K.
func (o *AvgPoolOp) Forward(p *Pool, y, x []float32) {
	o.need("average", len(y), len(x))
	o.forward.y, o.forward.x = y, x
	p.Run(o.planes, planesAtOnce(o.h*o.w), &o.forward)
	o.forward.y, o.forward.x = nil, nil
}

// Backward overwrites dx with the gradient of the images, given the gradient dy of the
// result. Where windows overlap, terms are added in the order of the windows.
func (o *AvgPoolOp) Backward(p *Pool, dx, dy []float32) {
	o.need("average", len(dy), len(dx))
	o.backward.dx, o.backward.dy = dx, dy
	p.Run(o.planes, planesAtOnce(o.h*o.w), &o.backward)
	o.backward.dx, o.backward.dy = nil, nil
}

type avgForward struct {
	*AvgPoolOp
	y, x []float32
}

// Do computes planes [lo, hi).
func (o *avgForward) Do(lo, hi int) {
	oh, ow, count := o.outH(), o.outW(), float32(o.k*o.k)
	for i := lo; i < hi; i++ {
		x, y := o.x[i*o.h*o.w:(i+1)*o.h*o.w], o.y[i*oh*ow:(i+1)*oh*ow]
		for j := range y {
			top, bottom := o.bounds(j/ow, o.h)
			left, right := o.bounds(j%ow, o.w)
			sum := float32(0)
			for r := top; r < bottom; r++ {
				for _, v := range x[r*o.w+left : r*o.w+right] {
					sum += v
				}
			}
			y[j] = sum / count
		}
	}
}

type avgBackward struct {
	*AvgPoolOp
	dx, dy []float32
}

// Do computes planes [lo, hi).
func (o *avgBackward) Do(lo, hi int) {
	oh, ow, count := o.outH(), o.outW(), float32(o.k*o.k)
	for i := lo; i < hi; i++ {
		dx := o.dx[i*o.h*o.w : (i+1)*o.h*o.w]
		clear(dx)
		for j, v := range o.dy[i*oh*ow : (i+1)*oh*ow] {
			v /= count
			top, bottom := o.bounds(j/ow, o.h)
			left, right := o.bounds(j%ow, o.w)
			for r := top; r < bottom; r++ {
				row := dx[r*o.w+left : r*o.w+right]
				for c := range row {
					row[c] += v
				}
			}
		}
	}
}
