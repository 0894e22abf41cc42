package trainer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// load reads what the last process of this member has left: the chain of certificates, as far as
// each follows the one before, and the state of the rounds. The chain has those of that state.
func (s *session) load() error {
	chain, err := s.files.readChain()
	if err != nil {
		return err
	}
	if s.saved, err = s.files.readRound(); err != nil {
		return err
	}
	if s.saved != nil && s.saved.Last.Outcome.Job != s.id {
		return fmt.Errorf("%w: %s is of another job", job.ErrExists, s.files.dir)
	}
	whole := s.cut(chain)
	if whole < len(chain) || !s.holds() {
		s.log.Warn("chain of certificates mended", "certificates", len(chain), "whole", whole)
		if err := s.files.writeChain(s.chain); err != nil {
			return err
		}
	}
	return s.index(s.chain)
}

// index notes where the file has certificates that were just written to it, and keeps the last
// ones in memory.
func (s *session) index(list []*train.Sealed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sealed := range list {
		if len(s.starts) == 0 {
			b, err := sealed.Open()
			if err != nil {
				return err
			}
			s.first, s.starts = b.(*train.Certificate).Outcome.Round, []int64{0}
		}
		n, err := sizeOf(sealed)
		if err != nil {
			return err
		}
		s.starts = append(s.starts, s.starts[len(s.starts)-1]+n)
	}
	s.chain = s.chain[max(0, len(s.chain)-keptChain):]
	return nil
}

// cut takes the certificates up to the first that does not follow the one before, and returns how
// many. What this peer itself kept beyond a gap begins after round 0: then the oldest one is trusted.
func (s *session) cut(chain []*train.Sealed) int {
	for i, sealed := range chain {
		b, err := sealed.Open()
		c, ok := b.(*train.Certificate)
		if err != nil || !ok || c.Outcome.Job != s.id {
			return i
		}
		if own := s.tip == nil && c.Outcome.Round > 0 && c.Peer == s.me; !own && s.follows(s.tip, c) != nil {
			return i
		}
		s.chain = append(s.chain, sealed)
		s.pass(c)
	}
	return len(chain)
}

// pass goes over a certificate that follows the one before.
func (s *session) pass(c *train.Certificate) {
	if s.tip = c; s.past == nil {
		s.past = round.Begin(c)
	} else {
		s.past.Follow(c)
	}
}

// holds reports whether the chain has the certificates of the saved state; else it gets them.
func (s *session) holds() bool {
	if s.saved == nil || s.tip != nil && s.tip.Outcome.Round >= s.saved.Last.Outcome.Round {
		return true
	}
	if s.tip == nil || s.follows(s.tip, s.saved.Last) != nil {
		s.chain = nil // with a gap in it nobody could follow
	}
	s.chain, s.tip = append(s.chain, s.passedOn(s.saved.Last)), s.saved.Last
	return false
}

// certified reports whether a certificate of the rounds that this member had not put in place, as
// far as it knew, makes one state of another.
func (s *session) certified(base, state train.Hash) (bool, error) {
	first := uint64(0)
	if s.saved != nil {
		first = s.saved.Last.Outcome.Round
		if c := s.saved.Decided; c != nil && c.Outcome.Base == base && c.Outcome.State == state {
			return true, nil
		}
	}
	for _, sealed := range slices.Backward(s.chain) {
		b, err := sealed.Open()
		if err != nil {
			return false, err
		}
		o := &b.(*train.Certificate).Outcome
		if o.Base == base && o.State == state {
			return true, nil
		}
		if o.Round <= first {
			break
		}
	}
	return false, nil
}

// passedOn seals a certificate as one that this peer passes on.
func (s *session) passedOn(c *train.Certificate) *train.Sealed {
	own := *c
	own.Peer = s.me
	return s.sign(&own)
}

