package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

// attnCase is a made-up attention of one sequence.
type attnCase struct {
	heads, kvHeads, headDim, n, window int
	causal                             bool
	q, k, v                            []float32
}

func newAttnCase(heads, kvHeads, headDim, n, window int, causal bool) attnCase {
	rng := rand.New(rand.NewPCG(uint64(heads*1000+headDim), uint64(n)))
	return attnCase{
		heads, kvHeads, headDim, n, window, causal,
		randoms(rng, n*heads*headDim, 1.5), randoms(rng, n*kvHeads*headDim, 1.5), randoms(rng, n*kvHeads*headDim, 1),
	}
}

func (c attnCase) options(pos int) kernel.AttendOptions {
	return kernel.AttendOptions{Heads: c.heads, Pos: pos, Window: c.window, Causal: c.causal, Scale: float32(1 / math.Sqrt(float64(c.headDim)))}
}

// run computes the case in chunks of the given number of positions.
func (c attnCase) run(isa kernel.ISA, p *kernel.Pool, chunk int) []float32 {
	var s kernel.AttnScratch
	cache := kernel.NewKVCache(c.kvHeads, c.headDim, c.n+3)
	dst := make([]float32, len(c.q))
	qw, kvw := c.heads*c.headDim, c.kvHeads*c.headDim
	for at := 0; at < c.n; at += chunk {
		n := min(chunk, c.n-at)
		cache.Append(c.k[at*kvw:], c.v[at*kvw:], n)
		seq := kernel.AttendSeq{Dst: dst[at*qw : (at+n)*qw], Q: c.q[at*qw:], N: n, Pos: at, Cache: cache}
		kernel.AttendISA(isa, p, []kernel.AttendSeq{seq}, c.options(0), &s)
	}
	return dst
}

// reference computes one output of the case in float64.
func (c attnCase) reference(query, head int) []float64 {
	kv := head / (c.heads / c.kvHeads)
	lo, hi := 0, c.n
	if c.causal {
		hi = query + 1
		if c.window > 0 {
			lo = max(0, hi-c.window)
		}
	}
	weights, top, sum := make([]float64, c.n), math.Inf(-1), 0.0
	for j := lo; j < hi; j++ {
		for d := range c.headDim {
			weights[j] += float64(c.q[(query*c.heads+head)*c.headDim+d]) * float64(c.k[(j*c.kvHeads+kv)*c.headDim+d])
		}
		weights[j] /= math.Sqrt(float64(c.headDim))
		top = max(top, weights[j])
	}
	out := make([]float64, c.headDim)
	for j := lo; j < hi; j++ {
		w := math.Exp(weights[j] - top)
		sum += w
		for d := range out {
			out[d] += w * float64(c.v[(j*c.kvHeads+kv)*c.headDim+d])
		}
	}
	for d := range out {
		out[d] /= sum
	}
	return out
}

var attnCases = []struct {
	heads, kvHeads, headDim, n, window int
	causal                             bool
}{
	{1, 1, 1, 1, 0, true},
	{4, 2, 16, 48, 0, true},
	{8, 2, 64, 150, 0, true},
	{5, 5, 20, 70, 0, true},
	{6, 2, 33, 130, 50, true},
	{2, 1, 16, 200, 3, true},
	{3, 3, 16, 140, 130, true},
	{12, 12, 32, 37, 0, false},
	{7, 1, 8, 129, 0, false},
}

func TestAttend(t *testing.T) {
	t.Parallel()
	t.Logf("instruction sets covered: %v", kernel.Supported())
	for _, s := range attnCases {
		t.Run(fmt.Sprintf("%d-%d-%d-%d-%d-%v", s.heads, s.kvHeads, s.headDim, s.n, s.window, s.causal), func(t *testing.T) {
			t.Parallel()
			c := newAttnCase(s.heads, s.kvHeads, s.headDim, s.n, s.window, s.causal)
			p := kernel.NewPool(1)
			defer p.Close()
			want := c.run(kernel.Generic, p, c.n)
			for query := range c.n {
				for head := range c.heads {
					for d, w := range c.reference(query, head) {
						near(t, fmt.Sprintf("query %d head %d element %d", query, head, d), want[(query*c.heads+head)*c.headDim+d], w, 3e-6)
					}
				}
			}
			chunks := []int{c.n}
			if c.causal {
				chunks = []int{1, 5, 48, c.n}
			}
			for _, isa := range kernel.Supported() {
				for threads := 1; threads <= 3; threads++ {
					p := kernel.NewPool(threads)
					for _, chunk := range chunks {
						sameBits(t, fmt.Sprintf("%s, %d threads, chunks of %d", isa, threads, chunk), c.run(isa, p, chunk), want)
					}
					p.Close()
				}
			}
		})
	}
}

