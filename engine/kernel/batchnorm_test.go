package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

var batchNormShapes = []kernel.BatchNorm{
	{Batch: 2, C: 1, Size: 1},
	{Batch: 1, C: 3, Size: 7},
	{Batch: 8, C: 5, Size: 16},
	{Batch: 4, C: 4, Size: 64},
	{Batch: 3, C: 7, Size: 49},
	{Batch: 2, C: 5, Size: 127},
	{Batch: 2, C: 3, Size: 1024},
	{Batch: 1, C: 2, Size: 255},
}

// bnData holds the operands and results of a batch norm.
type bnData struct {
	x, y, gamma, beta, runMean, runVar []float32
	dy, dx, dgamma, dbeta, eval        []float32
}

func newBNData(b kernel.BatchNorm) *bnData {
	rng := rand.New(rand.NewPCG(uint64(b.C), uint64(b.Size)))
	n := b.Batch * b.C * b.Size
	d := &bnData{
		x: randoms(rng, n, 2), gamma: randoms(rng, b.C, 1), beta: randoms(rng, b.C, 1), dy: randoms(rng, n, 1),
		y: nans(n), dx: nans(n), dgamma: nans(b.C), dbeta: nans(b.C), eval: nans(n),
		runMean: randoms(rng, b.C, 1), runVar: make([]float32, b.C),
	}
	for i := range d.x {
		d.x[i] += 3
	}
	for i := range d.runVar {
		d.runVar[i] = rng.Float32() + 0.5
	}
	return d
}

func (d *bnData) run(p *kernel.Pool, op *kernel.BatchNormOp) {
	op.Eval(p, d.eval, d.x, d.gamma, d.beta, d.runMean, d.runVar)
	op.Train(p, d.y, d.x, d.gamma, d.beta, d.runMean, d.runVar)
	op.Backward(p, d.dx, d.dgamma, d.dbeta, d.dy, d.x, d.y, d.gamma)
}

func forEachBatchNorm(t *testing.T, f func(t *testing.T, b kernel.BatchNorm)) {
	for _, b := range batchNormShapes {
		for _, relu := range []bool{false, true} {
			b.Eps, b.Momentum, b.ReLU = 1e-5, 0.1, relu
			t.Run(fmt.Sprintf("%dx%dx%d,relu=%v", b.Batch, b.C, b.Size, relu), func(t *testing.T) {
				t.Parallel()
				f(t, b)
			})
		}
	}
}

func TestBatchNormHasTheSameBits(t *testing.T) {
	t.Parallel()
	t.Logf("instruction sets covered: %v", kernel.Supported())
	forEachBatchNorm(t, func(t *testing.T, b kernel.BatchNorm) {
		for _, spoilt := range []bool{false, true} {
			var want *bnData
			for _, isa := range kernel.Supported() {
				for threads := 1; threads <= 3; threads++ {
					p := kernel.NewPool(threads)
					got := newBNData(b)
					if spoilt {
						got.x[0], got.dy[len(got.dy)-1] = nan32, inf32
					}
					got.run(p, kernel.NewBatchNormOpISA(isa, b))
					p.Close()
					if want == nil {
						want = got
					}
					what := fmt.Sprintf("%s, %d threads", isa, threads)
					sameBits(t, what+": y", got.y, want.y)
					sameBits(t, what+": eval", got.eval, want.eval)
					sameBits(t, what+": runMean", got.runMean, want.runMean)
					sameBits(t, what+": runVar", got.runVar, want.runVar)
					sameBits(t, what+": dx", got.dx, want.dx)
					sameBits(t, what+": dgamma", got.dgamma, want.dgamma)
					sameBits(t, what+": dbeta", got.dbeta, want.dbeta)
				}
			}
			if spoilt && (want.y[0] == want.y[0] || want.runMean[0] == want.runMean[0]) {
				t.Errorf("NaN gave %v and a running mean of %v", want.y[0], want.runMean[0])
			}
		}
	})
}

// bnStats returns the mean and the sum of squared differences of a channel.
func bnStats(b kernel.BatchNorm, x []float32, c int) (mean, squares float64) {
	n := float64(b.Batch * b.Size)
	for i, v := range x {
		if i/b.Size%b.C == c {
			mean += float64(v) / n
		}
	}
	for i, v := range x {
		if i/b.Size%b.C == c {
			squares += (float64(v) - mean) * (float64(v) - mean)
		}
	}
	return mean, squares
}

// bnForward is a float64 batch norm by statistics of the batch.
func bnForward(b kernel.BatchNorm, x, gamma, beta []float32) []float64 {
	y := make([]float64, len(x))
	for c := range b.C {
		mean, squares := bnStats(b, x, c)
		for i, v := range x {
			if i/b.Size%b.C == c {
				y[i] = (float64(v)-mean)/math.Sqrt(squares/float64(b.Batch*b.Size)+float64(b.Eps))*float64(gamma[c]) + float64(beta[c])
				if b.ReLU {
					y[i] = max(y[i], 0)
				}
			}
		}
	}
	return y
}

