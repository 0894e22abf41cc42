package round_test

import (
	"testing"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
)

// TestProposalsAreRefused lets the leader of the first view propose outcomes that do not
// follow from the round. Nobody votes for them, and the next leader's is decided. The first
// case, unchanged, shows that the leader's is decided otherwise.
func TestProposalsAreRefused(t *testing.T) {
	t.Parallel()
	seal := func(key int, b train.Body) train.Sealed {
		s, err := train.Seal(keys[key], b)
		if err != nil {
			t.Fatal(err)
		}
		return *s
	}
	header := func(w *world, key int, steps uint64) train.Sealed {
		h := train.HashOf([]byte("slice"))
		return seal(key, &train.Header{Job: job, Round: 1, Peer: peerOf(keys[key]), Base: w.genesis.Outcome.State, Steps: steps, Slices: []train.Hash{h, h, h, h}})
	}
	for name, c := range map[string]proposal{
		"unchanged":            {change: func(*world, *train.Outcome) {}, good: true},
		"another state":        {change: func(_ *world, o *train.Outcome) { o.State = train.HashOf(nil) }},
		"another base":         {change: func(_ *world, o *train.Outcome) { o.Base = train.HashOf(nil) }},
		"another parent":       {change: func(_ *world, o *train.Outcome) { o.Parent = train.HashOf(nil) }},
		"another result":       {change: func(_ *world, o *train.Outcome) { o.Slices[2] = train.HashOf(nil) }},
		"a slice too many":     {change: func(_ *world, o *train.Outcome) { o.Slices = append(o.Slices, train.Hash{}) }},
		"a sender less":        {change: func(_ *world, o *train.Outcome) { o.Senders = o.Senders.Without(3) }},
		"too few senders":      {change: func(_ *world, o *train.Outcome) { o.Senders, o.Slices = 0, make([]train.Hash, 4) }},
		"more samples":         {change: func(_ *world, o *train.Outcome) { o.Samples++ }},
		"a better loss":        {change: func(_ *world, o *train.Outcome) { o.Loss /= 2 }},
		"a better measurement": {change: func(_ *world, o *train.Outcome) { o.Measured.Metric = 1 }},
		"a better past":        {change: func(_ *world, o *train.Outcome) { o.Best.Loss-- }},
		"a longer wait":        {change: func(_ *world, o *train.Outcome) { o.Stale++ }},
		"an early end":         {change: func(_ *world, o *train.Outcome) { o.End = train.EndRounds }},
		"a stop of a member": {change: func(_ *world, o *train.Outcome) {
			o.End, o.Stopped = train.EndStopped, []train.Sealed{seal(1, &train.Stop{Job: job, Peer: peerOf(keys[1])})}
		}},
		"a stop of another job": {change: func(_ *world, o *train.Outcome) {
			o.End, o.Stopped = train.EndStopped, []train.Sealed{seal(0, &train.Stop{Job: train.HashOf(nil), Peer: peerOf(keys[0])})}
		}},
		"a leave as a stop": {change: func(_ *world, o *train.Outcome) {
			o.End, o.Stopped = train.EndStopped, []train.Sealed{seal(0, &train.Leave{Job: job, Peer: peerOf(keys[0])})}
		}},
		"the initiator's stop": {good: true, change: func(_ *world, o *train.Outcome) {
			o.End, o.Stopped = train.EndStopped, []train.Sealed{seal(0, &train.Stop{Job: job, Peer: peerOf(keys[0])})}
		}},
		"a member that is heard": {heard: true, change: func(_ *world, o *train.Outcome) { o.Members = o.Members[:3] }},
		"a member less":          {change: func(_ *world, o *train.Outcome) { o.Members = o.Members[:3] }},
		"a stranger": {change: func(_ *world, o *train.Outcome) {
			o.Members = append(o.Members, peerOf(keys[6]))
		}},
		"a stranger in the place of a member": {change: func(_ *world, o *train.Outcome) {
			o.Members = append(o.Members[:3:3], peerOf(keys[6]))
			o.Joined = []train.Sealed{seal(6, &train.Join{Job: job, Peer: peerOf(keys[6]), Membership: membership})}
		}},
		"a peer that may not join": {change: func(_ *world, o *train.Outcome) {
			o.Members = append(o.Members, peerOf(keys[7]))
			o.Joined = []train.Sealed{seal(7, &train.Join{Job: job, Peer: peerOf(keys[7]), Membership: membership})}
		}},
		"a join of another job": {change: func(_ *world, o *train.Outcome) {
			o.Members = append(o.Members, peerOf(keys[6]))
			o.Joined = []train.Sealed{seal(6, &train.Join{Job: train.HashOf(nil), Peer: peerOf(keys[6]), Membership: membership})}
		}},
		"a join that changes nothing": {change: func(_ *world, o *train.Outcome) {
			o.Joined = []train.Sealed{seal(6, &train.Join{Job: job, Peer: peerOf(keys[6]), Membership: membership})}
		}},
		"a leave of later": {change: func(_ *world, o *train.Outcome) {
			o.Members = o.Members[:3]
			o.Left = []train.Sealed{seal(3, &train.Leave{Job: job, Peer: peerOf(keys[3]), Round: 5})}
		}},
		"a leave, but the member stays": {change: func(_ *world, o *train.Outcome) {
			o.Left = []train.Sealed{seal(3, &train.Leave{Job: job, Peer: peerOf(keys[3]), Round: 1})}
		}},
		"a message as evidence against itself": {change: func(w *world, o *train.Outcome) {
			o.Members = o.Members[:3]
			o.Expelled = []train.Expelled{{Peer: peerOf(keys[3]), First: header(w, 3, 1), Second: header(w, 3, 1)}}
		}},
		"evidence against another member": {change: func(w *world, o *train.Outcome) {
			o.Members = o.Members[:3]
			o.Expelled = []train.Expelled{{Peer: peerOf(keys[3]), First: header(w, 1, 1), Second: header(w, 1, 2)}}
		}},
		"votes of two steps as evidence": {change: func(_ *world, o *train.Outcome) {
			o.Members = o.Members[:3]
			vote := func(step train.Step, outcome train.Hash) train.Sealed {
				return seal(3, &train.Vote{Job: job, Round: 1, Step: step, Outcome: outcome, Peer: peerOf(keys[3])})
			}
			o.Expelled = []train.Expelled{{Peer: peerOf(keys[3]), First: vote(train.Prevote, train.HashOf(nil)), Second: vote(train.Precommit, train.Hash{})}}
		}},
		"evidence that is true": {good: true, change: func(w *world, o *train.Outcome) {
			o.Members = o.Members[:3]
			w.liars[peerOf(keys[3])] = true
			o.Expelled = []train.Expelled{{Peer: peerOf(keys[3]), First: header(w, 3, 1), Second: header(w, 3, 2)}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.try(t)
		})
	}
}

// proposal is a change of what the leader of the first view of round 1 proposes.
type proposal struct {
	change func(w *world, o *train.Outcome)
	good   bool // it is decided nonetheless
	heard  bool // member 3 is heard, but commits to nothing that counts
}

func (c proposal) try(t *testing.T) {
	w := newWorld(4, func(cfg *round.Config) {
		cfg.SilentRounds = 1
		cfg.Admit = func(j *train.Join) error {
			if j.Peer == peerOf(keys[7]) {
				return round.ErrOver
			}
			return nil
		}
	})
	w.fail = t.Errorf
	var changed train.Hash
	w.route = func(p packet) []packet {
		msgs := append([]round.Message(nil), p.msgs...)
		for i, m := range msgs {
			if h, ok := m.Body.(*train.Header); ok && c.heard && h.Peer == peerOf(keys[3]) {
				other := *h
				other.Base = train.HashOf(nil)
				s := sign(3, &other)
				msgs[i] = round.Message{Sealed: s, Body: &other}
			}
			v, ok := m.Body.(*train.Proposal)
			if !ok || v.View > 0 || v.Round != 1 {
				continue
			}
			other := *v
			other.Outcome.Slices = append([]train.Hash(nil), v.Outcome.Slices...)
			c.change(w, &other.Outcome)
			s := sign(1, &other)
			msgs[i] = round.Message{Sealed: s, Body: &other}
			id, err := other.Outcome.ID()
			if err != nil {
				t.Error(err)
			}
			changed = id
		}
		p.msgs = msgs
		return []packet{p}
	}
	for w.now < 500 && w.newest() < 1 {
		w.tick()
	}
	if changed.IsZero() || w.newest() < 1 {
		t.Fatalf("nothing was proposed, or decided: round %d", w.newest())
	}
	if got := w.certified[1] == changed; got != c.good {
		t.Errorf("decided: %v, want %v", got, c.good)
	}
}
