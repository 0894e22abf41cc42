package vec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// sizes are lengths around what the assembly does at a time.
var sizes = []int{0, 1, 7, 63, 64, 65, 128, 200, 1023, 1024, 1025, 2113}

// each runs f for every level, all sizes, and numbers that are usual, tiny, or so large that
// sums overflow.
func each(t *testing.T, f func(t *testing.T, l Level, rows [][]float32, n int)) {
	t.Helper()
	for _, l := range Supported() {
		t.Run(l.String(), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, 2))
			for _, n := range sizes {
				for count := 1; count <= 17; count++ {
					rows := make([][]float32, count)
					for i := range rows {
						rows[i] = make([]float32, n)
						for k := range rows[i] {
							rows[i][k] = number(rng, count%3 == 0)
						}
					}
					f(t, l, rows, n)
				}
			}
		})
	}
}

func number(rng *rand.Rand, wild bool) float32 {
	if !wild {
		return float32(rng.NormFloat64())
	}
	switch rng.IntN(6) {
	case 0:
		return float32(math.Copysign(0, rng.Float64()-0.5))
	case 1:
		return math.SmallestNonzeroFloat32 * float32(rng.IntN(9)-4)
	case 2:
		return math.MaxFloat32 * float32(1-2*rng.IntN(2))
	default:
		for {
			if v := math.Float32frombits(rng.Uint32()); v-v == 0 {
				return v
			}
		}
	}
}

// same compares bit for bit.
func same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s, %d elements: element %d is %v, want %v", what, len(want), i, got[i], want[i])
		}
	}
}

func TestMean(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l Level, rows [][]float32, n int) {
		got, want := make([]float32, n), make([]float32, n)
		for i := range want {
			sum, wide := rows[0][i], float64(rows[0][i])
			for _, r := range rows[1:] {
				sum += r[i]
				wide += float64(r[i])
			}
			want[i] = float32(sum * (1 / float32(len(rows))))
			if want[i]-want[i] != 0 {
				want[i] = float32(wide / float64(len(rows)))
			}
			if want[i]-want[i] != 0 {
				t.Fatalf("the mean is %v", want[i])
			}
		}
		mean(l, got, rows, negativeZero)
		same(t, "mean", got, want)
	})
}

func TestCombine(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l Level, rows [][]float32, n int) {
		c := make([]float64, len(rows))
		for i := range c {
			c[i] = 1 / float64((i+2)*(i+3))
		}
		got, want := make([]float32, n), make([]float32, n)
		for i := range want {
			sum := float64(rows[0][i]) * c[0]
			for k, r := range rows[1:] {
				sum += float64(float64(r[i]) * c[k+1])
			}
			want[i] = float32(sum)
		}
		combine(l, got, rows, c)
		same(t, "combine", got, want)
		combine(l, rows[len(rows)-1], rows, c) // into a row
		same(t, "combine in place", rows[len(rows)-1], want)
	})
}

func TestMiddleMean(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l Level, rows [][]float32, n int) {
		count := len(rows)
		lo, hi := (count-1)/3, count-(count-1)/3
		network := NewNetwork(count, lo, hi)
		got, want := make([]float32, n), make([]float32, n)
		for i := range want {
			column := make([]float32, count)
			for k, r := range rows {
				column[k] = r[i]
			}
			slices.Sort(column)
			sum, wide := float32(0), 0.0
			for _, v := range column[lo:hi] {
				sum += v
				wide += float64(v)
			}
			want[i] = float32(sum * (1 / float32(hi-lo)))
			if want[i]-want[i] != 0 {
				want[i] = float32(wide / float64(hi-lo))
			}
		}
		network.middleMean(l, got, slices.Concat(rows...))
		same(t, fmt.Sprintf("mean of %d to %d of %d", lo, hi, count), got, want)
	})
}

// TestNetworks checks every network by the principle of zeros and ones: what sorts those sorts
// all numbers.
func TestNetworks(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 12; n++ {
		for lo := range n {
			for hi := lo + 1; hi <= n; hi++ {
				network := NewNetwork(n, lo, hi)
				rows, dst := make([]float32, n<<n), make([]float32, 1<<n)
				for i := range dst {
					for k := range n {
						rows[k<<n+i] = float32(i >> k & 1)
					}
				}
				network.MiddleMean(dst, rows)
				for i, v := range dst {
					ones := 0
					for k := range n {
						ones += i >> k & 1
					}
					within := max(0, min(hi-(n-ones), hi-lo))
					if want := float32(float32(within) * (1 / float32(hi-lo))); v != want {
						t.Fatalf("rows %d to %d of %d with %d ones: got %v, want %v", lo, hi, n, ones, v, want)
					}
				}
			}
		}
	}
}

func TestSquares(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l Level, rows [][]float32, n int) {
		width := (n + 7) / 8 * 8
		wide := make([]float64, len(rows)*width)
		for i, r := range rows {
			Widen(wide[i*width:][:width], r)
			for k, v := range r {
				if wide[i*width+k] != float64(v) {
					t.Fatalf("element %d of %d is %v in float64, want %v", k, n, wide[i*width+k], v)
				}
			}
		}
		got := make([]Lanes, len(rows)-1)
		addSquares(l, got, wide[:width], wide[width:])
		for k := range got {
			var want Lanes
			for i := range n {
				d := float64(rows[0][i]) - float64(rows[k+1][i])
				want[i%8] += float64(d * d)
			}
			if got[k] != want {
				t.Fatalf("%d elements, row %d: got %v, want %v", n, k, got[k], want)
			}
		}
	})
}
