package trainer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/trainer/transfer"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
)

const (
	// maxQueued bounds the runs that wait, maxKept those that are over and may be asked about.
	maxQueued = 64
	maxKept   = 32
)

// Errors that callers branch on.
var (
	ErrNoRun = errors.New("no such training")
	ErrFull  = errors.New("too many trainings wait")
	ErrEnded = errors.New("the node is stopping")
	// ErrUsage is wrapped by the errors of a job file and of what was asked for.
	ErrUsage = errors.New("cannot be trained")
)

// Config is what New needs.
type Config struct {
	// Threads bounds the threads of a run, beside what its job says; 0 is no bound.
	Threads int
	// Memory bounds what the model of another peer's job may take; 0 is no bound.
	Memory int64
	// Busy reports whether the node answers a request just now: a run waits before its next step
	// then, for a while. Nil: never.
	Busy func() bool
	// Publish imports the model in a folder under a name and serves it to the swarm, and returns
	// its identifier. Nil: nothing is published.
	Publish func(ctx context.Context, dir, name string) (model string, err error)
	// Retract stops serving a model that Publish gave, and removes it. Nil: it stays.
	Retract func(ctx context.Context, model string) error
	// Net is what training together needs; nil: trainings are alone.
	Net *Network
	Log *slog.Logger
	Now func() time.Time // nil: time.Now
}

// Trainer runs jobs one after the other.
type Trainer struct {
	cfg Config

	mu       sync.Mutex
	runs     []*Run // the oldest first
	ended    bool
	queued   chan struct{} // wakes Run; size 1
	sessions map[train.Hash]*session
	board    board
	asked    time.Time   // when others were asked for their boards
	net      *network    // nil: alone
	jobs     *host.Topic // set by Run
}

// New returns a Trainer. It starts nothing.
func New(cfg Config) (*Trainer, error) {
	if cfg.Log == nil {
		return nil, errors.New("new trainer: a log is required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t := &Trainer{cfg: cfg, queued: make(chan struct{}, 1), sessions: map[train.Hash]*session{}, board: newBoard(cfg.Now)}
	if n := cfg.Net; n != nil {
		t.net = &network{host: n.Host, exchange: n.Exchange, store: n.Store, key: n.Key, turn: n.Exchange.Turns()}
		t.net.client = transfer.NewClient(n.Host.Open, t.net.turn)
	}
	return t, nil
}

// Local and Result are what those need of a job who may not import the engine.
type (
	Local  = job.Local
	Result = job.Result
)

// EndInterrupted is Result.End of a run that was stopped.
const EndInterrupted = job.EndInterrupted

// Request asks for a run.
type Request struct {
	Path    string `json:"path"`              // of the job file, absolute
	Resume  bool   `json:"resume,omitempty"`  // go on from the last checkpoint
	Threads int    `json:"threads,omitempty"` // 0: what the job says
	Steps   int    `json:"steps,omitempty"`   // in all; 0: what the job says

	// Swarm trains the job with other peers, MinPeers of them at least, this one included.
	Swarm    bool `json:"swarm,omitempty"`
	MinPeers int  `json:"min_peers,omitempty"` // 0: what the job says
	// Publish is the name under which all members serve the model at the end.
	Publish string `json:"publish,omitempty"`
	// Rank and Of take a part of the data: see job.Options.
	Rank int `json:"rank,omitempty"`
	Of   int `json:"of,omitempty"`

	// Join trains a job of another peer, by its hash or what that begins with, or its name,
	// with data of one's own, in Folder. Path is not set.
	Join   string    `json:"join,omitempty"`
	Local  job.Local `json:"local,omitzero"`
	Folder string    `json:"folder,omitempty"`
}

// Run is a job that waits, runs or is over.
type Run struct {
	id      string
	job     *job.Job
	path    string
	resume  bool
	again   bool      // see job.Options
	swarm   *together // nil: alone
	rank    int
	of      int
	asked   time.Time
	record  *record
	session atomic.Pointer[session] // of a run with others, once there is one

	mu    sync.Mutex
	state State
	stop  context.CancelFunc // of a run that goes on
	end   *End
}

// Submit checks a job and queues it.
func (t *Trainer) Submit(ctx context.Context, req Request) (*Run, error) {
	if req.Threads < 0 || req.Steps < 0 || req.MinPeers < 0 {
		return nil, fmt.Errorf("%w: %d threads, %d steps, %d peers", ErrUsage, req.Threads, req.Steps, req.MinPeers)
	}
	if (req.Swarm || req.Join != "") && t.cfg.Net == nil {
		return nil, fmt.Errorf("%w: this node is in no swarm", ErrUsage)
	}
	r := &Run{id: newID(), path: req.Path, resume: req.Resume, rank: req.Rank, of: req.Of, asked: t.cfg.Now(), record: newRecord(), state: Queued}
	if req.Join != "" {
		return r, t.submitJoin(ctx, r, req)
	}
	if !filepath.IsAbs(req.Path) {
		return nil, fmt.Errorf("%w: the path of the job file must be absolute", ErrUsage)
	}
	var err error
	if r.job, err = job.Read(req.Path); err != nil {
		return nil, usage(err)
	}
	if req.Steps > 0 {
		r.job.Train.Steps, r.job.Train.Epochs = req.Steps, 0
		r.again = req.Resume
	}
	t.limit(r.job, req.Threads)
	if req.Swarm {
		settings, err := settingsOf(r.job, req.MinPeers)
		if err != nil {
			return nil, asked{err}
		}
		if settings.PublishEvery > 0 && req.Publish == "" {
			return nil, fmt.Errorf("%w: swarm.publish_every is %d and the model has no name to be served under: covey train --publish NAME", ErrUsage, settings.PublishEvery)
		}
		if settings.PublishAs = req.Publish; settings.Validate() != nil {
			return nil, fmt.Errorf("%w: the name %.80q is none for a model", ErrUsage, req.Publish)
		}
		r.swarm = &together{settings: settings}
	}
	return r, t.enqueue(r)
}

// limit sets the threads of a job.
func (t *Trainer) limit(j *job.Job, threads int) {
	if threads > 0 {
		j.Train.Threads = threads
	}
	if t.cfg.Threads > 0 && (j.Train.Threads == 0 || j.Train.Threads > t.cfg.Threads) {
		j.Train.Threads = t.cfg.Threads
	}
}

func newID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (t *Trainer) enqueue(r *Run) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return ErrEnded
	}
	var waiting, over int
	for _, o := range t.runs {
		switch o.State() {
		case Queued:
			waiting++
		case Running:
		default:
			over++
		}
	}
	if waiting >= maxQueued {
		return fmt.Errorf("%w: %d", ErrFull, waiting)
	}
	t.runs = slices.DeleteFunc(t.runs, func(o *Run) bool {
		s := o.State()
		if over < maxKept || s == Queued || s == Running {
			return false
		}
		over--
		return true
	})
	t.runs = append(t.runs, r)
	select {
	case t.queued <- struct{}{}:
	default:
	}
	return nil
}

