package codec_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/vec"
)

// names are codecs of each kind.
var names = []string{"f32", "f16", "int8", "sign", "topk:0.02:2", "topk:0.1:5", "topk:0.5:8", "powersgd:2"}

// layout has matrices that become products, one that does not, and values between them.
var layout = codec.Layout{{1, 37}, {64, 48}, {1, 5}, {3, 3}, {1, 700}, {50, 90}, {1, 9000}, {20, 1000}, {1, 1}}

const length = 37 + 64*48 + 5 + 9 + 700 + 50*90 + 9000 + 20000 + 1

// ranges of a vector of that layout: all of it, parts that cut matrices and blocks, none.
var ranges = [][2]int{{0, length}, {0, 1}, {0, 0}, {length, 0}, {length - 1, 1}, {3, 4095}, {100, 4096}, {37, 64 * 48}, {60, 3000}, {5000, 20001}, {17000, 17}, {1, length - 2}}

func newCodec(t testing.TB, name string) *codec.Codec {
	t.Helper()
	c, err := codec.New(name, layout)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// gaussian and heavy return values of a normal distribution and of one with wide tails,
// magnitudes as in updates.
func gaussian(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 7))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * 1e-3)
	}
	return x
}

func heavy(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 8))
	x := make([]float32, n)
	for i := range x {
		d := math.Sqrt((r.ExpFloat64() + r.ExpFloat64()) / 2)
		x[i] = float32(r.NormFloat64() * 1e-3 / max(d, 1e-3))
	}
	return x
}

func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(v, w float32) bool { return math.Float32bits(v) == math.Float32bits(w) })
}

// distance returns the length of a - b in lengths of b.
func distance(a, b []float32) float64 {
	var d, s float64
	for i := range a {
		d += (float64(a[i]) - float64(b[i])) * (float64(a[i]) - float64(b[i]))
		s += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(d / s)
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"f32": "f32", "f16": "f16", "int8": "int8", "sign": "sign",
		"topk:0.02:2": "topk:0.02:2", "topk:0.020:02": "topk:0.02:2", "topk:2e-2:8": "topk:0.02:8", "powersgd:4": "powersgd:4", "powersgd:04": "powersgd:4",
	} {
		if c, err := codec.New(name, layout); err != nil || c.Name() != want || c.Len() != length {
			t.Errorf("%q: got %v and %v, want %s", name, c, err, want)
		}
	}
	for _, name := range []string{
		"", "f64", "F32", "f32:", "f16:1", "int8:256", "sign:1", ":", "topk", "topk:", "topk:0.02", "topk:0.02:", "topk:0.02:1", "topk:0.02:9", "topk:0:2", "topk:-1:2",
		"topk:0.6:2", "topk:NaN:2", "topk:0.02:2:2", "topk:1e-9:2", "powersgd", "powersgd:", "powersgd:0", "powersgd:-1", "powersgd:65", "powersgd:4:4", "powersgd:99999999999999999999",
	} {
		if _, err := codec.New(name, layout); err == nil {
			t.Errorf("%q: no error", name)
		}
	}
}

