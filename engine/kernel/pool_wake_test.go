package kernel

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// TestLateWakeUpIsNoTask gives workers that wait the wake-up of a task that is over, as a
// caller does that is held up while it announces one. They must not take part in a task
// that is not there: that would count them out of the next one, which could end, and be
// replaced, while they are at work.
func TestLateWakeUpIsNoTask(t *testing.T) {
	t.Parallel()
	p := NewPool(3)
	defer p.Close()
	var sum atomic.Int64
	for round := range 200 {
		for _, w := range p.workers {
			for !w.parked.CompareAndSwap(true, false) {
				runtime.Gosched()
			}
			w.wake <- struct{}{}
		}
		for _, w := range p.workers { // until they wait again, whatever they made of it
			for !w.parked.Load() {
				runtime.Gosched()
			}
		}
		if n := p.pending.Load(); n != 0 {
			t.Fatalf("round %d: %d workers are missing from the next task", round, -n)
		}
		sum.Store(0)
		p.For(100, 1, func(lo, hi int) { sum.Add(int64(hi - lo)) })
		if got := sum.Load(); got != 100 {
			t.Fatalf("round %d: %d of 100 items were done", round, got)
		}
	}
}
