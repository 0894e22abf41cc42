package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol/wire"
)

// maxObjections is how many peers must say that a request or the model is at fault to be
// believed: one may be wrong, or lie.
const maxObjections = 2

// maxAttempts bounds the chains that one call tries while there are some of which no peer
// has just failed.
const maxAttempts = 6

// A session that lost its chain looks for another one every lookAgain, and every so many
// times tries one of peers that have just failed. One that is yet to begin looks every lookLost.
const (
	lookAgain = 200 * time.Millisecond
	lookLost  = 50 * time.Millisecond
	lastTries = 5
)

// What speaks against peers in a session whose chain failed, more than all that the router
// knows: failed is that of a chain which is not tried again at once. It is all the first
// hop's if that has failed itself; else accused of it is of the peer that is named, and the
// rest of those who may have named it falsely, so that either can go on without the other.
// asked is that of the peers of a chain that is being opened.
const (
	failed  = 1000
	accused = 550
	asked   = 3
)

// suspectFor is how long that counts.
const suspectFor = 10 * time.Second

// blames is what a session knows of the peers that failed it.
type blames struct {
	marks      map[host.ID]mark
	objections []objection
	tooShort   int           // how often the time that a chain was given was over
	desperate  bool          // peers that have just failed may be tried
	tried      time.Duration // how long such peers were waited for in vain
	lonely     bool          // this peer was asked to serve the whole model
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
	hangs, opening := map[host.ID]bool{}, map[host.ID]int{}
	for _, o := range open {
		hangs[o.hangs()] = true
		for _, l := range o.chain.Links {
			opening[l.Peer] = asked
		}
	}
	return view{
		demerits: func(a *wire.Advert) int { return s.marked(a.Peer, a.Seq) + opening[a.Peer] },
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
	s.tried = 0
	for attempt, rounds := 1, 0; ; {
		err := f()
		if err == nil {
			s.contradict(ctx)
			return nil
		}
		if errors.Is(err, ErrNoChain) && len(s.objections) == 0 && s.alone(ctx) {
			continue
		}
		if errors.Is(err, ErrNoChain) && len(s.marks)+len(s.strayed) > 0 {
			if len(s.objections) > 0 { // waiting for other peers does not mend a request
				return s.believed()
			}
			if patience > s.tried && pause(ctx, lookAgain) {
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
			return s.current.tell(err)
		}
		if !s.desperate {
			attempt++
		}
		s.desperate = false
		s.reroutes++
		if first == nil {
			first = s.current.tell(err)
		}
	}
}

// alone asks this peer once to serve the whole model itself, and reports whether it does.
func (s *Session) alone(ctx context.Context) bool {
	if s.r.cfg.Alone == nil || s.lonely || ctx.Err() != nil {
		return false
	}
	s.lonely = true
	return s.r.cfg.Alone(ctx, s.req.Model)
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
	if ctx.Err() != nil || o == nil || errors.Is(err, infer.ErrUnsendable) {
		return false
	}
	if s.strays(o.chain.Links[0].Peer, err) {
		s.r.cfg.Log.Info("way to a peer lost, looking for another", "peer", o.chain.Links[0].Peer, "err", err)
		return true
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

// strays notes that a session failed as the relay between here and its first peer did, and reports
// whether it did: the peer is not to blame. It is if that happens again soon.
func (s *Session) strays(p host.ID, err error) bool {
	now := s.r.cfg.Now()
	if last, again := s.strayed[p]; !errors.Is(err, host.ErrPathLost) || again && now.Sub(last) < suspectFor {
		return false
	}
	if s.strayed == nil {
		s.strayed = map[host.ID]time.Time{}
	}
	s.strayed[p] = now
	return true
}

// tooShort reports whether a chain may have needed more time than it got.
func tooShort(err error) bool {
	var said *wire.Error
	return !errors.As(err, &said) && tooSlow(err)
}

// mark makes the session keep away from the peers of a chain that failed it.
func (s *Session) mark(t trial, v verdict) {
	if !v.unproved {
		s.note(&t.chain.Links[v.at], failed, v.fault)
		return
	}
	s.note(&t.chain.Links[v.at], accused, v.fault)
	others := t.others(v)
	for i := range others {
		s.note(&others[i], (failed-accused+len(others)-1)/len(others), faultRefused)
	}
}

// note marks a peer, unless what it is marked with weighs more.
func (s *Session) note(l *Link, weight int, f fault) {
	if s.marks == nil {
		s.marks = map[host.ID]mark{}
	}
	seq := max(l.seq, s.r.seqOf(l.Peer))
	if m, again := s.marks[l.Peer]; again && f == faultGone && seq > m.seq {
		f = faultFailing // it was back, and went again
	}
	if s.marked(l.Peer, seq) <= weight {
		s.marks[l.Peer] = mark{weight, f, s.r.cfg.Now(), seq}
	}
}

// marked returns what counts against a peer in this session, given the sequence of its
// advert.
func (s *Session) marked(p host.ID, seq uint64) int {
	m, known := s.marks[p]
	if !known || s.r.cfg.Now().Sub(m.at) > suspectFor || m.fault == faultGone && seq > m.seq {
		return 0
	}
	return m.weight
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
