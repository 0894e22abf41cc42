package trainer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/protocol/train"
)

const (
	// snapshotTurns is how many turns lie between two certified states.
	snapshotTurns = 4
	// snapshotRule makes the certified state of what the members have: a third of them may lie.
	snapshotRule = "trimmed:33%"
	// idlePace is the least time between rounds to which a member has nothing to give, unless others
	// have.
	idlePace = time.Second
)

// gossiper is a learner in the mode of gossip. After some steps, a turn, a member sends its numbers
// to a few neighbours and mixes with what has come from others; it waits for nobody. Beside that
// the members certify a state each snapshotTurns turns, which changes nobody's numbers: newcomers
// begin with it, vectors are sent as differences from it, and the last one is the job's model.
type gossiper struct {
	*learner
	own   *gossipMode
	mixer *mixer
	turn  turn
	mixed []float32     // what mixing writes to
	news  bool          // a certified state is new since the last step
	gave  time.Time     // when it last gave its numbers to a round
	pace  time.Duration // from one time to the next, while it learned
}

// turn is what was learned since the last mixing.
type turn struct {
	began   time.Time
	steps   uint64
	samples uint64
	loss    float64 // sum over steps
}

var _ job.Sync = (*gossiper)(nil)

// Begin implements job.Sync: it returns when this peer is a member with the certified state.
func (g *gossiper) Begin(ctx context.Context, r *job.Running) (job.Verdict, error) {
	v, err := g.learner.Begin(ctx, r)
	if err == nil && g.s != nil {
		err = g.mingle()
	}
	return g.ended(v), err
}

// mingle makes what is needed to mix with others.
func (g *gossiper) mingle() (err error) {
	g.own = g.mode.(*gossipMode)
	g.given, g.fresh = true, false
	g.mixed = make([]float32, len(g.vector))
	g.turn, g.gave = turn{began: g.now()}, g.now()
	v := g.s.now()
	if g.mixer, err = newMixer(g.s, (max(v.status.Round, 1)-1)*snapshotTurns); err != nil {
		return err
	}
	g.mixer.follow(v.members)
	g.s.mixer.Store(g.mixer)
	return nil
}

// ended puts the certified state in the place of this member's numbers if the job is over.
func (g *gossiper) ended(v job.Verdict) job.Verdict {
	if v.Last {
		g.own.put(g.own.base)
	}
	return v
}

// Stepped implements job.Sync.
func (g *gossiper) Stepped(ctx context.Context, st job.Step) (job.Verdict, error) {
	if !g.seen {
		return job.Verdict{}, nil // a step of the last process: the state in place is not after it
	}
	g.count(st)
	if err := g.do(); err != nil {
		return job.Verdict{}, err
	}
	if g.turned() {
		if err := g.mix(); err != nil {
			return job.Verdict{}, err
		}
	}
	for {
		if err := g.snapshot(ctx); err != nil {
			return job.Verdict{}, err
		}
		v := g.s.now()
		switch {
		case v.over || v.err != nil || ctx.Err() != nil || g.gone(&v):
			out, err := g.begin(nil)
			return g.ended(out), err
		case !g.finished() && !g.leaving():
			out, err := g.wait.Stepped(ctx, st)
			out.Validate, g.news = g.news && (g.settings.Target > 0 || g.settings.Patience > 0), false
			return out, err
		}
		// Nothing is left to learn: the others are waited for.
		if err := g.idle(ctx, v.status); err != nil {
			return job.Verdict{}, err
		}
	}
}

// idle waits until there is something to do. Where this member may learn no more, but the job goes
// on, it does not hurry the others from round to round: it has nothing to give to them.
func (g *gossiper) idle(ctx context.Context, at round.Status) error {
	if g.spent() {
		short, cancel := context.WithTimeout(ctx, max(g.pace, idlePace))
		defer cancel()
		ctx = short
	}
	return g.serve(ctx, func(v *view) bool { return v.over || g.gone(v) || v.status != at && g.due(v) })
}

// count adds a step to the turn and to what is given to the next certified state.
func (g *gossiper) count(st job.Step) {
	g.turn.steps++
	g.turn.samples += uint64(st.Samples)
	g.turn.loss += st.Loss
	g.work.steps++
	g.work.samples += uint64(st.Samples)
	g.work.loss += st.Loss
}

