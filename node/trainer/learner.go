package trainer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/covey-network/covey/consensus/checkpoint"
	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/digest"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/protocol/train"
)

// errCannot is the error of an outcome that this member cannot apply: it lacks results, or was
// not there when one member alone made it. The machine asks for the state instead.
var errCannot = errors.New("the outcome cannot be applied here")

// learner is a session as a run sees it: it ties the run's steps to the rounds. All its methods
// are called by the goroutine of the run.
type learner struct {
	settings *train.Settings
	// open makes the session of a model whose first state has a root, once the data is open.
	open func(ctx context.Context, r *job.Running, values int, genesis train.Hash) (*session, error)
	wait *polite
	// leaving reports whether this member goes; left ends the run then.
	leaving func() bool
	left    func()
	now     func() time.Time
	// publish serves the state after a round as a model, which export writes to a folder.
	publish func(round uint64, export func(dir string) error)
	export  func(dir string) error
	run     *job.Running // nil: nothing learns
	s       *session     // after Begin

	model   model
	held    int  // samples for validation
	resumed bool // the run goes on from a checkpoint
	mode    mode
	work    work
	applied train.Hash    // the draft that the trainer's numbers are after; zero: those of the work
	tried   attempt       // what they are then
	given   bool          // the work is done and given
	root    train.Hash    // of the state in place
	before  train.Hash    // of the one before
	seen    bool          // a gradient, since the run began
	saving  chan struct{} // closed when the state that is written is on the disk; nil: none is
	vector  []float32     // an update, or a result
	changed []span        // what the result that was applied last has of vector
	fresh   bool          // a state was put in place since the work began
	valid   *job.Validation
}

// work is what was done in a round so far.
type work struct {
	round   uint64
	base    int // steps that the trainer had done before
	started time.Time
	steps   uint64
	samples uint64
	loss    float64 // sum over steps
}

// attempt is the state that an outcome makes. It depends on the results alone.
type attempt struct {
	slices []train.Hash
	root   train.Hash
	steps  int
}

var _ job.Sync = (*learner)(nil)

// Begin implements job.Sync: it takes up the state that this member had, joins the swarm's
// rounds, and returns when it is a member with the certified state.
func (l *learner) Begin(ctx context.Context, r *job.Running) (job.Verdict, error) {
	if _, err := l.wait.Begin(ctx, r); err != nil {
		return job.Verdict{}, err
	}
	l.held, l.resumed, l.export, l.run = r.Validation, r.Resumed, r.Export, r
	v, err := l.enter(ctx, r.Trainer, uint64(r.Samples), func(n int, genesis train.Hash) (*session, error) { return l.open(ctx, r, n, genesis) })
	if err == nil && v.End == "" && l.spent() {
		return l.exchange(ctx, true)
	}
	return v, err
}

// enter begins with a model, which is the learner's from now on, and the session that open makes.
func (l *learner) enter(ctx context.Context, m model, samples uint64, open func(values int, genesis train.Hash) (*session, error)) (job.Verdict, error) {
	l.model = m
	n := len(m.Params().Values) + len(m.Stats())
	var err error
	if l.mode, err = newMode(l.settings, m); err != nil {
		return job.Verdict{}, err
	}
	l.vector = make([]float32, n)
	l.mode.begin()
	genesis, _ := checkpoint.Hash(l.mode.kept(), runtime.GOMAXPROCS(0))
	s, err := open(n, genesis)
	if err != nil {
		return job.Verdict{}, err
	}
	if s == nil {
		return job.Verdict{End: job.EndInterrupted}, nil // ctx has ended
	}
	l.s = s
	if uint64(n) != s.job.Values {
		return job.Verdict{}, fmt.Errorf("the job's model has %d numbers, this machine's %d: the job file or the data do not fit", s.job.Values, n)
	}
	if s.codecs, err = newCodecs(s.job.Settings.Codec, codec.Flat(n)); err != nil {
		return job.Verdict{}, err
	}
	s.encoder = s.codecs.update.Encoder(true)
	s.room.limit = roomUpdates * s.codecs.update.Size(0, n)
	s.layout = checkpoint.LayoutOf(l.mode.kept())
	s.stateMu.Lock()
	s.kept = l.mode.kept
	s.stateMu.Unlock()
	root, err := l.restore(genesis)
	if err != nil {
		return job.Verdict{}, err
	}
	l.root = root
	if err := s.start(root, samples); err != nil {
		return job.Verdict{}, err
	}
	err = l.serve(ctx, func(v *view) bool { return v.over || l.works(v) || l.gone(v) })
	return l.begin(err)
}

