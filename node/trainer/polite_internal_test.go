package trainer

import (
	"testing"
	"time"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/protocol/wire"
)

// TestServingHoldsUpNoVote has a node that answers requests without end, and members who wait for
// what the run's goroutine has to find out for a vote: it does so between two steps, and goes on
// with the next round when that has come.
func TestServingHoldsUpNoVote(t *testing.T) {
	t.Parallel()
	const enough = 1000 // looks; then nobody did what was asked
	at := time.Unix(1_000, 0)
	c := newTestChain(t, 0)
	s := c.session(t, t.TempDir())
	s.changed, s.job.Settings.InnerSteps = make(chan struct{}), 100
	s.view = view{last: c.all[0], members: []wire.PeerID{c.me}, member: true}
	next := s.view
	next.status.Round, next.status.Phase = 7, round.Work
	done, looks := false, 0
	busy := func() bool {
		if looks++; looks == 5 {
			s.ask(func(l *learner) error { // a vote, then the certificate, and the next round begins
				done, l.fresh, s.view = true, true, next
				return nil
			})
		}
		return looks < enough
	}
	l := &learner{
		s: s, model: newNumbers(nil), mode: newDiLoCo(newNumbers(nil), 1, 0), seen: true, now: func() time.Time { return at }, leaving: func() bool { return false },
		wait: &polite{now: func() time.Time { return at }, busy: busy},
	}
	if _, err := l.Stepped(t.Context(), job.Step{Samples: 1, Loss: 1}); err != nil {
		t.Fatal(err)
	}
	if !done || looks >= enough || l.work.round != 7 || l.work.steps != 0 {
		t.Errorf("done: %t, after %d looks; round %d, step %d", done, looks, l.work.round, l.work.steps)
	}
}
