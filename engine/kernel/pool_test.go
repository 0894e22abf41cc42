package kernel_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

func TestPoolCoversEachItemOnce(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2, 3, 8} {
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			t.Parallel()
			p := kernel.NewPool(threads)
			defer p.Close()
			for n := range 50 {
				for _, grain := range []int{0, 1, 3, 64} {
					seen := make([]atomic.Int32, n)
					p.For(n, grain, func(lo, hi int) {
						for i := lo; i < hi; i++ {
							seen[i].Add(1)
						}
					})
					for i := range seen {
						if got := seen[i].Load(); got != 1 {
							t.Fatalf("n %d grain %d: item %d done %d times", n, grain, i, got)
						}
					}
				}
			}
		})
	}
}

func TestPoolRaisesPanicsInTheCaller(t *testing.T) {
	t.Parallel()
	p := kernel.NewPool(2)
	defer p.Close()
	for range 20 {
		func() {
			defer func() {
				if got := recover(); got != "broken" {
					t.Fatalf("recovered %v, want the task's panic", got)
				}
			}()
			p.For(8, 1, func(lo, _ int) {
				if lo == 5 {
					panic("broken")
				}
			})
		}()
	}
	p.For(3, 1, func(int, int) {}) // still usable
}

func TestParseISA(t *testing.T) {
	t.Parallel()
	for _, i := range kernel.Supported() {
		if got, err := kernel.ParseISA(i.String()); err != nil || got != i {
			t.Errorf("ParseISA(%q) = %v, %v", i, got, err)
		}
	}
	if _, err := kernel.ParseISA("sse"); err == nil {
		t.Error("ParseISA accepted sse")
	}
}