func TestBatchNormAgainstFloat64(t *testing.T) {
	t.Parallel()
	forEachBatchNorm(t, func(t *testing.T, b kernel.BatchNorm) {
		p := kernel.NewPool(1)
		defer p.Close()
		d, old := newBNData(b), newBNData(b)
		d.run(p, kernel.NewBatchNormOp(b))
		for i, want := range bnForward(b, d.x, d.gamma, d.beta) {
			near(t, "y", d.y[i], want, 2e-5)
			c := i / b.Size % b.C
			eval := (float64(d.x[i])-float64(old.runMean[c]))/math.Sqrt(float64(old.runVar[c])+float64(b.Eps))*float64(d.gamma[c]) + float64(d.beta[c])
			if b.ReLU {
				eval = max(eval, 0)
			}
			near(t, "eval", d.eval[i], eval, 2e-6)
		}
		for c := range b.C {
			mean, squares := bnStats(b, d.x, c)
			near(t, "runMean", d.runMean[c], 0.9*float64(old.runMean[c])+0.1*mean, 1e-6)
			near(t, "runVar", d.runVar[c], 0.9*float64(old.runVar[c])+0.1*squares/float64(b.Batch*b.Size-1), 1e-6)
		}
	})
}

func TestBatchNormGradientsAreDerivatives(t *testing.T) {
	t.Parallel()
	forEachBatchNorm(t, func(t *testing.T, b kernel.BatchNorm) {
		b.Eps = 0.1 // with a step of 1/64, two elements would have no slope otherwise
		p := kernel.NewPool(1)
		defer p.Close()
		d := newBNData(b)
		d.run(p, kernel.NewBatchNormOp(b))
		loss := func() float64 {
			sum := 0.0
			for i, v := range bnForward(b, d.x, d.gamma, d.beta) {
				sum += v * float64(d.dy[i])
			}
			return sum
		}
		// A step must not carry an element across the bend of ReLU.
		bent := func(i int) bool { return b.ReLU && b.Batch*b.Size < 50 && d.y[i] < 0.2 }
		smooth := !b.ReLU
		rng := rand.New(rand.NewPCG(5, 6))
		for range 10 {
			i, c := rng.IntN(len(d.x)), rng.IntN(b.C)
			if smooth || !bent(i) && b.Batch*b.Size > 200 && d.y[i] > 0.2 {
				near(t, "dx", d.dx[i], centralDifference(d.x, i, loss), 5e-3)
			}
			if smooth {
				near(t, "dgamma", d.dgamma[c], centralDifference(d.gamma, c, loss), 1e-4)
				near(t, "dbeta", d.dbeta[c], centralDifference(d.beta, c, loss), 1e-4)
			}
		}
	})
}

// TestBatchNormWithReLUMasksItsGradient checks that the fused gradient is that of a batch
// norm alone, given a gradient that is zero where ReLU gave zero.
func TestBatchNormWithReLUMasksItsGradient(t *testing.T) {
	t.Parallel()
	b := kernel.BatchNorm{Batch: 3, C: 4, Size: 37, Eps: 1e-5, Momentum: 0.1, ReLU: true}
	p := kernel.NewPool(1)
	defer p.Close()
	fused := newBNData(b)
	fused.run(p, kernel.NewBatchNormOp(b))
	b.ReLU = false
	plain := newBNData(b)
	for i, v := range fused.y {
		if v <= 0 {
			plain.dy[i] = 0
		}
	}
	plain.run(p, kernel.NewBatchNormOp(b))
	for i, v := range plain.y {
		plain.y[i] = max(v, 0)
	}
	sameBits(t, "y", fused.y, plain.y)
	sameBits(t, "dx", fused.dx, plain.dx)
	sameBits(t, "dgamma", fused.dgamma, plain.dgamma)
	sameBits(t, "dbeta", fused.dbeta, plain.dbeta)
}

func TestBatchNormChecksItsInput(t *testing.T) {
	t.Parallel()
	if (kernel.BatchNorm{}).Check() == nil || (kernel.BatchNorm{}).CheckTrain() == nil {
		t.Error("a shape of nothing passed")
	}
	single := kernel.BatchNorm{Batch: 1, C: 1, Size: 1}
	if single.Check() != nil || single.CheckTrain() == nil {
		t.Error("one element per channel must pass Check and not CheckTrain")
	}
	one := []float32{1}
	for name, f := range map[string]func(){
		"short": func() {
			kernel.NewBatchNormOp(kernel.BatchNorm{Batch: 2, C: 1, Size: 2}).Train(nil, nil, nil, nil, nil, nil, nil)
		},
		"single": func() { kernel.NewBatchNormOp(single).Train(nil, one, one, one, one, one, one) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if v, ok := recover().(string); !ok || !strings.HasPrefix(v, "kernel: ") {
					t.Errorf("panic %v", v)
				}
			}()
			f()
		})
	}
}

func TestBatchNormEvalOfOneElement(t *testing.T) {
	t.Parallel()
	p := kernel.NewPool(1)
	defer p.Close()
	y := make([]float32, 2)
	op := kernel.NewBatchNormOp(kernel.BatchNorm{Batch: 1, C: 2, Size: 1})
	op.Eval(p, y, []float32{3, -1}, []float32{2, 1}, []float32{1, 0.5}, []float32{1, 0}, []float32{4, 1})
	sameBits(t, "y", y, []float32{3, -0.5})
}

func TestBatchNormDoesNotAllocate(t *testing.T) {
	b := kernel.BatchNorm{Batch: 3, C: 4, Size: 37, Eps: 1e-5, Momentum: 0.1, ReLU: true}
	p := kernel.NewPool(2)
	defer p.Close()
	d, op := newBNData(b), kernel.NewBatchNormOp(b)
	if got := testing.AllocsPerRun(20, func() { d.run(p, op) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
