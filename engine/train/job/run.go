package job

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/covey-network/covey/engine/filelock"
	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/net"
	"github.com/covey-network/covey/engine/train/privacy"
)

// The files in the folder of a run.
const (
	lastFile    = "last.state"
	bestFile    = "best.state"
	HistoryFile = "history.csv"
	CurveFile   = "curve.png"
	ExportDir   = "model"

	lockFile = "lock" // held by the process that writes the folder
)

// ErrExists is the error of a new run in the folder of another one.
var ErrExists = errors.New("the folder has a run already")

// ErrBusy is the error of a run in a folder in which another one is going on.
var ErrBusy = errors.New("another process trains in the folder")

// ErrNoRun is the error of resuming where no run is.
var ErrNoRun = errors.New("no run to go on with")

// ErrChanged is the error of resuming with other data or settings of it.
var ErrChanged = errors.New("not as at the last checkpoint")

// position is where a run stands beside the trainer's own state. It is the cursor in the
// state file, as JSON.
type position struct {
	place
	More      []place    `json:"more,omitempty"` // of the other streams
	Epochs    int        `json:"epochs"`         // whole ones done, by all streams
	Validated int        `json:"validated"`      // step of the last validation, -1 before the first
	Measured  int        `json:"measured"`       // Epochs at the last validation
	Stale     int        `json:"stale"`          // validations since the best
	Best      Validation `json:"best"`
	Last      Validation `json:"last"`
	HasBest   bool       `json:"has_best"`
	History   int64      `json:"history"`            // bytes of the history
	Digests   digests    `json:"digests"`            // so that other data is noticed
	Pending   *Step      `json:"pending,omitempty"`  // the last step, if the Sync has to see it yet
	Validate  bool       `json:"validate,omitempty"` // the Sync wants a validation
	Sync      []byte     `json:"sync,omitempty"`     // Kept.Bytes
	// Private are the steps that were counted, with Options.Private.
	Private []privacy.Steps `json:"private,omitempty"`
}

// runner is a run.
type runner struct {
	job      *Job
	events   Events
	clock    *clock
	folder   string
	data     *dataset
	streams  []stream // one for each of the batches of a step
	rank, of int      // see Options
	steps    int      // in all, as far as can be told; 0 if the Sync decides
	trainer  *train.Trainer
	pool     *kernel.Pool
	at       position
	saved    position        // at the last checkpoint
	savedAt  int             // step of the last checkpoint, -1 before the first
	over     bool            // it was told that samples were left over
	told     map[string]bool // names of what was left out
	notes    []string        // of what is not as it was meant to be, told at the start
	history  *history
	private  *hiding // nil without

	sync    Sync    // nil without
	given   *Schema // Options.Schema
	values  int     // Options.Values
	kept    Kept    // of the checkpoint that the run goes on from
	resumed bool    // there was one
	// together: the Sync alone ends the run, as others have to see the end alike.
	together bool
	end      string    // why the Sync ends the run
	last     bool      // the export is the last state, not the best
	due      bool      // the Sync wants a checkpoint
	stats    []float32 // running statistics before the gradient, with a Sync
}

// Run runs a job to its end, or until ctx ends: then it saves a checkpoint and returns a
// result with EndInterrupted and no error. It blocks; the result is complete on disk when
// it returns.
func Run(ctx context.Context, j *Job, o Options) (res *Result, err error) {
	if err := j.validate(o.Sync != nil && o.SyncEnds); err != nil {
		return nil, err
	}
	r := &runner{job: j, events: o.Events, sync: o.Sync, together: o.Sync != nil && o.SyncEnds, given: o.Schema, values: o.Values, rank: o.Rank, of: o.Of, folder: j.Folder(), clock: newClock(o.Now), savedAt: -1, told: map[string]bool{}}
	if o.Private != nil {
		r.private = &hiding{Private: *o.Private}
	}
	defer func() { err = noRoom(r.folder, err) }()
	lock, err := r.claim(o.Resume)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if !o.Resume {
		if err := r.fresh(); err != nil {
			return nil, err
		}
	}
	r.pool = kernel.NewPool(j.Train.Threads)
	defer r.pool.Close()
	if err := r.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return r.result(EndInterrupted), nil
		}
		return nil, err
	}
	defer func() { err = errors.Join(err, r.history.close()) }()
	if err := errors.Join(r.load(o.Resume), r.recall()); err != nil {
		return nil, err
	}
	if o.Again {
		r.again()
	}
	if f := r.events.Start; f != nil {
		f(r.start())
	}
	return r.run(ctx)
}