// turned reports whether the turn is over.
func (g *gossiper) turned() bool {
	if set := g.settings; set.InnerSteps == 0 {
		return g.now().Sub(g.turn.began) >= time.Duration(set.InnerMillis)*time.Millisecond
	}
	return g.turn.steps >= g.settings.InnerSteps
}

// finished reports whether all turns of the job are done, or this member may do no more.
func (g *gossiper) finished() bool {
	return g.spent() || g.settings.Rounds > 0 && g.mixer.turn() >= g.settings.Rounds
}

// due reports whether this member owes its numbers to the running round: it has done its turns,
// nothing is left to do, or so many others have given theirs that one of them is honest.
func (g *gossiper) due(v *view) bool {
	if g.spent() && v.status.Headers == 0 && g.now().Sub(g.gave) < max(g.pace, idlePace) {
		return false
	}
	return g.works(v) && (g.finished() || g.leaving() || g.mixer.turn() >= snapshotTurns*v.status.Round || 3*v.status.Headers > v.status.Members)
}

// snapshot gives a copy of this member's numbers to the running round if that is due.
func (g *gossiper) snapshot(ctx context.Context) error {
	g.news, g.fresh = g.news || g.fresh, false
	v := g.s.now()
	if !g.due(&v) {
		return nil
	}
	g.work.round = v.status.Round
	if !g.spent() {
		g.work.samples, g.work.steps = max(g.work.samples, 1), max(g.work.steps, 1) // none would be no update
	}
	g.own.give()
	err := g.give(ctx)
	now := g.now()
	if !g.spent() {
		g.pace = now.Sub(g.gave)
	}
	g.gave, g.work = now, work{started: now}
	return err
}

// mix ends a turn: it sends this member's numbers and mixes them with those that have come.
func (g *gossiper) mix() error {
	t := g.turn
	g.turn = turn{began: g.now()}
	own := g.vector
	g.own.learned(own)
	difference(g.mixed, own, g.own.base)
	v := &train.Vector{Job: g.s.id, Peer: g.s.me, Base: g.root, Samples: t.samples}
	if tellsLoss(g.settings) {
		v.Loss = finite(t.loss / float64(max(t.steps, 1)))
	}
	if err := g.release(); err != nil {
		return err
	}
	g.mixer.follow(g.s.now().members)
	if err := g.mixer.send(v, g.mixed); err != nil {
		// Numbers that are not finite: it goes on from the certified state.
		g.s.log.Warn("what was learned is not finite and is not sent", "turn", v.Turn, "err", err)
		g.own.put(g.own.base)
		g.own.learned(own)
	}
	used, err := g.mixer.mix(g.mixed, own, g.bases)
	if err == nil && used > 0 {
		g.own.put(g.mixed)
	}
	return err
}

// bases returns the certified state of a root, nil if it is not one of the last two.
func (g *gossiper) bases(root train.Hash) []float32 {
	switch root {
	case g.root:
		return g.own.base
	case g.before:
		return g.own.last
	}
	return nil
}

// Validated implements job.Sync: what is measured is this member's own numbers.
func (g *gossiper) Validated(_ context.Context, v job.Validation) (job.Verdict, error) {
	g.valid = &v
	return job.Verdict{}, nil
}

// snapshots is how many rounds certify a state in a job of so many turns.
func snapshots(turns uint64) uint64 { return (turns + snapshotTurns - 1) / snapshotTurns }

// gossipSettings checks what goes with mode gossip.
func gossipSettings(s *train.Settings) error {
	rule, err := robust.Parse(s.Rule)
	if err != nil {
		return fmt.Errorf("swarm.rule: %w", err)
	}
	if !rule.Weighted() || !rule.Referenced() {
		return fmt.Errorf("swarm.rule: %q has no place in mode gossip, where each member mixes its own numbers with those of others: gossip or gossip:RADIUS has", s.Rule)
	}
	if s.PublishEvery > 0 {
		return errors.New("swarm.publish_every: not possible in mode gossip, where each member has numbers of its own on the way: the model is there at the end")
	}
	c, err := codec.New(s.Codec, codec.Flat(1))
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"f32", "f16", "int8"}, c.Name()) {
		return fmt.Errorf("swarm.codec: %q leaves numbers out, which cannot be mixed: take f32, f16 or int8", s.Codec)
	}
	return nil
}
