package job_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/job"
)

// fixed gives a job of syncJobs a number of steps and validations at fixed ones, and sets
// accumulate.
func fixed(text string, steps, accumulate int) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		key, _, _ := strings.Cut(line, " =")
		switch key {
		case "epochs", "steps", "validate_every":
		case "batch":
			out = append(out, line, fmt.Sprintf("steps = %d\nvalidate_every = 6\naccumulate = %d", steps, accumulate))
		default:
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// TestJoinedBatches trains runs that share the data and average gradients and running
// statistics in the order of their ranks: each has the bits of one run that accumulates as
// many batches. The parts of the data differ in size, so that epochs end at other steps.
func TestJoinedBatches(t *testing.T) {
	t.Parallel()
	for _, c := range syncJobs {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprint(c.name, " ", n), func(t *testing.T) {
				t.Parallel()
				one := work(t, fixed(c.job, 20, n))
				want := run(t, one, job.Options{})
				with := newRound(n)
				var jobs []*job.Job
				var options []job.Options
				samples := make([]int, n)
				for i := range n {
					jobs = append(jobs, work(t, fixed(c.job, 20, 1)))
					h := &hook{gradient: func(ctx context.Context, r *job.Running, _ job.Step) error {
						samples[i] = r.Samples
						return errors.Join(with.mean(ctx, i, r.Trainer.Params().Grads), with.mean(ctx, i, r.Trainer.Stats()))
					}}
					options = append(options, job.Options{Sync: h, Rank: i, Of: n})
				}
				all := 0
				for i, res := range together(t, jobs, options) {
					if res.Best != want.Best || res.Last != want.Last || res.Step != want.Step {
						t.Errorf("run %d: %+v, want %+v", i, res, want)
					}
					if contents(t, jobs[i].Folder())["model/model.safetensors"] != contents(t, one.Folder())["model/model.safetensors"] {
						t.Errorf("run %d has another model", i)
					}
					all += samples[i]
				}
				h := &hook{}
				run(t, one, job.Options{Resume: true, Sync: h})
				if all != h.run.Samples {
					t.Errorf("the parts have %v samples, all %d", samples, h.run.Samples)
				}
			})
		}
	}
}

// TestAccumulate interrupts runs that take several batches for each step: they go on to the
// bits of one that nobody disturbed, which are others than those of one batch.
func TestAccumulate(t *testing.T) {
	t.Parallel()
	for _, c := range syncJobs {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(c.job, "threads = 1", "threads = 1\naccumulate = 3", 1)
			whole, cut, alone := work(t, text), work(t, text), work(t, c.job)
			var start job.Start
			total := 0
			h := &hook{stepped: func(_ context.Context, _ *job.Running, s job.Step) (job.Verdict, error) {
				total += s.Samples
				return job.Verdict{}, nil
			}}
			res := run(t, whole, job.Options{Sync: h, Events: job.Events{Start: func(s job.Start) { start = s }}})
			if res.Step != start.Steps || start.Samples != h.run.Samples {
				t.Errorf("%+v, started as %+v", res, start)
			}
			if epochs := whole.Train.Epochs; epochs > 0 && (total < epochs*(start.Samples-res.LeftOut) || total > epochs*start.Samples+2*whole.Train.Batch) {
				t.Errorf("%d samples in %d epochs of %d", total, epochs, start.Samples)
			}
			interrupt(t, cut, 1, 3, 4, res.Step-1)
			sameFiles(t, cut.Folder(), whole.Folder())
			run(t, alone, job.Options{})
			if contents(t, whole.Folder())["model/model.safetensors"] == contents(t, alone.Folder())["model/model.safetensors"] {
				t.Error("accumulate changes nothing")
			}
			cut.Train.Accumulate = 2
			if _, err := job.Run(t.Context(), cut, job.Options{Resume: true}); !errors.Is(err, job.ErrChanged) || !strings.Contains(err.Error(), "train.accumulate was 3 and is 2") {
				t.Errorf("another number of batches: %v", err)
			}
		})
	}
}

// TestParts goes on with another part of the data, and asks for parts that there are not.
func TestParts(t *testing.T) {
	t.Parallel()
	j := work(t, fmt.Sprintf(textJob, true, false, "split = 0.1", 21))
	run(t, j, job.Options{Rank: 1, Of: 3})
	for _, o := range []job.Options{{Rank: 2, Of: 3}, {}} {
		o.Resume = true
		if _, err := job.Run(t.Context(), j, o); !errors.Is(err, job.ErrChanged) || !strings.Contains(err.Error(), "the part of the data was 1 of 3 and is") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	run(t, j, job.Options{Resume: true, Rank: 1, Of: 3})
	for _, o := range []job.Options{{Rank: 3, Of: 3}, {Rank: -1, Of: 3}, {Of: -1}, {Rank: 4000, Of: 5000}} {
		if res, err := job.Run(t.Context(), work(t, fmt.Sprintf(textJob, true, false, "split = 0.1", 2)), o); err == nil {
			t.Errorf("%+v: %+v", o, res)
		}
	}
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 4)
	few := read(t, dir, strings.Replace(fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [4]}", 2), "threads = 1", "accumulate = 60", 1))
	if _, err := job.Run(t.Context(), few, job.Options{}); err == nil || !strings.Contains(err.Error(), "line 20: train.accumulate: is 60 for 10 samples") {
		t.Errorf("more batches than samples: %v", err)
	}
}
