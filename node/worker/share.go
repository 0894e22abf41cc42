package worker

import (
	"fmt"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// What a worker has, sessions and the memory that its stages leave, is shared out so that
// one peer can use most of it and none, nor all that came with one invitation, can shut out
// the others; and something is always left for the owner of the machine.
const (
	ownerShare = 8 // one in so many is for this peer's own requests
	grantShare = 8 // of the rest: for peers that came with other invitations
	peerShare  = 4 // of the rest: for other peers
)

// share is what is left of n without the part of one in k.
func share(n, k int64) int64 { return n - n/k }

// forOthers returns how much memory there must be for sessions so that another peer may have
// n of it.
func forOthers(n int64) int64 {
	for _, k := range []int64{peerShare, ownerShare} {
		n += (n+k-2)/(k-1) + 1 // share rounds
	}
	return n
}

// use is what sessions have taken.
type use struct {
	sessions int
	bytes    int64
}

// usage counts the use of other peers: of each, of those that share an invitation, of all.
type usage struct {
	all    use
	peers  map[host.ID]use
	grants map[string]use
}

func newUsage() usage { return usage{peers: map[host.ID]use{}, grants: map[string]use{}} }

// add counts a use in, or with negative numbers out.
func (u *usage) add(c client, n use) {
	u.all = u.all.plus(n)
	put(u.peers, c.peer, n)
	put(u.grants, c.grant, n)
}

func (a use) plus(b use) use { return use{a.sessions + b.sessions, a.bytes + b.bytes} }

func put[K comparable](m map[K]use, key K, n use) {
	if v := m[key].plus(n); v != (use{}) {
		m[key] = v
	} else {
		delete(m, key)
	}
}

// client is who a session is for.
type client struct {
	peer  host.ID
	grant string // the invitation that it came with; its own identity, if that is not known
}

// client returns who a peer is to the worker.
func (w *Worker) client(peer host.ID) client {
	c := client{peer: peer}
	if w.cfg.Grant != nil && peer != w.cfg.Self {
		c.grant = w.cfg.Grant(peer)
	}
	if c.grant == "" {
		c.grant = string(peer)
	}
	return c
}

// roomFor returns the bytes that a client may still take, at most what is free. The caller
// holds mu.
func (w *Worker) roomFor(c client) int64 {
	room := w.cfg.MemoryBytes - w.used
	if c.peer == w.cfg.Self {
		return room
	}
	ofGrant := share(share(w.sessionBytes(), ownerShare), grantShare) - w.others.grants[c.grant].bytes
	return min(w.roomForOthers(), ofGrant, w.mostForPeer()-w.others.peers[c.peer].bytes)
}

// mostForPeer returns the bytes that one other peer may have in all. The caller holds mu.
func (w *Worker) mostForPeer() int64 { return share(share(w.sessionBytes(), ownerShare), peerShare) }

// roomForOthers returns the bytes that other peers together may still take. The caller holds
// mu.
func (w *Worker) roomForOthers() int64 {
	return min(w.cfg.MemoryBytes-w.used, share(w.sessionBytes(), ownerShare)-w.others.all.bytes)
}

// sessionBytes returns the memory that stages leave to sessions. The caller holds mu.
func (w *Worker) sessionBytes() int64 {
	n := w.cfg.MemoryBytes
	for _, s := range w.stages {
		n -= s.bytes
	}
	return max(0, n)
}

// refuseSession returns why a client may not open another session, nil if it may. The
// caller holds mu.
func (w *Worker) refuseSession(c client) error {
	most := int64(w.cfg.MaxSessions)
	pool := share(most, ownerShare)
	full := func(n int64, whose string) error {
		return &wire.Error{Code: wire.CodeBusy, Message: fmt.Sprintf("all %d sessions%s are taken", n, whose), RetryAfterMs: 1000}
	}
	switch other := c.peer != w.cfg.Self; {
	case int64(w.sessions) >= most:
		return full(most, "")
	case other && int64(w.others.peers[c.peer].sessions) >= share(pool, peerShare):
		return full(share(pool, peerShare), " that one peer may have")
	case other && int64(w.others.grants[c.grant].sessions) >= share(pool, grantShare):
		return full(share(pool, grantShare), " that the peers of one invitation may have")
	case other && int64(w.others.all.sessions) >= pool:
		return full(pool, " that other peers may have")
	}
	return nil
}

// reserveFor reserves memory of a client's session.
func (w *Worker) reserveFor(c client, n int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if room := w.roomFor(c); n > room {
		return fmt.Errorf("%w: need %d bytes, this peer may have %d of %d", ErrNoMemory, n, max(0, room), w.cfg.MemoryBytes)
	}
	w.used += n
	if c.peer != w.cfg.Self {
		w.others.add(c, use{bytes: n})
	}
	return nil
}

// releaseFor takes reserveFor back.
func (w *Worker) releaseFor(c client, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used -= n
	if c.peer != w.cfg.Self {
		w.others.add(c, use{bytes: -n})
	}
}
