package vec

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// lengths are those that twins are compared at: none, parts of 16, whole ones and both.
var lengths = []int{0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 100, 255, 256, 257}

// samples returns n finite values of all magnitudes and signs, zeros among them.
func samples(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, n)
	for i := range x {
		switch r.IntN(4) {
		case 0:
			x[i] = float32(r.NormFloat64())
		case 1:
			x[i] = float32(math.Copysign(0, r.NormFloat64()))
		default:
			for {
				if x[i] = math.Float32frombits(r.Uint32()); Finite(x[i : i+1]) {
					break
				}
			}
		}
	}
	return x
}

func floatBytes(x []float32) []byte {
	b := make([]byte, 4*len(x))
	for i, v := range x {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
	}
	return b
}

// twins runs f at each level on vectors of all lengths, at all places after 64 bytes, and
// compares what it leaves in the slices and returns: on every level the bits of pure Go.
// Memory around the slices is not to be touched.
func twins(t *testing.T, f func(l Level, x, y []float32, b []byte) any) {
	t.Helper()
	const room = 300
	for _, n := range lengths {
		for at := range 16 {
			var want string
			for _, l := range []Level{Generic, AVX2, AVX512} {
				if !has(l) {
					continue
				}
				seed := uint64(n*16 + at)
				x, y, b := samples(room, seed), samples(room, seed+1e6), make([]byte, 4*room)
				for i := range b {
					b[i] = byte(i*7 + n)
				}
				result := f(l, x[at:at+n], y[at:at+n], b[at:at+4*n])
				got := fmt.Sprintf("%v %x %x %x", result, floatBytes(x), floatBytes(y), b)
				if l == Generic {
					want = got
				} else if got != want {
					t.Fatalf("%v of %d values at %d differs from pure Go:\n got %s\nwant %s", l, n, at, got, want)
				}
			}
		}
	}
}

func has(l Level) bool {
	for _, s := range Supported() {
		if s == l {
			return true
		}
	}
	return false
}

// scaled makes the values those of a block: the largest magnitude is 127 steps.
func scaled(x []float32) (r Rounding) {
	for i := range x {
		x[i] = float32(math.Mod(float64(x[i]), 3))
	}
	r.Scale = MaxAbs(x)/127 + 1e-30
	r.Inverse = 1 / r.Scale
	return r
}

func TestTwins(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(l Level, x, y []float32, b []byte) any{
		"maxAbs": func(l Level, x, _ []float32, _ []byte) any { return maxAbs(l, x) },
		"sumAbs": func(l Level, x, _ []float32, _ []byte) any { return math.Float32bits(sumAbs(l, x, 0x1p-9)) },
		"dot": func(l Level, x, y []float32, _ []byte) any {
			scaled(x)
			scaled(y)
			return math.Float32bits(dot(l, x, y))
		},
		"addTo":     func(l Level, x, y []float32, _ []byte) any { addTo(l, x, y); return nil },
		"subFrom":   func(l Level, x, y []float32, _ []byte) any { subFrom(l, x, y); return nil },
		"addScaled": func(l Level, x, y []float32, _ []byte) any { addScaled(l, x, 0.37, y); return nil },
		"f16":       func(l Level, x, _ []float32, b []byte) any { f16(l, b[:2*len(x)], x); return nil },
		"fromF16":   func(l Level, x, _ []float32, b []byte) any { fromF16(l, x, b[:2*len(x)]); return nil },
		"int8": func(l Level, x, _ []float32, b []byte) any {
			r := scaled(x)
			r.Seed, r.Counter = 5, uint32(len(x))
			toInt8(l, b[:len(x)], x, r)
			return nil
		},
		"int8 beyond": func(l Level, x, _ []float32, b []byte) any {
			r := scaled(x)
			r.Inverse *= 1.01
			toInt8(l, b[:len(x)], x, r)
			return nil
		},
		"fromInt8": func(l Level, x, _ []float32, b []byte) any { return fromInt8(l, x, b[:len(x)], 0.37) },
		"signs":    func(l Level, x, _ []float32, b []byte) any { signs(l, b[:(len(x)+7)/8], x, 0.37); return nil },
		"fromSigns": func(l Level, x, _ []float32, b []byte) any {
			fromSigns(l, x, b[:(len(x)+7)/8], 0.37)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			twins(t, f)
		})
	}
}