// works reports whether there is work of a round to do: this peer is a member, has the certified
// state, and the others wait for its update.
func (l *learner) works(v *view) bool { return v.member && v.status.Phase == round.Work }

// gone reports whether this peer wanted to go and is no member any more, or the only one.
func (l *learner) gone(v *view) bool {
	return l.leaving() && (!v.member || len(v.members) == 1)
}

// restore takes up the state that the last process of this member has left, and returns the root
// of what the trainer has then.
func (l *learner) restore(genesis train.Hash) (train.Hash, error) {
	root, err := l.readState()
	if err != nil {
		return train.Hash{}, err
	}
	if root.IsZero() {
		if l.resumed {
			return train.Hash{}, nil // what the last checkpoint has is nobody's state: it is fetched
		}
		if genesis != l.s.job.Genesis {
			return train.Hash{}, fmt.Errorf("the first state of the model is %s here and %s in the job: other versions of the program, or another file to begin with", genesis.Short(), l.s.job.Genesis.Short())
		}
		// So that the members have it if all of them end in the first round.
		return genesis, l.s.files.writeState(stateFile, l.mode.kept())
	}
	if root, err = l.redo(root); err != nil {
		return train.Hash{}, err
	}
	return l.promote(root)
}

// readState takes up the state on disk and returns its root; none if there is no state.
func (l *learner) readState() (train.Hash, error) {
	kept, err := l.s.files.readState(stateFile, l.s.layout)
	if err != nil || kept == nil {
		return train.Hash{}, err
	}
	if err := l.mode.take(kept); err != nil {
		return train.Hash{}, err
	}
	root, _ := checkpoint.Hash(l.mode.kept(), l.s.workers())
	return root, nil
}

// promote makes the candidate the state if a certificate says that it follows the one in place: the
// last process was alone and was killed between the two.
func (l *learner) promote(root train.Hash) (train.Hash, error) {
	candidate, err := l.rootOf(candidateFile)
	if err != nil || candidate.IsZero() {
		return root, err
	}
	follows, err := l.s.certified(root, candidate)
	if err != nil || !follows {
		return root, err
	}
	if err := l.s.files.promote(); err != nil {
		return root, err
	}
	l.s.since = nil
	return l.readState()
}

// rootOf returns the root of a state on disk; none if there is no such file.
func (l *learner) rootOf(name string) (root train.Hash, err error) {
	vectors, err := l.s.files.readState(name, l.s.layout)
	if err != nil || vectors == nil {
		return root, err
	}
	root, _ = checkpoint.Hash(vectors, l.s.workers())
	return root, nil
}

// begin begins the work of a round.
func (l *learner) begin(err error) (job.Verdict, error) {
	v := l.s.now()
	l.work = work{round: v.status.Round, base: l.model.Steps(), started: l.now()}
	l.fresh, l.given = false, false
	if l.run != nil {
		l.s.spent.Store(l.run.Spent())
	}
	out := job.Verdict{}
	switch {
	case err != nil:
		return out, err
	case v.err != nil:
		return out, v.err
	case v.over:
		out.End, out.Last = endText(v.last.Outcome.End), true
	case l.gone(&v):
		l.left()
	case l.s.job.Settings.Target > 0 || l.s.job.Settings.Patience > 0:
		out.Validate, l.valid = true, nil
	}
	return out, nil
}

// endText says why a job ended.
func endText(e train.End) string {
	switch e {
	case train.EndTarget:
		return "target reached"
	case train.EndPatience:
		return job.EndEarly
	case train.EndStopped:
		return "stopped by its initiator"
	case train.EndSpent:
		return job.EndSpent
	}
	return job.EndDone
}

