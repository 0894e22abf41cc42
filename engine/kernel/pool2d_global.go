package kernel

import "fmt"

// GlobalAvgPoolOp takes the mean of whole planes. An op is for one goroutine at a time.
type GlobalAvgPoolOp struct {
	planes, size int
	isa          ISA
	forward      globalForward
	backward     globalBackward
}

// NewGlobalAvgPoolOp returns an op for images (planes, size), planes being batch times
// channels. Both must be positive.
func NewGlobalAvgPoolOp(planes, size int) *GlobalAvgPoolOp {
	return newGlobalAvgPoolOp(current, planes, size)
}

func newGlobalAvgPoolOp(isa ISA, planes, size int) *GlobalAvgPoolOp {
	if planes < 1 || size < 1 {
		panic(fmt.Sprintf("kernel: global average pool of %d planes of %d", planes, size))
	}
	o := &GlobalAvgPoolOp{planes: planes, size: size, isa: isa}
	o.forward.GlobalAvgPoolOp, o.backward.GlobalAvgPoolOp = o, o
	return o
}

// Forward writes the mean of each plane of x to y, (planes).
func (o *GlobalAvgPoolOp) Forward(p *Pool, y, x []float32) {
	o.need(len(y), len(x))
	o.forward.y, o.forward.x = y, x
	p.Run(o.planes, planesAtOnce(o.size), &o.forward)
	o.forward.y, o.forward.x = nil, nil
}

// Backward overwrites dx with the gradient of the images, given the gradient dy of the means.
func (o *GlobalAvgPoolOp) Backward(p *Pool, dx, dy []float32) {
	o.need(len(dy), len(dx))
	o.backward.dx, o.backward.dy = dx, dy
	p.Run(o.planes, planesAtOnce(o.size), &o.backward)
	o.backward.dx, o.backward.dy = nil, nil
}

func (o *GlobalAvgPoolOp) need(y, x int) {
	if y < o.planes || x < o.planes*o.size {
		panic(fmt.Sprintf("kernel: global average pool of %d planes of %d got %d results and %d inputs", o.planes, o.size, y, x))
	}
}

type globalForward struct {
	*GlobalAvgPoolOp
	y, x []float32
}

// Do computes planes [lo, hi).
func (o *globalForward) Do(lo, hi int) {
	for i := lo; i < hi; i++ {
		x := o.x[i*o.size : (i+1)*o.size]
		var acc lanesOf
		for j := sumSIMD(o.isa, &acc, x); j < len(x); j++ {
			acc[j%lanes] += x[j]
		}
		o.y[i] = acc.sum() / float32(o.size)
	}
}

type globalBackward struct {
	*GlobalAvgPoolOp
	dx, dy []float32
}

// Do computes planes [lo, hi).
func (o *globalBackward) Do(lo, hi int) {
	for i := lo; i < hi; i++ {
		v := o.dy[i] / float32(o.size)
		dx := o.dx[i*o.size : (i+1)*o.size]
		for j := range dx {
			dx[j] = v
		}
	}
}