func TestFinite(t *testing.T) {
	t.Parallel()
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.Float32frombits(0xff800001)} {
		for _, l := range Supported() {
			for at := range 40 {
				x := samples(40, 3)
				if maxAbs(l, x) >= infinity {
					t.Fatalf("%v: finite values are taken for others", l)
				}
				if x[at] = bad; maxAbs(l, x) < infinity {
					t.Errorf("%v: %v at %d is not seen", l, bad, at)
				}
			}
		}
	}
	if Finite([]float32{bigNaN()}) || !Finite(nil) {
		t.Error("Finite is wrong of one NaN or of nothing")
	}
}

func bigNaN() float32 { return math.Float32frombits(0x7fffffff) }

// TestFloat16OfNumpy compares with numpy: 17 million values of all magnitudes to float16, and
// all of float16 back (testdata/f16.py).
func TestFloat16OfNumpy(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/f16.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(text))
	for _, l := range Supported() {
		sum := sha256.New()
		x, b := make([]float32, 0, 4096), make([]byte, 2*4096)
		flush := func() {
			f16(l, b[:2*len(x)], x)
			sum.Write(b[:2*len(x)])
			x = x[:0]
		}
		for bits := uint64(0); bits < 1<<32; bits += 251 {
			if bits&infinity == infinity {
				continue
			}
			if x = append(x, math.Float32frombits(uint32(bits))); len(x) == cap(x) {
				flush()
			}
		}
		flush()
		if got := fmt.Sprintf("%x", sum.Sum(nil)); got != want[1] {
			t.Errorf("%v: to float16: hash %s, numpy's %s", l, got, want[1])
		}
		var halves []byte
		for h := range 1 << 16 {
			if h&0x7c00 != 0x7c00 {
				halves = binary.LittleEndian.AppendUint16(halves, uint16(h))
			}
		}
		y := make([]float32, len(halves)/2)
		fromF16(l, y, halves)
		if got := fmt.Sprintf("%x", sha256.Sum256(floatBytes(y))); got != want[3] {
			t.Errorf("%v: from float16: hash %s, numpy's %s", l, got, want[3])
		}
		back := make([]byte, len(halves))
		f16(l, back, y)
		if !bytes.Equal(back, halves) {
			t.Errorf("%v: float16 does not come back the same", l)
		}
	}
}

// TestInt8IsUnbiased rounds the same values with many seeds: the mean is the value, the
// spread that of a coin, and neighbours are independent of each other.
func TestInt8IsUnbiased(t *testing.T) {
	t.Parallel()
	const n, seeds = 1024, 4096
	steps := func(i int) float64 { return float64(i%255-127) * (1 - 1/float64(2+i)) }
	sum, pairs := make([]float64, n), 0.0
	x, b := make([]float32, n), make([]byte, n)
	for seed := range seeds {
		for i := range x {
			x[i] = float32(steps(i))
		}
		before := append([]float32(nil), x...)
		Int8(b, x, Rounding{Scale: 1, Inverse: 1, Seed: uint64(seed)})
		for i := range x {
			e := float64(x[i]) - float64(before[i])
			sum[i] += e
			if math.Abs(e) >= 1 || math.Trunc(float64(x[i])) != float64(x[i]) {
				t.Fatalf("%v became %v", before[i], x[i])
			}
			if i > 0 {
				pairs += e * (float64(x[i-1]) - float64(before[i-1]))
			}
		}
	}
	total, deviations := 0.0, 0.0
	for i, s := range sum {
		f := steps(i) - math.Floor(steps(i))
		variance := seeds * f * (1 - f)
		if variance < 1 {
			continue
		}
		total += s
		deviations += s * s / variance
		if math.Abs(s) > 5*math.Sqrt(variance) {
			t.Errorf("value %v: mean error %v, standard deviation %v", steps(i), s/seeds, math.Sqrt(variance)/seeds)
		}
	}
	if limit := 5 * math.Sqrt(seeds*n/4); math.Abs(total) > limit {
		t.Errorf("sum of errors is %v, expected within %v", total, limit)
	}
	if mean := deviations / n; mean < 0.8 || mean > 1.2 {
		t.Errorf("errors have %v of the variance of independent coins", mean)
	}
	if limit := 5 * math.Sqrt(seeds*n) / 4; math.Abs(pairs) > limit {
		t.Errorf("products of neighbours sum to %v, expected within %v", pairs, limit)
	}
}

