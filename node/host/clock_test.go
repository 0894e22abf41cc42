package host

import (
	"sync"
	"time"
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func newClock() *clock { return new(clock) }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}