// List describes all runs that are known, the oldest first.
func (t *Trainer) List() []Info {
	t.mu.Lock()
	runs := slices.Clone(t.runs)
	t.mu.Unlock()
	out := make([]Info, 0, len(runs))
	ahead := 0
	for _, r := range runs {
		i := r.Info()
		if i.State == Queued {
			i.Ahead = ahead
		}
		if i.State == Queued || i.State == Running {
			ahead++
		}
		out = append(out, i)
	}
	return out
}

// Get returns a run by its id.
func (t *Trainer) Get(id string) (*Run, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.runs {
		if r.id == id {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: %.80s", ErrNoRun, id)
}

// Run does the runs of the queue until ctx ends. The one that goes on then saves a checkpoint
// first.
func (t *Trainer) Run(ctx context.Context) (err error) {
	defer t.finish()
	if t.net != nil {
		select {
		case <-t.net.host.Ready():
		case <-ctx.Done():
			return nil
		}
		name := protocol.JobsTopic(t.net.host.Swarm().String())
		if t.jobs, err = t.net.host.Topic(name, host.TopicConfig{MaxBytes: protocol.MaxTrainSmall + protocol.MaxControl, Receive: t.hear}); err != nil {
			return err
		}
		t.board.listen()
		inner, cancel := context.WithCancel(ctx)
		var house sync.WaitGroup
		house.Go(func() { t.keepHouse(inner) })
		defer func() {
			cancel()
			house.Wait()
			t.dismiss(0, 0)
			t.net.client.Close()
			err = errors.Join(err, t.jobs.Close())
		}()
	}
	for {
		for r := t.next(); r != nil && ctx.Err() == nil; r = t.next() {
			t.run(ctx, r)
		}
		select {
		case <-t.queued:
		case <-ctx.Done():
			return nil
		}
	}
}

// keepHouse forgets the sessions of jobs that are over when nobody may ask for them any more.
func (t *Trainer) keepHouse(ctx context.Context) {
	look := time.NewTicker(time.Minute)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			t.dismiss(keptRetired, retiredLife)
		case <-ctx.Done():
			return
		}
	}
}