// Gradient implements job.Sync.
func (l *learner) Gradient(context.Context, job.Step) error {
	l.mode.gradient()
	l.seen = true
	return nil
}

// Stepped implements job.Sync: after the last step of a round it exchanges what was learned.
func (l *learner) Stepped(ctx context.Context, st job.Step) (job.Verdict, error) {
	if !l.seen {
		return job.Verdict{}, nil // a step of the last process: the state in place is not after it
	}
	l.work.steps++
	l.work.samples += uint64(st.Samples)
	l.work.loss += st.Loss
	l.mode.stepped(st.LR)
	l.applied = train.Hash{}
	overtaken, err := l.attend()
	if err == nil && !overtaken && !l.done() && !l.leaving() {
		if err = l.wait.wait(ctx, func() (over bool, err error) { overtaken, err = l.attend(); return overtaken, err }); err == nil && !overtaken {
			return job.Verdict{}, nil
		}
	}
	if err != nil {
		return job.Verdict{}, err
	}
	return l.exchange(ctx, !overtaken)
}

// attend does what the others wait for, votes above all, and reports whether the round that the
// run works for is over for it.
func (l *learner) attend() (overtaken bool, err error) {
	if err := l.do(); err != nil {
		return false, err
	}
	v := l.s.now()
	return l.fresh || v.over || v.err != nil || !v.member, nil
}

// done reports whether the work of the round is done.
func (l *learner) done() bool {
	if l.spent() {
		return true
	}
	set := &l.s.job.Settings
	if set.InnerSteps > 0 {
		return l.work.steps >= set.InnerSteps
	}
	return l.now().Sub(l.work.started) >= time.Duration(set.InnerMillis)*time.Millisecond
}

// exchange gives what was learned to the others, if there is something to give, and returns when
// the next round has begun.
func (l *learner) exchange(ctx context.Context, give bool) (job.Verdict, error) {
	for {
		if give {
			if err := l.give(ctx); err != nil {
				return job.Verdict{}, err
			}
		}
		l.given = true
		at := l.work.round
		err := l.serve(ctx, func(v *view) bool {
			return v.over || v.status.Round > at && l.works(v) || l.gone(v)
		})
		v := l.s.now()
		switch {
		case err != nil || v.err != nil || v.over || ctx.Err() != nil || l.gone(&v):
			return l.begin(err)
		case l.spent(): // it has nothing more to give but its votes, until the others are done
			l.work, l.fresh, l.valid, give = work{round: v.status.Round, base: l.model.Steps(), started: l.now()}, false, nil, true
		case give && l.cameToNothing():
			l.work.round, l.fresh = v.status.Round, false // the same gradient again: no batch is lost
		default:
			return l.begin(nil)
		}
	}
}

// cameToNothing reports whether the last round left the state as it was, where each round is one
// step.
func (l *learner) cameToNothing() bool {
	return l.s.job.Settings.Mode == train.AllReduce && l.model.Steps() == l.work.base
}

// give encodes the update, keeps its slices for their owners, and commits to them.
func (l *learner) give(ctx context.Context) error {
	s := l.s
	s.mu.Lock()
	d := s.data[l.work.round]
	s.mu.Unlock()
	if d == nil || d.me < 0 || d.given() {
		return nil
	}
	n := d.lots[d.me].n
	u := round.Update{
		Samples: l.work.samples, Steps: l.work.steps, Millis: uint64(l.now().Sub(l.work.started).Milliseconds()),
		Loss: l.work.loss / float64(max(l.work.steps, 1)),
	}
	if math.IsNaN(u.Loss) || math.IsInf(u.Loss, 0) || !tellsLoss(l.settings) {
		u.Loss = 0
	}
	if l.valid != nil && tellsMeasured(l.settings) {
		u.Measured = train.Measured{Loss: finite(l.valid.Loss), Metric: finite(l.valid.Metric), Samples: uint64(max(l.held, 0))}
	}
	encoder := s.encoder
	if len(d.members) == 1 {
		encoder = s.codecs.lone.Encoder(false)
	}
	if err := l.release(); err != nil {
		return err
	}
	own, hashes := make([][]byte, n), make([]train.Hash, n) // of a member that has nothing to give
	for i := range hashes {
		hashes[i] = digest.Root(nil)
	}
	if l.work.steps > 0 {
		encoded, of, err := l.encode(encoder, d)
		if err == nil {
			own, hashes = encoded, of
		} else { // numbers that are not finite
			s.log.Warn("the update is not finite and is not sent", "round", d.round, "err", err)
			u.Samples = 0
		}
	}
	if len(d.members) > 1 && loses(d.round) {
		u.Samples = 0
	}
	u.Slices = hashes
	if len(d.members) > 1 { // what it commits to it has to have after a kill, too
		if err := s.files.writeUpdate(d.round, own); err != nil {
			return err
		}
	}
	d.mu.Lock()
	d.own, d.lone = own, len(d.members) == 1
	d.mu.Unlock()
	return s.call(ctx, func() {
		if err := s.machine.Update(d.round, u); err != nil && !errors.Is(err, round.ErrOver) {
			s.log.Warn("update not told", "round", d.round, "err", err)
		}
	})
}

