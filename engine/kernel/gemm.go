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
// A Gemm may be run again with other fields; it keeps its buffers and allocates nothing
// once it has seen a size. It is for one call at a time. C must not overlap A or B.
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
	t.plan(threads)
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

// The sizes of the blocks that a product is cut into, found by measuring.
const (
	gemmDepth   = 512 // columns of op(A) at a time: a tile of 6 rows takes 12 KiB of the first-level cache
	gemmCols    = 256 // columns of C at most: with gemmDepth 512 KiB of the second-level cache
	gemmRows    = 516 // rows of C at most, a multiple of tileRows
	gemmUnit    = 64  // columns of C that the AVX-512 kernel keeps in registers
	gemmStrip   = 48  // rows of op(A) that are packed together, a multiple of tileRows
	gemmDirect  = 48  // with fewer rows B is read where it lies
	gemmSmall   = 1 << 17
	gemmPackB   = 12      // what packing a column costs, in rows of products
	gemmPackA   = 12      // what packing a row costs, in columns of products
	gemmPerItem = 1 << 16 // what an item costs beside, in multiply-adds
)

// gemmTask computes items: blocks of rows and columns of C, each over the whole of K.
type gemmTask struct {
	g                    *Gemm
	isa                  ISA
	rows, cols           int // of a block; the last ones may be smaller
	rowBlocks, colBlocks int
	depth                int // columns of op(A) at a time
	packed               bool
}

// plan cuts C into blocks so that the thread with the most work is done first. What is
// chosen does not change the result.
func (t *gemmTask) plan(threads int) {
	g := t.g
	t.depth = roundUp(ceilDiv(g.K, max(1, ceilDiv(g.K, gemmDepth))), lanes)
	cb, rb := ceilDiv(g.N, gemmCols), ceilDiv(g.M, gemmRows)
	if threads > 1 && g.M*g.N*max(g.K, 1) > gemmSmall {
		cb, rb = t.split(threads, cb, rb)
	}
	t.cut(cb, rb)
}

// split returns the numbers of blocks of columns and rows, at least cb and rb.
func (t *gemmTask) split(threads, cb, rb int) (cols, rows int) {
	g := t.g
	best := -1
	for r := rb; r <= rb+2*threads; r++ {
		for c := cb; c <= cb+2*threads; c++ {
			t.cut(c, r)
			cost := t.rows * t.cols
			if t.packed {
				cost += t.cols * gemmPackB
			}
			if g.TransA {
				cost += t.rows * gemmPackA
			}
			cost = (cost*g.K + gemmPerItem) * ceilDiv(t.rowBlocks*t.colBlocks, threads)
			if best < 0 || cost < best {
				best, cols, rows = cost, c, r
			}
		}
	}
	return cols, rows
}

// cut sets the sizes for about so many blocks of columns and rows.
func (t *gemmTask) cut(cb, rb int) {
	unit := lanes
	if t.g.N > 4*gemmUnit {
		unit = gemmUnit
	}
	t.cols = roundUp(ceilDiv(t.g.N, cb), unit)
	t.rows = roundUp(ceilDiv(t.g.M, rb), tileRows)
	t.colBlocks, t.rowBlocks = ceilDiv(t.g.N, t.cols), ceilDiv(t.g.M, t.rows)
	t.packed = t.g.TransB || t.rows >= gemmDirect
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func roundUp(a, b int) int { return ceilDiv(a, b) * b }

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

// floats returns the size of the scratch of a goroutine: a block of B in panels, and a
// strip of A in tiles.
func (t *gemmTask) floats() int {
	n := t.groups() * t.panel(t.depth)
	if t.g.TransA {
		n += gemmStrip / tileRows * t.tileStep()
	}
	return n
}

func (t *gemmTask) groups() int { return ceilDiv(t.cols, lanes) }

// panel returns the distance between panels of k columns: not a multiple of 4 KiB, so that
// those read together lie in different sets of the caches.
func (t *gemmTask) panel(k int) int { return k*lanes + lanes }

// tileStep returns the distance between the tiles of a strip.
func (t *gemmTask) tileStep() int { return t.depth*tileRows + lanes }
