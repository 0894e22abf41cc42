package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

// convShapes cover strides, paddings, kernels of even and odd sizes, rows that fill lanes and
// rows that do not, batches that can and cannot be interleaved, and tails of channels.
var convShapes = []kernel.Conv{
	{Batch: 1, InC: 1, H: 1, W: 1, OutC: 1, KH: 1, KW: 1, Stride: 1},
	{Batch: 2, InC: 3, H: 32, W: 32, OutC: 8, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{Batch: 3, InC: 16, H: 8, W: 16, OutC: 13, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{Batch: 5, InC: 5, H: 7, W: 9, OutC: 7, KH: 3, KW: 2, Stride: 2, Pad: 1},
	{Batch: 8, InC: 48, H: 4, W: 4, OutC: 20, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{Batch: 4, InC: 32, H: 8, W: 8, OutC: 33, KH: 3, KW: 3, Stride: 2, Pad: 1},
	{Batch: 4, InC: 33, H: 8, W: 8, OutC: 6, KH: 1, KW: 1, Stride: 2},
	{Batch: 3, InC: 17, H: 6, W: 5, OutC: 4, KH: 1, KW: 1, Stride: 1},
	{Batch: 2, InC: 4, H: 11, W: 10, OutC: 5, KH: 5, KW: 5, Stride: 3, Pad: 2},
	{Batch: 2, InC: 2, H: 5, W: 5, OutC: 3, KH: 2, KW: 2, Stride: 3, Pad: 3},
	{Batch: 1, InC: 3, H: 23, W: 21, OutC: 4, KH: 7, KW: 7, Stride: 2, Pad: 3},
	{Batch: 17, InC: 2, H: 3, W: 3, OutC: 2, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{Batch: 1, InC: 2, H: 3, W: 140, OutC: 2, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{Batch: 3, InC: 4, H: 24, W: 24, OutC: 5, KH: 3, KW: 3, Stride: 1, Pad: 1},
	{Batch: 3, InC: 3, H: 48, W: 48, OutC: 4, KH: 3, KW: 3, Stride: 2, Pad: 1},
	{Batch: 2, InC: 2, H: 33, W: 33, OutC: 3, KH: 3, KW: 3, Stride: 2, Pad: 1},
	{Batch: 2, InC: 2, H: 32, W: 64, OutC: 3, KH: 1, KW: 1, Stride: 2},
	{Batch: 2, InC: 130, H: 4, W: 4, OutC: 70, KH: 3, KW: 3, Stride: 1, Pad: 1},
}

func convName(c kernel.Conv) string {
	return fmt.Sprintf("%dx%dx%dx%d-%d,%dx%d,s%dp%d", c.Batch, c.InC, c.H, c.W, c.OutC, c.KH, c.KW, c.Stride, c.Pad)
}

// convData holds the operands of a convolution and its results, and the sums of the absolute
// values of the terms of each result.
type convData struct {
	x, w, bias, dy               []float32
	y, dx, dw, dbias             []float32 // chains of fused multiply-adds
	yExact, dxExact, dwExact     []float64
	ySize, dxSize, dwSize, bSize []float64
	bExact                       []float64
}

func newConvData(c kernel.Conv) *convData {
	rng := rand.New(rand.NewPCG(uint64(c.H), uint64(c.InC)))
	nx, ny, nw := c.Batch*c.InC*c.H*c.W, c.Batch*c.OutC*c.OutH()*c.OutW(), c.OutC*c.InC*c.KH*c.KW
	d := &convData{
		x: randoms(rng, nx, 1), w: randoms(rng, nw, 1), bias: randoms(rng, c.OutC, 1), dy: randoms(rng, ny, 1),
		y: make([]float32, ny), dx: make([]float32, nx), dw: make([]float32, nw), dbias: make([]float32, c.OutC),
		yExact: make([]float64, ny), dxExact: make([]float64, nx), dwExact: make([]float64, nw), bExact: make([]float64, c.OutC),
		ySize: make([]float64, ny), dxSize: make([]float64, nx), dwSize: make([]float64, nw), bSize: make([]float64, c.OutC),
	}
	return d
}

// reference computes all results, each chain in the order that ConvOp promises.
func (d *convData) reference(c kernel.Conv) {
	oh, ow := c.OutH(), c.OutW()
	for i := range d.y {
		co := i / (oh * ow) % c.OutC
		d.y[i], d.yExact[i], d.ySize[i] = d.bias[co], float64(d.bias[co]), math.Abs(float64(d.bias[co]))
	}
	// visit calls f for each product, result positions and channels outermost.
	visit := func(n, co, ci, ky, kx int, f func(x, y, w int)) {
		for oy := range oh {
			for ox := range ow {
				iy, ix := oy*c.Stride-c.Pad+ky, ox*c.Stride-c.Pad+kx
				if iy >= 0 && iy < c.H && ix >= 0 && ix < c.W {
					f(((n*c.InC+ci)*c.H+iy)*c.W+ix, ((n*c.OutC+co)*oh+oy)*ow+ox, ((co*c.InC+ci)*c.KH+ky)*c.KW+kx)
				}
			}
		}
	}
	for n := range c.Batch {
		for co := range c.OutC {
			for ci := range c.InC {
				for ky := range c.KH {
					for kx := range c.KW {
						visit(n, co, ci, ky, kx, func(x, y, w int) {
							chain(&d.y[y], &d.yExact[y], &d.ySize[y], d.w[w], d.x[x])
							chain(&d.dx[x], &d.dxExact[x], &d.dxSize[x], d.w[w], d.dy[y])
							chain(&d.dw[w], &d.dwExact[w], &d.dwSize[w], d.dy[y], d.x[x])
						})
					}
				}
			}
			for i := range oh * ow {
				v := float64(d.dy[(n*c.OutC+co)*oh*ow+i])
				d.bExact[co] += v
				d.bSize[co] += math.Abs(v)
			}
		}
	}
}

func chain(acc *float32, exact, size *float64, a, b float32) {
	*acc = kernel.FMA32(a, b, *acc)
	*exact += float64(a) * float64(b)
	*size += math.Abs(float64(a) * float64(b))
}

func TestConv(t *testing.T) {
	t.Parallel()
	t.Logf("instruction sets covered: %v", kernel.Supported())
	for _, c := range convShapes {
		t.Run(convName(c), func(t *testing.T) {
			t.Parallel()
			d := newConvData(c)
			d.reference(c)
			close64(t, "y", d.y, d.yExact, d.ySize, c.InC*c.KH*c.KW)
			close64(t, "dx", d.dx, d.dxExact, d.dxSize, c.OutC*c.KH*c.KW)
			close64(t, "dw", d.dw, d.dwExact, d.dwSize, c.Batch*c.OutH()*c.OutW())
			for _, isa := range kernel.Supported() {
				op := kernel.NewConvOpISA(isa, c)
				for threads := 1; threads <= 3; threads++ {
					testConv(t, op, fmt.Sprintf("%s, %d threads", isa, threads), threads, c, d)
				}
			}
		})
	}
}

// testConv compares an op with the chains, which are the same for all.
func testConv(t *testing.T, op *kernel.ConvOp, what string, threads int, c kernel.Conv, d *convData) {
	p := kernel.NewPool(threads)
	defer p.Close()
	y, dx, dw, dbias := nans(len(d.y)), nans(len(d.dx)), nans(len(d.dw)), nans(len(d.dbias))
	op.Forward(p, y, d.x, d.w, d.bias)
	op.GradInput(p, dx, d.dy, d.w)
	op.GradWeights(p, dw, dbias, d.dy, d.x)
	sameBits(t, what+": y", y, d.y)
	sameBits(t, what+": dx", dx, d.dx)
	sameBits(t, what+": dw", dw, d.dw)
	close64(t, what+": dbias", dbias, d.bExact, d.bSize, c.Batch*c.OutH()*c.OutW())
	if d.dbias[0] == 0 {
		copy(d.dbias, dbias)
	}
	sameBits(t, what+": dbias", dbias, d.dbias)
}

func nans(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = nan32
	}
	return x
}

// close64 checks sums of n terms: each term may add a rounding of the largest partial sum.
func close64(t *testing.T, what string, got []float32, want, size []float64, n int) {
	t.Helper()
	for i := range want {
		if !(math.Abs(float64(got[i])-want[i]) <= size[i]*float64(n+1)*0x1p-24) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// TestConvGradientsAreDerivatives compares gradients with central differences of a float64
// convolution: the loss is the product of y and dy.
func TestConvGradientsAreDerivatives(t *testing.T) {
	t.Parallel()
	for _, c := range convShapes[3:8] {
		t.Run(convName(c), func(t *testing.T) {
			t.Parallel()
			d := newConvData(c)
			p := kernel.NewPool(1)
			defer p.Close()
			op := kernel.NewConvOp(c)
			op.GradInput(p, d.dx, d.dy, d.w)
			op.GradWeights(p, d.dw, d.dbias, d.dy, d.x)
			rng := rand.New(rand.NewPCG(1, 2))
			for range 20 {
				i, j := rng.IntN(len(d.x)), rng.IntN(len(d.w))
				near(t, "dx", d.dx[i], centralDifference(d.x, i, func() float64 { return convLoss(c, d) }), 1e-4)
				near(t, "dw", d.dw[j], centralDifference(d.w, j, func() float64 { return convLoss(c, d) }), 1e-4)
			}
			near(t, "dbias", d.dbias[0], centralDifference(d.bias, 0, func() float64 { return convLoss(c, d) }), 1e-4)
		})
	}
}

// centralDifference returns the slope of f at x[i].
func centralDifference(x []float32, i int, f func() float64) float64 {
	const h = 1.0 / 64
	old := x[i]
	x[i] = old + h
	hi, up := x[i], f()
	x[i] = old - h
	lo, down := x[i], f()
	x[i] = old
	return (up - down) / (float64(hi) - float64(lo))
}

func convLoss(c kernel.Conv, d *convData) float64 {
	loss := 0.0
	oh, ow := c.OutH(), c.OutW()
	for i, g := range d.dy {
		n, co, oy, ox := i/(c.OutC*oh*ow), i/(oh*ow)%c.OutC, i/ow%oh, i%ow
		sum := float64(d.bias[co])
		for ci := range c.InC {
			for ky := range c.KH {
				for kx := range c.KW {
					iy, ix := oy*c.Stride-c.Pad+ky, ox*c.Stride-c.Pad+kx
					if iy >= 0 && iy < c.H && ix >= 0 && ix < c.W {
						sum += float64(d.x[((n*c.InC+ci)*c.H+iy)*c.W+ix]) * float64(d.w[((co*c.InC+ci)*c.KH+ky)*c.KW+kx])
					}
				}
			}
		}
		loss += sum * float64(g)
	}
	return loss
}

func TestConvWithoutBias(t *testing.T) {
	t.Parallel()
	c := kernel.Conv{Batch: 2, InC: 3, H: 5, W: 6, OutC: 4, KH: 3, KW: 3, Stride: 1, Pad: 1}
	d := newConvData(c)
	clear(d.bias)
	d.reference(c)
	p := kernel.NewPool(2)
	defer p.Close()
	op := kernel.NewConvOp(c)
	y, dw := nans(len(d.y)), nans(len(d.dw))
	op.Forward(p, y, d.x, d.w, nil)
	op.GradWeights(p, dw, nil, d.dy, d.x)
	sameBits(t, "y", y, d.y)
	sameBits(t, "dw", dw, d.dw)
}

func TestConvPropagatesNaN(t *testing.T) {
	t.Parallel()
	c := kernel.Conv{Batch: 4, InC: 2, H: 4, W: 4, OutC: 2, KH: 3, KW: 3, Stride: 1, Pad: 1}
	p := kernel.NewPool(1)
	defer p.Close()
	for _, isa := range kernel.Supported() {
		d := newConvData(c)
		d.x[5] = nan32 // image 0, channel 0, row 1, column 1
		kernel.NewConvOpISA(isa, c).Forward(p, d.y, d.x, d.w, d.bias)
		for i, v := range d.y {
			image, y, x := i/32, i/4%4, i%4
			if want := image == 0 && y < 3 && x < 3; (v != v) != want {
				t.Errorf("%s: output %d is %v, want NaN: %v", isa, i, v, want)
			}
		}
	}
}

func TestConvCheck(t *testing.T) {
	t.Parallel()
	good := kernel.Conv{Batch: 1, InC: 2, H: 3, W: 4, OutC: 5, KH: 3, KW: 3, Stride: 1}
	if err := good.Check(); err != nil || good.OutH() != 1 || good.OutW() != 2 {
		t.Errorf("Check of %+v: %v, %d x %d", good, err, good.OutH(), good.OutW())
	}
	bad := []kernel.Conv{{}, good, good, good}
	bad[1].KH = 4
	bad[2].Pad = -1
	bad[3].Stride = 0
	for _, c := range bad {
		if c.Check() == nil {
			t.Errorf("Check of %+v gave no error", c)
		}
	}
	for name, f := range map[string]func(){
		"shape": func() { kernel.NewConvOp(bad[1]) },
		"slice": func() { kernel.NewConvOp(good).Forward(nil, nil, nil, nil, nil) },
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

// Offsets are 32 bits in the tables that assembly reads: larger ones must not wrap around.
func TestConvOffsetsDoNotWrap(t *testing.T) {
	t.Parallel()
	kernel.AddConvStep(math.MaxInt32, 0)
	for _, step := range [][2]int{{math.MaxInt32 + 1, 0}, {0, 1 << 33}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("offsets %v were taken", step)
				}
			}()
			kernel.AddConvStep(step[0], step[1])
		}()
	}
}

func TestConvDoesNotAllocate(t *testing.T) {
	for _, threads := range []int{1, 2} {
		p := kernel.NewPool(threads)
		for _, c := range convShapes[1:6] {
			d := newConvData(c)
			op := kernel.NewConvOp(c)
			step := func() {
				op.Forward(p, d.y, d.x, d.w, d.bias)
				op.GradInput(p, d.dx, d.dy, d.w)
				op.GradWeights(p, d.dw, d.dbias, d.dy, d.x)
			}
			step()
			if got := testing.AllocsPerRun(10, step); got != 0 {
				t.Errorf("%s, %d threads: %v allocations", convName(c), threads, got)
			}
		}
		p.Close()
	}
}
