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

// TestMany compares with the standard library: numbers of messages around those that are hashed
// at once, of one length and of several, at all lengths around those where padding changes.
func TestMany(t *testing.T) {
	t.Parallel()
	t.Logf("at once: %d", AtOnce())
	all := make([]byte, 1<<16)
	_, _ = rand.NewChaCha8([32]byte{5}).Read(all)
	for _, count := range []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 33} {
		for n := range 200 {
			for name, length := range map[string]func(i int) int{
				"of one length": func(int) int { return n }, "one longer": func(i int) int { return n + i/9 }, "of all lengths": func(i int) int { return (n + 37*i) % 900 },
			} {
				var messages [][]byte
				for i := range count {
					messages = append(messages, all[1000*i:1000*i+length(i)])
				}
				sums := make([][32]byte, count)
				Many(sums, messages)
				for i, m := range messages {
					if sums[i] != sha256.Sum256(m) {
						t.Fatalf("%d %s from %d bytes on: message %d has another hash", count, name, n, i)
					}
				}
			}
		}
	}
}

// TestManyDoesNotAllocate hashes while memory is for other things.
func TestManyDoesNotAllocate(t *testing.T) {
	messages, sums := make([][]byte, Lanes), make([][32]byte, Lanes)
	for i := range messages {
		messages[i] = make([]byte, 1000)
	}
	if n := testing.AllocsPerRun(10, func() { Many(sums, messages) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTree(b *testing.B) {
	x := make([]byte, 1<<20)
	b.SetBytes(1 << 20)
	for b.Loop() {
		Root(x)
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
