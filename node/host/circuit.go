package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
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

// watchCircuits asks the relays of connections on which something runs for an answer, and
// returns when to do so again: over QUIC nothing tells that a relay has died, and the probes in turn
// would take seconds.
func (r *running) watchCircuits() time.Duration {
	used := map[ID]bool{}
	for _, c := range r.host.Network().Conns() {
		if a := c.RemoteMultiaddr(); isRelayed(a) && busy(c) {
			used[relayOf(a)] = true
		}
	}
	if len(used) == 0 {
		r.circuits.rest() // nothing runs over relays any more
		return circuitIdle
	}
	for id := range used {
		if r.circuits.ask(id) {
			conns := r.host.Network().ConnsToPeer(native(id)) // not those that come meanwhile
			r.tasks.start(func() {
				defer r.circuits.done(id)
				if r.askRelay(id) {
					r.endSilent(id, conns)
					r.circuits.giveUp(id)
				}
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
	s, err := r.circuits.take(ctx, id)
	if err != nil {
		return err
	}
	defer s.leave()
	_, err = r.again(ctx, id, s, limit)
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
