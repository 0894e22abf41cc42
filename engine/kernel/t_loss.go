package kernel

import (
	"fmt"
	"math"
)

// CrossEntropyOp is the mean over rows of the cross-entropy of softmax(logits) with a target
// class, fused so that the probabilities are not stored. With smoothing s the target
// distribution has 1-s on the target and s spread over all classes (Szegedy and others,
// "Rethinking the inception architecture", 2015; PyTorch's label_smoothing).
type CrossEntropyOp struct {
	onISA
	rows, classes int
	smoothing     float32
	top, inv      []float32 // of each row: largest logit, 1 / sum of exponentials
	loss          []float64 // of each row
	logits        []float32 // of the last Forward
	targets       []int32
	counted       int
	task          lossTask
}

// NewCrossEntropyOp returns an op for rows of logits. Smoothing is from 0 to 1.
func NewCrossEntropyOp(rows, classes int, smoothing float32) *CrossEntropyOp {
	if rows < 0 || classes < 1 || !(smoothing >= 0 && smoothing <= 1) {
		panic(fmt.Sprintf("kernel: CrossEntropyOp of %d rows of %d classes, smoothing %v", rows, classes, smoothing))
	}
	return &CrossEntropyOp{
		onISA: onISA{current}, rows: rows, classes: classes, smoothing: smoothing,
		top: make([]float32, rows), inv: make([]float32, rows), loss: make([]float64, rows),
	}
}

// Forward returns the mean loss of the rows of logits (rows, classes) whose target is not
// negative, and how many they are; others do not count. The loss of no rows is 0. A target
// that is no class panics. Logits and targets are kept for Backward and must not change
// before it.
func (o *CrossEntropyOp) Forward(p *Pool, logits []float32, targets []int32) (loss float32, counted int) {
	if len(logits) < o.rows*o.classes || len(targets) < o.rows {
		panic(fmt.Sprintf("kernel: CrossEntropyOp.Forward of %d rows of %d classes, %d logits and %d targets", o.rows, o.classes, len(logits), len(targets)))
	}
	for i, t := range targets[:o.rows] {
		if int(t) >= o.classes {
			panic(fmt.Sprintf("kernel: CrossEntropyOp.Forward: target %d of row %d is not below %d classes", t, i, o.classes))
		}
		if t >= 0 {
			counted++
		}
	}
	o.logits, o.targets, o.counted = logits, targets, counted
	o.task = lossTask{op: o}
	p.Run(o.rows, grainRows(o.classes), &o.task)
	o.task = lossTask{}
	if counted == 0 {
		return 0, 0
	}
	sum := 0.0
	for i, t := range targets[:o.rows] {
		if t >= 0 {
			sum += o.loss[i]
		}
	}
	return float32(sum / float64(counted)), counted
}

// Backward writes scale times the gradient of the mean loss of the last Forward to dlogits
// (rows, classes), which may be the logits themselves: then it can be called once.
func (o *CrossEntropyOp) Backward(p *Pool, dlogits []float32, scale float32) {
	if len(dlogits) < o.rows*o.classes || len(o.logits) < o.rows*o.classes {
		panic(fmt.Sprintf("kernel: CrossEntropyOp.Backward of %d rows of %d classes, %d elements, after a Forward of %d", o.rows, o.classes, len(dlogits), len(o.logits)))
	}
	o.task = lossTask{op: o, dlogits: dlogits, scale: scale / float32(max(o.counted, 1))}
	p.Run(o.rows, grainRows(o.classes), &o.task)
	o.task = lossTask{}
}

// lossTask computes rows: losses, or gradients if dlogits is set.
type lossTask struct {
	op      *CrossEntropyOp
	dlogits []float32
	scale   float32 // of the gradient of one row
}

func (t *lossTask) Do(lo, hi int) {
	o := t.op
	for i := lo; i < hi; i++ {
		x := o.logits[i*o.classes : (i+1)*o.classes]
		switch {
		case t.dlogits != nil:
			t.gradient(i, t.dlogits[i*o.classes:(i+1)*o.classes], x)
		case o.targets[i] >= 0:
			o.row(i, x)
		}
	}
}

// row computes the loss of row i.
func (o *CrossEntropyOp) row(i int, x []float32) {
	top := rowMax(o.isa, x)
	sum := rowExpSum(o.isa, x, top)
	o.top[i], o.inv[i] = top, 1/sum
	norm := float64(top) + logd(float64(sum)) // minus the logarithm of exp(0)'s share
	s := float64(o.smoothing)
	mean := float64((1 - s) * float64(x[o.targets[i]]))
	if s > 0 {
		mean += float64(s * (float64(rowSum(o.isa, x)) / float64(o.classes)))
	}
	o.loss[i] = norm - mean
}

// gradient is softmax(x) minus the target distribution, times the scale.
func (t *lossTask) gradient(i int, dx, x []float32) {
	o, target := t.op, t.op.targets[i]
	if target < 0 {
		clear(dx)
		return
	}
	shift := -float32(t.scale * float32(o.smoothing/float32(o.classes)))
	rowExpScale(o.isa, dx, x, o.top[i], o.inv[i]*t.scale, shift)
	dx[target] -= float32(t.scale * (1 - o.smoothing))
}

