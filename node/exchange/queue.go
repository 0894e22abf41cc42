package exchange

import (
	"context"
	"sync"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/protocol/wire"
)

// item is a block that a client asked for.
type item struct {
	cid    cid.Cid
	id     uint64    // of the request
	refuse wire.Code // 0: to be served
}

// queue holds what a client has asked for on one stream: higher priorities first, then in
// the order asked.
type queue struct {
	mu     sync.Mutex
	items  [wire.PriorityUrgent + 1][]item
	closed bool          // nothing follows
	filled chan struct{} // has a token after push and close
}

func newQueue() *queue { return &queue{filled: make(chan struct{}, 1)} }

func (q *queue) push(p wire.Priority, items ...item) {
	q.mu.Lock()
	q.items[p] = append(q.items[p], items...)
	q.mu.Unlock()
	q.signal()
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

// pop waits for an item. It returns false when none will come.
func (q *queue) pop(ctx context.Context) (item, bool) {
	for {
		q.mu.Lock()
		for p := len(q.items) - 1; p >= 0; p-- {
			if len(q.items[p]) > 0 {
				it := q.items[p][0]
				q.items[p] = q.items[p][1:]
				q.mu.Unlock()
				return it, true
			}
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return item{}, false
		}
		select {
		case <-q.filled:
		case <-ctx.Done():
			return item{}, false
		}
	}
}
