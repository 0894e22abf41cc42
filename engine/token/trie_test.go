package token

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestTrie compares look-ups with a search through all keys.
func TestTrie(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	text := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte("ab#"[rng.IntN(3)])
		}
		return b.String()
	}
	for range 300 {
		tr, keys := newTrie(), map[string]int32{}
		for range 1 + rng.IntN(60) {
			key, v := text(1+rng.IntN(9)), int32(rng.IntN(100))
			tr.add(key, v)
			keys[key] = v
		}
		for range 50 {
			prefix, s := text(rng.IntN(4)), text(rng.IntN(12))
			var value int32
			length := 0
			for key, v := range keys {
				if rest, ok := strings.CutPrefix(key, prefix); ok && strings.HasPrefix(s, rest) && len(rest) > length {
					value, length = v, len(rest)
				}
			}
			if v, n := tr.longest(tr.seek(prefix), s, nil); v != value || n != length {
				t.Fatalf("%v: longest of %q behind %q is %d with %d bytes, want %d with %d", keys, s, prefix, v, n, value, length)
			}
		}
	}
}