func TestLayouts(t *testing.T) {
	t.Parallel()
	for _, bad := range []codec.Layout{{{0, 1}}, {{1, 0}}, {{-1, -1}}, {{1, 1}, {math.MaxInt, math.MaxInt}}, {{1 << 16, 1 << 16}}, {{1, math.MaxInt32}, {1, 1}}} {
		if _, err := codec.New("f32", bad); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
	if c, err := codec.New("powersgd:1", nil); err != nil || c.Len() != 0 || c.Size(0, 0) != 1 {
		t.Errorf("of nothing: %v, %v", c, err)
	}
}

// TestWhatIsSentIsWhatIsHeld is the law of the package, with feedback and without: over two
// vectors the sender's values have the bits of those decoded, in as many bytes as foretold.
func TestWhatIsSentIsWhatIsHeld(t *testing.T) {
	t.Parallel()
	for _, name := range names {
		c := newCodec(t, name)
		for _, feedback := range []bool{false, true} {
			e := c.Encoder(feedback)
			for k, r := range ranges {
				for round := range uint64(2) {
					x := heavy(r[1], uint64(k)+round)
					before := []byte("before")
					b, err := e.Encode(before, r[0], x, round)
					if err != nil {
						t.Fatalf("%s: encode range %v: %v", name, r, err)
					}
					if !bytes.HasPrefix(b, before) || len(b) != len(before)+c.Size(r[0], r[1]) {
						t.Fatalf("%s: range %v: %d bytes, foretold %d", name, r, len(b)-len(before), c.Size(r[0], r[1]))
					}
					got := gaussian(r[1], 99)
					if err := c.Decode(got, r[0], b[len(before):]); err != nil {
						t.Fatalf("%s: decode range %v: %v", name, r, err)
					}
					if !same(got, x) {
						t.Fatalf("%s: range %v: the sender holds other bits than who decodes", name, r)
					}
				}
			}
		}
	}
}

// digest is a hash of what each codec makes of vectors, with feedback.
func digest(t *testing.T) string {
	t.Helper()
	sum := sha256.New()
	for _, name := range names {
		e := newCodec(t, name).Encoder(true)
		for round := range uint64(3) {
			b, err := e.Encode(nil, 0, heavy(length, round), round)
			if err != nil {
				t.Fatal(err)
			}
			sum.Write(b)
		}
		for _, v := range e.State() {
			_ = binary.Write(sum, binary.LittleEndian, v)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// TestSameBytesOnEveryLevel runs this test in processes with other instruction sets.
func TestSameBytesOnEveryLevel(t *testing.T) {
	t.Parallel()
	const ask = "COVEY_TEST_DIGEST"
	mine := digest(t)
	if os.Getenv(ask) != "" {
		fmt.Println("digest", mine)
		return
	}
	for _, l := range vec.Supported() {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSameBytesOnEveryLevel$")
		cmd.Env = append(os.Environ(), ask+"=1", vec.EnvCPU+"="+l.String())
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "digest "+mine) {
			t.Errorf("%v: %v, %s; here %s", l, err, out, mine)
		}
	}
}

func TestSeedDecidesRounding(t *testing.T) {
	t.Parallel()
	c := newCodec(t, "int8")
	encode := func(seed uint64) []byte {
		b, err := c.Encoder(false).Encode(nil, 0, gaussian(length, 1), seed)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Equal(encode(1), encode(1)) || bytes.Equal(encode(1), encode(2)) {
		t.Error("the same seed gives other bytes, or another one the same")
	}
}

// TestErrors bounds what a codec without feedback loses, relative to the vector's length.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		name            string
		gaussian, heavy float64
	}{
		{"f32", 0, 0},
		{"f16", 3e-4, 3e-4},
		{"int8", 0.0105, 0.02},
		{"sign", 0.61, 0.9},
		{"topk:0.02:2", 0.93, 0.85},
		{"topk:0.5:8", 0.27, 0.21},
	} {
		c := newCodec(t, k.name)
		for _, v := range []struct {
			make  func(int, uint64) []float32
			limit float64
		}{{gaussian, k.gaussian}, {heavy, k.heavy}} {
			x, want := v.make(length, 1), v.make(length, 1)
			if _, err := c.Encoder(false).Encode(nil, 0, x, 1); err != nil {
				t.Fatal(err)
			}
			if d := distance(x, want); d > v.limit || d < 0.6*v.limit {
				t.Errorf("%s loses %.4f, want about %v", k.name, d, v.limit)
			}
		}
	}
}

// TestFeedback sends vectors one after the other: what was decoded and what is still to come
// add up to what was given, and the mean of what was decoded becomes that of the vectors.
func TestFeedback(t *testing.T) {
	t.Parallel()
	const rounds = 100
	for _, name := range names[1:] {
		e := newCodec(t, name).Encoder(true)
		given, decoded := make([]float64, length), make([]float64, length)
		want := heavy(length, 1)
		for round := range uint64(rounds) {
			x := slices.Clone(want)
			if _, err := e.Encode(nil, 0, x, round); err != nil {
				t.Fatal(err)
			}
			for i := range x {
				given[i] += float64(want[i])
				decoded[i] += float64(x[i])
			}
		}
		mean, off := make([]float32, length), 0.0
		for i := range mean {
			mean[i] = float32(decoded[i] / rounds)
			off = max(off, math.Abs(decoded[i]+float64(e.State()[i])-given[i]))
		}
		if off > 1e-5 {
			t.Errorf("%s: decoded and left differ from given by %v", name, off)
		}
		if d := distance(mean, want); d > 0.5 {
			t.Errorf("%s: the mean after %d rounds is %.3f from the vector", name, rounds, d)
		}
	}
}

// TestResume goes on from a state that was read in the middle: the same bytes.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, name := range names {
		for _, feedback := range []bool{false, true} {
			c := newCodec(t, name)
			step := func(e *codec.Encoder, round uint64) []byte {
				b, err := e.Encode(nil, 10, heavy(length-20, round), round)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			first, second := c.Encoder(feedback), c.Encoder(feedback)
			for round := range uint64(3) {
				step(first, round)
			}
			saved := slices.Clone(first.State())
			want := step(first, 3)
			if err := second.Restore(saved); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(step(second, 3), want) || !same(first.State(), second.State()) {
				t.Errorf("%s, feedback %t: other bytes after a restart", name, feedback)
			}
			if err := second.Restore(make([]float32, len(saved)+1)); err == nil {
				t.Errorf("%s: a state of another length is taken", name)
			}
			if len(saved) > 0 {
				saved[0] = float32(math.NaN())
				if err := second.Restore(saved); !errors.Is(err, codec.ErrNotFinite) || !same(first.State(), second.State()) {
					t.Errorf("%s: a state with NaN: %v", name, err)
				}
			}
		}
	}
}

// TestEncodeRefusesWhatIsNotFinite leaves the state as it was.
func TestEncodeRefusesWhatIsNotFinite(t *testing.T) {
	t.Parallel()
	for _, name := range names {
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			for _, at := range []int{0, 36, 50, 4000, 17000, length - 1} {
				for _, feedback := range []bool{false, true} {
					e := newCodec(t, name).Encoder(feedback)
					if _, err := e.Encode(nil, 0, heavy(length, 1), 1); err != nil {
						t.Fatal(err)
					}
					before := slices.Clone(e.State())
					x := heavy(length, 2)
					x[at] = bad
					b, err := e.Encode([]byte("b"), 0, x, 2)
					if !errors.Is(err, codec.ErrNotFinite) || string(b) != "b" || !same(e.State(), before) {
						t.Errorf("%s: %v at %d: %v, %d bytes", name, bad, at, err, len(b))
					}
				}
			}
		}
	}
}

