package codec_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/covey-network/covey/consensus/codec"
)

// TestTopKKeepsTheLargest compares with a sort: of each 4096 values the largest are kept, of
// equal ones the first, with their signs; all others become 0.
func TestTopKKeepsTheLargest(t *testing.T) {
	t.Parallel()
	coarse := heavy(length, 3)
	for i, v := range coarse {
		coarse[i] = float32(math.Round(float64(v)*1000)) / 1000 // many are equal
	}
	for _, k := range []struct {
		name    string
		density float64
		off     float64 // limit of the error of a value, in largest values
	}{{"topk:0.02:2", 0.02, 0.8}, {"topk:0.1:5", 0.1, 0.1}, {"topk:0.5:8", 0.5, 0.02}} {
		for what, values := range map[string][]float32{"heavy": heavy(length, 2), "gaussian": gaussian(length, 2), "coarse": coarse} {
			x := slices.Clone(values)
			if _, err := newCodec(t, k.name).Encoder(false).Encode(nil, 0, x, 1); err != nil {
				t.Fatal(err)
			}
			for lo := 0; lo < length; lo += 4096 {
				n := min(4096, length-lo)
				order := make([]int, n)
				for i := range order {
					order[i] = lo + i
				}
				magnitude := func(i int) float64 { return math.Abs(float64(values[i])) }
				slices.SortStableFunc(order, func(a, b int) int {
					switch {
					case magnitude(a) > magnitude(b):
						return -1
					case magnitude(a) < magnitude(b):
						return 1
					}
					return 0
				})
				keep := int(k.density * float64(n))
				for place, i := range order {
					d := math.Abs(float64(x[i]) - float64(values[i]))
					switch {
					case place >= keep && math.Float32bits(x[i]) != 0:
						t.Fatalf("%s of %s: value %d is the %d-th largest and became %v", k.name, what, i, place, x[i])
					case place < keep && (x[i] == 0 && values[i] != 0 || math.Signbit(float64(x[i])) != (values[i] < 0) || d > k.off*magnitude(order[0])):
						t.Fatalf("%s of %s: value %d, %v, became %v", k.name, what, i, values[i], x[i])
					}
				}
			}
		}
	}
}

// TestBytes has encodings made by hand from the comments of the schemes.
func TestBytes(t *testing.T) {
	t.Parallel()
	x := make([]float32, 16)
	x[3], x[4], x[14] = -1, 4, 0.25
	for _, k := range []struct{ name, want string }{
		{"f32", "01" + strings.Repeat("00", 12) + "000080bf" + "00008040" + strings.Repeat("00", 36) + "0000803e" + "00000000"},
		{"f16", "02" + strings.Repeat("00", 6) + "00bc" + "0044" + strings.Repeat("00", 18) + "0034" + "0000"},
		// Of 16 values 2 are kept, 3 and 4. With 2 low bits an index 3 is 0 and 3, 4 is 1 and 0;
		// in unary 1 0 1 0 0, as long as 2 + 15>>2; low parts 11 00, the lowest bit first; the
		// values a minus and the lower step, 10, and a plus and the higher one, 01.
		{"topk:0.125:2", "04" + "803f" + "8040" + "65" + "12"},
		// The mean of the magnitudes is 5.25 / 16 = 0.328125; one bit is set.
		{"sign", "05" + "0000a83e" + "0800"},
	} {
		c, err := codec.New(k.name, codec.Flat(16))
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Encoder(false).Encode(nil, 0, slices.Clone(x), 1)
		if err != nil || hex.EncodeToString(got) != k.want {
			t.Errorf("%s: %x, %v, want %s", k.name, got, err, k.want)
		}
	}
	// The scale is 127/127 = 1 and all others are whole steps.
	c, err := codec.New("int8", codec.Flat(3))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Encoder(false).Encode(nil, 0, []float32{-127, 5, 0}, 1)
	if want := "03" + "0000803f" + "810500"; err != nil || hex.EncodeToString(got) != want {
		t.Errorf("int8: %x, %v, want %s", got, err, want)
	}
}

