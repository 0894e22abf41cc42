package kernel_test

import (
	"fmt"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

func TestAddOp(t *testing.T) {
	t.Parallel()
	for _, n := range append([]int{30_007}, vectorLengths...) {
		a, b := randoms(rngOf(n), n, 2), randoms(rngOf(n+1), n, 2)
		for _, relu := range []bool{false, true} {
			got := everyWay(t, fmt.Sprint(n, relu), func(isa kernel.ISA, p *kernel.Pool) []float32 {
				y, op := make([]float32, n), kernel.NewAddOp()
				op.ReLU = relu
				op.UseISA(isa)
				op.Forward(p, y, a, b)
				return y
			})
			for i, v := range got {
				want := a[i] + b[i]
				if relu {
					want = max(want, 0)
				}
				if v != want {
					t.Fatalf("ReLU %v: %v + %v = %v", relu, a[i], b[i], v)
				}
			}
		}
	}
}

func TestBiasOp(t *testing.T) {
	t.Parallel()
	for _, s := range []struct{ n, width int }{{1, 1}, {3, 5}, {7, 16}, {33, 63}, {5, 64}, {17, 129}, {400, 200}, {0, 10}} {
		x, bias := randoms(rngOf(s.n), s.n*s.width, 1), randoms(rngOf(s.width), s.width, 1)
		got := everyWay(t, fmt.Sprint(s), func(isa kernel.ISA, p *kernel.Pool) []float32 {
			y, sums, op := make([]float32, len(x)), filled(s.width, nan32), kernel.NewBiasOp()
			op.UseISA(isa)
			op.Forward(p, y, x, bias, s.n)
			op.Backward(p, sums, x, s.n)
			return joined(y, sums)
		})
		sums := make([]float64, s.width)
		for i, v := range x {
			if got[i] != v+bias[i%s.width] {
				t.Fatalf("%v: element %d is %v", s, i, got[i])
			}
			sums[i%s.width] += float64(v)
		}
		nearAll(t, "sums", got[len(x):], sums, 3e-5)
	}
}

func swigluOf(isa kernel.ISA, p *kernel.Pool, gu, dy []float32, n, h int) (y, dgu []float32) {
	y, dgu = make([]float32, n*h), make([]float32, 2*n*h)
	op := kernel.NewSwiGLUOp()
	op.UseISA(isa)
	op.Forward(p, y, gu, n, h)
	op.Backward(p, dgu, dy, gu, n, h)
	return y, dgu
}

func swigluRef(gu []float64, n, h int) []float64 {
	y := make([]float64, n*h)
	for i := range n {
		for j := range h {
			g, u := gu[2*i*h+j], gu[(2*i+1)*h+j]
			y[i*h+j] = g * logistic(g) * u
		}
	}
	return y
}

func TestSwiGLUOp(t *testing.T) {
	t.Parallel()
	for _, s := range []struct{ n, h int }{{1, 1}, {3, 8}, {5, 16}, {2, 31}, {4, 40}, {90, 344}} {
		gu, dy := randoms(rngOf(s.h), 2*s.n*s.h, 3), randoms(rngOf(s.n), s.n*s.h, 1)
		if s.h > 300 { // rare values
			gu[0], gu[5], gu[400], gu[9] = nan32, inf32, inf32, -1e30
		}
		got := everyWay(t, fmt.Sprint(s), func(isa kernel.ISA, p *kernel.Pool) []float32 {
			return joined(swigluOf(isa, p, gu, dy, s.n, s.h))
		})
		if s.h > 300 {
			continue
		}
		nearAll(t, "SwiGLU", got, swigluRef(wide(gu), s.n, s.h), 1e-6)
		gradientNear(t, fmt.Sprint("SwiGLU ", s), got[s.n*s.h:], gu, 2e-6, func(x []float64) float64 {
			return dotWith(swigluRef(x, s.n, s.h), dy)
		})
	}
}

func TestElementwiseOpsPanicOnShapes(t *testing.T) {
	t.Parallel()
	p := newPoolFor(t, 1)
	x := make([]float32, 10)
	for name, f := range map[string]func(){
		"add":         func() { kernel.NewAddOp().Forward(p, x, x, x[:9]) },
		"bias":        func() { kernel.NewBiasOp().Forward(p, x, x, x[:3], 4) },
		"sums":        func() { kernel.NewBiasOp().Backward(p, x[:3], x, 4) },
		"swiglu":      func() { kernel.NewSwiGLUOp().Forward(p, x, x, 2, 3) },
		"swiglu back": func() { kernel.NewSwiGLUOp().Backward(p, x[:7], x, x, 2, 2) },
	} {
		mustPanic(t, name, f)
	}
}
