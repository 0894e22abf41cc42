package kernel

// What limits a product, as shares of the fused multiply-adds that a core can do
// (BenchmarkGemm, AVX-512 core with 2 MiB of second-level cache, one thread, quiet):
//
//   - The kernels reach 90-95 % on long columns (NN 512 x 128 x 512): each call loads,
//     drains and stores 24 sums, which costs 3-5 % at K = 128.
//   - Packing op(B) costs 10 rows of C or so: nothing at M = 512, a tenth at M = 128 (NT
//     128 x 512 x 784: 82-86 %).
//   - Packing op(A), stored (K, M), costs about 24 columns of C, for its rows lie in pages of
//     their own: 20 % at N = 128 (TN 512 x 128 x 512: 78-84 %), 6 % at N = 512 (TN 1024 cubed:
//     80 %). Reading it where it lies is no faster, and far slower at strides of 4 KiB.
//   - Where B is not packed (NN with few rows), every column is in another page: NN 128 x 784
//     x 512 gives 78 %.
//   - Small products pay about 0.3 us a run, and up to 16 columns or less than 6 rows leave
//     the multipliers waiting for their own sums: 64 x 64 x 32 gives 65-80 %, 128 x 10 x 512
//     30 %. Products of one row read a matrix once: memory limits them.
//   - With two threads 2-3 us for waking the other and the unequal blocks come on top: 1024
//     cubed reaches 81-90 % of both cores, the training shapes 68-91 %.
//
// AVX2 has half the multiply-adds to feed from the same caches: 80-94 % of its own peak.

// The sizes of the blocks that a product is cut into. They were found by measuring on a
// core with 48 KiB and 2 MiB of caches, and make little difference within a factor of two.
const (
	gemmDepth  = 352  // columns of op(A) at a time: a tile of 6 rows takes 8 KiB of the first-level cache
	gemmCols   = 512  // columns of C at most: with gemmDepth 704 KiB of the second-level cache
	gemmRows   = 1032 // rows of C at most, a multiple of tileRows
	gemmUnit   = 64   // columns of C that the AVX-512 kernel keeps in registers
	gemmStrip  = 96   // rows of op(A) that are packed together, a multiple of tileRows
	gemmDirect = 96   // with fewer rows B is read where it lies: packing it costs more than it saves
)

// What the work besides the products costs, for the choice of blocks.
const (
	gemmPackB   = 10      // packing a column of op(B), in rows of C
	gemmPackA   = 24      // packing a row of op(A), in columns of C
	gemmPerItem = 1 << 17 // an item, in multiply-adds: about a microsecond
	gemmSmall   = 1 << 20 // multiply-adds for which waking threads does not pay
)

// gemmShape is what a plan depends on.
type gemmShape struct {
	transA, transB bool
	m, n, k        int
	threads        int
}

// gemmPlan says how C is cut into blocks. It does not change the result.
type gemmPlan struct {
	gemmShape
	rows, cols           int // of a block; the last ones may be smaller
	rowBlocks, colBlocks int
	depth                int  // columns of op(A) at a time
	packed               bool // whether op(B) is packed
}

// plan cuts C so that the thread with the most work is done first.
func (p *gemmPlan) plan(s gemmShape) {
	if p.gemmShape == s {
		return
	}
	p.gemmShape = s
	p.depth = roundUp(ceilDiv(s.k, max(1, ceilDiv(s.k, gemmDepth))), lanes)
	cb, rb := ceilDiv(s.n, gemmCols), ceilDiv(s.m, gemmRows)
	if s.threads > 1 && s.m*s.n*s.k > gemmSmall {
		cb, rb = p.split(cb, rb)
	}
	p.cut(cb, rb)
}

// split returns the numbers of blocks of columns and rows, at least cb and rb.
func (p *gemmPlan) split(cb, rb int) (cols, rows int) {
	best := -1
	for r := rb; r <= rb+2*p.threads; r++ {
		for c := cb; c <= cb+2*p.threads; c++ {
			p.cut(c, r)
			if cost := p.cost(); best < 0 || cost < best {
				best, cols, rows = cost, c, r
			}
		}
	}
	return cols, rows
}

// cost returns about how long the thread with the most work takes, in multiply-adds.
func (p *gemmPlan) cost() int {
	each := p.rows * p.cols
	if p.packed {
		each += p.cols * gemmPackB
	}
	if p.transA {
		each += p.rows * gemmPackA
	}
	return (each*p.k + gemmPerItem) * ceilDiv(p.rowBlocks*p.colBlocks, p.threads)
}

// cut sets the sizes for at most so many blocks of columns and rows.
func (p *gemmPlan) cut(cb, rb int) {
	unit := lanes
	if p.n > 4*gemmUnit {
		unit = gemmUnit
	}
	p.cols = roundUp(ceilDiv(p.n, cb), unit)
	p.rows = roundUp(ceilDiv(p.m, rb), tileRows)
	p.colBlocks, p.rowBlocks = ceilDiv(p.n, p.cols), ceilDiv(p.m, p.rows)
	p.packed = p.transB || p.rows >= gemmDirect
}

// floats returns the size of the scratch of a goroutine: a block of B in panels, and a
// strip of A in tiles.
func (p *gemmPlan) floats() int {
	n := p.groups() * p.panel(p.depth)
	if p.transA {
		n += gemmStrip / tileRows * p.tileStep()
	}
	return n
}

func (p *gemmPlan) groups() int { return ceilDiv(p.cols, lanes) }

// panel returns the distance between panels of k columns: not a multiple of 4 KiB, so that
// those read together lie in different sets of the caches.
func (p *gemmPlan) panel(k int) int { return k*lanes + lanes }

// tileStep returns the distance between the tiles of a strip.
func (p *gemmPlan) tileStep() int { return p.depth*tileRows + lanes }

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func roundUp(a, b int) int { return ceilDiv(a, b) * b }