// note adds a certificate to the chain if it is the next one. Only the loop calls it.
func (s *session) note(c *train.Certificate) error {
	if c == nil || s.tip != nil && c.Outcome.Round <= s.tip.Outcome.Round {
		return nil
	}
	if err := s.addChain(s.passedOn(c)); err != nil {
		return err
	}
	s.tip = c
	return nil
}

func (s *session) addChain(sealed ...*train.Sealed) error {
	if err := s.files.appendCertificates(sealed); err != nil {
		return err
	}
	s.mu.Lock()
	s.chain = append(s.chain, sealed...)
	s.mu.Unlock()
	return s.index(sealed)
}

// extend adds those certificates of a list to the chain that follow its end, all at once, and returns
// them. An error says why there are not more. Only the loop calls it.
func (s *session) extend(sealed []*train.Sealed, list []*train.Certificate) (next []*train.Certificate, follows, err error) {
	first, tip := 0, s.tip
	for first < len(list) && tip != nil && list[first].Outcome.Round <= tip.Outcome.Round {
		first++
	}
	last := first
	for ; last < len(list) && follows == nil; last++ {
		if follows = s.follows(tip, list[last]); follows != nil {
			follows = fmt.Errorf("certificate of round %d: %w", list[last].Outcome.Round, follows)
			break
		}
		tip = list[last]
	}
	if err := s.addChain(sealed[first:last]...); err != nil {
		return nil, nil, err
	}
	s.tip = tip
	return list[first:last], follows, nil
}

// fetchChain gets certificates that this member lacks.
func (s *session) fetchChain(c round.Chain) {
	s.task(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		sealed, list, err := s.net.client.Chain(ctx, c.Peer, train.Chain{Job: s.id, From: c.From})
		if err != nil {
			s.log.Debug("certificates not fetched", "peer", c.Peer, "err", err)
			return
		}
		_ = s.call(ctx, func() { s.learn(c.Peer, sealed, list) })
	})
}

// learn takes the certificates that a peer has given. Those that follow are in the chain before the
// machine goes over them. Only the loop calls it.
func (s *session) learn(from wire.PeerID, sealed []*train.Sealed, list []*train.Certificate) {
	next, follows, err := s.extend(sealed, list)
	if err != nil {
		s.fail(fmt.Errorf("chain of certificates: %w", err))
		return
	}
	if follows = errors.Join(follows, s.machine.Learn(next...)); follows != nil {
		s.log.Warn("certificate that does not hold", "peer", from, "err", follows)
	}
}

// nextPage gets certificates from a round on from a peer, up to the first that does not follow.
func (s *session) nextPage(ctx context.Context, p wire.PeerID, from uint64) ([]*train.Sealed, error) {
	ctx, cancel := context.WithTimeout(ctx, contactTime)
	defer cancel()
	sealed, got, err := s.net.client.Chain(ctx, p, train.Chain{Job: s.id, From: from})
	if err != nil {
		return nil, err
	}
	for i, c := range got {
		if err := s.follows(s.tip, c); err != nil {
			return sealed[:i], fmt.Errorf("certificate of round %d: %w", c.Outcome.Round, err)
		}
		s.pass(c)
	}
	return sealed, nil
}

// follows reports whether a certificate is the first one of the job, which its initiator alone
// signs, or follows another. The signature of who passes it on has been checked.
func (s *session) follows(last, c *train.Certificate) error {
	if last == nil {
		if o := &c.Outcome; o.Round != 0 || c.Peer != s.job.Initiator || o.State != s.job.Genesis || o.End != train.EndNone {
			return errors.New("not the first one, by the job's initiator")
		}
		return nil
	}
	parent, err := last.Outcome.ID()
	if err != nil {
		return err
	}
	if last.Outcome.End != train.EndNone || c.Outcome.Round != last.Outcome.Round+1 || c.Outcome.Base != last.Outcome.State || c.Outcome.Parent != parent {
		return errors.New("does not follow the one before")
	}
	return c.Verify(last.Outcome.Members, s.job.Settings.Quorum)
}

func (s *session) hasChain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.chain) > 0
}
