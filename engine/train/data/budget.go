package data

import "sync"

// Budget bounds the memory that decoding images takes at once, over all the pipelines that
// share it. It is safe for concurrent use.
type Budget struct {
	mu    sync.Mutex
	given *sync.Cond // some was given back
	total int64
	free  int64 // Invariant: 0 <= free <= total
}

// NewBudget returns a budget of so many bytes. An image that takes more is decoded while no
// other is.
func NewBudget(bytes int64) *Budget {
	b := &Budget{total: bytes, free: bytes}
	b.given = sync.NewCond(&b.mu)
	return b
}

// take waits until there are n bytes and takes them; give them back with the result.
func (b *Budget) take(n int64) (give func()) {
	n = min(n, b.total)
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.free < n {
		b.given.Wait()
	}
	b.free -= n
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.free += n
		b.given.Broadcast()
	}
}