// TestDecodeRefuses changes good encodings.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	nan, inf := uint32(0x7fc00000), uint32(0x7f800000)
	word := func(at int, v uint32) func(b []byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], v); return b }
	}
	put := func(at int, v ...byte) func(b []byte) []byte {
		return func(b []byte) []byte { copy(b[at:], v); return b }
	}
	common := map[string]func(b []byte) []byte{
		"nothing":          func([]byte) []byte { return nil },
		"cut off":          func(b []byte) []byte { return b[:len(b)-1] },
		"trailing byte":    func(b []byte) []byte { return append(b, 0) },
		"of another codec": func(b []byte) []byte { b[0]++; return b },
	}
	for _, k := range []struct {
		name      string
		malformed map[string]func(b []byte) []byte
		notFinite map[string]func(b []byte) []byte
	}{
		{name: "f32", notFinite: map[string]func(b []byte) []byte{"NaN": word(1, nan), "infinity": word(61, inf)}},
		{name: "f16", notFinite: map[string]func(b []byte) []byte{"NaN": put(1, 1, 0x7c), "infinity": put(31, 0, 0xfc)}},
		{name: "int8", malformed: map[string]func(b []byte) []byte{
			"-128": put(5, 0x80), "a negative scale": word(1, 0xbf800000), "scale -0": word(1, 1<<31), "a scale of which 127 are infinite": word(1, 0x7c800001), "scale 0 of values": word(1, 0),
		}, notFinite: map[string]func(b []byte) []byte{"NaN": word(1, nan), "infinity": word(1, inf), "minus infinity": word(1, inf|1<<31)}},
		{name: "sign", malformed: map[string]func(b []byte) []byte{
			"a negative scale": word(1, 0xbf800000), "scale 0 of negative values": word(1, 0),
		}, notFinite: map[string]func(b []byte) []byte{"NaN": word(1, nan), "infinity": word(1, inf)}},
		{name: "topk:0.125:2", malformed: map[string]func(b []byte) []byte{
			"limits in another order": put(1, 0x80, 0x40, 0x80, 0x3f), "a negative limit": put(1, 0x80, 0xbf), "negative limits": put(1, 0x80, 0xbf, 0x80, 0xbf),
			"equal indices": put(5, 0xe3, 0x13), "indices that fall": put(5, 0x63, 0x13), "three indices": put(5, 0x67),
			"one index": put(5, 0x61), "bits behind the end": put(6, 0x32), "another step where there is one": put(1, 0x80, 0x3f, 0x80, 0x3f), "-0": put(1, 0, 0),
		}, notFinite: map[string]func(b []byte) []byte{"infinity": put(3, 0x80, 0x7f), "NaN": put(1, 0xc0, 0x7f)}},
	} {
		c, err := codec.New(k.name, codec.Flat(16))
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float32, 16)
		x[3], x[4], x[14] = -1, 4, 0.25
		good, err := c.Encoder(false).Encode(nil, 0, x, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Decode(x, 0, good); err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		for _, group := range []struct {
			changes map[string]func(b []byte) []byte
			want    error
		}{{common, codec.ErrMalformed}, {k.malformed, codec.ErrMalformed}, {k.notFinite, codec.ErrNotFinite}} {
			for what, change := range group.changes {
				if err := c.Decode(x, 0, change(slices.Clone(good))); !errors.Is(err, group.want) {
					t.Errorf("%s: %s: %v, want %v", k.name, what, err, group.want)
				}
			}
		}
	}
}

// TestSignRefusesPadding has a vector whose last byte is not full.
func TestSignRefusesPadding(t *testing.T) {
	t.Parallel()
	c, err := codec.New("sign", codec.Flat(3))
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 3)
	if err := c.Decode(x, 0, []byte{5, 0, 0, 0x80, 0x3f, 5}); err != nil || !slices.Equal(x, []float32{-1, 1, -1}) {
		t.Errorf("got %v, %v", x, err)
	}
	if err := c.Decode(x, 0, []byte{5, 0, 0, 0x80, 0x3f, 8 | 5}); !errors.Is(err, codec.ErrMalformed) {
		t.Errorf("padding: %v", err)
	}
}

