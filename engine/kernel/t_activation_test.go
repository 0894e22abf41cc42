package kernel_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func normalCDF(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

func normalPDF(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }

const geluTanhW = 1.5957691216057308 // 2 sqrt(2/pi)

// activationRefs are the activations and their slopes in float64.
var activationRefs = []struct {
	act          kernel.Activation
	value, slope func(x float64) float64
}{
	{kernel.ActReLU, func(x float64) float64 { return max(x, 0) }, func(x float64) float64 {
		if x > 0 {
			return 1
		}
		return 0
	}},
	{kernel.ActGELU, func(x float64) float64 { return x * normalCDF(x) }, func(x float64) float64 { return normalCDF(x) + x*normalPDF(x) }},
	{
		kernel.ActGELUTanh, func(x float64) float64 { return x * logistic(geluTanhW*(x+0.044715*x*x*x)) },
		func(x float64) float64 {
			w := geluTanhW * (x + 0.044715*x*x*x)
			s := logistic(w)
			return s + x*s*logistic(-w)*geluTanhW*(1+3*0.044715*x*x)
		},
	},
	{kernel.ActSiLU, func(x float64) float64 { return x * logistic(x) }, func(x float64) float64 { return logistic(x) * (1 + x*logistic(-x)) }},
	{kernel.ActTanh, math.Tanh, func(x float64) float64 { return 1 - math.Tanh(x)*math.Tanh(x) }},
	{kernel.ActSigmoid, logistic, func(x float64) float64 { return logistic(x) * logistic(-x) }},
}

// activated runs both directions of an activation.
func activated(isa kernel.ISA, p *kernel.Pool, act kernel.Activation, x, dy []float32) (y, dx []float32) {
	y, dx = make([]float32, len(x)), make([]float32, len(x))
	op := kernel.NewActivationOp(act)
	op.UseISA(isa)
	op.Forward(p, y, x)
	op.Backward(p, dx, dy, x, y)
	return y, dx
}

func TestActivationAccuracy(t *testing.T) {
	t.Parallel()
	p := newPoolFor(t, 2)
	const n = 100_000
	x, one := make([]float32, n), filled(n, 1)
	for i := range x {
		x[i] = -16 + 32*float32(i)/n
		if i%4 == 0 {
			x[i] *= float32(math.Exp2(-float64(i%80) / 4))
		}
	}
	for _, r := range activationRefs {
		y, dx := activated(kernel.Current(), p, r.act, x, one)
		worst := [2]float64{}
		for i, v := range x {
			near(t, fmt.Sprintf("%v(%v)", r.act, v), y[i], r.value(float64(v)), 4e-7)
			near(t, fmt.Sprintf("slope of %v at %v", r.act, v), dx[i], r.slope(float64(v)), 6e-7)
			worst[0] = max(worst[0], math.Abs(float64(y[i])-r.value(float64(v)))/max(1, math.Abs(float64(v))))
			worst[1] = max(worst[1], math.Abs(float64(dx[i])-r.slope(float64(v))))
		}
		t.Logf("%v: largest error of the value %.2g, of the slope %.2g", r.act, worst[0], worst[1])
	}
}

func TestActivationSlopesAreDerivatives(t *testing.T) {
	t.Parallel()
	for _, r := range activationRefs {
		for x := -4.05; x < 4; x += 0.1 {
			const h = 1e-6
			want := (r.value(x+h) - r.value(x-h)) / (2 * h)
			if math.Abs(r.slope(x)-want) > 1e-7 {
				t.Errorf("slope of %v at %v is %v, want %v", r.act, x, r.slope(x), want)
			}
		}
	}
}

func TestActivationHasTheSameBits(t *testing.T) {
	t.Parallel()
	for _, r := range activationRefs {
		t.Run(r.act.String(), func(t *testing.T) {
			t.Parallel()
			for _, n := range append([]int{40_001}, vectorLengths...) {
				for _, spread := range []float64{1, 30, 1e6} {
					rng := rngOf(n)
					x, dy := randoms(rng, n, spread), randoms(rng, n, 1)
					if n > 30 {
						x[3], x[17], x[20], x[n-1], x[n-2] = nan32, inf32, 0, -inf32, float32(math.Copysign(0, -1))
					}
					everyWay(t, fmt.Sprint(n), func(isa kernel.ISA, p *kernel.Pool) []float32 {
						return joined(activated(isa, p, r.act, x, dy))
					})
				}
			}
		})
	}
}

func TestActivationAtTheEnds(t *testing.T) {
	t.Parallel()
	x := []float32{inf32, 1e30, 200, -200, -1e30, nan32}
	for _, r := range activationRefs {
		y, dx := activated(kernel.Current(), newPoolFor(t, 1), r.act, x, filled(len(x), 1))
		for i, v := range x {
			value, slope := r.value(float64(v)), r.slope(float64(v))
			if v > 100 && r.act != kernel.ActTanh && r.act != kernel.ActSigmoid {
				value, slope = float64(v), 1
			}
			if v < -100 { // all of them are flat there
				slope = 0
			}
			if v > 100 && (r.act == kernel.ActTanh || r.act == kernel.ActSigmoid) {
				slope = 0
			}
			if v == v && !(math.Abs(float64(y[i])-value) <= 1e-6*math.Abs(value)+1e-6 || y[i] == inf32) {
				t.Errorf("%v(%v) = %v, want %v", r.act, v, y[i], value)
			}
			if v == v && math.Abs(float64(dx[i])-slope) > 1e-6 {
				t.Errorf("slope of %v at %v is %v, want %v", r.act, v, dx[i], slope)
			}
			if v != v && (y[i] == y[i] || r.act != kernel.ActReLU && dx[i] == dx[i]) {
				t.Errorf("%v(NaN) = %v, slope %v", r.act, y[i], dx[i])
			}
		}
	}
}

func TestActivationInPlaceAndNames(t *testing.T) {
	t.Parallel()
	p := newPoolFor(t, 2)
	for _, r := range activationRefs {
		if got, err := kernel.ParseActivation(r.act.String()); err != nil || got != r.act {
			t.Errorf("ParseActivation(%q) = %v, %v", r.act.String(), got, err)
		}
		x, dy := randoms(rngOf(1), 100, 1), randoms(rngOf(2), 100, 1)
		y, dx := activated(kernel.Current(), p, r.act, x, dy)
		op := kernel.NewActivationOp(r.act)
		op.Backward(p, dy, dy, x, y)
		op.Forward(p, x, x)
		sameBits(t, "in place", joined(x, dy), joined(y, dx))
	}
	if _, err := kernel.ParseActivation("swish"); err == nil {
		t.Error("ParseActivation accepted swish")
	}
	mustPanic(t, "unknown activation", func() { kernel.NewActivationOp(6) })
	mustPanic(t, "short input", func() { kernel.NewActivationOp(kernel.ActReLU).Forward(p, make([]float32, 3), make([]float32, 2)) })
}