// next returns the run that has waited longest, or nil.
func (t *Trainer) next() *Run {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.runs {
		if r.State() == Queued {
			return r
		}
	}
	return nil
}

// finish ends the runs that still wait.
func (t *Trainer) finish() {
	t.mu.Lock()
	t.ended = true
	runs := slices.Clone(t.runs)
	t.mu.Unlock()
	for _, r := range runs {
		r.Stop()
	}
}

// run does one run.
func (t *Trainer) run(ctx context.Context, r *Run) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !r.begin(cancel) {
		return
	}
	t.cfg.Log.Info("training", "run", r.id, "job", r.path)
	o := job.Options{Resume: r.resume, Again: r.again, Events: r.record.events(), Now: t.cfg.Now, Rank: r.rank, Of: r.of}
	alone := &polite{busy: t.cfg.Busy, now: t.cfg.Now}
	var res *job.Result
	var err error
	if r.swarm == nil {
		o.Sync = alone
		res, err = job.Run(ctx, r.job, o)
	} else {
		p := &publisher{t: t, run: r}
		res, err = t.runTogether(ctx, r, alone, o, p)
		p.tasks.Wait()
		if name := r.swarm.settings.PublishAs; err == nil && res.Model != "" && name != "" {
			p.serve(ctx, res.Model, name)
		}
	}
	r.finish(res, err)
	t.cfg.Log.Info("training ended", "run", r.id, "job", r.path, "state", r.State(), "err", err)
}

// ID returns the name of the run in this node.
func (r *Run) ID() string { return r.id }

// State returns how far the run is.
func (r *Run) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// begin notes that the run goes on, unless it was stopped before.
func (r *Run) begin(stop context.CancelFunc) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != Queued {
		return false
	}
	r.state, r.stop = Running, stop
	return true
}

// finish notes how the run ended.
func (r *Run) finish(res *job.Result, err error) {
	end, state := &End{Result: res}, Done
	switch {
	case err != nil:
		end, state = &End{Error: err.Error(), Usage: errors.Is(usage(err), ErrUsage)}, Failed
	case res.End == job.EndInterrupted:
		state = Interrupted
	}
	r.mu.Lock()
	r.state, r.end, r.stop = state, end, nil
	r.mu.Unlock()
	r.record.add(Event{End: end})
}

// Stop ends the run. If it goes on, it saves a checkpoint first, and its last event tells when
// it has.
func (r *Run) Stop() {
	r.mu.Lock()
	stop, waits := r.stop, r.state == Queued
	if waits {
		r.state = Interrupted
		r.end = &End{Result: &job.Result{End: job.EndInterrupted, Folder: r.job.Folder(), MetricName: r.job.MetricName()}}
	}
	end := r.end
	r.mu.Unlock()
	if waits {
		r.record.add(Event{End: end})
	}
	if stop != nil {
		stop()
	}
}

// Events waits for events after the one with number seq, 0 for all, and returns them. The last
// one of a run is its End.
func (r *Run) Events(ctx context.Context, seq int) ([]Event, error) { return r.record.after(ctx, seq) }

// Info describes the run; Ahead is not set.
func (r *Run) Info() Info {
	r.mu.Lock()
	i := Info{ID: r.id, Name: r.job.Name, Path: r.path, State: r.state, Queued: r.asked, Metric: r.job.MetricName(), Folder: r.job.Folder(), Steps: r.job.Train.Steps}
	if r.end != nil {
		i.Problem = r.end.Error
	}
	r.mu.Unlock()
	step, v := r.record.last()
	if step != nil {
		i.Step, i.Steps, i.Loss, i.Left = step.Step, step.Steps, step.Loss, step.Left.Seconds()
	}
	if v != nil {
		i.Value = v.Metric
	}
	return i
}

// usage marks the errors of a job file, and of what was asked for.
func usage(err error) error {
	var problem *job.Problem
	ours := errors.As(err, &problem)
	for _, of := range []error{job.ErrExists, job.ErrBusy, job.ErrNoRun, job.ErrChanged, job.ErrLost} {
		ours = ours || errors.Is(err, of)
	}
	if ours {
		return asked{err}
	}
	return err
}

// asked is an error of what was asked for. It reads as the error does.
type asked struct{ error }

// Unwrap returns both what happened and whose fault it is.
func (a asked) Unwrap() []error { return []error{a.error, ErrUsage} }
