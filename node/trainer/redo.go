package trainer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/covey-network/covey/consensus/checkpoint"
	"github.com/covey-network/covey/consensus/group"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// A member writes its state to the disk from time to time only. Else there is the state of an earlier
// round, and the results of the rounds since, of which the state is made again: they are there before
// this member votes for what they make.
const (
	// redoRounds is of how many rounds results are kept for that at most, and redoTimes how many
	// times as long as the state they may be.
	redoRounds = 8
	redoTimes  = 4
)

// made is a round whose results made its state of the one before.
type made struct {
	round   uint64
	results []train.Hash
	bytes   int
}

// need keeps the results of a round on the disk until a later state is there. It reports whether it is
// time for that.
func (s *session) need(m made) (due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = append(s.since, m)
	bytes, state := 0, 0
	for _, m := range s.since {
		bytes += m.bytes
	}
	for _, n := range s.layout {
		state += 4 * n
	}
	return len(s.since) >= redoRounds || bytes >= redoTimes*state
}

// settled notes that the state after a round is on the disk.
func (s *session) settled(round uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = slices.DeleteFunc(s.since, func(m made) bool { return m.round <= round })
}

// neededLocked returns the results that the state is made of. s.mu is held.
func (s *session) neededLocked() map[train.Hash]bool {
	out := map[train.Hash]bool{}
	for _, m := range s.since {
		for _, h := range m.results {
			out[h] = true
		}
	}
	return out
}

// after returns the outcomes that follow a state, and before them the one that made it; nothing if
// none did.
func (s *session) after(root train.Hash) (list []*train.Outcome, err error) {
	for _, sealed := range slices.Backward(s.chain) {
		b, err := sealed.Open()
		if err != nil {
			return nil, err
		}
		o := &b.(*train.Certificate).Outcome
		if list = append(list, o); o.State == root {
			slices.Reverse(list)
			return list, nil
		}
	}
	return nil, nil
}

// recall returns what moved in a round of some members, as far as its outcome needs it and the disk has it.
func (s *session) recall(o *train.Outcome, members []wire.PeerID) (*roundData, error) {
	d := &roundData{round: o.Round, members: members, me: train.Place(members, s.me), results: map[train.Hash][]byte{}}
	size := groupSize(&s.job.Settings)
	if size == 0 {
		size = len(members)
	}
	d.deal(group.Dealt(s.id, o.Round, members, size))
	for _, h := range o.Slices {
		data, err := s.files.readResult(h)
		if err != nil {
			return nil, err
		}
		if data != nil {
			d.results[h] = data
		}
	}
	return d, nil
}

// redo makes the states that follow the one in place, which has a root, as far as certificates and
// results are here, and returns the root of the last one.
func (l *learner) redo(root train.Hash) (train.Hash, error) {
	list, err := l.s.after(root)
	if err != nil || len(list) < 2 {
		return root, err
	}
	var first [][]float32
	for _, v := range l.mode.kept() {
		first = append(first, slices.Clone(v))
	}
	last := list[0]
	for i, o := range list[1:] {
		if len(o.Slices) < 2 { // one alone keeps more than its result
			break
		}
		if o.State == o.Base {
			last = o
			continue
		}
		d, err := l.s.recall(o, list[i].Members)
		if err != nil {
			return root, err
		}
		if err := l.apply(d, o, false); errors.Is(err, errCannot) {
			break
		} else if err != nil {
			return root, err
		}
		l.s.refer(l.vector, l.changed)
		l.mode.commit()
		l.s.need(d.made(o))
		last = o
	}
	if got, _ := checkpoint.Hash(l.mode.kept(), l.s.workers()); got == last.State {
		return got, l.mode.take(l.mode.kept())
	}
	l.s.log.Warn("results on disk make another state than the certified one", "round", last.Round)
	l.s.settled(last.Round)
	return root, l.mode.take(first)
}

// made says what an outcome was made of. d.mu is held, or nobody else has d.
func (d *roundData) made(o *train.Outcome) made {
	m := made{round: o.Round}
	for _, h := range o.Slices {
		if !h.IsZero() {
			m.results, m.bytes = append(m.results, h), m.bytes+len(d.results[h])
		}
	}
	return m
}

// save begins to write the state in place, after a round, beside the run. settle waits for that.
func (l *learner) save(round uint64) {
	done := make(chan struct{})
	l.saving = done
	vectors := l.mode.kept()
	l.s.task(func(context.Context) {
		defer close(done)
		if err := l.s.files.writeState(stateFile, vectors); err != nil {
			l.s.fail(fmt.Errorf("training state: %w", err))
			return
		}
		l.s.settled(round)
	})
}

// settle returns when nothing reads the state in place, or writes the file of it, beside the run.
func (l *learner) settle() {
	if l.saving != nil {
		<-l.saving
		l.saving = nil
	}
}
