package kernel_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

// normRef computes a norm of rows in float64; without bias it is the RMS norm.
func normRef(x, w, b []float64, eps float64) []float64 {
	y, n := make([]float64, len(x)), len(w)
	for r := 0; r < len(x); r += n {
		mean, sum := 0.0, 0.0
		if b != nil {
			for _, v := range x[r : r+n] {
				mean += v / float64(n)
			}
		}
		for _, v := range x[r : r+n] {
			sum += (v - mean) * (v - mean)
		}
		inv := 1 / math.Sqrt(sum/float64(n)+eps)
		for i, v := range x[r : r+n] {
			y[r+i] = (v - mean) * inv * w[i]
			if b != nil {
				y[r+i] += b[i]
			}
		}
	}
	return y
}

var normShapes = []struct{ rows, width int }{{1, 1}, {3, 5}, {4, 16}, {5, 33}, {70, 40}, {9, 128}, {300, 128}, {11, 1000}}

func TestRMSNormOp(t *testing.T) {
	t.Parallel()
	for _, s := range normShapes {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			n := s.rows * s.width
			x, w, dy := randoms(rngOf(n), n, 2), randoms(rngOf(s.width), s.width, 1), randoms(rngOf(s.rows), n, 1)
			got := everyWay(t, "RMSNorm", func(isa kernel.ISA, p *kernel.Pool) []float32 {
				y, dx, dw := make([]float32, n), append([]float32(nil), dy...), make([]float32, s.width)
				op := kernel.NewRMSNormOp(s.rows, s.width, 1e-5)
				op.UseISA(isa)
				op.Forward(p, y, x, w)
				op.Backward(p, dx, dw, dx, x, w)
				return joined(y, dx, dw)
			})
			x64, w64 := wide(x), wide(w)
			nearAll(t, "RMSNorm", got, normRef(x64, w64, nil, 1e-5), 1e-6)
			if n > 3000 {
				return
			}
			gradientNear(t, "dx", got[n:], x, 3e-6, func(x []float64) float64 { return dotWith(normRef(x, w64, nil, 1e-5), dy) })
			gradientNear(t, "dw", got[2*n:], w, 1e-5, func(w []float64) float64 { return dotWith(normRef(x64, w, nil, 1e-5), dy) })
		})
	}
}

func TestLayerNormOp(t *testing.T) {
	t.Parallel()
	for _, s := range normShapes {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			n := s.rows * s.width
			x, w, dy := randoms(rngOf(n), n, 2), randoms(rngOf(s.width), s.width, 1), randoms(rngOf(s.rows), n, 1)
			b := randoms(rngOf(s.width+1), s.width, 1)
			got := everyWay(t, "LayerNorm", func(isa kernel.ISA, p *kernel.Pool) []float32 {
				y, dx := make([]float32, n), append([]float32(nil), dy...)
				dw, db := make([]float32, s.width), make([]float32, s.width)
				op := kernel.NewLayerNormOp(s.rows, s.width, 1e-5)
				op.UseISA(isa)
				op.Forward(p, y, x, w, b)
				op.Backward(p, dx, dw, db, dx, x, w)
				return joined(y, dx, dw, db)
			})
			x64, w64, b64 := wide(x), wide(w), wide(b)
			nearAll(t, "LayerNorm", got, normRef(x64, w64, b64, 1e-5), 2e-6)
			if n > 3000 || s.width == 1 { // a width of 1 has no slope but that of rounding
				return
			}
			gradientNear(t, "dx", got[n:], x, 5e-6, func(x []float64) float64 { return dotWith(normRef(x, w64, b64, 1e-5), dy) })
			gradientNear(t, "dw", got[2*n:], w, 1e-5, func(w []float64) float64 { return dotWith(normRef(x64, w, b64, 1e-5), dy) })
			gradientNear(t, "db", got[2*n+s.width:], b, 1e-5, func(b []float64) float64 { return dotWith(normRef(x64, w64, b, 1e-5), dy) })
		})
	}
}

func TestNormOpsPanicOnShapes(t *testing.T) {
	t.Parallel()
	p := newPoolFor(t, 1)
	x := make([]float32, 12)
	for name, f := range map[string]func(){
		"no width":    func() { kernel.NewRMSNormOp(3, 0, 1e-5) },
		"short x":     func() { kernel.NewRMSNormOp(3, 5, 1e-5).Forward(p, x, x, x) },
		"short w":     func() { kernel.NewLayerNormOp(2, 5, 1e-5).Forward(p, x, x, x[:4], x) },
		"short dw":    func() { kernel.NewRMSNormOp(2, 5, 1e-5).Backward(p, x, x[:4], x, x, x) },
		"negative":    func() { kernel.NewLayerNormOp(-1, 5, 1e-5) },
		"short dx":    func() { kernel.NewLayerNormOp(2, 5, 1e-5).Backward(p, x[:9], x, x, x, x, x) },
		"short dy":    func() { kernel.NewLayerNormOp(2, 5, 1e-5).Backward(p, x, x, x, x[:9], x, x) },
		"short input": func() { kernel.NewLayerNormOp(2, 5, 1e-5).Backward(p, x, x, x, x, x[:9], x) },
	} {
		mustPanic(t, name, f)
	}
}
