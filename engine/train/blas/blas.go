// Package blas hands the matrix products of Gorgonia's built-in operations to the kernels
// of this engine: its main type [BLAS] is gonum's implementation with the single-precision
// products replaced, for gorgonia.Use. A BLAS is safe for concurrent use.
package blas

import (
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/covey-network/covey/engine/kernel"
)

// BLAS is gonum's BLAS with Sgemm, Sgemv and Sger done by the kernels on the threads of a
// pool. Their results have the same bits on every machine and for every number of threads:
// each is a chain of fused multiply-adds in the order of the summed index. Wrong shapes
// panic, as gonum's do. All other functions are gonum's own.
type BLAS struct {
	gonum.Implementation
	pool *kernel.Pool

	mu   sync.Mutex
	idle []*call // buffers of calls that have ended
}

var (
	_ blas.Float32 = (*BLAS)(nil)
	_ blas.Float64 = (*BLAS)(nil)
)

// call holds the buffers of a product in progress.
type call struct {
	gemm    kernel.Gemm
	product []float32 // where it does not go to the result at once
	x, y    []float32 // vectors whose elements do not lie side by side, or scaled
}

// New returns a BLAS that runs on p, or on the caller's goroutine alone if p is nil. The
// pool stays the caller's; calls from a task of p itself would wait forever.
func New(p *kernel.Pool) *BLAS { return &BLAS{pool: p} }

// Sgemm computes c = alpha op(a) op(b) + beta c: op(a) is (m, k), op(b) is (k, n), c is
// (m, n), all row-major. With alpha 1 and beta 0 or 1 it is one product; otherwise
// products are rounded before they are scaled. With beta 0 what c holds does not count.
func (b *BLAS) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, x []float32, lda int, y []float32, ldb int, beta float32, c []float32, ldc int) {
	if !known(tA) || !known(tB) || m < 0 || n < 0 || k < 0 {
		b.Implementation.Sgemm(tA, tB, m, n, k, alpha, x, lda, y, ldb, beta, c, ldc) // panics
		return
	}
	d := b.take()
	defer b.give(d)
	g := &d.gemm
	g.TransA, g.TransB, g.M, g.N, g.K = tA != blas.NoTrans, tB != blas.NoTrans, m, n, k
	g.A, g.LDA, g.B, g.LDB, g.C, g.LDC = x, lda, y, ldb, c, ldc
	d.run(b.pool, alpha, beta)
}

// Sgemv computes y = alpha op(a) x + beta y: a is (m, n), row-major.
func (b *BLAS) Sgemv(tA blas.Transpose, m, n int, alpha float32, a []float32, lda int, x []float32, incX int, beta float32, y []float32, incY int) {
	if !known(tA) || m < 0 || n < 0 || incX == 0 || incY == 0 {
		b.Implementation.Sgemv(tA, m, n, alpha, a, lda, x, incX, beta, y, incY) // panics
		return
	}
	if m == 0 || n == 0 {
		return // y stays, as BLAS has it
	}
	d := b.take()
	defer b.give(d)
	// y is a row: x (1, k) times op(a) transposed.
	rows, k := m, n
	if tA != blas.NoTrans {
		rows, k = n, m
	}
	g := &d.gemm
	g.TransA, g.TransB, g.M, g.N, g.K = false, tA == blas.NoTrans, 1, rows, k
	d.x = gather(d.x, x, k, incX)
	g.A, g.LDA, g.B, g.LDB = d.x, k, a, lda
	if incY == 1 {
		g.C, g.LDC = y, rows
		d.run(b.pool, alpha, beta)
		return
	}
	d.y = gather(d.y, y, rows, incY)
	g.C, g.LDC = d.y, rows
	d.run(b.pool, alpha, beta)
	scatter(y, d.y, incY)
}

// Sger computes a += alpha x yᵀ: a is (m, n), row-major.
func (b *BLAS) Sger(m, n int, alpha float32, x []float32, incX int, y []float32, incY int, a []float32, lda int) {
	if m < 0 || n < 0 || incX == 0 || incY == 0 {
		b.Implementation.Sger(m, n, alpha, x, incX, y, incY, a, lda) // panics
		return
	}
	if alpha == 0 {
		return
	}
	d := b.take()
	defer b.give(d)
	d.x, d.y = gather(d.x, x, m, incX), gather(d.y, y, n, incY)
	if alpha != 1 {
		for i := range d.x {
			d.x[i] *= alpha
		}
	}
	g := &d.gemm
	g.TransA, g.TransB, g.M, g.N, g.K = false, false, m, n, 1
	g.A, g.LDA, g.B, g.LDB, g.C, g.LDC = d.x, 1, d.y, max(n, 1), a, lda
	d.run(b.pool, 1, 1)
}

func known(t blas.Transpose) bool { return t == blas.NoTrans || t == blas.Trans || t == blas.ConjTrans }

// run computes C = alpha op(A) op(B) + beta C of the product that is set.
func (d *call) run(p *kernel.Pool, alpha, beta float32) {
	g := &d.gemm
	if alpha == 1 && (beta == 0 || beta == 1) {
		g.Add = beta == 1
		g.Run(p)
		return
	}
	c, ldc, n := g.C, g.LDC, g.N
	d.product = sized(d.product, g.M*n)
	if alpha == 0 {
		clear(d.product)
	} else {
		g.C, g.LDC, g.Add = d.product, n, false
		g.Run(p)
	}
	for i := range g.M {
		row := c[i*ldc : i*ldc+n]
		for j, v := range d.product[i*n : (i+1)*n] {
			v = float32(v * alpha) // not fused, on any machine
			if beta != 0 {
				v += float32(beta * row[j])
			}
			row[j] = v
		}
	}
}

// take returns buffers for a call; give returns them and lets go of the caller's slices.
func (b *BLAS) take() *call {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := len(b.idle) - 1
	if last < 0 {
		return &call{}
	}
	d := b.idle[last]
	b.idle = b.idle[:last]
	return d
}

func (b *BLAS) give(d *call) {
	d.gemm.A, d.gemm.B, d.gemm.C = nil, nil, nil
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle = append(b.idle, d)
}

// sized returns buf with n elements of any content.
func sized(buf []float32, n int) []float32 {
	if cap(buf) < n {
		return make([]float32, n)
	}
	return buf[:n]
}

// first returns where the first element of a vector lies: those with a negative increment
// begin at the end.
func first(n, inc int) int {
	if inc < 0 {
		return (1 - n) * inc
	}
	return 0
}

// gather copies the n elements of a vector to buf.
func gather(buf, x []float32, n, inc int) []float32 {
	buf = sized(buf, n)
	for i, at := 0, first(n, inc); i < n; i, at = i+1, at+inc {
		buf[i] = x[at]
	}
	return buf
}

// scatter is the inverse of gather.
func scatter(x, buf []float32, inc int) {
	for i, at := 0, first(len(buf), inc); i < len(buf); i, at = i+1, at+inc {
		x[at] = buf[i]
	}
}
