package kernel_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

func TestEmbeddingOp(t *testing.T) {
	t.Parallel()
	for _, s := range []struct{ rows, dim, n int }{{1, 1, 1}, {5, 3, 20}, {10, 64, 33}, {50, 130, 300}} {
		table, dy, ids := randoms(rngOf(s.dim), s.rows*s.dim, 1), randoms(rngOf(s.n), s.n*s.dim, 1), make([]int32, s.n)
		for i := range ids {
			ids[i] = int32(i*i)%int32(s.rows+1) - 1
		}
		before := randoms(rngOf(7), len(table), 1)
		got := everyWay(t, fmt.Sprint(s), func(isa kernel.ISA, p *kernel.Pool) []float32 {
			y, d, sum := filled(s.n*s.dim, nan32), filled(len(table), nan32), append([]float32(nil), before...)
			op := kernel.NewEmbeddingOp()
			op.UseISA(isa)
			op.Forward(p, y, table, ids, s.dim)
			op.Backward(p, d, dy, ids, s.dim)
			op.Accumulate = true
			op.Backward(p, sum, dy, ids, s.dim)
			return joined(y, d, sum)
		})
		y, d := make([]float32, s.n*s.dim), make([]float32, len(table))
		for i, id := range ids {
			for j := range s.dim {
				if id >= 0 {
					y[i*s.dim+j] = table[int(id)*s.dim+j]
					d[int(id)*s.dim+j] += dy[i*s.dim+j]
				}
			}
		}
		sameBits(t, "rows and gradient", got, joined(y, d))
		for i, v := range got[len(y)+len(d):] {
			near(t, "accumulated", v, float64(d[i])+float64(before[i]), 1e-5)
		}
	}
	p, x := newPoolFor(t, 1), make([]float32, 12)
	mustPanic(t, "id", func() { kernel.NewEmbeddingOp().Forward(p, x, x, []int32{3}, 4) })
	mustPanic(t, "short y", func() { kernel.NewEmbeddingOp().Forward(p, x[:7], x, []int32{0, 0}, 4) })
	mustPanic(t, "odd table", func() { kernel.NewEmbeddingOp().Backward(p, x[:7], x, []int32{0}, 4) })
}

func TestDropoutOp(t *testing.T) {
	t.Parallel()
	for _, rate := range []float32{0, 0.1, 0.5, 0.9} {
		for _, n := range []int{1, 15, 33, 4096, 5000, 60_001} {
			x := filled(n, 2)
			got := everyWay(t, fmt.Sprint(rate, n), func(isa kernel.ISA, p *kernel.Pool) []float32 {
				y, op := make([]float32, n), kernel.NewDropoutOp(rate)
				op.UseISA(isa)
				op.Forward(p, y, x, 1234)
				return y
			})
			kept := 0
			for _, v := range got {
				if v != 0 {
					near(t, "kept element", v, 2/(1-float64(rate)), 1e-6)
					kept++
				}
			}
			sigma := math.Sqrt(float64(rate) * float64(1-rate) / float64(n))
			if share := float64(kept) / float64(n); math.Abs(share-1+float64(rate)) > 5*sigma+1e-9 {
				t.Errorf("rate %v: %v of %d kept", rate, share, n)
			}
			back := make([]float32, n)
			kernel.NewDropoutOp(rate).Backward(newPoolFor(t, 2), back, x, 1234)
			sameBits(t, "gradient", back, got)
		}
	}
	mustPanic(t, "rate 1", func() { kernel.NewDropoutOp(1) })
	mustPanic(t, "rate -1", func() { kernel.NewDropoutOp(-1) })
}

