package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

const (
	// circuitLook is how often the relay of a connection is asked for an answer while something
	// runs on the connection, circuitIdle how often it is looked whether something does.
	circuitLook = 250 * time.Millisecond
	circuitIdle = time.Second
	// relaySilence is how long a relay may owe an answer, relayDoubt when others are asked
	// whether they answer: if they do not, the silence may be this machine's own.
	relaySilence = time.Second
	relayDoubt   = 400 * time.Millisecond
	// maxWitnesses bounds those others.
	maxWitnesses = 4
)

// ErrPathLost is wrapped by errors of streams over a relayed connection that has ended. The peer
// may be well, and be reached over another relay.
var ErrPathLost = errors.New("the relayed connection has ended")

// circuits looks after the relays of connections on which something runs: over QUIC nothing
// tells that a relay has died, and the probes in turn would take seconds.
type circuits struct {
	mu      sync.Mutex
	asked   map[ID]*owed        // relays that owe an answer
	streams map[ID]*probeStream // to relays, and to those that are asked besides
}

// owed is an answer that a relay owes.
type owed struct {
	since time.Time
	done  chan struct{} // closed when it has come, or nobody waits for it any more
	dead  bool          // set before done is closed: the connection to the relay is being closed
}

func newCircuits() circuits {
	return circuits{asked: make(map[ID]*owed), streams: make(map[ID]*probeStream)}
}

// begin notes that a relay is being asked; false means that it is already.
func (c *circuits) begin(id ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked[id] != nil {
		return false
	}
	c.asked[id] = &owed{since: time.Now(), done: make(chan struct{})}
	return true
}

// end takes begin back, with what has become of the relay.
func (c *circuits) end(id ID, dead bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[id].dead = dead
	close(c.asked[id].done)
	delete(c.asked, id)
}

// doubted returns the answer of a relay that has not come for some time; nil: there is no doubt.
func (c *circuits) doubted(id ID) *owed {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.asked[id]; d != nil && time.Since(d.since) > relayDoubt {
		return d
	}
	return nil
}

// of returns the stream holder of a peer.
func (c *circuits) of(id ID) *probeStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[id] == nil {
		c.streams[id] = newProbeStream()
	}
	return c.streams[id]
}

// forget drops the stream to a peer that is gone.
func (c *circuits) forget(id ID) {
	c.mu.Lock()
	s := c.streams[id]
	delete(c.streams, id)
	c.mu.Unlock()
	if s != nil {
		s.drop()
	}
}

// rest ends the streams for questions: nothing runs over relays any more.
func (c *circuits) rest() {
	c.mu.Lock()
	streams := c.streams
	c.streams = make(map[ID]*probeStream)
	c.mu.Unlock()
	for _, s := range streams {
		s.drop()
	}
}

// watchCircuits asks the relays of connections on which something runs for an answer, and
// returns when to do so again.
func (r *running) watchCircuits() time.Duration {
	used := map[ID]bool{}
	for _, c := range r.host.Network().Conns() {
		if a := c.RemoteMultiaddr(); isRelayed(a) && busy(c) {
			used[relayOf(a)] = true
		}
	}
	if len(used) == 0 {
		r.circuits.rest()
		return circuitIdle
	}
	for id := range used {
		if r.circuits.begin(id) {
			conns := r.host.Network().ConnsToPeer(native(id)) // not those that come meanwhile
			r.tasks.start(func() {
				dead := r.askRelay(id)
				if dead {
					r.endSilent(id, conns)
				}
				r.circuits.end(id, dead)
			})
		}
	}
	return circuitLook
}

// askRelay reports whether a relay does not answer while others do. All that it carries ends with
// the connection to it. One that is far away has longer, and a machine that is too busy to look in
// time blames nobody.
func (r *running) askRelay(id ID) (dead bool) {
	limit := max(relaySilence, probeTimes*r.book.usual(id))
	answer, began := make(chan error, 1), time.Now()
	r.tasks.start(func() { answer <- r.question(r.ctx, id, limit) })
	doubt := time.NewTimer(relayDoubt)
	defer doubt.Stop()
	select {
	case <-answer:
		return false
	case <-r.ctx.Done():
		return false
	case <-doubt.C:
	}
	if now := time.Now(); now.Sub(began) > relayDoubt+probeLate || !r.prober.judges(now) {
		return false
	}
	witnessed := r.anyAnswers(id, limit-relayDoubt)
	select {
	case err := <-answer:
		return errors.Is(err, context.DeadlineExceeded) && witnessed
	case <-r.ctx.Done():
		return false
	}
}

// question is a round trip of its own to a peer. If there is no answer in time the error wraps
// context.DeadlineExceeded.
func (r *running) question(ctx context.Context, id ID, limit time.Duration) error {
	s := r.circuits.of(id)
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.leave()
	_, err := r.again(ctx, id, s, limit)
	return err
}

// anyAnswers reports whether one of some directly connected members other than a relay answers
// in time.
func (r *running) anyAnswers(but ID, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(r.ctx, limit)
	defer cancel()
	ids := slices.Collect(maps.Keys(r.gate.members()))
	ids = slices.DeleteFunc(ids, func(id ID) bool {
		p, ok := r.connection(id)
		return id == but || !ok || p.State != PathDirect
	})
	ids = ids[:min(len(ids), maxWitnesses)]
	answers := make(chan error, len(ids))
	for _, id := range ids {
		r.tasks.start(func() { answers <- r.question(ctx, id, limit) })
	}
	for range ids {
		select {
		case err := <-answers:
			if err == nil {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
	return false
}

// ofRelayed makes the error of a stream over a relay tell whether the connection has ended. A
// deadline that passes while the relay is doubted says less than what is known in a moment.
func (r *running) ofRelayed(c network.Conn, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if answer := r.circuits.doubted(relayOf(c.RemoteMultiaddr())); answer != nil {
			select {
			case <-answer.done:
				if answer.dead { // the connection is about to end
					return fmt.Errorf("%w: %v", ErrPathLost, err)
				}
			case <-r.ctx.Done():
			}
		}
	}
	if c.IsClosed() {
		return fmt.Errorf("%w: %v", ErrPathLost, err)
	}
	return err
}
