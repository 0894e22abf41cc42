package kernel

import "fmt"

// Gemm is the matrix product C = op(A) · op(B), or C += op(A) · op(B) with Add. C is
// (M, N), op(A) is (M, K), op(B) is (K, N); with TransA the stored A is (K, M), with TransB
// the stored B is (N, K). All are row-major; LDA, LDB and LDC are the distances between the
// rows of the stored matrices, in elements.
//
// Every element of C is a chain of fused multiply-adds in the order of k that starts at 0,
// or at C's content with Add: the same bits on every instruction set and for every number
// of threads. With K = 0 the product is 0.
//
// A Gemm may be run again with other fields; it keeps its buffers, at most 840 KiB for each
// thread, and allocates nothing once it has seen a size. It is for one call at a time. C
// must not overlap A or B.
type Gemm struct {
	TransA, TransB bool
	M, N, K        int
	A              []float32
	LDA            int
	B              []float32
	LDB            int
	C              []float32
	LDC            int
	Add            bool

	scratch scratchList
	task    gemmTask
}

// Run computes the product on the threads of p; with p nil on the caller's alone, which is
// the way for a Gemm that is part of a [Task]. It panics if a matrix is too short or its
// rows overlap.
func (g *Gemm) Run(p *Pool) { g.run(current, p) }

func (g *Gemm) run(isa ISA, p *Pool) {
	g.check()
	if g.M == 0 || g.N == 0 {
		return
	}
	t := &g.task
	t.g, t.isa = g, isa
	threads := 1
	if p != nil {
		threads = p.Threads()
	}
	t.plan(gemmShape{g.TransA, g.TransB, g.M, g.N, g.K, threads})
	items := t.rowBlocks * t.colBlocks
	g.scratch.reserve(min(threads, items), t.floats())
	if p == nil || items == 1 {
		t.Do(0, items)
	} else {
		p.Run(items, 1, t)
	}
}

func (g *Gemm) check() {
	if g.M < 0 || g.N < 0 || g.K < 0 {
		panic(fmt.Sprintf("kernel: Gemm of %d x %d x %d", g.M, g.N, g.K))
	}
	aRows, aCols, bRows, bCols := g.M, g.K, g.K, g.N
	if g.TransA {
		aRows, aCols = g.K, g.M
	}
	if g.TransB {
		bRows, bCols = g.N, g.K
	}
	for _, m := range []struct {
		name             string
		rows, cols, step int
		have             int
	}{
		{"A", aRows, aCols, g.LDA, len(g.A)},
		{"B", bRows, bCols, g.LDB, len(g.B)},
		{"C", g.M, g.N, g.LDC, len(g.C)},
	} {
		if m.rows > 0 && m.cols > 0 && (m.step < m.cols || m.have < (m.rows-1)*m.step+m.cols) {
			panic(fmt.Sprintf("kernel: Gemm of %d x %d x %d: %s of %d x %d with rows %d apart has %d elements",
				g.M, g.N, g.K, m.name, m.rows, m.cols, m.step, m.have))
		}
	}
}

// gemmTask computes items: blocks of rows and columns of C, each over the whole of K. Each
// goroutine packs what its block needs into buffers of its own, which stay in its caches.
type gemmTask struct {
	gemmPlan
	g   *Gemm
	isa ISA
}

// Do computes blocks. Those of the same columns follow each other.
func (t *gemmTask) Do(lo, hi int) {
	g := t.g
	if g.K == 0 {
		t.clear(lo, hi)
		return
	}
	buf := g.scratch.get(t.floats())
	defer g.scratch.put(buf)
	for item := lo; item < hi; item++ {
		row, col := item%t.rowBlocks*t.rows, item/t.rowBlocks*t.cols
		t.block(row, min(t.rows, g.M-row), col, min(t.cols, g.N-col), buf)
	}
}

// clear is the product of no columns.
func (t *gemmTask) clear(lo, hi int) {
	g := t.g
	for item := lo; item < hi && !g.Add; item++ {
		row, col := item%t.rowBlocks*t.rows, item/t.rowBlocks*t.cols
		for i := row; i < min(row+t.rows, g.M); i++ {
			clear(g.C[i*g.LDC+col : i*g.LDC+min(col+t.cols, g.N)])
		}
	}
}