// Masks of near seeds, and of neighbouring elements, must not go together.
func TestDropoutOpIsIndependent(t *testing.T) {
	t.Parallel()
	const n = 1 << 18
	p, op, x := newPoolFor(t, 1), kernel.NewDropoutOp(0.5), filled(n+256, 0.5)
	mask := func(seed uint64) []float32 {
		y := make([]float32, n+256)
		op.Forward(p, y, x, seed)
		return y
	}
	base := mask(0)
	correlation := func(a, b []float32) float64 {
		s := 0.0
		for i := range n {
			s += (float64(a[i]) - 0.5) * (float64(b[i]) - 0.5) * 4 / n
		}
		return s * math.Sqrt(n) // about normal
	}
	for _, seed := range []uint64{1, 2, 3, 1 << 32, 1 << 63, math.MaxUint64} {
		if z := correlation(base, mask(seed)); math.Abs(z) > 5 {
			t.Errorf("seed %d: masks correlate, %.1f standard deviations", seed, z)
		}
	}
	for lag := 1; lag <= 256; lag++ {
		if z := correlation(base, base[lag:]); math.Abs(z) > 5 {
			t.Errorf("elements %d apart correlate, %.1f standard deviations", lag, z)
		}
	}
	for bit := 1; bit < n; bit *= 2 { // and with the bits of the index
		s := 0.0
		for i, v := range base[:n] {
			s += (float64(v) - 0.5) * (float64(i&bit/bit) - 0.5) * 4
		}
		if z := s / math.Sqrt(n); math.Abs(z) > 5 {
			t.Errorf("index bit %d correlates, %.1f standard deviations", bit, z)
		}
	}
}

func TestRopeOp(t *testing.T) {
	t.Parallel()
	const positions, half = 20, 9
	cos, sin := make([]float32, positions*half), make([]float32, positions*half)
	for i := range cos {
		s, c := math.Sincos(float64(i/half) * math.Pow(100, -float64(i%half)/half))
		cos[i], sin[i] = float32(c), float32(s)
	}
	for _, r := range []kernel.RopeRows{
		{N: 1, Stride: 40, Heads: 2, HeadDim: 20, Seq: 1},
		{N: 14, Stride: 70, Heads: 3, HeadDim: 18, Seq: 7},
		{N: 4, Stride: 40, Heads: 2, HeadDim: 19, Positions: []int32{19, 0, 3, 3}},
		{N: 900, Stride: 64, Heads: 3, HeadDim: 20, Seq: 20},
	} {
		x := randoms(rngOf(r.N), r.N*r.Stride, 1)
		got := everyWay(t, fmt.Sprint(r), func(isa kernel.ISA, p *kernel.Pool) []float32 {
			y, op := append([]float32(nil), x...), kernel.NewRopeOp(cos, sin, half)
			op.UseISA(isa)
			op.Forward(p, y, r)
			z := append([]float32(nil), y...)
			op.Inverse(p, z, r)
			return joined(y, z)
		})
		for i := range x {
			row, at := i/r.Stride, i%r.Stride
			pos := row % max(r.Seq, 1)
			if r.Positions != nil {
				pos = int(r.Positions[row])
			}
			want := float64(x[i])
			if e := at % r.HeadDim; at < r.Heads*r.HeadDim && e < 2*half {
				c, s := float64(cos[pos*half+e%half]), float64(sin[pos*half+e%half])
				if e < half {
					want = want*c - float64(x[i+half])*s
				} else {
					want = want*c + float64(x[i-half])*s
				}
			}
			near(t, "rotated", got[i], want, 3e-7)
			near(t, "rotated back", got[len(x)+i], float64(x[i]), 1e-6)
		}
	}
	p, x, op := newPoolFor(t, 1), make([]float32, 100), kernel.NewRopeOp(cos, sin, half)
	for name, f := range map[string]func(){
		"tables":   func() { kernel.NewRopeOp(cos, sin[1:], half) },
		"narrow":   func() { op.Forward(p, x, kernel.RopeRows{N: 1, Stride: 17, Heads: 1, HeadDim: 17, Seq: 1}) },
		"stride":   func() { op.Forward(p, x, kernel.RopeRows{N: 1, Stride: 17, Heads: 1, HeadDim: 18, Seq: 1}) },
		"short x":  func() { op.Forward(p, x, kernel.RopeRows{N: 6, Stride: 18, Heads: 1, HeadDim: 18, Seq: 1}) },
		"sequence": func() { op.Forward(p, x, kernel.RopeRows{N: 5, Stride: 18, Heads: 1, HeadDim: 18}) },
		"position": func() {
			op.Forward(p, x, kernel.RopeRows{N: 1, Stride: 18, Heads: 1, HeadDim: 18, Positions: []int32{20}})
		},
		"positions": func() {
			op.Forward(p, x, kernel.RopeRows{N: 2, Stride: 18, Heads: 1, HeadDim: 18, Positions: []int32{2}})
		},
	} {
		mustPanic(t, name, f)
	}
}

