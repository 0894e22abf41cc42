package checkpoint_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/consensus/checkpoint"
	"github.com/covey-network/covey/protocol/train"
)

func state(seed uint64, lengths ...int) [][]float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([][]float32, len(lengths))
	for i, n := range lengths {
		for range n {
			out[i] = append(out[i], float32(r.NormFloat64()))
		}
	}
	return out
}

// TestRoundTrip cuts a state, checks what came and puts it together again.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	const floats = checkpoint.BlockBytes / 4
	for _, lengths := range [][]int{{1}, {floats}, {floats + 1, 3}, {2*floats - 1, 0, floats}, {}} {
		s := state(1, lengths...)
		root, leaves := checkpoint.Hash(s, 3)
		if again, _ := checkpoint.Hash(s, 1); again != root {
			t.Errorf("%v: the root depends on the number of goroutines", lengths)
		}
		l := checkpoint.LayoutOf(s)
		if err := l.Check(root, leaves); err != nil {
			t.Fatalf("%v: %v", lengths, err)
		}
		back := make([][]float32, len(s))
		for i := range back {
			back[i] = make([]float32, len(s[i]))
		}
		for i, leaf := range leaves {
			if err := l.Decode(back, i, leaf, checkpoint.Block(s, i)); err != nil {
				t.Fatalf("%v: %v", lengths, err)
			}
		}
		for i := range s {
			if !slices.Equal(back[i], s[i]) {
				t.Errorf("%v: vector %d is another", lengths, i)
			}
		}
	}
}

// TestRootTellsApart checks that each change of a state changes its root.
func TestRootTellsApart(t *testing.T) {
	t.Parallel()
	seen := map[train.Hash]string{}
	add := func(name string, s [][]float32) {
		root, _ := checkpoint.Hash(s, 2)
		if other, ok := seen[root]; ok {
			t.Errorf("%s has the root of %s", name, other)
		}
		seen[root] = name
	}
	add("two vectors", [][]float32{{1, 2}, {3}})
	add("cut elsewhere", [][]float32{{1}, {2, 3}})
	add("one vector", [][]float32{{1, 2, 3}})
	add("an empty one more", [][]float32{{1, 2}, {3}, {}})
	add("another order", [][]float32{{3}, {1, 2}})
	add("minus zero", [][]float32{{float32(math.Copysign(0, -1))}})
	add("zero", [][]float32{{0}})
	add("nothing", nil)
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	s := state(2, checkpoint.BlockBytes/4+5, 7)
	l := checkpoint.LayoutOf(s)
	root, leaves := checkpoint.Hash(s, 1)
	block := checkpoint.Block(s, 0)
	bad := slices.Clone(block)
	bad[9] ^= 1
	for name, err := range map[string]error{
		"a leaf less":      l.Check(root, leaves[:2]),
		"leaves exchanged": l.Check(root, []train.Hash{leaves[1], leaves[0], leaves[2]}),
		"another layout":   checkpoint.Layout{l[0], l[1] + 1}.Check(root, leaves),
		"a changed block":  l.Decode(s, 0, leaves[0], bad),
		"a short block":    l.Decode(s, 0, leaves[0], block[:8]),
		"no such block":    l.Decode(s, 3, leaves[0], block),
	} {
		if !errors.Is(err, checkpoint.ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	s := state(1, 4<<20)
	b.SetBytes(16 << 20)
	for b.Loop() {
		checkpoint.Hash(s, 2)
	}
}

// TestSpecRoot compares a root with that of protocol/spec/train.md, which is worked out there
// from the page's own words.
func TestSpecRoot(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "protocol", "spec", "train.md"))
	if err != nil {
		t.Fatal(err)
	}
	root, _ := checkpoint.Hash([][]float32{{1, -2.5}, {}, {0.5}}, 1)
	if !strings.Contains(string(page), "Root of the state of the vectors (1, -2.5), () and (0.5):\n```\n"+root.String()+"\n```") {
		t.Errorf("the page has another root than %s", root)
	}
}