// claim makes the folder of the run and locks it for this process.
func (r *runner) claim(resume bool) (*filelock.Lock, error) {
	if resume {
		if _, err := os.Stat(r.folder); err != nil {
			return nil, fmt.Errorf("%w in %s: %w", ErrNoRun, r.folder, err)
		}
	}
	if err := os.MkdirAll(r.folder, 0o755); err != nil {
		return nil, fmt.Errorf("folder of the run: %w", err)
	}
	lock, err := filelock.Try(filepath.Join(r.folder, lockFile))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("%w %s: wait until it ends, or set train.folder", ErrBusy, r.folder)
	}
	if err != nil {
		return nil, fmt.Errorf("folder of the run: %w", err)
	}
	return lock, nil
}

// prepare opens the data and makes the trainer.
func (r *runner) prepare(ctx context.Context) (err error) {
	j, t := r.job, &r.job.Train
	if r.data, err = j.open(ctx, r.bad, openOptions{given: r.given}); err != nil {
		return err
	}
	model, problems := j.model(r.data.known)
	if err := errors.Join(problems...); err != nil {
		return err
	}
	if err := r.fits(model); err != nil {
		return err
	}
	c := &check{job: j}
	least, err := net.LeastBatch(model)
	c.told(errors.Join(err))
	if t.Batch < least {
		c.add("train.batch", "is %d, want at least %d: batch norm over planes of one value needs several of them", t.Batch, least)
	}
	if err := errors.Join(c.errs...); err != nil {
		return err
	}
	if err := r.hide(model); err != nil {
		return err
	}
	if err := r.openStreams(least); err != nil {
		return err
	}
	r.expect()
	if r.steps = cmp.Or(t.Steps, t.Epochs*r.streams[0].loader.Batches(), j.Swarm.steps()); r.together {
		r.steps = cmp.Or(j.Swarm.steps(), t.Steps) // the same for all, whatever data they have
	}
	if err := r.checkServable(model); err != nil {
		return err
	}
	schedule := t.schedule(cmp.Or(r.steps, maxStep))
	if schedule.Warmup != t.Schedule.Warmup {
		r.note("train.schedule.warmup is %d and the run has %d steps: it is made %d", t.Schedule.Warmup, r.steps, schedule.Warmup)
	}
	settings := train.Config{
		Model: model, Optimizer: t.Optimizer, Schedule: schedule, Clip: t.Clip, Smoothing: t.Smoothing, Seed: t.Seed,
	}
	c.told(settings.Validate())
	if err := errors.Join(c.errs...); err != nil {
		return err
	}
	if r.trainer, err = train.New(settings, r.pool); err != nil {
		return err
	}
	r.trainer.SetPart(r.rank * len(r.streams))
	r.history, err = openHistory(filepath.Join(r.folder, HistoryFile), j.MetricName())
	return err
}

// fits checks the size that the model has to have, before memory is taken for it.
func (r *runner) fits(model net.Config) error {
	if r.values == 0 {
		return nil
	}
	params, stats, err := net.Sizes(model)
	if err == nil && params+stats != r.values {
		err = fmt.Errorf("the model has %d numbers, want %d: the job file and the data make another one than that of the job", params+stats, r.values)
	}
	return err
}

// maxTold bounds the names that are remembered so that each is told once.
const maxTold = 100_000

// bad tells of something left out, the first time that it is.
func (r *runner) bad(b data.Bad) {
	if r.told[b.Name] || len(r.told) == maxTold {
		return
	}
	r.told[b.Name] = true
	if r.events.Bad != nil {
		r.events.Bad(b)
	}
}

func (r *runner) start() Start {
	s := Start{
		Folder: r.folder, Params: len(r.trainer.Params().Values), Samples: r.samples(),
		Step: r.trainer.Steps(), Steps: r.steps, Bad: r.data.bad, Columns: r.data.columns, Notes: r.data.notes, Warnings: r.data.warnings,
	}
	if r.data.validation != nil {
		s.Validation = r.data.validation.Len()
	}
	s.Notes = append(s.Notes, r.notes...)
	return s
}

// run does steps until the end. Each turn of the loop can be interrupted before its step,
// and does again whatever was not finished.
func (r *runner) run(ctx context.Context) (*Result, error) {
	if err := r.begin(ctx); err != nil { // before a sample is read: it may change how they are scaled
		if ctx.Err() != nil {
			return r.result(EndInterrupted), nil
		}
		return nil, err
	}
	for i := range r.streams {
		it, err := r.batches(ctx, i)
		if err != nil {
			return nil, err
		}
		defer it.Close()
		r.streams[i].iter = it
	}
	r.clock.begin()
	end := ""
	for end == "" {
		var err error
		if end, err = r.turn(ctx); err != nil {
			if ctx.Err() == nil {
				return nil, err
			}
			end = EndInterrupted
		}
	}
	if err := r.checkpoint(); err != nil {
		return nil, err
	}
	res := r.result(end)
	if end != EndInterrupted {
		if err := errors.Join(r.release(), r.export(res)); err != nil {
			return nil, err
		}
	}
	if err := r.history.sync(); err != nil {
		return nil, err
	}
	return res, drawCurve(r.folder)
}

