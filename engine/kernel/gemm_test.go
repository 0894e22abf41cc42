package kernel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

// gemmShapes are small enough for the twin and cross every edge: rows not a multiple of 6,
// columns not of 16, blocks of rows, columns and depth.
var gemmShapes = []struct{ m, n, k int }{
	{1, 1, 1},
	{1, 16, 1},
	{2, 3, 5},
	{6, 16, 16},
	{7, 17, 15},
	{13, 40, 33},
	{5, 10, 128},
	{33, 10, 70},
	{1, 300, 40},
	{3, 64, 520},
	{64, 64, 32},
	{47, 48, 10},
	{48, 130, 31},
	{100, 257, 17},
	{60, 70, 600},
	{11, 530, 3},
	{530, 20, 9},
	{523, 300, 4},
	{9, 33, 1100},
}

// gemmCase is a product with its operands, and what C holds before and after.
type gemmCase struct {
	kernel.Gemm
	before, want []float32
}

// newGemmCase draws operands with gaps between their rows. The gaps of A and B are NaN and
// those of C must stay.
func newGemmCase(rng *rand.Rand, m, n, k int, transA, transB, add bool) *gemmCase {
	c := &gemmCase{}
	c.TransA, c.TransB, c.Add, c.M, c.N, c.K = transA, transB, add, m, n, k
	c.A, c.LDA = gapped(rng, m, k, transA)
	c.B, c.LDB = gapped(rng, k, n, transB)
	c.before, c.LDC = gapped(rng, m, n, false)
	c.want = append([]float32(nil), c.before...)
	for i := range m {
		for j := range n {
			var acc float32
			if add {
				acc = c.before[i*c.LDC+j]
			}
			for l := range k {
				acc = kernel.FMA32(c.a(i, l), c.b(l, j), acc)
			}
			c.want[i*c.LDC+j] = acc
		}
	}
	c.C = make([]float32, len(c.before))
	return c
}

func gapped(rng *rand.Rand, rows, cols int, trans bool) (data []float32, ld int) {
	if trans {
		rows, cols = cols, rows
	}
	ld = cols + rng.IntN(4)
	if rows*cols == 0 {
		return nil, ld
	}
	data = randoms(rng, (rows-1)*ld+cols, 1)
	for i := range data {
		if i%ld >= cols {
			data[i] = nan32
		}
	}
	return data, ld
}

func (c *gemmCase) a(i, k int) float32 {
	if c.TransA {
		i, k = k, i
	}
	return c.A[i*c.LDA+k]
}

func (c *gemmCase) b(k, j int) float32 {
	if c.TransB {
		k, j = j, k
	}
	return c.B[k*c.LDB+j]
}

func (c *gemmCase) name() string {
	return fmt.Sprintf("%s %dx%dx%d add %v", gemmForm(c.TransA, c.TransB), c.M, c.N, c.K, c.Add)
}

func gemmForm(transA, transB bool) string {
	name := []byte("NN")
	if transA {
		name[0] = 'T'
	}
	if transB {
		name[1] = 'T'
	}
	return string(name)
}

func ExampleGemm() {
	p := kernel.NewPool(2)
	defer p.Close()
	g := kernel.Gemm{
		M: 2, N: 2, K: 3,
		A: []float32{1, 2, 3, 4, 5, 6}, LDA: 3,
		B: []float32{1, 0, 0, 1, 1, 1}, LDB: 2,
		C: make([]float32, 4), LDC: 2,
	}
	g.Run(p)
	fmt.Println(g.C)
	g.TransB, g.LDB, g.Add = true, 3, true // now B is (2, 3), and C keeps what it holds
	g.Run(p)
	fmt.Println(g.C)
	// Output:
	// [4 5 10 11]
	// [5 11 14 26]
}

func TestGemm(t *testing.T) {
	t.Parallel()
	pools := []*kernel.Pool{nil, newPool(t, 1), newPool(t, 2), newPool(t, 3)}
	rng := rand.New(rand.NewPCG(11, 12))
	reused := map[kernel.ISA]*kernel.Gemm{}
	for form := range 8 {
		for _, s := range gemmShapes {
			c := newGemmCase(rng, s.m, s.n, s.k, form&1 != 0, form&2 != 0, form&4 != 0)
			for _, isa := range kernel.Supported() {
				g := reused[isa]
				if g == nil {
					g = &kernel.Gemm{}
					reused[isa] = g
				}
				for i, p := range pools {
					if isa == kernel.Generic && i == 1 {
						continue // slow, and the same as without a pool
					}
					g.TransA, g.TransB, g.Add, g.M, g.N, g.K = c.TransA, c.TransB, c.Add, c.M, c.N, c.K
					g.A, g.LDA, g.B, g.LDB, g.C, g.LDC = c.A, c.LDA, c.B, c.LDB, c.C, c.LDC
					copy(g.C, c.before)
					kernel.GemmISA(isa, p, g)
					sameBits(t, fmt.Sprintf("%s, %s, pool %d", c.name(), isa, i), g.C, c.want)
				}
			}
		}
	}
}