func TestInt8KeepsWholeSteps(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		x := make([]float32, 255)
		for i := range x {
			x[i] = float32(i - 127)
		}
		b := make([]byte, len(x))
		Int8(b, x, Rounding{Scale: 1, Inverse: 1, Seed: seed})
		for i := range x {
			if int(int8(b[i])) != i-127 {
				t.Fatalf("seed %d: %d became %d", seed, i-127, int8(b[i]))
			}
		}
	}
}

// TestInt8DependsOnPlaceAlone cuts a vector and gets the same bytes.
func TestInt8DependsOnPlaceAlone(t *testing.T) {
	t.Parallel()
	values := samples(300, 9)
	r := scaled(values)
	r.Seed = 11
	whole, x := make([]byte, 300), append([]float32(nil), values...)
	Int8(whole, x, r)
	for _, cut := range []int{1, 16, 77, 299} {
		parts, x := make([]byte, 300), append([]float32(nil), values...)
		Int8(parts[:cut], x[:cut], r)
		rest := r
		rest.Counter = uint32(cut)
		Int8(parts[cut:], x[cut:], rest)
		if !bytes.Equal(parts, whole) {
			t.Errorf("cut at %d: other bytes", cut)
		}
	}
}

func TestReductionsAgainstFloat64(t *testing.T) {
	t.Parallel()
	x, y := samples(1000, 1), samples(1000, 2)
	scaled(x)
	scaled(y)
	var sum, product float64
	for i := range x {
		sum += math.Abs(float64(x[i])) / 512
		product += float64(x[i]) * float64(y[i])
	}
	if got := float64(SumAbs(x, 0x1p-9)); math.Abs(got-sum) > 1e-5*sum {
		t.Errorf("SumAbs is %v, want %v", got, sum)
	}
	if got := float64(Dot(x, y)); math.Abs(got-product) > 1e-3 {
		t.Errorf("Dot is %v, want %v", got, product)
	}
}

func BenchmarkKernels(b *testing.B) {
	x, y, buf := make([]float32, 8192), make([]float32, 8192), make([]byte, 4*8192)
	for i := range x {
		x[i] = float32(i%255 - 127)
	}
	for _, l := range Supported() {
		for _, k := range []struct {
			name string
			f    func()
		}{
			{"MaxAbs", func() { maxAbs(l, x) }},
			{"AddTo", func() { addTo(l, y, x) }},
			{"F16", func() { f16(l, buf[:2*8192], x) }},
			{"FromF16", func() { fromF16(l, y, buf[:2*8192]) }},
			{"Int8", func() { toInt8(l, buf[:8192], x, Rounding{Scale: 1, Inverse: 1}) }},
			{"FromInt8", func() { fromInt8(l, y, buf[:8192], 1) }},
			{"Signs", func() { signs(l, buf[:1024], x, 1) }},
			{"FromSigns", func() { fromSigns(l, y, buf[:1024], 1) }},
			{"Dot", func() { dot(l, x, x) }},
		} {
			b.Run(k.name+"/"+l.String(), func(b *testing.B) {
				b.SetBytes(4 * 8192)
				for b.Loop() {
					k.f()
				}
			})
		}
	}
}
