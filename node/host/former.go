package host

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	libprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	mss "github.com/multiformats/go-multistream"
)

// formerTries is how often a former connection is asked before it is taken for dead.
const formerTries = 2

// formers are the connections that are being asked whether they still lead to their peer.
type formers struct {
	mu    sync.Mutex
	asked map[network.Conn]bool
}

// begin returns those of conns that were not being asked, and notes that they are.
func (f *formers) begin(conns []network.Conn) []network.Conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked = make(map[network.Conn]bool)
	}
	conns = slices.DeleteFunc(conns, func(c network.Conn) bool { return f.asked[c] })
	for _, c := range conns {
		f.asked[c] = true
	}
	return conns
}

// end takes begin back.
func (f *formers) end(conns []network.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		delete(f.asked, c)
	}
}

// probeFormer asks for an answer over each of some connections to a neighbour, of whom something
// else tells that it is elsewhere: one that brings none is dead, and ended. Probes of the neighbour
// itself take any connection, and would find a newer one.
func (r *running) probeFormer(id ID, conns []network.Conn) {
	if r.gate.get(id) == nil {
		return
	}
	if conns = r.formers.begin(conns); len(conns) == 0 {
		return
	}
	r.tasks.start(func() {
		defer r.formers.end(conns)
		silent := slices.Clone(conns)
		for range formerTries {
			silent = slices.DeleteFunc(silent, func(c network.Conn) bool { return c.IsClosed() || r.answersOn(id, c) })
		}
		if len(silent) > 0 && r.ctx.Err() == nil && r.prober.judges(time.Now()) {
			r.endSilent(id, silent)
		}
	})
}

// answersOn reports whether anything comes back over a connection within the time of a probe: a
// refusal does, too. A machine that is too late to look does not know, and says that it does.
func (r *running) answersOn(id ID, c network.Conn) bool {
	began, limit := time.Now(), r.probeLimit(id)
	ctx, cancel := context.WithTimeout(r.ctx, limit)
	defer cancel()
	err := askOn(ctx, c, began.Add(limit))
	return !timedOut(err) || time.Since(began) > limit+probeLate
}

// askOn is a round trip over a connection, on a stream of its own.
func askOn(ctx context.Context, c network.Conn, until time.Time) error {
	s, err := c.NewStream(network.WithAllowLimitedConn(ctx, "probe"))
	if err != nil {
		return err
	}
	defer s.Reset()
	if err := errors.Join(s.SetDeadline(until), s.SetProtocol(ping.ID)); err != nil {
		return err
	}
	if err := mss.SelectProtoOrFail(libprotocol.ID(ping.ID), s); err != nil {
		return err
	}
	return echoed(s)
}
