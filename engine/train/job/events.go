package job

import (
	"math"
	"time"

	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/data"
)

// Options say how a job is run.
type Options struct {
	Resume bool // go on from the last checkpoint
	// Again, with Resume, goes on after an end for want of a better validation: the patience
	// counts anew.
	Again  bool
	Events Events // what is told meanwhile
	// Now is the clock of rates and remaining time; nil is time.Now.
	Now func() time.Time
	// Sync ties the run to others; nil trains alone. With SyncEnds it is what ends the run,
	// and nothing else does: steps, epochs and patience of the job, which it may do without,
	// do not.
	Sync     Sync
	SyncEnds bool
	// Schema, if it is not nil, is what the data has to fit, in place of what it would decide
	// itself: classes, columns with their categories, means and deviations, tokenizer, sizes.
	// Data that does not fit is refused; it need not have all classes and categories. The
	// export is the same for all runs with one Schema and one state.
	Schema *Schema
	// Values, if it is not 0, is how many parameters and running statistics the model has to
	// have; another one is refused before memory is taken for it.
	Values int
	// Rank and Of choose a part of the samples for training: of Of runs of one job with the
	// same data, run Rank (from 0) takes every Of-th sample of each epoch's order. Parts are
	// disjoint and their sizes differ by one at most. Of 0 is one run with all samples.
	// Random changes of a sample are the same in whichever run it is; dropout is not.
	//
	// Runs of the same steps whose gradients and running statistics a Sync averages in the
	// order of the ranks, ((g0+g1)+...) * (1/Of) in float32, have the bits of one run with
	// train.accumulate = Of.
	Rank, Of int
	// Private, if it is not nil, hides each sample in what the run learns.
	Private *Private
}

// Events are functions that a run calls from its own goroutine; each may be nil.
type Events struct {
	Start      func(Start)
	Step       func(Progress)
	Validation func(Validation)
	Bad        func(data.Bad) // a sample, file or row that was left out
}

// Start tells what is going to happen, and in its notes what is not as it was meant to be.
type Start struct {
	Folder     string
	Params     int           // parameters of the model
	Samples    int           // for training, in each epoch
	Validation int           // samples for validation
	Step       int           // done before
	Steps      int           // in all, as far as can be told
	Bad        int           // files, documents and rows left out
	Columns    []data.Column // of a table, as they were found
	Notes      []string      // how files were read, and what in them is not plain
	Warnings   []string      // what is likely to spoil what is learned, and what was left out for that
}

// Progress tells of a step.
type Progress struct {
	Step, Steps   int
	Epoch, Epochs int     // the current one, from 1; Epochs is 0 if the job counts steps
	Loss          float64 // of the step
	Metric        float64 // of the step, see MetricName
	LR            float64
	Rate          float64       // samples per second
	Left          time.Duration // until the end, 0 if unknown
}

// Validation tells of a validation.
type Validation struct {
	Step   int     `json:"step"`
	Epoch  int     `json:"epochs"` // whole ones done
	Loss   float64 `json:"loss"`
	Metric float64 `json:"metric"`
	Top5   float64 `json:"top5,omitempty"` // share whose class is among the five likeliest; 0 with less than six classes
	Best   bool    `json:"best"`           // the best one so far
}

// Why a run ended.
const (
	EndDone        = "done"
	EndEarly       = "no better validation"
	EndInterrupted = "interrupted"
)

// Result is what became of a run.
type Result struct {
	End        string // EndDone, EndEarly or EndInterrupted, or what a Sync says
	Folder     string
	Model      string // folder of the export, empty if interrupted
	Step       int
	Best       Validation // zero without validation
	Last       Validation
	MetricName string
	LeftOut    int    // samples that an epoch of training left out
	Private    *Spent `json:",omitempty"` // what was spent to hide samples; nil if nothing is counted
}

const (
	accuracy   = "accuracy"
	perplexity = "perplexity"
	rmse       = "rmse" // root of the mean squared error
)

// MetricName returns what Metric is: accuracy, perplexity or rmse.
func (j *Job) MetricName() string {
	switch {
	case j.Data.Text != nil:
		return perplexity
	case j.labelKind() == data.Number:
		return rmse
	}
	return accuracy
}

// metric returns the metric of a score; a root mean squared error is in the units of the
// column, while the loss is of what the trainer sees.
func (r *runner) metric(s train.Score) float64 {
	switch r.job.MetricName() {
	case perplexity:
		return s.Perplexity()
	case rmse:
		return math.Sqrt(s.Mean()) * r.data.scale()
	}
	return s.Accuracy()
}
