package codec_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/covey-network/covey/consensus/codec"
)

// TestParts decodes parts of encodings: they are those of the whole, and what is wrong with one
// part is wrong with no other.
func TestParts(t *testing.T) {
	t.Parallel()
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const all, lo = 100_000, 300
			c, err := codec.New(name, codec.Flat(all))
			if err != nil {
				t.Fatal(err)
			}
			n := all - lo - 7
			b, err := c.Encoder(false).Encode(nil, lo, gaussian(n, 3), 5)
			if err != nil {
				t.Fatal(err)
			}
			want, got := make([]float32, n), make([]float32, n)
			if err := c.Decode(want, lo, b); err != nil {
				t.Fatal(err)
			}
			unit := c.Unit()
			if unit == 0 {
				if err := c.DecodePart(got, lo, n, 0, b); !errors.Is(err, codec.ErrRange) {
					t.Errorf("a part of what has none: %v", err)
				}
				return
			}
			for off := 0; off < n; off += 2 * unit {
				if err := c.DecodePart(got[off:min(off+2*unit, n)], lo, n, off, b); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got, want) {
				t.Error("parts are not the whole")
			}
			encodesParts(t, c, lo, n, b)
			for what, p := range map[string][2]int{"no unit": {1, unit}, "not to a unit": {0, unit + 1}, "behind the end": {n / unit * unit, unit}, "before the begin": {-unit, unit}} {
				if err := c.DecodePart(make([]float32, p[1]), lo, n, p[0], b); !errors.Is(err, codec.ErrRange) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if err := c.DecodePart(got[:unit], lo, n, 0, b[:len(b)-1]); !errors.Is(err, codec.ErrMalformed) {
				t.Errorf("a byte too few: %v", err)
			}
			if name != "f32" {
				return
			}
			copy(b[1+4*unit:], []byte{0, 0, 0xc0, 0x7f})
			if err := c.DecodePart(got[:unit], lo, n, 0, b); err != nil {
				t.Errorf("what is not finite is in the next part: %v", err)
			}
			if err := c.DecodePart(got[:unit], lo, n, unit, b); !errors.Is(err, codec.ErrNotFinite) {
				t.Errorf("a part that is not finite: %v", err)
			}
		})
	}
}

// encodesParts encodes in parts, the first ones last, with what was lost before: the bytes are those of
// the whole, and what is lost is the same.
func encodesParts(t *testing.T, c *codec.Codec, lo, n int, whole []byte) {
	t.Helper()
	unit, got := c.Unit(), make([]byte, len(whole))
	values := gaussian(n, 3)
	parts := c.Encoder(false)
	for off := (n - 1) / unit * unit; off >= 0; off -= unit {
		end, err := parts.EncodePart(got, lo, n, off, values[off:min(off+unit, n)], 5)
		if err != nil || end != c.Size(lo, min(off+unit, n)) {
			t.Fatalf("part at %d ends at %d of %d: %v", off, end, len(whole), err)
		}
	}
	if !slices.Equal(got, whole) {
		t.Error("encoded parts are not the whole")
	}
	one, other := c.Encoder(true), c.Encoder(true)
	for turn := range uint64(2) {
		want, err := one.Encode(nil, lo, gaussian(n, 3), turn)
		if err != nil {
			t.Fatal(err)
		}
		values := gaussian(n, 3)
		for off := 0; off < n; off += 2 * unit {
			if _, err := other.EncodePart(got, lo, n, off, values[off:min(off+2*unit, n)], turn); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, want) || !slices.Equal(one.State(), other.State()) {
			t.Errorf("turn %d: parts with feedback are not the whole", turn)
		}
	}
	if _, err := parts.EncodePart(got, lo, n, 1, values[:unit], 5); !errors.Is(err, codec.ErrRange) {
		t.Errorf("a part that begins within a unit: %v", err)
	}
}
