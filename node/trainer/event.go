package trainer

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/job"
)

// Event is one thing that a run tells. Exactly one of the pointers is set.
type Event struct {
	Seq        int             `json:"seq"` // from 1, growing; steps long past are left out
	Start      *job.Start      `json:"start,omitempty"`
	Step       *job.Progress   `json:"step,omitempty"`
	Validation *job.Validation `json:"validation,omitempty"`
	LeftOut    *LeftOut        `json:"left_out,omitempty"`
	Swarm      *Swarm          `json:"swarm,omitempty"`
	Published  *Published      `json:"published,omitempty"`
	End        *End            `json:"end,omitempty"`
}

// Published is a model that this node serves from now on, or why it does not.
type Published struct {
	Name  string `json:"name"`
	Model string `json:"model,omitempty"` // its identifier, the same at all members
	Error string `json:"error,omitempty"`
}

// LeftOut is a sample, file or row that is not trained on.
type LeftOut struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// End is how a run ended. Either Result or Error is set.
type End struct {
	Result *job.Result `json:"result,omitempty"`
	Error  string      `json:"error,omitempty"`
	Usage  bool        `json:"usage,omitempty"` // the error is of the job file, or of what was asked for
}

const (
	keptSteps   = 512  // of a run, beside the rest of its events
	keptLeftOut = 2048 //
)

// record is the events of a run, bounded. It is safe for concurrent use.
type record struct {
	mu      sync.Mutex
	list    []Event
	seq     int
	steps   int // among list
	leftOut int
	news    chan struct{} // closed and replaced when something was added
}

func newRecord() *record { return &record{news: make(chan struct{})} }

// add numbers an event and keeps it.
func (r *record) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case e.Step != nil, e.Swarm != nil:
		r.steps++
	case e.LeftOut != nil:
		if r.leftOut++; r.leftOut > keptLeftOut {
			return
		}
	}
	r.seq++
	e.Seq = r.seq
	r.list = append(r.list, e)
	if r.steps >= 2*keptSteps {
		r.forget()
	}
	close(r.news)
	r.news = make(chan struct{})
}

// forget drops all steps but the last keptSteps.
func (r *record) forget() {
	drop := r.steps - keptSteps
	kept := make([]Event, 0, len(r.list))
	for _, e := range r.list {
		if (e.Step != nil || e.Swarm != nil) && drop > 0 {
			drop--
			r.steps--
			continue
		}
		kept = append(kept, e)
	}
	r.list = kept
}

// after waits for events with a larger number than seq and returns them.
func (r *record) after(ctx context.Context, seq int) ([]Event, error) {
	for {
		r.mu.Lock()
		news := r.news
		at := len(r.list)
		for at > 0 && r.list[at-1].Seq > seq {
			at--
		}
		out := append([]Event(nil), r.list[at:]...)
		r.mu.Unlock()
		if len(out) > 0 {
			return out, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// last returns the last step and the last validation.
func (r *record) last() (step *job.Progress, v *job.Validation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.list) - 1; i >= 0 && (step == nil || v == nil); i-- {
		if e := &r.list[i]; e.Step != nil && step == nil {
			step = e.Step
		} else if e.Validation != nil && v == nil {
			v = e.Validation
		}
	}
	return step, v
}

// events returns the functions through which a job tells its events.
func (r *record) events() job.Events {
	return job.Events{
		Start: func(s job.Start) { r.add(Event{Start: &s}) },
		Step: func(p job.Progress) {
			p.Metric, p.Loss = finite(p.Metric), finite(p.Loss)
			r.add(Event{Step: &p})
		},
		Validation: func(v job.Validation) {
			v.Metric, v.Loss = finite(v.Metric), finite(v.Loss)
			r.add(Event{Validation: &v})
		},
		Bad: func(b data.Bad) { r.add(Event{LeftOut: &LeftOut{Name: b.Name, Reason: b.Err.Error()}}) },
	}
}

// finite keeps out of JSON what it cannot say.
func finite(v float64) float64 {
	if math.IsNaN(v) {
		return math.MaxFloat64
	}
	return max(-math.MaxFloat64, min(v, math.MaxFloat64))
}

// State is how far a run is.
type State string

// The states of a run.
const (
	Queued      State = "queued"
	Running     State = "running"
	Done        State = "done"
	Interrupted State = "interrupted"
	Failed      State = "failed"
)

// Info describes a run.
type Info struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"` // of the job
	Path    string    `json:"path"` // of its file
	State   State     `json:"state"`
	Queued  time.Time `json:"queued"`
	Ahead   int       `json:"ahead,omitempty"` // runs that come before it
	Step    int       `json:"step"`
	Steps   int       `json:"steps,omitempty"`
	Loss    float64   `json:"loss"`
	Metric  string    `json:"metric"`          // what Value is
	Value   float64   `json:"value,omitempty"` // of the last validation
	Left    float64   `json:"seconds_left,omitempty"`
	Folder  string    `json:"folder"`
	Problem string    `json:"problem,omitempty"` // why it failed
}
