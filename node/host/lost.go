package host

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// lostTimeout bounds how long a lost peer is looked for before it is taken to be gone.
	lostTimeout = 4 * time.Second
	// refusedTimeout bounds a dial of one whose machine refused an earlier one. It may be part of one
	// that somebody else began.
	refusedTimeout = 250 * time.Millisecond
)

// lostPauses are the times before the dials of a lost peer: both sides may dial at once and end each
// other's connection, or the peer restarts. It is gone no sooner than after all of them.
var lostPauses = []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond, 200 * time.Millisecond}

// errRefused ends the dial of a lost peer whose machine refuses what it took before: over QUIC nothing
// tells that for seconds.
var errRefused = errors.New("refused where it was connected before")

// loss is a peer whose last connection has ended by itself, and that is being dialled again.
type loss struct {
	times   int // that its end is looked into
	since   time.Time
	at      multiaddr.Multiaddr     // the other end of that connection, if it was direct and over TCP; else nil
	end     context.CancelCauseFunc // of the dial under way; nil: there is none
	refused bool
}

// losses are the peers that were lost a moment ago.
type losses struct {
	mu    sync.Mutex
	peers map[ID]*loss
}

// begin notes that a peer is lost, with its last connection. It may be lost again before end.
func (l *losses) begin(id ID, c network.Conn, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peers == nil {
		l.peers = make(map[ID]*loss)
	}
	n := l.peers[id]
	if n == nil {
		n = &loss{since: now}
		l.peers[id] = n
	}
	n.times++
	if proto, _, ok := hostPort(c.RemoteMultiaddr()); ok && proto == "tcp" {
		n.at = c.RemoteMultiaddr()
	}
}

// end takes begin back: the peer is there again, or gone.
func (l *losses) end(id ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.peers[id]; n != nil {
		if n.times--; n.times == 0 {
			delete(l.peers, id)
		}
	}
}

// dials notes what ends the dial of a lost peer that is under way, and reports whether an earlier one
// was refused.
func (l *losses) dials(id ID, end context.CancelCauseFunc) (refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.peers[id]
	if n == nil {
		return false
	}
	n.end = end
	return n.refused
}

// since returns since when a peer is lost, zero if it is not.
func (l *losses) since(id ID) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.peers[id]; n != nil {
		return n.since
	}
	return time.Time{}
}

// all lists the peers that are lost.
func (l *losses) all() (out []ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.peers {
		out = append(out, id)
	}
	return out
}

// refused notes that a dial of a peer over TCP was refused. If it was connected there, or it was on
// the same machine of a house, its process has ended: what else is dialled need not be waited for.
func (l *losses) refused(id ID, to multiaddr.Multiaddr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.peers[id]
	if n == nil || n.at == nil {
		return
	}
	was, err := manet.ToIP(n.at)
	is, failed := manet.ToIP(to)
	if err != nil || failed != nil || !was.Equal(is) || !manet.IsPrivateAddr(to) && !to.Equal(n.at) {
		return
	}
	if n.refused = true; n.end != nil {
		n.end(errRefused)
	}
}

// lost decides what the end of the last connection to a peer means. One that cannot be
// dialled again is taken to be gone: its advert no longer counts, until the peer itself
// hands it in again or a newer one comes by gossip from peers that still reach it.
func (r *running) lost(id ID) {
	defer r.losses.end(id)
	ctx, cancel := context.WithTimeout(r.ctx, lostTimeout)
	defer cancel()
	for try, pause := range lostPauses {
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
		if r.isConnected(id) || ctx.Err() == nil && r.redial(ctx, id, try > 0) == nil {
			r.readmit(id)
			return
		}
	}
	if !r.isConnected(id) {
		r.gone(id)
	}
}

// redial dials a lost peer. That it does so again is no news for the book.
func (r *running) redial(ctx context.Context, id ID, again bool) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if r.losses.dials(id, end) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, refusedTimeout, errRefused)
		defer cancel()
	}
	defer r.losses.dials(id, nil)
	if !again {
		return r.dial(ctx, id, lostTimeout)
	}
	_, err := r.reach(ctx, id)
	return err
}