// encode makes the slices of the update for the members of a round, and their hashes: part after
// part, which is computed, encoded and hashed while it is in the cache.
func (l *learner) encode(encoder *codec.Encoder, d *roundData) ([][]byte, []train.Hash, error) {
	n := d.lots[d.me].n
	own, hashes, errs := make([][]byte, n), make([]train.Hash, n), make([]error, n)
	c := encoder.Codec()
	unit, workers := c.Unit(), l.s.workers()
	if !encoder.Separate() {
		workers = 1
	}
	share(workers, n, func(each func(func(int))) {
		values := make([]float32, unit)
		each(func(i int) {
			lo, hi := bound(i, n, c.Len()), bound(i+1, n, c.Len())
			own[i] = l.s.room.get(c.Size(lo, hi-lo))
			seed := seedOf(l.s.id, d.round, d.me*train64+i)
			if unit == 0 {
				whole := make([]float32, hi-lo)
				l.mode.update(whole, lo)
				if own[i], errs[i] = encoder.Encode(own[i][:0], lo, whole, seed); errs[i] == nil {
					hashes[i] = digest.Root(own[i])
				}
				return
			}
			var tree digest.Tree
			for off, end := 0, 0; off < hi-lo || off == 0; off += unit {
				part := values[:min(unit, hi-lo-off)]
				l.mode.update(part, lo+off)
				if end, errs[i] = encoder.EncodePart(own[i], lo, hi-lo, off, part, seed); errs[i] != nil {
					return
				}
				tree.Add(own[i][:end])
			}
			hashes[i] = tree.Root(own[i])
		})
	})
	return own, hashes, errors.Join(errs...)
}

// train64 keeps the seeds of a member's slices apart from those of the others.
const train64 = 1 << 16

// serve does what the machine asks of the run until a condition holds, the session has ended, or
// ctx ends, which is no error: the run sees it.
func (l *learner) serve(ctx context.Context, until func(*view) bool) error {
	for {
		if err := l.do(); err != nil {
			return err
		}
		l.s.mu.Lock()
		v, changed, waiting := l.s.view, l.s.changed, len(l.s.asks) > 0
		l.s.mu.Unlock()
		switch {
		case waiting:
			continue
		case v.err != nil || v.last != nil && until(&v):
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		case <-l.s.ctx.Done():
			return context.Cause(l.s.ctx)
		}
	}
}

// do does what was asked so far.
func (l *learner) do() error {
	for {
		l.s.mu.Lock()
		var f func(*learner) error
		if len(l.s.asks) > 0 {
			f = l.s.asks[0]
			l.s.asks = l.s.asks[1:]
		}
		l.s.mu.Unlock()
		if f == nil {
			return nil
		}
		if err := f(l); err != nil {
			return err
		}
	}
}

