package job

import (
	"context"
	"fmt"

	"github.com/covey-network/covey/engine/train"
)

// Sync ties a run to others of the same model: it sees each gradient before it is applied
// and each step after it, and may change what the run goes on with. Everything else stays the
// run's: progress, validation, history, checkpoints and export are the same with and without.
//
// All methods are called by the goroutine of Run, one at a time. They may block: the context
// is that of the run. A method that returns an error must have left the trainer's numbers as
// they were; an error after the context has ended interrupts the run, which then saves a
// checkpoint, and what was not finished is done again when it goes on: Stepped with the same
// step. Other errors end the run.
type Sync interface {
	// Begin is called once before the first step, after a resume too. The trainer may be
	// given another state here: parameters, running statistics, moments and steps. If it
	// returns an error no checkpoint is written.
	Begin(ctx context.Context, r *Running) (Verdict, error)
	// Gradient is called when the gradient of a step is there and not yet applied. Gradients
	// and running statistics may be replaced.
	Gradient(ctx context.Context, s Step) error
	// Stepped is called after each step. All of the trainer's state may be replaced.
	Stepped(ctx context.Context, s Step) (Verdict, error)
	// Validated is called after each validation, before its results are kept: v.Best tells
	// whether it is the best of this run. It must not change the trainer's numbers, which
	// are what was validated.
	Validated(ctx context.Context, v Validation) (Verdict, error)
	// Save returns what goes into the checkpoint that is being written, between two calls of
	// the others.
	Save() (Kept, error)
}

// Running is a run as a Sync sees it.
type Running struct {
	// Trainer has all numbers: Params (with gradients), Stats, Moments, Steps and SetSteps.
	// They are the run's, and may be read and changed as Sync says, in its methods only.
	Trainer    *train.Trainer
	Samples    int     // for training, of this run in each epoch
	Validation int     // samples for validation, 0 without
	MetricName string  // see Job.MetricName
	Schema     *Schema // of the data: Options.Schema, or what the data decided
	Resumed    bool    // it goes on from a checkpoint
	Kept       Kept    // what Save returned for that one

	run *runner
}

// Export writes the model as it is now to a folder, as the end of a run does. An older one of
// that name stays until the new one is whole. Runs with one Schema and one state write the same
// bytes. Like the trainer it is for the methods of the Sync.
func (r *Running) Export(dir string) error {
	files, err := r.run.files()
	if err == nil {
		err = replaceDir(dir, files)
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// Step is a step as a Sync sees it.
type Step struct {
	Step    int     `json:"step"`    // its number, from 1
	Steps   int     `json:"steps"`   // in all, 0 if that is not known
	Epoch   int     `json:"epoch"`   // the current one of this run, from 1
	Samples int     `json:"samples"` // in its batch, or batches
	Loss    float64 `json:"loss"`    // mean of its batch, or of the means of its batches
	LR      float64 `json:"lr"`      // learning rate; 0 before it is applied
}

// Verdict is what a Sync wants of its run. The zero value lets it go on.
type Verdict struct {
	// End ends the run and is Result.End then. The last validation, the checkpoint and the
	// export are done as at any other end. It is not kept: where a run that is over is
	// resumed, Begin has to say so again.
	End        string
	Last       bool // with End: the export is the state as it is, which all have, and not the best of this run
	Validate   bool // validate before the next step, whatever the job says
	Checkpoint bool // save a checkpoint before the next step, after the validation if there is one
}

// Limits of Kept.
const (
	MaxKeptBytes   = 256 << 10
	MaxKeptVectors = 8
)

// Kept is what a Sync has in a checkpoint. What Save returned is written before another
// method is called, and not held; what Begin is given is the Sync's own.
type Kept struct {
	Bytes   []byte      // at most MaxKeptBytes
	Vectors [][]float32 // at most MaxKeptVectors, each at most four times as long as the parameters and running statistics
}

func (k *Kept) check(params, stats int) error {
	if len(k.Bytes) > MaxKeptBytes || len(k.Vectors) > MaxKeptVectors {
		return fmt.Errorf("sync: %d bytes and %d vectors for a checkpoint, at most %d and %d", len(k.Bytes), len(k.Vectors), MaxKeptBytes, MaxKeptVectors)
	}
	for i, v := range k.Vectors {
		if most := 4 * (params + stats); len(v) > most {
			return fmt.Errorf("sync: vector %d for a checkpoint has %d numbers, at most %d", i, len(v), most)
		}
	}
	return nil
}

// begin lets the Sync begin.
func (r *runner) begin(ctx context.Context) error {
	if r.sync == nil {
		return nil
	}
	s := &Running{run: r, Trainer: r.trainer, Samples: r.samples(), MetricName: r.job.MetricName(), Schema: r.data.is(r.job), Resumed: r.resumed, Kept: r.kept}
	if r.data.validation != nil {
		s.Validation = r.data.validation.Len()
	}
	r.kept = Kept{}
	return r.take(r.sync.Begin(ctx, s))
}

// take takes a verdict over.
func (r *runner) take(v Verdict, err error) error {
	if err != nil {
		return err
	}
	if v.End != "" {
		r.end, r.last = v.End, v.Last
	}
	r.at.Validate = r.at.Validate || v.Validate && r.data.validation != nil
	r.due = r.due || v.Checkpoint
	return nil
}

// exchange lets the Sync see the gradient. If it fails, running statistics are as before the
// gradient, so that the step can be done again.
func (r *runner) exchange(ctx context.Context, s Step) error {
	err := r.sync.Gradient(ctx, s)
	if err != nil {
		copy(r.trainer.Stats(), r.stats)
	}
	return err
}

// stepped lets the Sync see the last step, which it may have to see again.
func (r *runner) stepped(ctx context.Context) error {
	if err := r.take(r.sync.Stepped(ctx, *r.at.Pending)); err != nil {
		return err
	}
	r.at.Pending = nil
	return nil
}
