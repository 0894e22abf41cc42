package kernel_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

// crossEntropyRef returns the mean loss in float64.
func crossEntropyRef(logits []float64, targets []int32, classes int, smoothing float64) float64 {
	sum, counted := 0.0, 0
	for i, target := range targets {
		if target < 0 {
			continue
		}
		counted++
		x := logits[i*classes : (i+1)*classes]
		top, exps := math.Inf(-1), 0.0
		for _, v := range x {
			top = max(top, v)
		}
		for _, v := range x {
			exps += math.Exp(v - top)
		}
		norm := top + math.Log(exps)
		sum += (1 - smoothing) * (norm - x[target])
		for _, v := range x {
			sum += smoothing / float64(classes) * (norm - v)
		}
	}
	return sum / float64(counted)
}

func crossEntropyOf(isa kernel.ISA, p *kernel.Pool, logits []float32, targets []int32, classes int, smoothing, scale float32) (loss float32, counted int, dlogits []float32) {
	op := kernel.NewCrossEntropyOp(len(targets), classes, smoothing)
	op.UseISA(isa)
	loss, counted = op.Forward(p, logits, targets)
	dlogits = make([]float32, len(logits))
	op.Backward(p, dlogits, scale)
	return loss, counted, dlogits
}

func TestCrossEntropyOp(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		rows, classes int
		smoothing     float32
	}{{1, 1, 0}, {4, 3, 0}, {5, 17, 0.1}, {7, 64, 0.1}, {3, 100, 1}, {9, 33, 0}, {200, 512, 0.1}} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			logits, targets := randoms(rngOf(s.rows), s.rows*s.classes, 3), make([]int32, s.rows)
			want := 0
			for i := range targets {
				targets[i] = int32(i*7) % int32(s.classes)
				if i%4 == 3 {
					targets[i] = -int32(i)
				} else {
					want++
				}
			}
			got := everyWay(t, "CrossEntropy", func(isa kernel.ISA, p *kernel.Pool) []float32 {
				loss, counted, d := crossEntropyOf(isa, p, logits, targets, s.classes, s.smoothing, 2)
				if counted != want {
					t.Errorf("%d rows counted, want %d", counted, want)
				}
				return joined(d, []float32{loss})
			})
			near(t, "loss", got[len(logits)], crossEntropyRef(wide(logits), targets, s.classes, float64(s.smoothing)), 5e-7)
			if len(logits) < 2000 {
				gradientNear(t, "dlogits", got, logits, 1e-6, func(x []float64) float64 {
					return 2 * crossEntropyRef(x, targets, s.classes, float64(s.smoothing))
				})
			}
		})
	}
}

func TestCrossEntropyOpAtTheEnds(t *testing.T) {
	t.Parallel()
	p := newPoolFor(t, 2)
	for _, isa := range kernel.Supported() {
		loss, counted, d := crossEntropyOf(isa, p, filled(20, nan32), []int32{-1, -1}, 10, 0, 1)
		if loss != 0 || counted != 0 {
			t.Errorf("%s: loss of no rows %v, %d", isa, loss, counted)
		}
		sameBits(t, "gradient of no rows", d, make([]float32, 20))
		logits := []float32{-1000, 1000, -inf32, 5}
		loss, _, d = crossEntropyOf(isa, p, logits, []int32{0}, 4, 0, 1)
		if loss != 2000 {
			t.Errorf("%s: loss of far logits %v", isa, loss)
		}
		sameBits(t, "gradient of far logits", d, []float32{-1, 1, 0, 0})
		logits[3] = nan32
		if loss, _, d = crossEntropyOf(isa, p, logits, []int32{0}, 4, 0, 1); loss == loss || d[0] == d[0] {
			t.Errorf("%s: loss with a NaN %v, %v", isa, loss, d)
		}
		logits[3] = 0
		op := kernel.NewCrossEntropyOp(1, 4, 0)
		op.UseISA(isa)
		op.Forward(p, logits, []int32{1})
		op.Backward(p, logits, 1) // in place
		sameBits(t, "in place", logits, make([]float32, 4))
	}
	x := make([]float32, 20)
	for name, f := range map[string]func(){
		"smoothing":     func() { kernel.NewCrossEntropyOp(2, 10, 1.5) },
		"no classes":    func() { kernel.NewCrossEntropyOp(2, 0, 0) },
		"short logits":  func() { kernel.NewCrossEntropyOp(2, 11, 0).Forward(p, x, []int32{0, 0}) },
		"short targets": func() { kernel.NewCrossEntropyOp(2, 10, 0).Forward(p, x, []int32{0}) },
		"target":        func() { kernel.NewCrossEntropyOp(2, 10, 0).Forward(p, x, []int32{0, 10}) },
		"no forward":    func() { kernel.NewCrossEntropyOp(2, 10, 0).Backward(p, x, 1) },
	} {
		mustPanic(t, name, f)
	}
}

func TestLogarithmOfLosses(t *testing.T) {
	t.Parallel()
	for x := 1e-300; x < 1e300; x *= 1.37 {
		if got, want := kernel.Logd(x), math.Log(x); math.Abs(got-want) > 1e-13*max(1, math.Abs(want)) {
			t.Fatalf("logd(%v) = %v, want %v", x, got, want)
		}
	}
	for _, c := range []struct{ x, want float64 }{{0, math.Inf(-1)}, {1, 0}, {math.Inf(1), math.Inf(1)}, {-1, math.NaN()}, {math.NaN(), math.NaN()}} {
		if got := kernel.Logd(c.x); got != c.want && (got == got || c.want == c.want) {
			t.Errorf("logd(%v) = %v, want %v", c.x, got, c.want)
		}
	}
}

func TestMSEAndSumSquares(t *testing.T) {
	t.Parallel()
	for _, n := range append([]int{4096, 4097, 50_000}, vectorLengths...) {
		y, target := randoms(rngOf(n), n, 2), randoms(rngOf(n+1), n, 2)
		squares := 0.0
		for _, v := range y {
			squares += float64(v) * float64(v)
		}
		ref := func(y []float64) float64 {
			s := 0.0
			for i, v := range y {
				s += (v - float64(target[i])) * (v - float64(target[i]))
			}
			return s / float64(n)
		}
		var sums [2]float64
		got := everyWay(t, fmt.Sprint(n), func(isa kernel.ISA, p *kernel.Pool) []float32 {
			mse, sum, dy := kernel.NewMSEOp(n), kernel.NewSumSquaresOp(), make([]float32, n)
			mse.UseISA(isa)
			sum.UseISA(isa)
			loss := mse.Forward(p, y, target)
			mse.Backward(p, dy, y, target, 3)
			sums[0], sums[1] = sums[1], sum.Run(p, y)
			if sums[0] != sums[1] && sums[0] != 0 {
				t.Errorf("%s: sum of squares %v, then %v", isa, sums[0], sums[1])
			}
			return joined(dy, []float32{loss})
		})
		if math.Abs(sums[1]-squares) > 1e-12*squares {
			t.Errorf("%d: sum of squares %v, want %v", n, sums[1], squares)
		}
		near(t, "MSE", got[n], ref(wide(y)), 1e-6)
		if n < 200 {
			gradientNear(t, "dy", got, y, 1e-6, func(y []float64) float64 { return 3 * ref(y) })
		}
	}
	mustPanic(t, "no numbers", func() { kernel.NewMSEOp(0) })
	mustPanic(t, "short target", func() { kernel.NewMSEOp(2).Forward(newPoolFor(t, 1), make([]float32, 2), make([]float32, 1)) })
}
