package vec

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// TestMain stops tests that would run on another level than they were told to.
func TestMain(m *testing.M) {
	if err := CheckCPU(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}

func TestChoose(t *testing.T) {
	t.Parallel()
	old := []Level{Generic, AVX2}
	for _, k := range []struct {
		name string
		want Level
		ok   bool
	}{
		{"", AVX2, true},
		{"avx2", AVX2, true},
		{"generic", Generic, true},
		{"avx512", AVX2, false},
		{"sse", AVX2, false},
		{"AVX2", AVX2, false},
	} {
		if got, err := choose(k.name, old); got != k.want || (err == nil) != k.ok {
			t.Errorf("choose %q: got %v and %v, want %v", k.name, got, err, k.want)
		}
	}
}

func TestCurrentIsSupported(t *testing.T) {
	t.Parallel()
	if !slices.Contains(Supported(), Current()) {
		t.Errorf("level %v is not one of %v", Current(), Supported())
	}
}
