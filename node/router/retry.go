package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// maxObjections is how many peers must say that a request or the model is at fault to be
// believed: one may be wrong, or lie.
const maxObjections = 2

// maxAttempts bounds the chains that one call tries while there are some of which no peer
// has just failed.
const maxAttempts = 6

// A session that lost its chain looks for another one every lookAgain, and every so many
// times tries one of peers that have just failed.
const (
	lookAgain = 200 * time.Millisecond
	lastTries = 5
)

// What speaks against peers in a session whose chain failed: more than all that the router
// knows for the one that is named, less for those in front of it, who may be the liars.
const (
	named   = 1000
	suspect = 3
)

// suspectFor is how long that counts.
const suspectFor = 10 * time.Second

// blames is what a session knows of the peers that failed it.
type blames struct {
	marks      map[host.ID]mark
	objections []objection
	tooShort   int  // how often the time that a chain was given was over
	desperate  bool // peers that have just failed may be tried
}

type mark struct {
	weight int
	fault  fault
	at     time.Time
	seq    uint64
}

// objection is an error that says that the request or the model is at fault.
type objection struct {
	trial
	verdict
	err error
}

// speaker is who raised the objection, named whom it is about.
func (o *objection) speaker() host.ID { return o.chain.Links[0].Peer }
func (o *objection) named() host.ID   { return o.chain.Links[o.verdict.at].Peer }

// view is how the session sees the peers. Those that openings under way seem to wait for are
// left out, and the others of their chains are not asked again if there is another way.
func (s *Session) view(open []*opening) view {
	now := s.r.cfg.Now()
	hangs, asked := map[host.ID]bool{}, map[host.ID]int{}
	for _, o := range open {
		hangs[o.hangs()] = true
		for _, l := range o.chain.Links {
			asked[l.Peer] = suspect
		}
	}
	return view{
		demerits: func(a *wire.Advert) int {
			m, known := s.marks[a.Peer]
			if !known || now.Sub(m.at) > suspectFor || m.fault == faultGone && a.Seq > m.seq {
				return asked[a.Peer]
			}
			return m.weight + asked[a.Peer]
		},
		without: func(p host.ID) string {
			for i := range s.objections {
				if s.objections[i].named() == p {
					return "says that the request cannot be answered"
				}
			}
			if hangs[p] {
				return "does not answer"
			}
			return ""
		},
	}
}

// retry calls f until it works, fails for good, or too many chains have failed.
func (s *Session) retry(ctx context.Context, f func() error) error {
	var first error // why there may be no chain left
	patience := s.r.cfg.Patience
	for attempt, rounds := 1, 0; ; {
		err := f()
		if err == nil {
			s.contradict(ctx)
			return nil
		}
		if errors.Is(err, ErrNoChain) && len(s.marks) > 0 {
			if len(s.objections) > 0 { // waiting for other peers does not mend a request
				return s.believed()
			}
			if patience > 0 && pause(ctx, lookAgain) {
				patience -= lookAgain
				rounds++
				s.desperate = rounds%lastTries == 0
				continue
			}
			if first != nil {
				err = fmt.Errorf("%w, after: %w", err, first)
			}
			return err
		}
		if s.client != nil {
			s.client.Close("error")
			s.client = nil
		}
		if errors.Is(err, ErrNoChain) || !s.lost(ctx, s.current, err) {
			return err
		}
		if len(s.objections) > 0 && s.objectors() >= maxObjections {
			return s.believed()
		}
		if !s.desperate && attempt == maxAttempts {
			return err
		}
		if !s.desperate {
			attempt++
		}
		s.desperate = false
		if first == nil {
			first = err
		}
	}
}

// pause waits for a time and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// lost notes what the failure of a chain says of its peers, and reports whether another one
// may help.
func (s *Session) lost(ctx context.Context, o *opening, err error) bool {
	if ctx.Err() != nil || o == nil {
		return false
	}
	v := o.examine(err, o.waitsFor())
	if v.over && !s.r.cfg.Now().Before(s.deadline) { // of the session, or so the peer says
		return false
	}
	if tooShort(err) {
		s.tooShort++
	}
	s.mark(o.trial, v)
	peer := o.chain.Links[v.at].Peer
	s.r.cfg.Log.Info("peer failed, trying another chain", "peer", peer, "unproved", v.unproved, "err", err)
	if v.objects { // who is right shows once another chain answers, or none
		s.objections = append(s.objections, objection{o.trial, v, err})
		return true
	}
	s.r.settle(ctx, o.trial, v)
	return true
}

// tooShort reports whether a chain may have needed more time than it got.
func tooShort(err error) bool {
	var said *wire.Error
	return !errors.As(err, &said) && tooSlow(err)
}

// mark makes the session keep away from peers of a chain that failed it: most from the one
// that is named, and somewhat from those in front of it.
func (s *Session) mark(t trial, v verdict) {
	if s.marks == nil {
		s.marks = map[host.ID]mark{}
	}
	for i := range v.at + 1 {
		l := &t.chain.Links[i]
		m := mark{suspect, faultRefused, s.r.cfg.Now(), l.seq}
		if i == v.at {
			m.weight, m.fault, m.seq = named, v.fault, max(l.seq, s.r.seqOf(l.Peer))
		}
		m.weight += s.marks[l.Peer].weight
		s.marks[l.Peer] = m
	}
}

// objectors counts the peers that object.
func (s *Session) objectors() int {
	speakers := map[host.ID]bool{}
	for i := range s.objections {
		speakers[s.objections[i].speaker()] = true
	}
	return len(speakers)
}

// believed returns the first objection, as there is nobody to say otherwise.
func (s *Session) believed() error {
	err := s.objections[0].err
	var said *wire.Error
	if errors.As(err, &said) && said.Code == wire.CodeModel {
		name := s.req.Name
		if name == "" {
			name = s.req.Model.String()
		}
		return fmt.Errorf("model %q is faulty, or cannot answer this: %w", name, err)
	}
	return err
}

// contradict blames those who said that the request or the model is at fault, as a chain has
// answered.
func (s *Session) contradict(ctx context.Context) {
	s.desperate = false
	for _, o := range s.objections {
		o.fault = faultAccuser
		s.r.settle(ctx, o.trial, o.verdict)
	}
	s.objections = nil
}
