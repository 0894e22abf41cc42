package digest

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

// TestPair compares with the standard library at all lengths around those where padding
// changes, and at some large ones.
func TestPair(t *testing.T) {
	t.Parallel()
	t.Logf("pairs: %v", pairs)
	rng := rand.NewChaCha8([32]byte{4})
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	_, _ = rng.Read(a)
	_, _ = rng.Read(b)
	lengths := []int{1<<20 - 1, 1 << 20, 4096, 4095, 70001}
	for n := range 300 {
		lengths = append(lengths, n)
	}
	for i, n := range lengths {
		for _, m := range []int{n, lengths[(7*i+3)%len(lengths)]} {
			x, y := Pair(a[:n], b[len(b)-m:])
			if x != sha256.Sum256(a[:n]) || y != sha256.Sum256(b[len(b)-m:]) {
				t.Fatalf("%d and %d bytes: other hashes", n, m)
			}
		}
	}
}

func BenchmarkPair(b *testing.B) {
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	b.SetBytes(2 << 20)
	for b.Loop() {
		Pair(x, y)
	}
}

func BenchmarkOneByOne(b *testing.B) {
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	b.SetBytes(2 << 20)
	for b.Loop() {
		_, _ = sha256.Sum256(x), sha256.Sum256(y)
	}
}