// TestExtremes encodes values at the ends of what float32 has: all that is decoded is finite.
func TestExtremes(t *testing.T) {
	t.Parallel()
	for _, name := range names {
		for _, top := range []float32{math.MaxFloat32, -math.MaxFloat32, 1e30, 65519, 65520, math.SmallestNonzeroFloat32, 1e-38, 0, float32(math.Copysign(0, -1))} {
			c := newCodec(t, name)
			x := make([]float32, length)
			for i := range x {
				x[i] = top
				if i%3 == 0 {
					x[i] = -top / 2
				}
			}
			b, err := c.Encoder(false).Encode(nil, 0, x, 1)
			if strings.HasPrefix(name, "powersgd") && math.Abs(float64(top)) >= 1e30 {
				if !errors.Is(err, codec.ErrNotFinite) {
					t.Errorf("%s of %v: %v", name, top, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s of %v: %v", name, top, err)
			}
			if err := c.Decode(make([]float32, length), 0, b); err != nil || !vec.Finite(x) {
				t.Errorf("%s of %v: %v", name, top, err)
			}
		}
	}
}

func TestRangesOutsideAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range names {
		c := newCodec(t, name)
		for _, r := range [][2]int{{-1, 1}, {length, 1}, {1, length}, {math.MaxInt, 1}, {math.MinInt, 1}} {
			x := make([]float32, r[1])
			if _, err := c.Encoder(true).Encode(nil, r[0], x, 0); !errors.Is(err, codec.ErrRange) {
				t.Errorf("%s: encode of %v: %v", name, r, err)
			}
			if err := c.Decode(x, r[0], nil); !errors.Is(err, codec.ErrRange) {
				t.Errorf("%s: decode of %v: %v", name, r, err)
			}
		}
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	for _, name := range names[:6] {
		c := newCodec(t, name)
		e, x, b := c.Encoder(true), heavy(length, 1), make([]byte, 0, c.Size(0, length))
		if n := testing.AllocsPerRun(5, func() {
			if _, err := e.Encode(b, 0, x, 1); err != nil {
				t.Fatal(err)
			}
			if err := c.Decode(x, 0, b[:cap(b)]); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestMain(m *testing.M) {
	if err := vec.CheckCPU(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}
