package host

import (
	"context"
	crand "crypto/rand"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

const (
	// A round trip may take probeLeast and probeTimes what the last ones took, at most probeMost:
	// what is slower is not usable.
	probeLeast = 700 * time.Millisecond
	probeMost  = 2 * time.Second
	probeTimes = 4
	// probeLate is how much later than it was to happen something may happen; later says more of
	// this machine than of the other.
	probeLate = 250 * time.Millisecond
	// probesSilent is how many round trips in a row may fail before nothing is planned with a peer
	// and the others are told; one, if another peer has lost it, too.
	probesSilent = 2
	// silentDead is for how long all round trips may fail before a connection is closed, silentBusy if
	// a session runs on it, which may outlive a short silence.
	silentDead = 4 * time.Second
	silentBusy = 6 * time.Second
	// probeIdle is how long a stream for probes may stay without one.
	probeIdle = 10 * time.Minute
	// alarmEvery is the least time between two looks at all neighbours at once: who finds one
	// dead looks whether others died with it.
	alarmEvery = 15 * time.Second
)

// prober looks after the neighbours: one of them at a time is asked for an answer, in turn, so
// that what it costs does not grow with their number. A dead one is found by whichever of its
// neighbours is the first to ask it. Over TCP the kernel tells when a process dies. Over QUIC
// nothing does for half a minute: the neighbour that comes next on the ring of identities is asked more
// often, so that each of them has one that finds out soon.
type prober struct {
	asking
	look int       // counts the looks; of the loop, as is
	due  time.Time // when the next one is

	mu    sync.Mutex
	round []ID        // that are still to be asked before all have been
	busy  time.Time   // until when this machine is too late with all to judge
	dead  map[ID]bool // whose connection is being closed as they do not answer
	alarm time.Time   // the last look at all
}

func newProber(now func() time.Time) prober {
	return prober{asking: newAsking(now), dead: make(map[ID]bool)}
}

// next returns who is to be asked now, "" if there is nobody.
func (p *prober) next(members map[ID]*member) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	for again := range 2 {
		for len(p.round) > 0 {
			id := p.round[0]
			p.round = p.round[1:]
			if members[id] != nil {
				return id
			}
		}
		if again == 0 {
			p.round = slices.Sorted(maps.Keys(members))
			rand.Shuffle(len(p.round), func(i, j int) { p.round[i], p.round[j] = p.round[j], p.round[i] })
		}
	}
	return ""
}

// alone reports whether most of a number of neighbours do not answer: then it is this peer that
// is lost.
func (p *prober) alone(members int) bool {
	silent := p.silent()
	return silent > 1 && 2*silent > members
}

// onTime notes that a look happens, and when the next one is due. One that is late tells that this
// machine is busy.
func (p *prober) onTime(now time.Time, every time.Duration) {
	late := !p.due.IsZero() && now.Sub(p.due) > probeLate
	p.due = now.Add(every)
	if late {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.busy = now.Add(probeMost)
	}
}

// judges reports whether this machine is not too busy to judge others.
func (p *prober) judges(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !now.Before(p.busy)
}

// bury notes that the connection to a peer is being closed as it does not answer.
func (p *prober) bury(id ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead[id] = true
}

// buried reports whether that was so, once.
func (p *prober) buried(id ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.dead[id]
	delete(p.dead, id)
	return was
}

// alarmed reports whether it is time to look at all neighbours.
func (p *prober) alarmed(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.alarm) < alarmEvery {
		return false
	}
	p.alarm = now
	return true
}

// probeNext asks a neighbour for an answer, at every second look the next of all. One over QUIC that is
// next on the ring is asked at each look; then the others' turn comes half as often.
func (r *running) probeNext(every time.Duration) {
	p, members := &r.prober, r.gate.members()
	p.onTime(time.Now(), every)
	p.look++
	turn := 2
	if id := successor(r.ID(), members); id != "" && r.overQUIC(id) {
		r.check(id)
		turn = 4
	}
	if p.look%turn != 0 {
		return
	}
	if id := p.next(members); id != "" {
		r.check(id)
	}
}

// successor returns the member that comes next on the ring of identities, "" if there is none.
func successor(id ID, members map[ID]*member) ID {
	ring := slices.Sorted(maps.Keys(members))
	if len(ring) == 0 {
		return ""
	}
	i, _ := slices.BinarySearch(ring, id)
	return ring[i%len(ring)]
}

// overQUIC reports whether a peer is connected over nothing but UDP.
func (r *running) overQUIC(id ID) bool {
	conns := r.host.Network().ConnsToPeer(native(id))
	return len(conns) > 0 && !slices.ContainsFunc(conns, func(c network.Conn) bool {
		proto, _, ok := hostPort(c.RemoteMultiaddr())
		return !ok || proto != "udp"
	})
}

// probeAll asks all neighbours at once, if that was not done a moment ago.
func (r *running) probeAll() {
	if !r.prober.alarmed(r.now()) {
		return
	}
	for id := range r.gate.members() {
		r.check(id)
	}
}

