package trainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/covey-network/covey/consensus/codec"
	engine "github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/graph"
	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// Averaging is what [Trainer.Average] needs.
type Averaging struct {
	// Values are the numbers of this peer, as many as those of the others and, to begin with, equal
	// to theirs. They are the Averager's, which changes them in Round only.
	Values  []float32
	Peers   int    // that take part, at most protocol.MaxTrainMembers
	Rounds  int    // until the end
	Group   int    // the most that average at once; 0: all
	Codec   string // of package codec
	Rule    string // of package robust
	Dir     string // keeps what a member must find again; of this averaging alone
	Threads int    // 0: all

	// Job is the averaging that Initiator has begun. Zero: this peer begins one.
	Job       train.Hash
	Initiator host.ID
	// Known, if not nil, is called with the job's hash before the others are waited for.
	Known func(train.Hash)
}

// Averager is a member of peers that average their numbers, round by certified round: what
// training together does, without a model that learns. Its methods are for one goroutine.
type Averager struct {
	t *Trainer
	l *learner
}

// Average takes part in an averaging and returns when its first round has begun, or ctx has
// ended. The host runs, and hands streams of protocol.Train to [Trainer.Serve].
func (t *Trainer) Average(ctx context.Context, cfg Averaging) (a *Averager, err error) {
	set, err := cfg.settings()
	if err != nil {
		return nil, fmt.Errorf("average: %w", err)
	}
	l := &learner{settings: set, wait: &polite{now: t.cfg.Now}, now: t.cfg.Now, leaving: func() bool { return false }, left: func() {}}
	v, err := l.enter(ctx, newNumbers(cfg.Values), 1, func(n int, genesis train.Hash) (*session, error) {
		return t.openAveraging(ctx, &cfg, set, n, genesis)
	})
	a = &Averager{t: t, l: l}
	if err == nil && v.End != "" {
		err = fmt.Errorf("average: %s", v.End)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// settings are those of a job that averages: an outer step of 1 goes the mean way.
func (c *Averaging) settings() (*train.Settings, error) {
	if _, err := codec.New(c.Codec, codec.Flat(1<<20)); err != nil {
		return nil, err
	}
	if _, err := ruleOf(c.Rule); err != nil {
		return nil, err
	}
	s := &train.Settings{
		Mode: train.DiLoCo, Rounds: uint64(max(0, c.Rounds)), InnerSteps: 1, Codec: c.Codec, Rule: c.Rule, Group: uint64(cmp.Or(max(0, c.Group), max(0, c.Peers))),
		Quorum: train.Majority, MinPeers: uint64(max(0, c.Peers)), OuterLR: 1,
	}
	return s, s.Validate()
}

// openAveraging makes the session, and returns when there is a certificate to begin with.
func (t *Trainer) openAveraging(ctx context.Context, cfg *Averaging, set *train.Settings, n int, genesis train.Hash) (s *session, err error) {
	var j *train.Job
	var sealed *train.Sealed
	if cfg.Job.IsZero() {
		j = &train.Job{
			Swarm: t.net.host.Swarm(), Initiator: t.net.host.ID(), Name: "averaging", Issued: t.cfg.Now().UnixMilli(), Spec: []byte("averaging"), Schema: []byte("{}"),
			Settings: *set, Values: uint64(n), Genesis: genesis,
		}
		sealed, err = train.Seal(t.net.key, j)
	} else {
		sealed, j, err = t.net.client.Job(ctx, cfg.Initiator, cfg.Job)
	}
	if err != nil {
		return nil, err
	}
	if s, err = t.newSession(sealed, j, cfg.Dir, cfg.Threads); err != nil {
		return nil, err
	}
	if cfg.Known != nil {
		cfg.Known(s.id)
	}
	if j.Initiator == s.me {
		err = s.initiate(ctx, func(int, int) {})
	} else {
		err = s.join(ctx, 1, func() bool { return false }, func() []wire.PeerID { return []wire.PeerID{j.Initiator} })
	}
	if err != nil {
		return nil, errors.Join(err, t.close(s))
	}
	return s, nil
}

// Round averages the values with the others once and returns the hash of what all have then,
// when it is certified. An error of ctx leaves the round to the others; any other one is the end.
func (a *Averager) Round(ctx context.Context) (state train.Hash, err error) {
	at := a.l.s.now().status.Round
	a.l.seen = true // the step is of this process
	if _, err := a.l.Stepped(ctx, job.Step{Samples: 1}); err != nil {
		return state, err
	}
	v := a.l.s.now()
	if o := &v.last.Outcome; o.Round >= at {
		return o.State, ctx.Err()
	}
	return state, errors.Join(fmt.Errorf("round %d did not end", at), ctx.Err())
}

// Close ends the part of this peer.
func (a *Averager) Close() error {
	if a.l.s == nil {
		return nil
	}
	return a.t.close(a.l.s)
}

// numbers is a model of numbers that nothing learns but who holds them.
type numbers struct {
	params graph.Params
	steps  int
}

func newNumbers(values []float32) *numbers { return &numbers{params: graph.Params{Values: values}} }

var _ model = (*numbers)(nil)

func (n *numbers) Params() *graph.Params { return &n.params }
func (*numbers) Stats() []float32        { return nil }
func (*numbers) Moments() [][]float32    { return nil }
func (n *numbers) Steps() int            { return n.steps }

func (n *numbers) SetSteps(steps int) error {
	n.steps = steps
	return nil
}

func (n *numbers) Apply() (engine.Result, error) {
	n.steps++
	return engine.Result{}, nil
}
