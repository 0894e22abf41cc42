package codec_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/vec"
)

// fuzz decodes hostile bytes as a range of a small vector. What is taken is finite, decodes
// the same again, and is within the errors that are promised if not; exact says that encoding
// it again gives the same bytes.
func fuzz(f *testing.F, name string, exact bool) {
	small := codec.Layout{{1, 3}, {12, 9}, {1, 530}, {5, 2}}
	c, err := codec.New(name, small)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range [][2]uint16{{0, 651}, {1, 600}, {3, 108}, {7, 17}, {651, 0}} {
		for seed := range uint64(2) {
			b, err := c.Encoder(false).Encode(nil, int(r[0]), heavy(int(r[1]), seed), seed)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(r[0], r[1], b)
			f.Add(r[0], r[1], append(b[:1:1], make([]byte, len(b)-1)...))
			f.Add(r[0], r[1], append(b[:1:1], bytes.Repeat([]byte{0xff}, len(b)-1)...))
		}
	}
	f.Fuzz(func(t *testing.T, lo, n uint16, b []byte) {
		x, again := make([]float32, n), make([]float32, n)
		if err := c.Decode(x, int(lo), b); err != nil {
			if !errors.Is(err, codec.ErrMalformed) && !errors.Is(err, codec.ErrNotFinite) && !errors.Is(err, codec.ErrRange) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if !vec.Finite(x) {
			t.Fatal("decoded what is not finite")
		}
		if err := c.Decode(again, int(lo), b); err != nil || !same(x, again) {
			t.Fatalf("decoded otherwise the second time: %v", err)
		}
		got, err := c.Encoder(false).Encode(nil, int(lo), slices.Clone(x), 1)
		if exact && (err != nil || !bytes.Equal(got, b)) {
			t.Fatalf("encoded again it has other bytes: %v", err)
		}
	})
}

func FuzzF32(f *testing.F)      { fuzz(f, "f32", true) }
func FuzzF16(f *testing.F)      { fuzz(f, "f16", true) }
func FuzzInt8(f *testing.F)     { fuzz(f, "int8", false) }
func FuzzSign(f *testing.F)     { fuzz(f, "sign", false) }
func FuzzTopK(f *testing.F)     { fuzz(f, "topk:0.1:3", false) }
func FuzzPowerSGD(f *testing.F) { fuzz(f, "powersgd:2", false) }
