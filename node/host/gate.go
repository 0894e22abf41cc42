package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// ErrUnverified means that a peer has not proved its membership in time.
var ErrUnverified = errors.New("peer has not proved its membership")

// errGone is the case of ErrUnverified that a new connection may mend.
var errGone = fmt.Errorf("%w: not connected", ErrUnverified)

// member is a verified peer.
type member struct {
	hello wire.Hello
	grant wire.Grant
	since time.Time
	clock offset
}

// entry is what the gate knows of a connected peer.
type entry struct {
	waits  int           // streams that wait for the outcome
	done   chan struct{} // closed when the outcome is known
	member *member       // set before done is closed, nil if refused
	err    error         // why it was refused
}

// gate keeps which connected peers are members. Every other protocol waits at it.
type gate struct {
	timeout time.Duration // for a hello

	mu        sync.Mutex
	entries   map[ID]*entry
	refused   map[ID]refused // and not admitted since
	waits     int            // streams of all peers that wait
	strangers []network.Conn // that came in and whose peer is no member, oldest first
}

func newGate(timeout time.Duration) *gate {
	return &gate{timeout: timeout, entries: make(map[ID]*entry), refused: make(map[ID]refused)}
}

// refused is why and when a peer did not get in, or did not let this one in.
type refused struct {
	err error
	at  time.Time
}

const (
	// refusedFor is how long the routing table does not dial a peer that was refused: it hears of
	// each peer that connects, and would call back at once those that were turned away.
	refusedFor = time.Minute
	// maxRefused bounds those that are remembered.
	maxRefused = 1024
)

// begin notes a new connection: a peer that was refused before gets another chance.
func (g *gate) begin(id ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.entries[id]; e == nil || e.err != nil {
		g.entries[id] = &entry{done: make(chan struct{})}
	}
}

// admit lets a peer in and reports whether it was not in before. Hellos on several streams may
// pass each other: of a member's grants the one that lasts longest counts. A hello may also be read
// when its connection has ended, which connected tells as in drop: the error is errGone then.
func (g *gate) admit(id ID, m *member, connected func() bool) (fresh bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !connected() {
		return false, fmt.Errorf("peer %s: %w", id, errGone)
	}
	e := g.entries[id]
	if e == nil || e.err != nil {
		e = &entry{done: make(chan struct{})}
		g.entries[id] = e
	}
	delete(g.refused, id)
	fresh = e.member == nil
	if !fresh {
		m.since = e.member.since
		if e.member.grant.Expires > m.grant.Expires {
			m.grant = e.member.grant
		}
	}
	// A new entry instead of a new field: whoever waits reads the old one unlocked.
	g.entries[id] = &entry{done: e.done, member: m}
	if fresh {
		e.member = m
		close(e.done)
	}
	return fresh, nil
}

// refuse records why a peer does not get in, unless it has. It reports whether anybody waits to
// know.
func (g *gate) refuse(id ID, err error, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.entries[id]
	if e != nil && e.member != nil {
		return false
	}
	if len(g.refused) >= maxRefused {
		maps.DeleteFunc(g.refused, func(_ ID, r refused) bool { return now.Sub(r.at) >= refusedFor })
	}
	for other := range g.refused { // any
		if len(g.refused) < maxRefused {
			break
		}
		delete(g.refused, other)
	}
	g.refused[id] = refused{err, now}
	if e == nil || e.err != nil {
		return false
	}
	e.err = err
	close(e.done)
	return true
}

// refusal returns why a peer was refused a short while ago, nil if it was not or has come back.
func (g *gate) refusal(id ID, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r, ok := g.refused[id]; ok && now.Sub(r.at) < refusedFor {
		return fmt.Errorf("peer %s: refused a short while ago: %w", id, r.err)
	}
	return nil
}

// drop forgets a peer unless connected says that it is still there, and returns the
// member it was. connected is called under the lock, so that no admission on a newer
// connection falls in between; it must not block.
func (g *gate) drop(id ID, connected func() bool) *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.entries[id]
	if e == nil || connected() {
		return nil
	}
	delete(g.entries, id)
	if e.member == nil && e.err == nil {
		e.err = errGone
		close(e.done)
	}
	return e.member
}

// renew notes the longer grant of a member.
func (g *gate) renew(id ID, grant wire.Grant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.entries[id]; e != nil && e.member != nil {
		m := *e.member
		m.grant = grant
		g.entries[id] = &entry{done: e.done, member: &m}
	}
}

// noteClock notes the offset of a member's clock, unless its hello told the time.
func (g *gate) noteClock(id ID, o offset) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.entries[id]; e != nil && e.member != nil && e.member.hello.Time == 0 {
		m := *e.member
		m.clock = o
		g.entries[id] = &entry{done: e.done, member: &m}
	}
}

// expel takes a member out, for an expired or revoked grant.
func (g *gate) expel(id ID, err error) *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.entries[id]
	if e == nil || e.member == nil {
		return nil
	}
	g.entries[id] = &entry{done: e.done, err: err}
	return e.member
}

// wait blocks until the peer's hello is decided, at most the gate's timeout. A peer
// that is not connected is an error at once.
func (g *gate) wait(ctx context.Context, id ID) (*member, error) {
	g.mu.Lock()
	e := g.entries[id]
	g.mu.Unlock()
	if e == nil {
		return nil, fmt.Errorf("peer %s: %w", id, errGone)
	}
	t := time.NewTimer(g.timeout)
	defer t.Stop()
	select {
	case <-e.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("peer %s: %w: %w", id, ErrUnverified, ctx.Err())
	case <-t.C:
		return nil, fmt.Errorf("peer %s: %w in %v", id, ErrUnverified, g.timeout)
	}
	if e.err != nil {
		return nil, fmt.Errorf("peer %s: %w", id, e.err)
	}
	return e.member, nil
}

// waitStream is wait for a stream that came in. It does not wait if too many do.
func (g *gate) waitStream(ctx context.Context, id ID) (*member, error) {
	g.mu.Lock()
	e := g.entries[id]
	if e != nil && e.member == nil && e.err == nil {
		if e.waits >= protocol.MaxStrangerStreams || g.waits >= protocol.MaxWaitingStreams {
			g.mu.Unlock()
			return nil, fmt.Errorf("peer %s: %w, and too many streams wait", id, ErrUnverified)
		}
		e.waits++
		g.waits++
		defer func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			e.waits--
			g.waits--
		}()
	}
	g.mu.Unlock()
	return g.wait(ctx, id)
}

// stranger notes a connection that came in from a peer that is no member yet, and returns
// one that has to go for it, nil if none has.
func (g *gate) stranger(c network.Conn) network.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.strangers = append(g.strangers, c)
	if len(g.strangers) <= protocol.MaxStrangers {
		return nil
	}
	oldest := g.strangers[0]
	g.strangers = slices.Delete(g.strangers, 0, 1)
	return oldest
}

// noStranger takes stranger back.
func (g *gate) noStranger(c network.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.strangers, c); i >= 0 {
		g.strangers = slices.Delete(g.strangers, i, i+1)
	}
}

// get returns a verified peer, nil if it is none.
func (g *gate) get(id ID) *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.entries[id]; e != nil {
		return e.member
	}
	return nil
}

// members returns all verified peers.
func (g *gate) members() map[ID]*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[ID]*member, len(g.entries))
	for id, e := range g.entries {
		if e.member != nil {
			out[id] = e.member
		}
	}
	return out
}
