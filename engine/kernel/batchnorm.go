package kernel

import "fmt"

// BatchNorm is the shape of a batch normalisation: images are (Batch, C, Size), Size being
// the number of positions, and each channel is normalised over images and positions. The
// running statistics move by the share Momentum of each batch. With ReLU, negative results
// become zero (Ioffe and Szegedy, "Batch normalization", 2015).
type BatchNorm struct {
	Batch, C, Size int
	Eps, Momentum  float32
	ReLU           bool
}

// Check reports sizes that are not positive.
func (b BatchNorm) Check() error {
	if min(b.Batch, b.C, b.Size) < 1 {
		return fmt.Errorf("batch norm %+v: all sizes must be positive", b)
	}
	return nil
}

// CheckTrain reports a shape that [BatchNormOp.Train] cannot normalise: a single element per
// channel has no variance. The running statistics serve for it, see [BatchNormOp.Eval].
func (b BatchNorm) CheckTrain() error {
	if err := b.Check(); err != nil {
		return err
	}
	if b.Batch*b.Size < 2 {
		return fmt.Errorf("batch norm %+v: one element per channel has no variance", b)
	}
	return nil
}

// BatchNormOp computes a batch normalisation and its gradients. It keeps the mean and the
// inverse standard deviation of each channel of the last Train. An op is for one goroutine
// at a time.
//
// Sums over a channel run in 64 lanes, by the position in the image modulo 64, image by
// image; the lanes are added by a fixed tree.
type BatchNormOp struct {
	BatchNorm
	isa       ISA
	mean, inv []float32 // by channel
	train     bnTrain
	eval      bnEval
	back      bnBack
}

// NewBatchNormOp returns an op for a shape that passed [BatchNorm.Check].
func NewBatchNormOp(b BatchNorm) *BatchNormOp { return newBatchNormOp(current, b) }

func newBatchNormOp(isa ISA, b BatchNorm) *BatchNormOp {
	if err := b.Check(); err != nil {
		panic("kernel: " + err.Error())
	}
	o := &BatchNormOp{BatchNorm: b, isa: isa, mean: make([]float32, b.C), inv: make([]float32, b.C)}
	o.train.BatchNormOp, o.eval.BatchNormOp, o.back.BatchNormOp = o, o, o
	return o
}

// bnOperands are the operands of a pass; which are set depends on it.
type bnOperands struct {
	*BatchNormOp
	y, x, gamma, beta, runMean, runVar []float32
	dx, dgamma, dbeta, dy              []float32
}

// release forgets the operands.
func (o *bnOperands) release() { *o = bnOperands{BatchNormOp: o.BatchNormOp} }

type (
	bnTrain struct{ bnOperands }
	bnEval  struct{ bnOperands }
	bnBack  struct{ bnOperands }
)

// Train normalises x by its own statistics, scales by gamma and adds beta, writes that to y,
// which may be x if no Backward follows, and moves runMean and runVar, the latter by the
// variance over n-1. Variances are sums of squared differences to the mean. The shape must
// have passed [BatchNorm.CheckTrain].
func (o *BatchNormOp) Train(p *Pool, y, x, gamma, beta, runMean, runVar []float32) {
	if err := o.CheckTrain(); err != nil {
		panic("kernel: " + err.Error())
	}
	o.need("Train", min(len(y), len(x)), min(len(gamma), len(beta), len(runMean), len(runVar)))
	t := &o.train
	t.y, t.x, t.gamma, t.beta, t.runMean, t.runVar = y, x, gamma, beta, runMean, runVar
	p.Run(o.C, 1, t)
	t.release()
}

// Eval normalises x by the running statistics.
func (o *BatchNormOp) Eval(p *Pool, y, x, gamma, beta, runMean, runVar []float32) {
	o.need("Eval", min(len(y), len(x)), min(len(gamma), len(beta), len(runMean), len(runVar)))
	t := &o.eval
	t.y, t.x, t.gamma, t.beta, t.runMean, t.runVar = y, x, gamma, beta, runMean, runVar
	p.Run(o.C, 1, t)
	t.release()
}

