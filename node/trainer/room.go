package trainer

import "sync"

// room is memory of slices that are over, for those of the next round: fresh memory costs as much as
// what is done with it.
type room struct {
	mu    sync.Mutex
	limit int // bytes that are kept
	size  int // of all in list
	list  [][]byte
}

// get returns n bytes of any content.
func (r *room) get(n int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, b := range r.list {
		if n <= cap(b) && cap(b)/2 <= n {
			last := len(r.list) - 1
			r.list[i], r.list[last] = r.list[last], nil
			r.list, r.size = r.list[:last], r.size-cap(b)
			return b[:n]
		}
	}
	return make([]byte, n)
}

// put takes back what nobody reads any more, as far as there is a use for it.
func (r *room) put(list ...[]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range list {
		if cap(b) > 0 && r.size+cap(b) <= r.limit {
			r.list, r.size = append(r.list, b), r.size+cap(b)
		}
	}
}