// The error of a chain of k fused multiply-adds is at most k * 2^-24 of the sum of the
// products' sizes (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section
// 3.1).
func TestGemmIsCloseToExact(t *testing.T) {
	t.Parallel()
	const m, n, k = 67, 83, 1000
	rng := rand.New(rand.NewPCG(3, 4))
	p := newPool(t, 2)
	for form := range 4 {
		c := newGemmCase(rng, m, n, k, form&1 != 0, form&2 != 0, false)
		c.Run(p)
		for i := range m {
			for j := range n {
				exact, size := 0.0, 0.0
				for l := range k {
					v := float64(c.a(i, l)) * float64(c.b(l, j))
					exact, size = exact+v, size+math.Abs(v)
				}
				if got := float64(c.C[i*c.LDC+j]); math.Abs(got-exact) > size*k*0x1p-24 {
					t.Fatalf("%s (%d, %d): %v, want %v", c.name(), i, j, got, exact)
				}
			}
		}
	}
}

func TestGemmOfNothing(t *testing.T) {
	t.Parallel()
	p := newPool(t, 2)
	for _, s := range []struct{ m, n, k int }{{0, 3, 2}, {3, 0, 2}, {0, 0, 0}, {40, 300, 0}} {
		c := newGemmCase(rand.New(rand.NewPCG(1, 2)), s.m, s.n, s.k, false, false, false)
		for i := range s.m * min(s.n, 1) {
			clear(c.want[i*c.LDC : i*c.LDC+s.n])
		}
		copy(c.C, c.before)
		c.Run(p)
		sameBits(t, c.name(), c.C, c.want)
		c.Add = true
		copy(c.C, c.before)
		c.Run(p)
		if s.k == 0 {
			sameBits(t, c.name(), c.C, c.before)
		}
	}
}

// What is not a number reaches the elements it belongs to and no other.
func TestGemmKeepsNaN(t *testing.T) {
	t.Parallel()
	const m, n, k = 20, 50, 40
	for _, isa := range kernel.Supported() {
		for form := range 4 {
			c := newGemmCase(rand.New(rand.NewPCG(5, 6)), m, n, k, form&1 != 0, form&2 != 0, false)
			c.A[8*c.LDA+7] = nan32
			kernel.GemmISA(isa, nil, &c.Gemm)
			row := 8
			if c.TransA {
				row = 7
			}
			for i := range m {
				for j := range n {
					if v := c.C[i*c.LDC+j]; (v != v) != (i == row) {
						t.Fatalf("%s, %s: (%d, %d) is %v", c.name(), isa, i, j, v)
					}
				}
			}
		}
	}
}

func TestGemmDoesNotAllocate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	p := kernel.NewPool(2)
	defer p.Close()
	for form := range 4 {
		for _, s := range []struct{ m, n, k int }{{1, 100, 300}, {70, 90, 600}, {200, 300, 64}} {
			g := &kernel.Gemm{
				TransA: form&1 != 0, TransB: form&2 != 0, M: s.m, N: s.n, K: s.k,
				A: randoms(rng, s.m*s.k, 1), B: randoms(rng, s.k*s.n, 1), C: make([]float32, s.m*s.n), LDC: s.n,
			}
			g.LDA, g.LDB = gemmStrides(g)
			g.Run(p)
			if got := testing.AllocsPerRun(20, func() { g.Run(p) }); got != 0 {
				t.Errorf("%s %v: %v allocations", gemmForm(g.TransA, g.TransB), s, got)
			}
		}
	}
}

// gemmStrides returns the distances of rows that lie side by side.
func gemmStrides(g *kernel.Gemm) (lda, ldb int) {
	lda, ldb = g.K, g.N
	if g.TransA {
		lda = g.M
	}
	if g.TransB {
		ldb = g.K
	}
	return lda, ldb
}

func TestGemmChecksItsShapes(t *testing.T) {
	t.Parallel()
	good := func() *kernel.Gemm {
		return &kernel.Gemm{
			M: 3, N: 4, K: 5, A: make([]float32, 15), LDA: 5, B: make([]float32, 20), LDB: 4, C: make([]float32, 12), LDC: 4,
		}
	}
	good().Run(nil)
	for _, c := range []struct {
		name  string
		spoil func(g *kernel.Gemm)
		want  string
	}{
		{"negative", func(g *kernel.Gemm) { g.M = -1 }, "-1 x 4 x 5"},
		{"short A", func(g *kernel.Gemm) { g.A = g.A[:14] }, "A of 3 x 5"},
		{"short B", func(g *kernel.Gemm) { g.B = g.B[:19] }, "B of 5 x 4"},
		{"short C", func(g *kernel.Gemm) { g.C = g.C[:11] }, "C of 3 x 4"},
		{"overlapping rows of A", func(g *kernel.Gemm) { g.LDA = 4 }, "rows 4 apart"},
		{"transposed A", func(g *kernel.Gemm) { g.TransA, g.LDA = true, 2 }, "A of 5 x 3"},
		{"transposed B", func(g *kernel.Gemm) { g.TransB = true }, "B of 4 x 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if got, ok := recover().(string); !ok || !strings.Contains(got, c.want) {
					t.Errorf("panic %q, want one that says %q", got, c.want)
				}
			}()
			g := good()
			c.spoil(g)
			g.Run(nil)
		})
	}
}
