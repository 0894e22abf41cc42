package trainer

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// roundData is what moves in one round.
type roundData struct {
	round   uint64
	members []wire.PeerID
	me      int // place of this peer, -1: none
	groups  [][]wire.PeerID
	lots    []lot // of each place
	headers map[wire.PeerID]*train.Header

	mu      sync.Mutex
	own     [][]byte               // slices of the own update, by owner
	users   atomic.Int32           // tasks that read own; only the loop begins them, in the running round
	lone    bool                   // the own update is the result: nobody else is there
	slices  map[wire.PeerID][]byte // of others, for this member; nil: the round is over
	reduced bool                   // the slices have been used, and have no bytes any more
	results map[train.Hash][]byte  // nil: nobody gets them any more
	readers int                    // of results
	written map[train.Hash]*writing
}

// writing is a result on its way to the disk.
type writing struct {
	done chan struct{} // closed in the end
	err  error         // then
}

// gone takes the place of a slice that was used.
var gone = []byte{}

// used takes the slices that the result was made of, which nobody reads any more.
func (d *roundData) used() (free [][]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reduced = true
	for p, b := range d.slices {
		free, d.slices[p] = append(free, b), gone
	}
	return free
}

// take keeps a slice of another member. It reports whether that is news, and whether data is kept.
func (d *roundData) take(from wire.PeerID, data []byte) (news, kept bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.slices == nil || d.slices[from] != nil {
		return false, false
	}
	if d.slices[from] = data; d.reduced {
		d.slices[from] = gone
	}
	return true, !d.reduced
}

// given reports whether this member has given its update: what it has committed to is what it sends.
func (d *roundData) given() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.own != nil
}

// durable returns when results are on the disk, as far as they are here.
func (d *roundData) durable(results []train.Hash) error {
	for _, h := range results {
		d.mu.Lock()
		w := d.written[h]
		d.mu.Unlock()
		if w == nil {
			continue
		}
		if <-w.done; w.err != nil {
			return w.err
		}
	}
	return nil
}

// over takes all memory of a round's slices, and of its results if they are dropped, and returns what
// nobody reads any more.
func (d *roundData) over(drop bool) (free [][]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users.Load() == 0 {
		free = append(free, d.own...)
	}
	d.own, d.slices = nil, nil
	if drop {
		if d.readers == 0 && d.users.Load() == 0 {
			for _, b := range d.results {
				free = append(free, b)
			}
		}
		d.results = nil
	}
	return free
}

// hold keeps a result and begins to write it to the disk: when all members are killed those who
// voted for it, and are bound to it, must find it again. Who votes waits for that, see durable.
func (s *session) hold(d *roundData, hash train.Hash, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.results == nil {
		return round.ErrOver
	}
	if d.results[hash] != nil {
		return nil
	}
	w := &writing{done: make(chan struct{})}
	d.results[hash], d.written[hash] = data, w
	d.readers++
	s.task(func(context.Context) {
		w.err = s.files.writeResult(hash, data)
		close(w.done)
		d.read()
	})
	return nil
}

// durable returns when the results of an outcome are on the disk, as far as they are here.
func (s *session) durable(o *train.Outcome) error {
	s.mu.Lock()
	d := s.data[o.Round]
	s.mu.Unlock()
	if d == nil {
		return errCannot
	}
	if err := d.durable(o.Slices); err != nil {
		return err
	}
	return s.files.results().syncDir()
}

// read ends the reading of a result.
func (d *roundData) read() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.readers--
}
