package vec

import (
	"bytes"
	"math"
	"slices"
	"testing"
)

// TestBytes compares both ways to write numbers with bytes by hand.
func TestBytes(t *testing.T) {
	t.Parallel()
	x := []float32{1, -2, float32(math.Inf(1)), math.Float32frombits(0x01020304)}
	want := []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0x80, 0x7f, 4, 3, 2, 1}
	for _, as := range []bool{little, false} {
		for _, buf := range [][]byte{nil, make([]byte, 99)} {
			if got := bytesOf(as, buf, x); !bytes.Equal(got, want) {
				t.Errorf("little %v: bytes %x, want %x", as, got, want)
			}
		}
		got, back := make([]byte, len(want)), make([]float32, len(x))
		f32(as, got, x)
		fromF32(as, back, want)
		if !bytes.Equal(got, want) || !slices.Equal(back, x) {
			t.Errorf("little %v: %x and %v, want %x and %v", as, got, back, want, x)
		}
	}
	if len(Bytes(nil, nil)) != 0 {
		t.Error("bytes of nothing")
	}
}