// rowMax returns the largest element; NaN may be passed over.
func rowMax(isa ISA, x []float32) float32 {
	if m, ok := rowMaxSIMD(isa, x); ok {
		return m
	}
	var acc [4]lanesOf // blocks of 64 elements are compared at once, the rest with the first 16
	for i := range acc {
		for l := range lanes {
			acc[i][l] = float32(math.Inf(-1))
		}
	}
	done := len(x) &^ (4*lanes - 1)
	for i, v := range x[:done] {
		top := &acc[i/lanes%4][i%lanes]
		*top = maxps(*top, v)
	}
	for l := range lanes {
		for _, more := range acc[1:] {
			acc[0][l] = maxps(acc[0][l], more[l])
		}
	}
	for i, v := range x[done:] {
		acc[0][i%lanes] = maxps(acc[0][i%lanes], v)
	}
	return acc[0].top()
}

// top returns the largest lane, by the same tree as sum.
func (l *lanesOf) top() float32 {
	for w := lanes / 2; w > 0; w /= 2 {
		for i := range w {
			l[i] = maxps(l[i], l[i+w])
		}
	}
	return l[0]
}

// rowExpSum returns the sum of exp(x - m).
func rowExpSum(isa ISA, x []float32, m float32) float32 {
	if s, ok := rowExpSumSIMD(isa, x, m); ok {
		return s
	}
	var acc lanesOf
	for i, v := range x {
		acc[i%lanes] += expf(v - m)
	}
	return acc.sum()
}

// rowSum returns the sum of x.
func rowSum(isa ISA, x []float32) float32 {
	if s, ok := rowSumSIMD(isa, x); ok {
		return s
	}
	var acc lanesOf
	for i, v := range x {
		acc[i%lanes] += v
	}
	return acc.sum()
}

// rowExpScale writes exp(x - m) * k + c to dst.
func rowExpScale(isa ISA, dst, x []float32, m, k, c float32) {
	if rowExpScaleSIMD(isa, dst, x, m, k, c) {
		return
	}
	for i, v := range x {
		dst[i] = fma32(expf(v-m), k, c)
	}
}

// sumChunk is the number of elements whose squares are summed before the sums of chunks are
// added in their order.
const sumChunk = 4096

// squaresTask sums the squares of chunks of x, or of x - y, in float64: the square of a
// float32 is exact there.
type squaresTask struct {
	isa     ISA
	x, y    []float32
	partial []float64
}

// run returns the sum.
func (t *squaresTask) run(p *Pool) float64 {
	chunks := (len(t.x) + sumChunk - 1) / sumChunk
	if cap(t.partial) < chunks {
		t.partial = make([]float64, chunks)
	}
	t.partial = t.partial[:chunks]
	p.Run(chunks, grainElements/sumChunk, t)
	t.x, t.y = nil, nil
	sum := 0.0
	for _, v := range t.partial {
		sum += v
	}
	return sum
}

func (t *squaresTask) Do(lo, hi int) {
	for c := lo; c < hi; c++ {
		from, to := c*sumChunk, min((c+1)*sumChunk, len(t.x))
		if t.y != nil {
			t.partial[c] = sumSquares(t.isa, t.x[from:to], t.y[from:to])
		} else {
			t.partial[c] = sumSquares(t.isa, t.x[from:to], nil)
		}
	}
}

// sumSquares returns the sum of the squares of x, or of x - y if there is a y.
func sumSquares(isa ISA, x, y []float32) float64 {
	var acc [lanes]float64
	for i := sumSquaresSIMD(isa, &acc, x, y); i < len(x); i++ {
		v := x[i]
		if y != nil {
			v -= y[i]
		}
		acc[i%lanes] += float64(v) * float64(v)
	}
	for w := lanes / 2; w > 0; w /= 2 {
		for i := range w {
			acc[i] += acc[i+w]
		}
	}
	return acc[0]
}

// SumSquaresOp sums squares, for the norm of a gradient.
type SumSquaresOp struct{ task squaresTask }

// NewSumSquaresOp returns an op.
func NewSumSquaresOp() *SumSquaresOp { return &SumSquaresOp{squaresTask{isa: current}} }

// Run returns the sum of the squares of x.
func (o *SumSquaresOp) Run(p *Pool, x []float32) float64 {
	o.task.x = x
	return o.task.run(p)
}

// MSEOp is the mean squared error of n numbers.
type MSEOp struct {
	n    int
	sum  squaresTask
	task mapTask
}

// NewMSEOp returns an op for n numbers, at least one.
func NewMSEOp(n int) *MSEOp {
	if n < 1 {
		panic(fmt.Sprintf("kernel: MSEOp of %d numbers", n))
	}
	return &MSEOp{n: n, sum: squaresTask{isa: current}}
}

// Forward returns the mean of (y - target)^2.
func (o *MSEOp) Forward(p *Pool, y, target []float32) float32 {
	checkLen("MSEOp.Forward", o.n, len(y), len(target))
	o.sum.x, o.sum.y = y[:o.n], target[:o.n]
	return float32(o.sum.run(p) / float64(o.n))
}

// Backward writes scale times the gradient of the mean to dy, which may be y or target.
func (o *MSEOp) Backward(p *Pool, dy, y, target []float32, scale float32) {
	checkLen("MSEOp.Backward", o.n, len(dy), len(y), len(target))
	o.task = mapTask{do: scaleDifference, isa: o.sum.isa, y: dy, a: y, b: target, s: 2 * scale / float32(o.n)}
	o.task.run(p, o.n)
}

func scaleDifference(t *mapTask, lo, hi int) {
	dy, y, target := t.y[lo:hi], t.a[lo:hi], t.b[lo:hi]
	if scaleDifferenceSIMD(t.isa, dy, y, target, t.s) {
		return
	}
	for i, v := range y {
		dy[i] = (v - target[i]) * t.s
	}
}
