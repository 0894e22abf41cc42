package host

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

const (
	// probeTimeout bounds one round trip; what is slower is not usable.
	probeTimeout = 2 * time.Second
	// probeLate is how much later than that a failure may be noticed; later says more of this
	// machine than of the other.
	probeLate = 250 * time.Millisecond
	// probesDoubt is how many round trips in a row may fail before a connection is closed,
	// probesDead if a session runs on it, which may outlive a short silence. Over QUIC nothing else tells for half a minute that the other process died.
	probesDoubt = 2
	probesDead  = 3
	// probeIdle is how long a stream for probes may stay without one.
	probeIdle = 10 * time.Minute
	// alarmEvery is the least time between two looks at all neighbours at once: who finds one
	// dead looks whether others died with it.
	alarmEvery = 15 * time.Second
)

// prober looks after the neighbours: one of them at a time is asked for an answer, in turn, so
// that what it costs does not grow with their number. A dead one is found by whichever of its
// neighbours is the first to ask it.
type prober struct {
	mu      sync.Mutex
	round   []ID // that are still to be asked before all have been
	streams map[ID]*probeStream
	doubted map[ID]bool // that are being asked again
	dead    map[ID]bool // whose connection is being closed as they do not answer
	alarm   time.Time   // the last look at all
}

// probeStream is a stream that stays open for round trips: to open one costs more than they do.
type probeStream struct {
	mu sync.Mutex // held for a round trip
	s  network.Stream
}

func newProber() prober {
	return prober{streams: make(map[ID]*probeStream), doubted: make(map[ID]bool), dead: make(map[ID]bool)}
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

// of returns the stream holder of a peer.
func (p *prober) of(id ID) *probeStream {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.streams[id]
	if s == nil {
		s = new(probeStream)
		p.streams[id] = s
	}
	return s
}

// forget drops the stream to a peer that is gone.
func (p *prober) forget(id ID) {
	p.mu.Lock()
	s := p.streams[id]
	delete(p.streams, id)
	p.mu.Unlock()
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.end()
	}
}

// end gives the stream up. The caller holds mu.
func (s *probeStream) end() {
	if s.s != nil {
		_ = s.s.Reset()
		s.s = nil
	}
}

// doubt notes that a peer is being asked again, or with on false no longer. It reports whether
// that is new.
func (p *prober) doubt(id ID, on bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.doubted[id]
	if on {
		p.doubted[id] = true
	} else {
		delete(p.doubted, id)
	}
	return was != on
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

// probeNext asks the next neighbour for an answer.
func (r *running) probeNext() {
	if id := r.prober.next(r.gate.members()); id != "" {
		r.check(id)
	}
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

// check asks a neighbour for an answer, again and again while none comes, and takes it for dead
// in the end.
func (r *running) check(id ID) {
	if !r.prober.doubt(id, true) {
		return // it is being asked
	}
	r.tasks.start(func() {
		defer r.prober.doubt(id, false)
		for n := range probesDead {
			err := r.ping(r.ctx, id, 1)
			if !errors.Is(err, context.DeadlineExceeded) {
				return // it answers, or the connection has ended by itself
			}
			r.log.Debug("no answer to a probe", "peer", id, "err", err)
			if n+1 >= probesDoubt && !r.inUse(id) {
				break
			}
		}
		if r.ctx.Err() == nil {
			r.log.Info("peer does not answer, connection closed", "peer", id)
			r.prober.bury(id)
			_ = r.host.Network().ClosePeer(native(id)) // the other side may never hear of it
		}
	})
}

// ping measures n round trips. If the peer does not answer in time the error wraps
// context.DeadlineExceeded.
func (r *running) ping(ctx context.Context, id ID, n int) error {
	p := r.prober.of(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	for range n {
		kept := p.s != nil
		rtt, err := r.roundTrip(ctx, id, p)
		if err != nil && kept && !errors.Is(err, context.DeadlineExceeded) { // the other side has ended the stream, or it was on a connection that is gone
			rtt, err = r.roundTrip(ctx, id, p)
		}
		if err != nil {
			return err
		}
		r.book.measured(id, rtt)
	}
	return nil
}

// roundTrip measures one. The stream that it opens stays, unless there is an error.
func (r *running) roundTrip(ctx context.Context, id ID, p *probeStream) (rtt time.Duration, err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			p.end()
		}
		if time.Since(began) > probeTimeout+probeLate {
			return // this machine is too busy to judge
		}
		if errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil && err != nil {
			err = errors.Join(err, context.DeadlineExceeded)
		}
	}()
	if p.s == nil {
		p.s, err = r.host.NewStream(network.WithNoDial(network.WithAllowLimitedConn(ctx, "probe"), noDial), native(id), ping.ID)
		if err != nil {
			return 0, err
		}
	}
	var sent, got [ping.PingSize]byte
	crand.Read(sent[:]) // never errs since Go 1.24
	if err := p.s.SetDeadline(time.Now().Add(probeTimeout)); err != nil {
		return 0, err
	}
	start := time.Now()
	if _, err := p.s.Write(sent[:]); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(p.s, got[:]); err != nil {
		return 0, err
	}
	if !bytes.Equal(sent[:], got[:]) {
		return 0, errors.New("a probe came back as something else")
	}
	return time.Since(start), nil
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
