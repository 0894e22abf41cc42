package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

var poolShapes = []kernel.MaxPool{
	{Planes: 3, H: 2, W: 2, K: 2, Stride: 2},
	{Planes: 5, H: 32, W: 32, K: 2, Stride: 2},
	{Planes: 4, H: 16, W: 64, K: 2, Stride: 2},
	{Planes: 3, H: 7, W: 96, K: 2, Stride: 2},
	{Planes: 2, H: 9, W: 35, K: 2, Stride: 2},
	{Planes: 3, H: 11, W: 9, K: 3, Stride: 2, Pad: 1},
	{Planes: 2, H: 7, W: 7, K: 3, Stride: 1, Pad: 1},
	{Planes: 2, H: 5, W: 6, K: 2, Stride: 3, Pad: 1},
}

func poolName(m kernel.MaxPool) string {
	return fmt.Sprintf("%dx%dx%d,k%ds%dp%d", m.Planes, m.H, m.W, m.K, m.Stride, m.Pad)
}

// eachInWindow visits the elements of a window, and tells where the window's result is.
func eachInWindow(m kernel.MaxPool, f func(y, x int)) {
	for y := range m.Planes * m.OutH() * m.OutW() {
		plane, r, c := y/(m.OutH()*m.OutW()), y/m.OutW()%m.OutH(), y%m.OutW()
		for i := r*m.Stride - m.Pad; i < r*m.Stride-m.Pad+m.K; i++ {
			for j := c*m.Stride - m.Pad; j < c*m.Stride-m.Pad+m.K; j++ {
				if i >= 0 && i < m.H && j >= 0 && j < m.W {
					f(y, (plane*m.H+i)*m.W+j)
				}
			}
		}
	}
}

func TestMaxPool(t *testing.T) {
	t.Parallel()
	for _, m := range poolShapes {
		t.Run(poolName(m), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(m.H), uint64(m.W)))
			nx, ny := m.Planes*m.H*m.W, m.Planes*m.OutH()*m.OutW()
			x, dy := randoms(rng, nx, 1), randoms(rng, ny, 1)
			for i := range x {
				x[i] = float32(int(4*x[i])) / 4 // equals are common
			}
			x[0], x[nx/2], x[nx-1], x[nx/3] = nan32, nan32, inf32, -inf32
			dy[0], dy[ny-1] = float32(math.Copysign(0, -1)), nan32
			y, dx, at := make([]float32, ny), make([]float32, nx), make([]int, ny)
			for i := range at {
				at[i] = -1
			}
			eachInWindow(m, func(i, j int) {
				if k := at[i]; k < 0 || x[j] > x[k] || x[j] != x[j] && x[k] == x[k] {
					at[i] = j
				}
			})
			for i, j := range at {
				y[i] = x[j]
				dx[j] += dy[i]
			}
			for _, isa := range kernel.Supported() {
				op := kernel.NewMaxPoolOpISA(isa, m)
				for threads := 1; threads <= 3; threads++ {
					p := kernel.NewPool(threads)
					gotY, gotX := nans(ny), nans(nx)
					op.Forward(p, gotY, x)
					op.Backward(p, gotX, dy)
					p.Close()
					sameBits(t, fmt.Sprintf("%s, %d threads: y", isa, threads), gotY, y)
					sameBits(t, fmt.Sprintf("%s, %d threads: dx", isa, threads), gotX, dx)
				}
			}
		})
	}
}

func TestAvgPool(t *testing.T) {
	t.Parallel()
	for _, m := range poolShapes {
		t.Run(poolName(m), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(m.H), uint64(m.W)))
			nx, ny := m.Planes*m.H*m.W, m.Planes*m.OutH()*m.OutW()
			x, dy := randoms(rng, nx, 1), randoms(rng, ny, 1)
			y, dx := make([]float64, ny), make([]float64, nx)
			eachInWindow(m, func(i, j int) {
				y[i] += float64(x[j]) / float64(m.K*m.K)
				dx[j] += float64(dy[i]) / float64(m.K*m.K)
			})
			op := kernel.NewAvgPoolOp(kernel.AvgPool(m))
			for threads := 1; threads <= 3; threads++ {
				p := kernel.NewPool(threads)
				gotY, gotX := nans(ny), nans(nx)
				op.Forward(p, gotY, x)
				op.Backward(p, gotX, dy)
				p.Close()
				for i := range y {
					near(t, "y", gotY[i], y[i], 1e-6)
				}
				for i := range dx {
					near(t, "dx", gotX[i], dx[i], 1e-6)
				}
			}
		})
	}
}

func TestGlobalAvgPool(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 15, 16, 49, 256} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			const planes = 5
			rng := rand.New(rand.NewPCG(uint64(size), 3))
			x, dy := randoms(rng, planes*size, 1), randoms(rng, planes, 1)
			want := make([]float32, planes)
			for n, isa := range kernel.Supported() {
				op := kernel.NewGlobalAvgPoolOpISA(isa, planes, size)
				p := kernel.NewPool(n + 1)
				y, dx := nans(planes), nans(planes*size)
				op.Forward(p, y, x)
				op.Backward(p, dx, dy)
				p.Close()
				if n == 0 {
					copy(want, y)
				}
				sameBits(t, isa.String(), y, want)
				for i := range planes {
					sum := 0.0
					for _, v := range x[i*size : (i+1)*size] {
						sum += float64(v)
					}
					near(t, "y", y[i], sum/float64(size), 1e-6)
				}
				for i, v := range dx {
					near(t, "dx", v, float64(dy[i/size])/float64(size), 1e-7)
				}
			}
		})
	}
}

func TestPoolsCheckTheirInput(t *testing.T) {
	t.Parallel()
	for _, m := range []kernel.MaxPool{{}, {Planes: 1, H: 2, W: 2, K: 3, Stride: 1}, {Planes: 1, H: 4, W: 4, K: 2, Stride: 1, Pad: 2}} {
		if m.Check() == nil || kernel.AvgPool(m).Check() == nil {
			t.Errorf("Check of %+v gave no error", m)
		}
	}
	m := kernel.MaxPool{Planes: 1, H: 4, W: 4, K: 2, Stride: 2}
	for name, f := range map[string]func(){
		"max":         func() { kernel.NewMaxPoolOp(m).Forward(nil, nil, nil) },
		"average":     func() { kernel.NewAvgPoolOp(kernel.AvgPool(m)).Backward(nil, nil, nil) },
		"global":      func() { kernel.NewGlobalAvgPoolOp(2, 3).Forward(nil, nil, nil) },
		"max shape":   func() { kernel.NewMaxPoolOp(kernel.MaxPool{}) },
		"avg shape":   func() { kernel.NewAvgPoolOp(kernel.AvgPool{}) },
		"global size": func() { kernel.NewGlobalAvgPoolOp(0, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func TestPoolsDoNotAllocate(t *testing.T) {
	p := kernel.NewPool(2)
	defer p.Close()
	m := poolShapes[1]
	x, y := make([]float32, m.Planes*m.H*m.W), make([]float32, m.Planes*m.OutH()*m.OutW())
	largest, mean, global := kernel.NewMaxPoolOp(m), kernel.NewAvgPoolOp(kernel.AvgPool(m)), kernel.NewGlobalAvgPoolOp(m.Planes, m.H*m.W)
	got := testing.AllocsPerRun(20, func() {
		largest.Forward(p, y, x)
		largest.Backward(p, x, y)
		mean.Forward(p, y, x)
		mean.Backward(p, x, y)
		global.Forward(p, y, x)
		global.Backward(p, x, y)
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}
