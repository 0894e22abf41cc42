package trainer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
)

// errStopped is why a peer does not join a job that its initiator has stopped before the first round.
var errStopped = errors.New("the job was stopped by its initiator before its first round")

// StopAll stops a job of the swarm, by its name or the beginning of its hash, for all its members.
// This peer must be its initiator. The members end with the round that they are in, or the next
// one, when a quorum has certified that; each has the model then.
func (t *Trainer) StopAll(ctx context.Context, name string) error {
	if t.net == nil {
		return fmt.Errorf("%w: this node is in no swarm", ErrUsage)
	}
	t.ask(ctx)
	id, peers, err := t.board.find(name)
	if err != nil {
		return err
	}
	own, _ := t.session(id)
	j := (*train.Job)(nil)
	if own != nil {
		j = own.job
	} else if _, j, err = t.get(ctx, id, peers); j == nil {
		return fmt.Errorf("job %s: no peer that trains it answers: %w", name, err)
	}
	if me := t.net.host.ID(); j.Initiator != me {
		return fmt.Errorf("%w: job %s was begun by %s, who alone can stop it for all; without --all this machine's part ends", ErrUsage, j.Name, t.name(j.Initiator))
	}
	sealed, err := train.Seal(t.net.key, &train.Stop{Job: id, Peer: j.Initiator})
	if err != nil {
		return err
	}
	if own != nil && own.now().over {
		return fmt.Errorf("%w: job %s is over", ErrNoRun, j.Name)
	}
	if own != nil {
		return t.stopOwn(ctx, own, sealed)
	}
	var told bool
	var errs error
	for _, p := range peers {
		if p == j.Initiator {
			continue
		}
		short, cancel := context.WithTimeout(ctx, contactTime)
		err := t.client().Tell(short, p, &train.Bundle{Messages: []train.Sealed{*sealed}, Seq: uint64(time.Now().UnixNano())})
		cancel()
		if told = told || err == nil; err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", t.name(p), err))
		}
	}
	if !told {
		return errors.Join(fmt.Errorf("%w: no other peer trains job %s", ErrNoRun, j.Name), errs)
	}
	return nil
}

// stopOwn stops a job that this peer trains: the others hear it from the rounds.
func (t *Trainer) stopOwn(ctx context.Context, s *session, sealed *train.Sealed) error {
	if s.started() {
		msg, err := round.Open(sealed)
		if err != nil {
			return err
		}
		return s.call(ctx, func() {
			if err := s.machine.Step(msg); err != nil {
				s.log.Warn("the job is not stopped", "err", err)
			}
		})
	}
	s.stopped.Store(true)
	t.announce(ctx, s)
	t.mu.Lock()
	var run *Run
	for _, r := range t.runs {
		if r.session.Load() == s {
			run = r
		}
	}
	t.mu.Unlock()
	if run != nil {
		run.Stop()
	}
	return nil
}
