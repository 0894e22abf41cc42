package host

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// asking is whom this peer asks for an answer, each in one place at a time, and the streams for that. Who
// asks the same peers for other reasons has one of its own, as a question waits for the one before it.
type asking struct {
	now func() time.Time

	mu      sync.Mutex
	asked   map[ID]*owed
	streams map[ID]*probeStream
}

// owed is an answer that a peer owes.
type owed struct {
	since  time.Time
	failed int           // round trips
	done   chan struct{} // closed when it has come, or nobody waits for it any more
	dead   bool          // set before done is closed: the connection to the peer is being closed
}

func newAsking(now func() time.Time) asking {
	return asking{now: now, asked: make(map[ID]*owed), streams: make(map[ID]*probeStream)}
}

// ask notes that a peer is being asked, and reports whether it was not before.
func (a *asking) ask(id ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked[id] != nil {
		return false
	}
	a.asked[id] = &owed{since: a.now(), done: make(chan struct{})}
	return true
}

// doubt notes that a peer that is being asked has not answered.
func (a *asking) doubt(id ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[id].failed++
}

// doubts reports whether a peer is being asked and has not answered.
func (a *asking) doubts(id ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.asked[id]
	return o != nil && o.failed > 0
}

// silentSince returns since when a peer has owed an answer that was asked for again, zero if it does
// not.
func (a *asking) silentSince(id ID) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o := a.asked[id]; o != nil && o.failed >= probesSilent {
		return o.since
	}
	return time.Time{}
}

// giveUp notes that the connection to a peer that is being asked is being closed.
func (a *asking) giveUp(id ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[id].dead = true
}

// done takes ask back.
func (a *asking) done(id ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.asked[id].done)
	delete(a.asked, id)
}

// doubted returns the answer of a peer that has not come for some time; nil: there is no doubt.
func (a *asking) doubted(id ID) *owed {
	a.mu.Lock()
	defer a.mu.Unlock()
	if o := a.asked[id]; o != nil && a.now().Sub(o.since) > relayDoubt {
		return o
	}
	return nil
}

// silent returns how many that are being asked have not answered.
func (a *asking) silent() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.asked {
		if o.failed > 0 {
			n++
		}
	}
	return n
}

// probeStream is a stream that stays open for round trips: to open one costs more than they do.
type probeStream struct {
	turn    chan struct{} // size 1: who has put something in may use the others, for a round trip
	s       network.Stream
	dropped bool // nobody finds it any more to drop it again: no stream may be opened
}

// of returns the stream holder of a peer.
func (a *asking) of(id ID) *probeStream {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.streams[id]
	if s == nil {
		s = &probeStream{turn: make(chan struct{}, 1)}
		a.streams[id] = s
	}
	return s
}

// take waits for the caller's turn with the stream to a peer, at most as long as ctx lasts; leave ends
// it.
func (a *asking) take(ctx context.Context, id ID) (*probeStream, error) {
	for {
		s := a.of(id)
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !s.dropped {
			return s, nil
		}
		s.leave() // it was dropped meanwhile, and is no longer the one of the peer
	}
}

func (s *probeStream) leave() { <-s.turn }

// forget drops the stream to a peer that is gone.
func (a *asking) forget(id ID) {
	a.mu.Lock()
	s := a.streams[id]
	delete(a.streams, id)
	a.mu.Unlock()
	if s != nil {
		s.drop()
	}
}

// rest drops all streams.
func (a *asking) rest() {
	a.mu.Lock()
	streams := a.streams
	a.streams = make(map[ID]*probeStream)
	a.mu.Unlock()
	for _, s := range streams {
		s.drop()
	}
}

// drop gives the stream up for ever when nobody uses it.
func (s *probeStream) drop() {
	s.turn <- struct{}{}
	defer s.leave()
	s.end()
	s.dropped = true
}

// end gives the stream up. It is the caller's turn.
func (s *probeStream) end() {
	if s.s != nil {
		_ = s.s.Reset()
		s.s = nil
	}
}
