package sample_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/sample"
)

// stopped is the plain way: the text before the first stop text, and whether there is one.
func stopped(text string, stops []string) (string, bool) {
	for end := range len(text) + 1 {
		longest := ""
		for _, s := range stops {
			if len(s) > len(longest) && strings.HasSuffix(text[:end], s) {
				longest = s
			}
		}
		if longest != "" {
			return text[:end-len(longest)], true
		}
	}
	return text, false
}

// feed gives pieces to a matcher and checks all that it gives out.
func feed(t *testing.T, pieces, stops []string) {
	t.Helper()
	m := sample.NewStopMatcher(stops)
	got, seen := "", ""
	for _, piece := range pieces {
		seen += piece
		safe, stop := m.Next(piece)
		got += safe
		want, wantStop := stopped(seen, stops)
		if stop != wantStop {
			t.Fatalf("%q with stops %q: got stopped %v after %q, want %v", pieces, stops, stop, seen, wantStop)
		}
		if !stop {
			want = seen[:len(seen)-len(begun(seen, stops))]
		}
		if got != want {
			t.Fatalf("%q with stops %q: got %q after %q, want %q", pieces, stops, got, seen, want)
		}
	}
	got += m.Flush()
	if want, _ := stopped(seen, stops); got != want {
		t.Fatalf("%q with stops %q: got %q in all, want %q", pieces, stops, got, want)
	}
	if again := m.Flush(); again != "" {
		t.Fatalf("second flush gave %q", again)
	}
}

// begun is the longest beginning of a stop text that text ends with.
func begun(text string, stops []string) string {
	longest := ""
	for _, s := range stops {
		for n := len(longest) + 1; n < len(s); n++ {
			if strings.HasSuffix(text, s[:n]) {
				longest = s[:n]
			}
		}
	}
	return longest
}

func TestStopMatcher(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		pieces []string
		stops  []string
	}{
		{"no stops", []string{"a", "", "b"}, nil},
		{"empty stop", []string{"a", "b"}, []string{""}},
		{"within a piece", []string{"one STOP two"}, []string{"STOP"}},
		{"over pieces", []string{"one S", "T", "OP two", "x"}, []string{"STOP"}},
		{"beginning only", []string{"one ST", "ART"}, []string{"STOP"}},
		{"held at the end", []string{"one ST"}, []string{"STOP"}},
		{"overlapping itself", []string{"aab", "aabaab", "aaa"}, []string{"aabaaa"}},
		{"first end wins", []string{"abcd"}, []string{"abcd", "bc"}},
		{"longest of one end", []string{"xabc"}, []string{"c", "abc", "bc"}},
		{"inner stop of a held one", []string{"ab", "b"}, []string{"abc", "bb"}},
		{"runes", []string{"né", "e ", "n"}, []string{"e né"}},
		{"half a rune", []string{"n\xc3", "\xa9"}, []string{"é"}},
		{"the same twice", []string{"ab"}, []string{"b", "b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			feed(t, tc.pieces, tc.stops)
		})
	}
}

func TestStopMatcherRandom(t *testing.T) {
	t.Parallel()
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	text := func(n int) string {
		b := make([]byte, rng.IntN(n+1))
		for i := range b {
			b[i] = "ab"[rng.IntN(2)]
		}
		return string(b)
	}
	for range 20000 {
		var pieces, stops []string
		for range rng.IntN(12) {
			pieces = append(pieces, text(5))
		}
		for range rng.IntN(4) {
			stops = append(stops, text(8))
		}
		feed(t, pieces, stops)
	}
}