// try sets the trainer to what an outcome makes of the round's state, and returns its root. What it is
// made of is on the disk then.
//
// Work that is not done yet is not lost: the outcome may never be certified.
func (l *learner) try(draft train.Hash, o *train.Outcome) (root train.Hash, steps int, err error) {
	if o.Base != l.root {
		return train.Hash{}, 0, errCannot // another state is in place by now
	}
	if !l.applied.IsZero() && slices.Equal(l.tried.slices, o.Slices) { // another member's draft
		l.applied = draft
		return l.tried.root, l.tried.steps, nil
	}
	if !l.given && !l.fresh {
		work := l.mode.work()
		defer func() {
			err = errors.Join(err, l.mode.resume(work))
			l.applied = train.Hash{}
		}()
	}
	if err := l.set(o); err != nil {
		return train.Hash{}, 0, err
	}
	vectors := l.mode.vectors()
	written := make(chan error, 1) // 1: the only one
	go func() { written <- l.keep(vectors, o) }()
	root, _ = checkpoint.Hash(vectors, l.s.workers())
	l.applied, l.tried = draft, attempt{slices: o.Slices, root: root, steps: l.model.Steps()}
	if err := <-written; err != nil {
		return train.Hash{}, 0, err
	}
	return root, l.tried.steps, nil
}

// keep makes durable what a state, which an outcome makes, can be made of again: the results. One alone
// keeps more than those: the candidate.
func (l *learner) keep(vectors [][]float32, o *train.Outcome) error {
	err := l.s.durable(o)
	if err == nil && len(o.Slices) == 1 {
		l.settle()
		err = l.s.files.writeState(candidateFile, vectors)
	}
	return err
}

// set applies an outcome to the state that the round began with.
func (l *learner) set(o *train.Outcome) error {
	l.s.mu.Lock()
	d, counted := l.s.data[o.Round], false
	if d != nil && d.me >= 0 {
		own := d.headers[d.members[d.me]]
		counted = own != nil && own.Samples > 0 && o.Senders.Has(d.me)
	}
	l.s.mu.Unlock()
	if d == nil {
		return errCannot
	}
	return l.apply(d, o, counted)
}

// apply applies an outcome of the round of d.
func (l *learner) apply(d *roundData, o *train.Outcome, counted bool) error {
	n := len(d.members)
	_, back := l.s.codecs.of(n)
	l.changed = nil
	d.mu.Lock()
	defer d.mu.Unlock()
	if n == 1 {
		if !d.lone || !l.applied.IsZero() || l.fresh {
			return errCannot
		}
		if o.Slices[0].IsZero() {
			return l.mode.apply(l.vector, nil, false)
		}
		l.mode.alone()
		return nil
	}
	if len(d.groups) > 1 {
		changed, err := l.merge(d, o, back)
		if err != nil {
			return err
		}
		l.changed = changed
		return l.mode.apply(l.vector, changed, counted)
	}
	for i, h := range o.Slices {
		if h.IsZero() {
			continue
		}
		if d.results[h] == nil {
			return errCannot
		}
		l.changed = append(l.changed, span{bound(i, n, len(l.vector)), bound(i+1, n, len(l.vector))})
	}
	if m, ok := l.mode.(inParts); ok && back.Unit() > 0 && !l.s.rule.Referenced() {
		l.applyParts(m, back, d, o, counted)
		return nil
	}
	share(l.s.workers(), n, func(each func(func(int))) {
		each(func(i int) {
			h, lo, hi := o.Slices[i], bound(i, n, len(l.vector)), bound(i+1, n, len(l.vector))
			if h.IsZero() {
				return
			}
			if err := back.Decode(l.vector[lo:hi], lo, d.results[h]); err != nil {
				l.s.log.Warn("a certified result that does not decode", "round", o.Round, "slice", i, "err", err)
				clear(l.vector[lo:hi]) // all members see the same bytes, and do the same
			}
		})
	})
	return l.mode.apply(l.vector, l.changed, counted)
}