// turn validates if it is time, then does a step.
func (r *runner) turn(ctx context.Context) (end string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if r.at.Pending != nil {
		return "", r.stepped(ctx)
	}
	t, step := &r.job.Train, r.trainer.Steps()
	last := r.end != "" || !r.together && (!r.affords() || t.Steps > 0 && step >= t.Steps || t.Epochs > 0 && r.at.Epochs >= t.Epochs)
	if r.validationDue(step, last) {
		if err := r.validate(ctx); err != nil {
			return "", err
		}
	}
	switch {
	case r.end != "":
		return r.end, nil
	case !r.together && !r.affords():
		return EndSpent, nil
	case last:
		return EndDone, nil
	case !r.together && t.Patience > 0 && r.at.Stale >= t.Patience:
		return EndEarly, nil
	case r.checkpointDue(step):
		if err := r.checkpoint(); err != nil {
			return "", err
		}
	}
	if over, err := r.gather(); over || err != nil {
		return "", err
	}
	return "", r.step(ctx)
}

func (r *runner) validationDue(step int, last bool) bool {
	switch every := r.job.Train.ValidateEvery; {
	case r.data.validation == nil:
		return false
	case r.at.Validate:
		return true
	case step == 0 || r.at.Validated == step:
		return false
	case last:
		return true
	case every > 0:
		return step%every == 0
	}
	return r.at.Epochs > r.at.Measured
}

func (r *runner) checkpointDue(step int) bool {
	every := r.job.Train.CheckpointEvery
	switch {
	case r.due:
		return true
	case step == 0 || r.savedAt == step && r.saved.Epochs == r.at.Epochs:
		return false
	case every > 0:
		return step%every == 0
	}
	return r.at.Epochs > r.saved.Epochs
}

// step trains on the batches that were gathered.
func (r *runner) step(ctx context.Context) error {
	if r.sync != nil {
		r.stats = append(r.stats[:0], r.trainer.Stats()...)
	}
	loss, score, samples, err := r.gradient()
	if err != nil {
		return err
	}
	var seen *Step
	if r.sync != nil {
		seen = &Step{Step: r.trainer.Steps() + 1, Steps: r.steps, Epoch: r.at.Epochs + 1, Samples: samples, Loss: loss}
		if err := r.exchange(ctx, *seen); err != nil {
			return err
		}
	}
	res, err := r.trainer.Apply()
	if err != nil {
		return err
	}
	if seen != nil {
		seen.LR = res.LR
	}
	r.at.Pending = seen
	r.used()
	p := Progress{
		Step: r.trainer.Steps(), Steps: r.steps, Epoch: r.at.Epochs + 1, Epochs: r.job.Train.Epochs,
		Loss: loss, Metric: r.metric(score), LR: res.LR,
	}
	if r.at.History, err = r.history.step(p); err != nil {
		return err
	}
	if r.events.Step != nil {
		p.Rate, p.Left = r.clock.step(p.Step, p.Steps, samples)
		r.events.Step(p)
	}
	return nil
}

// checkpoint saves the state.
func (r *runner) checkpoint() error {
	if err := r.history.sync(); err != nil {
		return err
	}
	if err := r.save(lastFile); err != nil {
		return err
	}
	r.saved, r.savedAt, r.due = r.at, r.trainer.Steps(), false
	return nil
}

func (r *runner) save(name string) error {
	var kept Kept
	if r.sync != nil {
		var err error
		if kept, err = r.sync.Save(); err != nil {
			return err
		}
		if err := kept.check(len(r.trainer.Params().Values), len(r.trainer.Stats())); err != nil {
			return err
		}
	}
	at := r.at
	at.Sync = kept.Bytes
	cursor, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return r.trainer.Save(filepath.Join(r.folder, name), cursor, kept.Vectors...)
}

func (r *runner) result(end string) *Result {
	return &Result{
		End: end, Folder: r.folder, Step: r.stepsDone(), Best: r.at.Best, Last: r.at.Last,
		MetricName: r.job.MetricName(), LeftOut: r.at.leftOut(), Private: r.spent(),
	}
}

func (r *runner) stepsDone() int {
	if r.trainer == nil {
		return 0
	}
	return r.trainer.Steps()
}