// TestPowerSGDOfNumpy compares two steps with those of numpy (testdata/powersgd.py), which
// has no quantisation; what int8 loses is about 1 %.
func TestPowerSGDOfNumpy(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/powersgd.txt")
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]float32
	for line := range strings.Lines(string(text)) {
		var row []float32
		for _, f := range strings.Fields(line)[1:] {
			v, err := strconv.ParseFloat(f, 32)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, float32(v))
		}
		rows = append(rows, row)
	}
	matrix, q, sent, least := rows[0], rows[1], rows[2:4], float64(rows[4][0])
	c, err := codec.New("powersgd:2", codec.Layout{{24, 20}})
	if err != nil {
		t.Fatal(err)
	}
	e := c.Encoder(true)
	if err := e.Restore(append(make([]float32, len(matrix)), q...)); err != nil {
		t.Fatal(err)
	}
	for round, want := range sent {
		x := slices.Clone(matrix)
		if _, err := e.Encode(nil, 0, x, uint64(round)); err != nil {
			t.Fatal(err)
		}
		if d := distance(x, want); d > 0.02 {
			t.Errorf("step %d is %.4f from numpy's", round, d)
		}
	}
	// From no state and without feedback it comes to the best that its rank can do.
	e, x := c.Encoder(false), []float32(nil)
	for round := range uint64(5) {
		x = slices.Clone(matrix)
		if _, err := e.Encode(nil, 0, x, round); err != nil {
			t.Fatal(err)
		}
	}
	if d := distance(x, matrix); d < least*0.999 || d > least*1.02 {
		t.Errorf("loses %.4f, the best of rank 2 is %.4f", d, least)
	}
}

// TestPowerSGDLearnsAgain has a matrix that is zero, of rank 1, then of rank 2: directions that
// were lost are found again.
func TestPowerSGDLearnsAgain(t *testing.T) {
	t.Parallel()
	const rows, cols = 40, 30
	c, err := codec.New("powersgd:2", codec.Layout{{rows, cols}})
	if err != nil {
		t.Fatal(err)
	}
	e, a, b := c.Encoder(false), gaussian(rows+cols, 1), gaussian(rows+cols, 2)
	for rank := range 3 {
		x := make([]float32, rows*cols)
		for i := range x {
			if rank > 0 {
				x[i] += a[i/cols] * a[rows+i%cols]
			}
			if rank > 1 {
				x[i] -= b[i/cols] * b[rows+i%cols]
			}
		}
		want := slices.Clone(x)
		for range 3 {
			copy(x, want)
			if _, err := e.Encode(nil, 0, x, 1); err != nil {
				t.Fatal(err)
			}
		}
		if d := distance(x, want); d > 0.03 || rank == 0 && slices.Max(x) != 0 {
			t.Errorf("rank %d: loses %.4f", rank, d)
		}
	}
}

// TestPowerSGDSizes counts by hand: products only where they halve.
func TestPowerSGDSizes(t *testing.T) {
	t.Parallel()
	c, err := codec.New("powersgd:2", codec.Layout{{1, 10}, {20, 30}, {4, 4}, {7, 8}})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct{ lo, n, want int }{
		{0, 682, 1 + (4 + 10) + 2*(4+20) + 2*(4+30) + (4 + 72)}, // the 16 and 56 values together
		{10, 600, 1 + 2*(4+20) + 2*(4+30)},
		{11, 599, 1 + (4 + 29) + 2*(4+19) + 2*(4+30)},          // the first row is cut
		{15, 590, 1 + (4 + 25) + 2*(4+18) + 2*(4+30) + 4 + 25}, // and the last one
		{10, 120, 1 + 120 + 4},                                 // 4 rows are not worth it
		{0, 0, 1},
		{682, 0, 1},
	} {
		if got := c.Size(k.lo, k.n); got != k.want {
			t.Errorf("%d values from %d on: %d bytes, want %d", k.n, k.lo, got, k.want)
		}
	}
}
