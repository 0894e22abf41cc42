package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Task is a piece of work that a [Pool] splits: Do handles the items [lo, hi) and may
// run on several goroutines at once for disjoint ranges.
type Task interface {
	Do(lo, hi int)
}

type taskFunc func(lo, hi int)

func (f taskFunc) Do(lo, hi int) { f(lo, hi) }

// spinRounds is how long an idle worker watches for the next task before it sleeps: long
// enough to bridge what is not shared out between two products of one layer, short enough
// that an idle machine stays idle. On Zen 4 they take 40 us, and decoding Q4_0 with two
// threads is 3 to 12 % faster than with 8 us: hardly a worker sleeps within a token.
const spinRounds = 20000

// Pool runs tasks on a fixed number of goroutines, the caller's among them. Results of a
// task must depend on the item index only, never on how items were split. A Pool is safe
// for concurrent use; tasks of different callers run one after the other. A task must not
// use the pool it runs on.
type Pool struct {
	threads int
	workers []*worker
	closed  sync.WaitGroup

	mu       sync.Mutex // held during a task; guards the fields below
	task     Task
	n, grain int64
	stop     bool
	next     atomic.Int64  // first item nobody has taken
	pending  atomic.Int64  // workers that have not finished the task
	gen      atomic.Uint64 // counts tasks; workers watch it
	failed   atomic.Pointer[failure]
}

type failure struct{ value any }

type worker struct {
	parked atomic.Bool
	wake   chan struct{} // 1: at most one wake-up is outstanding
}

// NewPool returns a pool of the given number of threads; below 1 means one per processor.
// Close ends its goroutines.
func NewPool(threads int) *Pool {
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads}
	for range threads - 1 {
		w := &worker{wake: make(chan struct{}, 1)}
		p.workers = append(p.workers, w)
		p.closed.Add(1)
		go p.work(w)
	}
	return p
}

// Threads returns the number of goroutines that share a task.
func (p *Pool) Threads() int { return p.threads }

// Close ends the workers and waits for them. The pool must be idle and is not used again.
func (p *Pool) Close() {
	p.mu.Lock()
	if p.stop {
		p.mu.Unlock()
		return
	}
	p.stop, p.task = true, nil
	p.announce()
	p.mu.Unlock()
	p.closed.Wait()
}

// For is [Pool.Run] of a function.
func (p *Pool) For(n, grain int, f func(lo, hi int)) { p.Run(n, grain, taskFunc(f)) }

// Run calls t.Do for ranges of at most grain items that cover [0, n) once, and returns when
// all are done. A panic in t is raised again in the caller.
func (p *Pool) Run(n, grain int, t Task) {
	if n <= 0 {
		return
	}
	grain = max(grain, 1)
	if len(p.workers) == 0 || n <= grain {
		t.Do(0, n)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.task, p.n, p.grain = t, int64(n), int64(grain)
	p.next.Store(0)
	p.failed.Store(nil)
	p.announce()
	p.share()
	for p.pending.Load() > 0 {
		runtime.Gosched()
	}
	p.task = nil
	if f := p.failed.Load(); f != nil {
		panic(f.value)
	}
}

// announce publishes the task to every worker. The caller holds mu.
func (p *Pool) announce() {
	p.pending.Store(int64(len(p.workers)))
	p.gen.Add(1)
	for _, w := range p.workers {
		if w.parked.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
}

// share takes ranges of the current task until none is left.
func (p *Pool) share() {
	defer func() {
		if v := recover(); v != nil {
			p.failed.CompareAndSwap(nil, &failure{v})
			p.next.Store(p.n)
		}
	}()
	for {
		hi := p.next.Add(p.grain)
		lo := hi - p.grain
		if lo >= p.n {
			return
		}
		p.task.Do(int(lo), int(min(hi, p.n)))
	}
}

func (p *Pool) work(w *worker) {
	defer p.closed.Done()
	for seen := uint64(0); ; seen++ {
		p.await(w, seen)
		if p.stop {
			return
		}
		p.share()
		p.pending.Add(-1)
	}
}

// await returns when a task after number seen is announced. A wake-up is a hint only: one
// that was meant for task seen may come when that task is over, as announce may be held up
// between publishing it and waking the workers.
func (p *Pool) await(w *worker, seen uint64) {
	for {
		for spin := 0; spin < spinRounds; spin++ {
			if p.gen.Load() != seen {
				return
			}
			if spin%64 == 63 {
				runtime.Gosched()
			}
		}
		w.parked.Store(true)
		if p.gen.Load() != seen && w.parked.CompareAndSwap(true, false) {
			return // announced in between, and nobody will send a wake-up
		}
		<-w.wake
	}
}