func TestAttendBatchAndRollback(t *testing.T) {
	t.Parallel()
	p := kernel.NewPool(2)
	defer p.Close()
	a, b := newAttnCase(4, 2, 24, 90, 0, true), newAttnCase(4, 2, 24, 33, 0, true)
	wantA, wantB := a.run(kernel.Current(), p, 1), b.run(kernel.Current(), p, 1)
	caches := []*kernel.KVCache{kernel.NewKVCache(2, 24, 100), kernel.NewKVCache(2, 24, 100)}
	gotA, gotB := append([]float32(nil), a.q...), append([]float32(nil), b.q...)
	for i, c := range []attnCase{a, b} {
		junk := make([]float32, 100*48)
		for j := range junk {
			junk[j] = nan32
		}
		caches[i].Append(junk, junk, 100) // what is rolled back leaves no trace
		caches[i].Truncate(0)
		caches[i].Append(c.k, c.v, c.n)
		if caches[i].Len() != c.n || caches[i].Cap() != 100 || caches[i].Bytes() != kernel.KVBytes(2, 24, 100) {
			t.Fatalf("cache holds %d of %d, %d bytes", caches[i].Len(), caches[i].Cap(), caches[i].Bytes())
		}
	}
	var s kernel.AttnScratch
	kernel.AttendBatch(p, []kernel.AttendSeq{
		{Dst: gotA[:30*96], Q: gotA, N: 30, Pos: 0, Cache: caches[0]}, // in place
		{Dst: gotB, Q: gotB, N: 33, Pos: 0, Cache: caches[1]},
		{N: 0, Pos: 90, Cache: caches[0]},
		{Dst: gotA[30*96:], Q: gotA[30*96:], N: 60, Pos: 30, Cache: caches[0]},
	}, a.options(0), &s)
	sameBits(t, "first sequence", gotA, wantA)
	sameBits(t, "second sequence", gotB, wantB)
	c := newAttnCase(2, 2, 16, 40, 0, true)
	got := make([]float32, len(c.q))
	cache := kernel.NewKVCache(2, 16, 40)
	cache.Append(c.k, c.v, 40)
	kernel.Attend(p, got, c.q, 40, cache, c.options(0), &s)
	sameBits(t, "Attend", got, c.run(kernel.Generic, p, 7))
}

// A value that is not finite must not reach queries before it.
func TestAttendKeepsTheFutureOut(t *testing.T) {
	t.Parallel()
	p := kernel.NewPool(1)
	defer p.Close()
	c := newAttnCase(1, 1, 16, 20, 0, true)
	want := c.run(kernel.Generic, p, 20)[:9*16]
	for i := range 16 {
		c.k[9*16+i], c.v[9*16+i] = nan32, inf32
	}
	for _, isa := range kernel.Supported() {
		got := c.run(isa, p, 20)
		sameBits(t, isa.String(), got[:9*16], want)
		for _, v := range got[9*16:] {
			if v == v {
				t.Fatalf("%s: %v after a NaN", isa, v)
			}
		}
	}
}

func TestAttendDoesNotAllocate(t *testing.T) {
	p := kernel.NewPool(2)
	defer p.Close()
	c := newAttnCase(8, 2, 64, 100, 0, true)
	var s kernel.AttnScratch
	cache := kernel.NewKVCache(2, 64, 101)
	cache.Append(c.k, c.v, 100)
	dst := make([]float32, 512)
	x, w := make([]float32, 100), make([]float32, 100)
	o := c.options(99)
	step := func() {
		kernel.Attend(p, dst, c.q, 1, cache, o, &s)
		cache.Truncate(99)
		cache.Append(c.k, c.v, 1)
		kernel.RMSNorm(x, x, w, 1e-5)
		kernel.LayerNorm(x, x, w, w, 1e-5)
		kernel.Softmax(x)
		kernel.SiLUMul(x, x, w)
		kernel.GELU(x)
		kernel.Rope(x, 1, 100, w[:50], w[:50])
	}
	step()
	if got := testing.AllocsPerRun(50, step); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestAttendPanicsOnShapes(t *testing.T) {
	t.Parallel()
	p := kernel.NewPool(1)
	defer p.Close()
	cache := kernel.NewKVCache(2, 4, 8)
	cache.Append(make([]float32, 8), make([]float32, 8), 1)
	cases := map[string]func(){
		"full cache": func() { cache.Append(make([]float32, 800), make([]float32, 800), 8) },
		"short keys": func() { cache.Append(make([]float32, 7), make([]float32, 8), 1) },
		"truncate":   func() { cache.Truncate(2) },
		"no heads":   func() { kernel.NewKVCache(0, 4, 8) },
		"odd heads": func() {
			kernel.Attend(p, make([]float32, 99), make([]float32, 99), 1, cache, kernel.AttendOptions{Heads: 3}, new(kernel.AttnScratch))
		},
		"short output": func() {
			kernel.Attend(p, nil, make([]float32, 99), 1, cache, kernel.AttendOptions{Heads: 2}, new(kernel.AttnScratch))
		},
		"future": func() {
			kernel.Attend(p, make([]float32, 99), make([]float32, 99), 1, cache, kernel.AttendOptions{Heads: 2, Pos: 1, Causal: true}, new(kernel.AttnScratch))
		},
	}
	for name, f := range cases {
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
