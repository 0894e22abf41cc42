package blas_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	gblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/blas"
)

// gorgonia.Use asks for all four.
var _ interface {
	gblas.Float32
	gblas.Float64
	gblas.Complex64
	gblas.Complex128
} = (*blas.BLAS)(nil)

var transposes = []gblas.Transpose{gblas.NoTrans, gblas.Trans}

func newBLAS(t *testing.T, threads int) *blas.BLAS {
	t.Helper()
	p := kernel.NewPool(threads)
	t.Cleanup(p.Close)
	return blas.New(p)
}

func randoms(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// near fails unless got is want up to the rounding of a few sums of k products of about 1.
func near(t *testing.T, what string, got []float32, want []float64, k int) {
	t.Helper()
	for i := range want {
		if diff := math.Abs(float64(got[i]) - want[i]); !(diff <= float64(k+4)*16*0x1p-24) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func TestSgemmAgreesWithGonum(t *testing.T) {
	t.Parallel()
	b := newBLAS(t, 2)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range [][3]int{{1, 1, 1}, {7, 10, 33}, {64, 50, 70}, {100, 130, 1}, {3, 5, 0}, {0, 3, 2}} {
		m, n, k := s[0], s[1], s[2]
		for _, tA := range transposes {
			for _, tB := range transposes {
				for _, scale := range [][2]float32{{1, 0}, {1, 1}, {0.5, 0}, {-2, 0.25}, {0, 3}, {1, 2}, {0, 0}} {
					lda, ldb, ldc := k+2, n+1, n+3
					x, y, c := randoms(rng, max(m, k)*(max(m, k)+2)), randoms(rng, max(n, k)*(max(n, k)+2)), randoms(rng, m*ldc)
					if tA == gblas.Trans {
						lda = m + 2
					}
					if tB == gblas.Trans {
						ldb = k + 1
					}
					want := widen(c)
					gonum.Implementation{}.Dgemm(tA, tB, m, n, k, float64(scale[0]), widen(x), lda, widen(y), ldb, float64(scale[1]), want, ldc)
					b.Sgemm(tA, tB, m, n, k, scale[0], x, lda, y, ldb, scale[1], c, ldc)
					near(t, fmt.Sprintf("%c%c %v scaled by %v", tA, tB, s, scale), c, want, k)
				}
			}
		}
	}
}

func TestSgemvAgreesWithGonum(t *testing.T) {
	t.Parallel()
	b := newBLAS(t, 2)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, s := range [][2]int{{1, 1}, {7, 33}, {65, 20}, {0, 3}} {
		m, n := s[0], s[1]
		for _, tA := range transposes {
			for _, inc := range [][2]int{{1, 1}, {2, 1}, {1, 3}, {-1, -2}} {
				for _, scale := range [][2]float32{{1, 0}, {1, 1}, {-2, 0.5}} {
					lda := n + 2
					a, x, y := randoms(rng, m*lda), randoms(rng, 2*max(m, n)), randoms(rng, 3*max(m, n))
					want := widen(y)
					gonum.Implementation{}.Dgemv(tA, m, n, float64(scale[0]), widen(a), lda, widen(x), inc[0], float64(scale[1]), want, inc[1])
					b.Sgemv(tA, m, n, scale[0], a, lda, x, inc[0], scale[1], y, inc[1])
					near(t, fmt.Sprintf("%c %v increments %v scaled by %v", tA, s, inc, scale), y, want, max(m, n))
				}
			}
		}
	}
}

// The reference is not gonum's Dger, which as of v0.17.0 reads a vector of negative
// increment from the wrong end on amd64.
func TestSger(t *testing.T) {
	t.Parallel()
	b := newBLAS(t, 2)
	rng := rand.New(rand.NewPCG(5, 6))
	for _, s := range [][2]int{{1, 1}, {7, 33}, {65, 20}, {0, 3}} {
		m, n := s[0], s[1]
		for _, inc := range [][2]int{{1, 1}, {2, 1}, {-1, -2}} {
			for _, alpha := range []float32{1, 0, -0.5} {
				lda := n + 2
				a, x, y := randoms(rng, m*lda), randoms(rng, 2*max(m, n)), randoms(rng, 2*max(m, n))
				want := widen(a)
				for i := range m {
					for j := range n {
						want[i*lda+j] += float64(alpha) * float64(x[place(i, m, inc[0])]) * float64(y[place(j, n, inc[1])])
					}
				}
				b.Sger(m, n, alpha, x, inc[0], y, inc[1], a, lda)
				near(t, fmt.Sprintf("%v increments %v scaled by %v", s, inc, alpha), a, want, 1)
			}
		}
	}
}

// place returns where element i of a vector of n lies.
func place(i, n, inc int) int {
	if inc < 0 {
		return (i - n + 1) * inc
	}
	return i * inc
}

// With beta 0 what C held does not count, not even what is not a number.
func TestSgemmOverwrites(t *testing.T) {
	t.Parallel()
	b := blas.New(nil)
	for _, alpha := range []float32{1, 2} {
		c := []float32{float32(math.NaN())}
		b.Sgemm(gblas.NoTrans, gblas.NoTrans, 1, 1, 1, alpha, []float32{3}, 1, []float32{5}, 1, 0, c, 1)
		if want := 15 * alpha; c[0] != want {
			t.Errorf("alpha %v: %v, want %v", alpha, c[0], want)
		}
	}
}

func TestConcurrentCalls(t *testing.T) {
	t.Parallel()
	b := newBLAS(t, 2)
	const n = 70
	rng := rand.New(rand.NewPCG(7, 8))
	x, y, want := randoms(rng, n*n), randoms(rng, n*n), make([]float32, n*n)
	b.Sgemm(gblas.NoTrans, gblas.Trans, n, n, n, 1, x, n, y, n, 0, want, n)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			c := make([]float32, n*n)
			for range 20 {
				b.Sgemm(gblas.NoTrans, gblas.Trans, n, n, n, 1, x, n, y, n, 0, c, n)
				for i := range c {
					if c[i] != want[i] {
						t.Errorf("element %d is %v, want %v", i, c[i], want[i])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestWrongCallsPanic(t *testing.T) {
	t.Parallel()
	b := blas.New(nil)
	one := []float32{1}
	for name, f := range map[string]func(){
		"transpose":     func() { b.Sgemm('x', gblas.NoTrans, 1, 1, 1, 1, one, 1, one, 1, 0, one, 1) },
		"negative rows": func() { b.Sgemm(gblas.NoTrans, gblas.NoTrans, -1, 1, 1, 1, one, 1, one, 1, 0, one, 1) },
		"short a":       func() { b.Sgemm(gblas.NoTrans, gblas.NoTrans, 1, 1, 2, 1, one, 2, one, 1, 0, one, 1) },
		"increment":     func() { b.Sgemv(gblas.NoTrans, 1, 1, 1, one, 1, one, 0, 0, one, 1) },
		"short x":       func() { b.Sgemv(gblas.NoTrans, 1, 2, 1, []float32{1, 2}, 2, one, 1, 0, one, 1) },
		"rank one":      func() { b.Sger(2, 1, 1, one, 1, one, 1, one, 1) },
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

func TestSgemmDoesNotAllocate(t *testing.T) {
	b := newBLAS(t, 2)
	rng := rand.New(rand.NewPCG(9, 10))
	const n = 150
	x, y, c := randoms(rng, n*n), randoms(rng, n*n), make([]float32, n*n)
	do := func() {
		b.Sgemm(gblas.NoTrans, gblas.Trans, n, n, n, 1, x, n, y, n, 0, c, n)
		b.Sgemm(gblas.Trans, gblas.NoTrans, n, n, n, 2, x, n, y, n, 1, c, n)
		b.Sgemv(gblas.NoTrans, n, n, 1, x, n, y, 1, 0, c, 1)
		b.Sger(n, n, 1, x, 1, y, 1, c, n)
	}
	do()
	if got := testing.AllocsPerRun(20, do); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