// check asks a neighbour for an answer, again and again while none comes. It is taken for dead
// after two failures, or one of it and one of another peer, see suspect, and no longer if it answers
// after all; in the end the connection is closed.
func (r *running) check(id ID) {
	if !r.prober.ask(id) {
		return
	}
	conns := r.host.Network().ConnsToPeer(native(id)) // those are ended, and not what comes meanwhile
	r.tasks.start(func() {
		defer r.prober.done(id)
		start := time.Now()
		for failed := 0; ; {
			err := r.ping(r.ctx, id, 1)
			if !errors.Is(err, context.DeadlineExceeded) || r.ctx.Err() != nil { // it answers, or the connection has ended by itself
				if err == nil && failed > 0 {
					r.readmit(id)
				}
				return
			}
			r.log.Debug("no answer to a probe", "peer", id, "err", err)
			patience := silentDead
			if r.inUse(id) {
				patience = silentBusy
			}
			if time.Since(start) > patience {
				break
			}
			if !r.prober.judges(time.Now()) {
				continue
			}
			failed++
			r.prober.doubt(id)
			r.probeAll() // others may have died with it
			// Who hears of a loss from others is not alone, however many are silent.
			if r.rumours.told(id, r.table.seq(id)) || failed >= probesSilent && !r.prober.alone(len(r.gate.members())) {
				r.gone(id)
			}
		}
		if r.ctx.Err() == nil {
			r.endSilent(id, conns)
		}
	})
}

// endSilent ends connections on which a peer did not answer.
func (r *running) endSilent(id ID, conns []network.Conn) {
	r.log.Info("peer does not answer, connection closed", "peer", id)
	if !slices.ContainsFunc(r.host.Network().ConnsToPeer(native(id)), func(c network.Conn) bool { return !slices.Contains(conns, c) }) {
		r.prober.bury(id)
	}
	for _, c := range conns {
		_ = c.Close() // the other side may never hear of it
	}
}

// ping measures n round trips. If the peer does not answer in time the error wraps
// context.DeadlineExceeded.
func (r *running) ping(ctx context.Context, id ID, n int) error {
	s, err := r.prober.take(ctx, id)
	if err != nil {
		return err
	}
	defer s.leave()
	for range n {
		rtt, err := r.again(ctx, id, s, r.probeLimit(id))
		if err != nil {
			return err
		}
		r.book.measured(id, rtt)
	}
	return nil
}

// probeLimit is how long a round trip to a peer may take.
func (r *running) probeLimit(id ID) time.Duration {
	return min(probeMost, probeLeast+probeTimes*r.book.usual(id))
}

// again measures a round trip on a stream that may have ended since the last one: the other side
// has done so, or it was on a connection that is gone. It is the caller's turn.
func (r *running) again(ctx context.Context, id ID, p *probeStream, limit time.Duration) (time.Duration, error) {
	kept := p.s != nil
	rtt, err := r.roundTrip(ctx, id, p, limit)
	if err != nil && kept && !errors.Is(err, context.DeadlineExceeded) {
		rtt, err = r.roundTrip(ctx, id, p, limit)
	}
	return rtt, err
}

// roundTrip measures one. The stream that it opens stays, unless there is an error.
func (r *running) roundTrip(ctx context.Context, id ID, p *probeStream, limit time.Duration) (rtt time.Duration, err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer func() {
		if err != nil {
			p.end()
		}
		if time.Since(began) > limit+probeLate {
			return // this machine is too busy to judge
		}
		if timedOut(err) || ctx.Err() != nil && err != nil {
			err = errors.Join(err, context.DeadlineExceeded)
		}
	}()
	if p.s == nil {
		p.s, err = r.host.NewStream(network.WithNoDial(network.WithAllowLimitedConn(ctx, "probe"), noDial), native(id), ping.ID)
		if err != nil {
			return 0, err
		}
	}
	if err := p.s.SetDeadline(began.Add(limit)); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := echoed(p.s); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}

// echoed sends a probe over a stream and reads it back.
func echoed(s io.ReadWriter) error {
	var sent, got [ping.PingSize]byte
	crand.Read(sent[:]) // never errs since Go 1.24
	if _, err := s.Write(sent[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, got[:]); err != nil {
		return err
	}
	if sent != got {
		return errors.New("a probe came back as something else")
	}
	return nil
}

// answerProbes gives back what a neighbour sends, for as long as it keeps the stream.
func (r *running) answerProbes(_ context.Context, s Stream) {
	var buf [ping.PingSize]byte
	for {
		err := s.SetDeadline(time.Now().Add(probeIdle))
		if err == nil {
			_, err = io.ReadFull(s, buf[:])
		}
		if err == nil {
			_, err = s.Write(buf[:])
		}
		if err != nil {
			_ = s.Close() // it is done, or gone: nothing is lost
			return
		}
	}
}