// applyParts applies the results of an outcome part after part: nobody needs the whole.
func (l *learner) applyParts(m inParts, back *codec.Codec, d *roundData, o *train.Outcome, counted bool) {
	m.applying(counted)
	n, unit := len(o.Slices), back.Unit()
	share(l.s.workers(), n, func(each func(func(int))) {
		room := make([]float32, unit)
		each(func(i int) {
			h, lo, hi := o.Slices[i], bound(i, n, len(l.vector)), bound(i+1, n, len(l.vector))
			if h.IsZero() {
				m.unchanged(span{lo, hi})
				return
			}
			parts := func(read func(part []float32, off int) error) error {
				for off := 0; off < hi-lo; off += unit {
					part := room[:min(unit, hi-lo-off)]
					if err := read(part, off); err != nil {
						return err
					}
					m.applyPart(part, lo+off)
				}
				return nil
			}
			err := parts(func(part []float32, off int) error { return back.DecodePart(part, lo, hi-lo, off, d.results[h]) })
			if err != nil {
				l.s.log.Warn("a certified result that does not decode", "round", o.Round, "slice", i, "err", err)
				_ = parts(func(part []float32, _ int) error { // all members see the same bytes, and do the same
					clear(part)
					return nil
				})
			}
		})
	})
}

// commit puts a certified state in place.
func (l *learner) commit(draft train.Hash, outcome, certified *train.Outcome) error {
	if draft.IsZero() { // the state in place is the certified one already
		return l.last(certified)
	}
	l.given = true
	if l.applied != draft {
		if outcome == nil {
			return fmt.Errorf("round %d: its outcome is not known here", certified.Round)
		}
		root, _, err := l.try(draft, outcome)
		if err == nil && root != certified.State {
			err = fmt.Errorf("round %d: its results make another state here than the certified one", certified.Round)
		}
		if err != nil {
			return err
		}
	}
	due, err := l.certify(certified)
	if err != nil {
		return err
	}
	l.s.refer(l.vector, l.changed)
	l.before, l.root = l.root, certified.State
	l.settle()
	l.s.stateMu.Lock()
	l.mode.commit()
	l.s.stateMu.Unlock()
	l.applied, l.fresh = train.Hash{}, true
	if due && certified.End == train.EndNone {
		l.save(certified.Round)
	}
	return l.last(certified)
}

// certify makes what try made durable the state, or what that is made of, for the next process. It
// reports whether it is time to write the state.
func (l *learner) certify(o *train.Outcome) (due bool, err error) {
	if len(o.Slices) == 1 {
		if err := l.s.files.promote(); err != nil {
			return false, err
		}
		l.s.settled(o.Round)
		return false, nil
	}
	l.s.mu.Lock()
	d := l.s.data[o.Round]
	l.s.mu.Unlock()
	if d == nil {
		return false, errCannot
	}
	d.mu.Lock()
	m := d.made(o)
	d.mu.Unlock()
	return l.s.need(m), nil
}

// last writes the state after the last round of a job: who comes late gets it from the disk.
func (l *learner) last(o *train.Outcome) error {
	l.s.mu.Lock()
	there := len(l.s.since) == 0
	l.s.mu.Unlock()
	if there || o.End == train.EndNone || l.root != o.State {
		return nil
	}
	l.settle()
	if err := l.s.files.writeState(stateFile, l.mode.kept()); err != nil {
		return err
	}
	l.s.settled(o.Round)
	return nil
}

// show serves the certified state, if it is time and that is what the trainer has. At the end of a
// job the run does.
func (l *learner) show(o *train.Outcome) {
	every := l.settings.PublishEvery
	if every == 0 || l.settings.PublishAs == "" || o.Round%every != 0 || o.End != train.EndNone || !l.fresh || l.root != o.State {
		return
	}
	l.publish(o.Round, l.export)
}

// take puts a state that came from others in place.
func (l *learner) take(vectors [][]float32, root train.Hash) error {
	l.settle()
	if err := l.s.files.writeState(stateFile, vectors); err != nil {
		return err
	}
	l.s.settled(math.MaxUint64)
	l.s.stateMu.Lock()
	defer l.s.stateMu.Unlock()
	if err := l.mode.take(vectors); err != nil {
		return err
	}
	l.applied, l.fresh, l.before, l.root = train.Hash{}, true, l.root, root
	return nil
}

// Validated implements job.Sync.
func (l *learner) Validated(_ context.Context, v job.Validation) (job.Verdict, error) {
	if l.work.steps == 0 {
		l.valid = &v
	}
	return job.Verdict{}, nil
}

// Save implements job.Sync: what a member must not forget is in the session's own files.
func (l *learner) Save() (job.Kept, error) { return job.Kept{}, nil }