// adamRef is a step of Adam in float64.
func adamRef(w, g, m, v float64, c kernel.AdamW, scale float64) (w2, m2, v2 float64) {
	g *= scale
	lr, b1, b2 := float64(c.LR), float64(c.Beta1), float64(c.Beta2)
	if c.L2 {
		g += float64(c.Decay) * w
	} else {
		w -= lr * float64(c.Decay) * w
	}
	m, v = b1*m+(1-b1)*g, b2*v+(1-b2)*g*g
	mHat, vHat := m/(1-math.Pow(b1, float64(c.Step))), v/(1-math.Pow(b2, float64(c.Step)))
	return w - lr*mHat/(math.Sqrt(vHat)+float64(c.Eps)), m, v
}

func TestAdamOp(t *testing.T) {
	t.Parallel()
	for _, l2 := range []bool{false, true} {
		for _, n := range []int{1, 16, 37, 20_001} {
			w, g, zero := randoms(rngOf(n), n, 1), randoms(rngOf(n+1), n, 1), make([]float32, n)
			cfg := kernel.AdamW{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Decay: 0.1, L2: l2}
			const steps, scale = 5, 0.5
			got := everyWay(t, fmt.Sprint(l2, n), func(isa kernel.ISA, p *kernel.Pool) []float32 {
				op, cfg := kernel.NewAdamOp(), cfg
				op.UseISA(isa)
				w, m, v := append([]float32(nil), w...), append([]float32(nil), zero...), append([]float32(nil), zero...)
				for cfg.Step = 1; cfg.Step <= steps; cfg.Step++ {
					op.Run(p, w, g, m, v, cfg, scale)
				}
				return joined(w, m, v)
			})
			for i := range w {
				a, m, v := float64(w[i]), 0.0, 0.0
				for cfg.Step = 1; cfg.Step <= steps; cfg.Step++ {
					a, m, v = adamRef(a, float64(g[i]), m, v, cfg, scale)
				}
				near(t, "parameter", got[i], a, 1e-6)
				near(t, "first moment", got[n+i], m, 1e-6)
				near(t, "second moment", got[2*n+i], v, 1e-6)
			}
		}
	}
	x := make([]float32, 3)
	mustPanic(t, "step 0", func() { kernel.NewAdamOp().Run(newPoolFor(t, 1), x, x, x, x, kernel.AdamW{}, 1) })
	mustPanic(t, "short v", func() { kernel.NewAdamOp().Run(newPoolFor(t, 1), x, x, x, x[:2], kernel.AdamW{Step: 1}, 1) })
}

func TestSGDOp(t *testing.T) {
	t.Parallel()
	for _, cfg := range []kernel.SGD{{LR: 0.1}, {LR: 0.1, Decay: 0.01}, {LR: 0.1, Momentum: 0.9, Decay: 0.01}, {LR: 0.1, Momentum: 0.9, Nesterov: true}} {
		for _, n := range []int{1, 16, 37, 20_001} {
			w, g := randoms(rngOf(n), n, 1), randoms(rngOf(n+1), n, 1)
			const steps, scale = 4, 2
			got := everyWay(t, fmt.Sprint(cfg, n), func(isa kernel.ISA, p *kernel.Pool) []float32 {
				op := kernel.NewSGDOp()
				op.UseISA(isa)
				w, m := append([]float32(nil), w...), make([]float32, n)
				for range steps {
					op.Run(p, w, g, m, cfg, scale)
				}
				return joined(w, m)
			})
			for i := range w {
				a, m := float64(w[i]), 0.0
				for range steps {
					d := float64(g[i])*scale + float64(cfg.Decay)*a
					if cfg.Momentum != 0 {
						m = float64(cfg.Momentum)*m + d
						if cfg.Nesterov {
							d += float64(cfg.Momentum) * m
						} else {
							d = m
						}
					}
					a -= float64(cfg.LR) * d
				}
				near(t, "parameter", got[i], a, 2e-6)
				near(t, "momentum", got[n+i], m, 2e-6)
			}
		}
	}
	x := make([]float32, 3)
	mustPanic(t, "short gradient", func() { kernel.NewSGDOp().Run(newPoolFor(t, 1), x, x[:2], nil, kernel.SGD{}, 1) })
	mustPanic(t, "no momentum", func() { kernel.NewSGDOp().Run(newPoolFor(t, 1), x, x, nil, kernel.SGD{Momentum: 1}, 1) })
}