// Backward overwrites dx, which may be dy, dgamma and dbeta with the gradients of the last
// Train, given the gradient dy of its result y and its x and gamma. y is read only with ReLU
// and may be nil without.
func (o *BatchNormOp) Backward(p *Pool, dx, dgamma, dbeta, dy, x, y, gamma []float32) {
	n := min(len(dx), len(dy), len(x))
	if o.ReLU {
		n = min(n, len(y))
	}
	o.need("Backward", n, min(len(dgamma), len(dbeta), len(gamma)))
	t := &o.back
	t.dx, t.dgamma, t.dbeta, t.dy, t.x, t.y, t.gamma = dx, dgamma, dbeta, dy, x, y, gamma
	p.Run(o.C, 1, t)
	t.release()
}

func (o *BatchNormOp) need(what string, elements, channels int) {
	if elements < o.Batch*o.C*o.Size || channels < o.C {
		panic(fmt.Sprintf("kernel: BatchNorm %+v: %s got %d elements and %d channels", o.BatchNorm, what, elements, channels))
	}
}

// Do normalises channels [lo, hi).
func (t *bnTrain) Do(lo, hi int) {
	count := float32(t.Batch * t.Size)
	for c := lo; c < hi; c++ {
		mean, squares := t.moments(c)
		inv := inverseRoot(squares/count, t.Eps)
		t.mean[c], t.inv[c] = mean, inv
		t.runMean[c] = fma32(t.Momentum, mean-t.runMean[c], t.runMean[c])
		t.runVar[c] = fma32(t.Momentum, squares/(count-1)-t.runVar[c], t.runVar[c])
		t.apply(c, mean, float32(inv*t.gamma[c]), t.beta[c])
	}
}

// Do normalises channels [lo, hi).
func (t *bnEval) Do(lo, hi int) {
	for c := lo; c < hi; c++ {
		t.apply(c, t.runMean[c], float32(inverseRoot(t.runVar[c], t.Eps)*t.gamma[c]), t.beta[c])
	}
}

// moments returns the mean of channel c of x and the sum of the squared differences to it.
func (o *bnOperands) moments(c int) (mean, squares float32) {
	var acc, differences bnLanes
	for n := range o.Batch {
		bnSum(o.isa, &acc, o.plane(o.x, n, c))
	}
	mean = acc.sum() / float32(o.Batch*o.Size)
	for n := range o.Batch {
		bnSquares(o.isa, &differences, o.plane(o.x, n, c), mean)
	}
	return mean, differences.sum()
}

// plane returns the positions of a channel of an image.
func (o *BatchNormOp) plane(x []float32, n, c int) []float32 {
	at := (n*o.C + c) * o.Size
	return x[at : at+o.Size]
}

// apply writes (x - mean)*scale + shift to y.
func (o *bnOperands) apply(c int, mean, scale, shift float32) {
	for n := range o.Batch {
		bnApply(o.isa, o.plane(o.y, n, c), o.plane(o.x, n, c), mean, scale, shift, o.ReLU)
	}
}

// Do computes the gradients of channels [lo, hi). With d = x - mean, g the gradient of the
// result (zero where ReLU gave zero), N elements and the means mg of g and mgd of g*d:
//
//	dx = gamma*inv * (g - mg - d*inv*inv*mgd)
func (t *bnBack) Do(lo, hi int) {
	count := float32(t.Batch * t.Size)
	for c := lo; c < hi; c++ {
		var g, gd bnLanes
		mean, inv := t.mean[c], t.inv[c]
		for n := range t.Batch {
			bnGradSums(t.isa, &g, &gd, t.plane(t.dy, n, c), t.plane(t.x, n, c), t.mask(n, c), mean)
		}
		sum, product := g.sum(), gd.sum()
		t.dbeta[c], t.dgamma[c] = sum, float32(product*inv)
		scale := float32(t.gamma[c] * inv)
		slope := -float32(float32(float32(product/count)*inv) * inv)
		for n := range t.Batch {
			bnGradApply(t.isa, t.plane(t.dx, n, c), t.plane(t.dy, n, c), t.plane(t.x, n, c), t.mask(n, c), mean, sum/count, slope, scale)
		}
	}
}

// mask returns the plane of y that tells where ReLU passed, nil without ReLU.
func (t *bnBack) mask(n, c int) []float32 {
	if !t.ReLU {
		return nil
	}
	return t.plane(t.y, n, c)
}
