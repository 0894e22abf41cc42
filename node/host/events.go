package host

import (
	"sync"

	"github.com/covey-network/covey/protocol/wire"
)

// Event is one of EvtPeerJoined, EvtPeerLeft, EvtAdvertReceived and EvtAdvertExpired.
type Event any

// EvtPeerJoined tells that a connected peer has proved its membership.
type EvtPeerJoined struct {
	Peer  ID
	Hello *wire.Hello // read-only
}

// EvtPeerLeft tells that the last connection to a verified peer has ended.
type EvtPeerLeft struct{ Peer ID }

// EvtAdvertReceived tells that a newer advert of another peer is in the table. It does not
// hold the advert: a subscriber that falls behind would keep them all.
type EvtAdvertReceived struct{ Peer ID }

// EvtAdvertExpired tells that a peer's advert no longer counts: it was not renewed, or the
// peer can no longer be reached.
type EvtAdvertExpired struct{ Peer ID }

// eventBuffer is how far a subscriber may fall behind: a burst of a full table.
const eventBuffer = 1024

// events hands events to subscribers. A subscriber that falls behind loses events: they
// are hints to look again, the state is in Peers and Adverts.
type events struct {
	mu   sync.Mutex
	subs map[chan Event]struct{}
}

func newEvents() *events { return &events{subs: make(map[chan Event]struct{})} }

func (e *events) emit(v Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.subs {
		select {
		case c <- v:
		default:
		}
	}
}

func (e *events) subscribe() (<-chan Event, func()) {
	c := make(chan Event, eventBuffer)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subs[c] = struct{}{}
	return c, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.subs, c)
	}
}