func TestTrainingOpsDoNotAllocate(t *testing.T) {
	p := kernel.NewPool(2)
	defer p.Close()
	const rows, width = 300, 100
	rng := rngOf(5)
	x, dy, y, dx := randoms(rng, rows*width, 1), randoms(rng, rows*width, 1), make([]float32, rows*width), make([]float32, rows*width)
	w, b, dw, db := randoms(rng, width, 1), randoms(rng, width, 1), make([]float32, width), make([]float32, width)
	targets := make([]int32, rows)
	act, add, bias, glu := kernel.NewActivationOp(kernel.ActGELU), kernel.NewAddOp(), kernel.NewBiasOp(), kernel.NewSwiGLUOp()
	rms, layer := kernel.NewRMSNormOp(rows, width, 1e-5), kernel.NewLayerNormOp(rows, width, 1e-5)
	loss, mse, sum := kernel.NewCrossEntropyOp(rows, width, 0.1), kernel.NewMSEOp(rows*width), kernel.NewSumSquaresOp()
	attention := kernel.NewAttentionOp(kernel.AttentionShape{Batch: 2, Seq: 150, Heads: 4, KVHeads: 4, HeadDim: 25, Causal: true})
	st := kernel.AttentionStrides{Q: width, K: width, V: width, Out: width}
	ropeOp, rows4 := kernel.NewRopeOp(randoms(rng, 150*12, 1), randoms(rng, 150*12, 1), 12), kernel.RopeRows{N: rows, Stride: width, Heads: 4, HeadDim: 25, Seq: 150}
	embed, drop, adam, sgd := kernel.NewEmbeddingOp(), kernel.NewDropoutOp(0.1), kernel.NewAdamOp(), kernel.NewSGDOp()
	dk, dv := make([]float32, rows*width), make([]float32, rows*width)
	step := func() {
		act.Forward(p, y, x)
		act.Backward(p, dx, dy, x, y)
		add.Forward(p, y, x, dy)
		bias.Forward(p, y, x, b, rows)
		bias.Backward(p, db, dy, rows)
		glu.Forward(p, y, x, rows, width/2)
		glu.Backward(p, dx, dy, x, rows, width/2)
		rms.Forward(p, y, x, w)
		rms.Backward(p, dx, dw, dy, x, w)
		layer.Forward(p, y, x, w, b)
		layer.Backward(p, dx, dw, db, dy, x, w)
		loss.Forward(p, x, targets)
		loss.Backward(p, dx, 1)
		mse.Forward(p, x, dy)
		mse.Backward(p, dx, x, dy, 1)
		sum.Run(p, x)
		attention.Forward(p, y, x, dy, x, st)
		attention.Backward(p, dx, dk, dv, dy, x, dy, x, y, st)
		ropeOp.Forward(p, y, rows4)
		ropeOp.Inverse(p, y, rows4)
		embed.Forward(p, y, x, targets, width)
		embed.Backward(p, dx, dy, targets, width)
		drop.Forward(p, y, x, 3)
		adam.Run(p, y, dy, dx, dk, kernel.AdamW{Step: 3, LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8}, 1)
		sgd.Run(p, y, dy, dx, kernel.SGD{LR: 1e-3, Momentum: 0.9}, 1)
	}
	for range 3 {
		step()
	}
	if got := testing.AllocsPerRun(10, step); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
