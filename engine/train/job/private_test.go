package job_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/engine/train/privacy"
)

const plainCNN = `[model.cnn]
layers = [{type = "conv", channels = 6, relu = true}, {type = "maxpool"}, {type = "flatten"}]`

// privateJobs are a job of each kind, of models without batch norm.
var privateJobs = []struct{ name, job string }{
	{"classes of a table", fmt.Sprintf(tableJob, "dropout = 0.1", "class", "sum")},
	{"numbers of a table", fmt.Sprintf(tableJob, "regression = true", "sum", "class")},
	{"images", fmt.Sprintf(imageJob, "cnn", plainCNN, 3)},
	{"texts of classes", bertJob},
	{"text", fmt.Sprintf(textJob, false, true, "split = 0.1", 21)},
}

func private(seed byte) *job.Private {
	return &job.Private{Clip: 1, Noise: 1.1, Delta: 1e-5, Seed: [32]byte{seed}}
}

// TestPrivateRun trains jobs of all kinds with their samples hidden: what is told of that is what the
// accountant says of as many steps with samples at the rate of the batch.
func TestPrivateRun(t *testing.T) {
	t.Parallel()
	for _, c := range privateJobs {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			j := work(t, c.job)
			var start job.Start
			samples := 0
			h := &hook{stepped: func(_ context.Context, r *job.Running, s job.Step) (job.Verdict, error) {
				if samples = s.Samples; r.Spent().Steps != s.Step || !r.Affords() {
					t.Errorf("after step %d: %+v", s.Step, r.Spent())
				}
				return job.Verdict{}, nil
			}}
			res := run(t, j, job.Options{Private: private(1), Sync: h, Events: job.Events{Start: func(s job.Start) { start = s }}})
			if res.End != job.EndDone || res.Private == nil || res.Model == "" || samples != j.Train.Batch {
				t.Fatalf("%+v with %d samples a step", res, samples)
			}
			rate := float64(j.Train.Batch) / float64(start.Samples)
			var a privacy.Accountant
			if want := a.With(privacy.Steps{Rate: rate, Noise: 1.1, Count: res.Step}, 1e-5); res.Private.Epsilon != want || res.Private.Steps != res.Step || res.Private.Rate != rate {
				t.Errorf("%+v after %d steps, want epsilon %v", res.Private, res.Step, want)
			}
			if !strings.Contains(strings.Join(start.Notes, "\n"), "epsilon 0 is spent at delta 1e-05") {
				t.Errorf("told at the start: %q", start.Notes)
			}
			if c.name != "classes of a table" {
				return
			}
			again, other := work(t, c.job), work(t, c.job)
			run(t, again, job.Options{Private: private(1)})
			run(t, other, job.Options{Private: private(2)})
			one := contents(t, j.Folder())["model/model.safetensors"]
			if contents(t, again.Folder())["model/model.safetensors"] != one {
				t.Error("the same seed makes another model")
			}
			if contents(t, other.Folder())["model/model.safetensors"] == one {
				t.Error("another seed makes the same model")
			}
		})
	}
}

// TestPrivateRunLearns reaches with a little noise what a model of a table reaches without.
func TestPrivateRunLearns(t *testing.T) {
	t.Parallel()
	p := private(3)
	p.Noise = 0.6
	if res := run(t, work(t, fmt.Sprintf(tableJob, "", "class", "sum")), job.Options{Private: p}); res.Best.Metric < 0.85 {
		t.Errorf("%+v", res.Best)
	}
	p.Noise = 30
	if res := run(t, work(t, fmt.Sprintf(tableJob, "", "class", "sum")), job.Options{Private: p}); res.Best.Metric > 0.95 {
		t.Errorf("with much noise: %+v", res.Best)
	}
	if res := run(t, work(t, fmt.Sprintf(tableJob, "", "class", "sum")), job.Options{Private: &job.Private{Clip: 1}, Events: job.Events{Start: func(s job.Start) {
		if !strings.Contains(strings.Join(s.Notes, "\n"), "without noise: nothing is promised") {
			t.Errorf("told without noise: %q", s.Notes)
		}
	}}}); res.Private != nil || res.Best.Metric < 0.9 {
		t.Errorf("without noise: %+v, %+v", res.Private, res.Best)
	}
}

// TestBudgetEndsTheRun ends with the last step that the budget allows, and when the run goes on does
// no further one.
func TestBudgetEndsTheRun(t *testing.T) {
	t.Parallel()
	j := work(t, fmt.Sprintf(tableJob, "", "class", "sum"))
	p := private(1)
	p.Epsilon = 4
	for seed := range byte(2) {
		p.Seed[1] = seed
		res := run(t, j, job.Options{Private: p, Resume: seed > 0})
		var a privacy.Accountant
		kind := privacy.Steps{Rate: res.Private.Rate, Noise: 1.1, Count: res.Step + 1}
		if res.End != job.EndSpent || res.Step < 5 || res.Private.Epsilon > 4 || a.With(kind, 1e-5) <= 4 || res.Private.Steps != res.Step || res.Model == "" {
			t.Errorf("%+v with %+v", res, res.Private)
		}
	}
	p.Epsilon = 0.01
	_, err := job.Run(t.Context(), work(t, fmt.Sprintf(tableJob, "", "class", "sum")), job.Options{Private: p})
	if err == nil || !strings.Contains(err.Error(), "swarm.privacy.epsilon: is 0.01, and the first step takes") {
		t.Errorf("a budget of nothing: %v", err)
	}
}

// TestSpentIsRemembered interrupts runs, and kills them before and after something has left the
// machine: what was spent before counts on, but for steps of which nothing is left.
func TestSpentIsRemembered(t *testing.T) {
	t.Parallel()
	text := strings.Replace(fmt.Sprintf(tableJob, "", "class", "sum"), "epochs = 12", "steps = 30\ncheckpoint_every = 4", 1)
	for _, c := range []struct {
		name              string
		cut, release      int // steps after which the run is cut off, and after which something leaves
		kill              bool
		steps, want, kept int // done in the end and counted; what is counted when it goes on
	}{
		{"interrupted", 10, 3, false, 30, 30, 10},
		{"killed after a checkpoint", 10, 3, true, 30, 30, 8}, // nothing is left of steps 9 and 10
		{"killed after a release", 11, 11, true, 30, 33, 11},
		{"killed before the first checkpoint", 3, 2, true, 30, 32, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			j := work(t, text)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			left := map[string][]byte{}
			h := &hook{stepped: func(_ context.Context, r *job.Running, s job.Step) (job.Verdict, error) {
				if s.Step == c.release {
					if err := r.Release(); err != nil {
						t.Error(err)
					}
				}
				if s.Step == c.cut {
					for _, name := range []string{"last.state", "history.csv", "privacy.json"} { // what a kill leaves
						if b, err := os.ReadFile(filepath.Join(j.Folder(), name)); err == nil {
							left[name] = b
						}
					}
					cancel()
				}
				return job.Verdict{}, nil
			}}
			if _, err := job.Run(ctx, j, job.Options{Private: private(1), Sync: h}); err != nil {
				t.Fatal(err)
			}
			if c.kill {
				if err := os.RemoveAll(j.Folder()); err != nil {
					t.Fatal(err)
				}
				for name, b := range left {
					write(t, j.Folder(), name, string(b))
				}
			}
			began := -1
			h = &hook{begin: func(_ context.Context, r *job.Running) (job.Verdict, error) {
				began = r.Spent().Steps
				return job.Verdict{}, nil
			}}
			res := run(t, j, job.Options{Private: private(2), Resume: c.cut > 3, Sync: h})
			if began != c.kept || res.Step != c.steps || res.Private.Steps != c.want {
				t.Errorf("goes on with %d steps counted and ends with %d after %d, want %d, %d, %d", began, res.Private.Steps, res.Step, c.kept, c.want, c.steps)
			}
		})
	}
}

// TestPrivateRefused names what cannot be hidden, and what has changed.
func TestPrivateRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ job, want string }{
		"batch norm": {fmt.Sprintf(imageJob, "cnn", cnnSection, 3), "line 2: model: has batch norms"},
		"accumulate": {strings.Replace(fmt.Sprintf(tableJob, "", "class", "sum"), "threads = 1", "accumulate = 2", 1), "line 15: train.accumulate: is 2"},
	} {
		if _, err := job.Run(t.Context(), work(t, c.job), job.Options{Private: private(1)}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	j := work(t, fmt.Sprintf(tableJob, "", "class", "sum"))
	run(t, j, job.Options{})
	if _, err := job.Run(t.Context(), j, job.Options{Resume: true, Private: private(1)}); err == nil || !strings.Contains(err.Error(), "privacy was none and is clip 1, noise 1.1") {
		t.Errorf("a run that was not private: %v", err)
	}
	j = work(t, fmt.Sprintf(tableJob, "", "class", "sum"))
	write(t, j.Folder(), job.PrivateFile, "{")
	if _, err := job.Run(t.Context(), j, job.Options{Private: private(1)}); err == nil || !strings.Contains(err.Error(), "what was spent of privacy before") {
		t.Errorf("a damaged file: %v", err)
	}
}

// TestFewSamplesForDelta warns of a delta that hides nothing.
func TestFewSamplesForDelta(t *testing.T) {
	t.Parallel()
	p := private(1)
	p.Delta = 0.1
	var start job.Start
	run(t, work(t, fmt.Sprintf(tableJob, "", "class", "sum")), job.Options{Private: p, Events: job.Events{Start: func(s job.Start) { start = s }}})
	if !strings.Contains(strings.Join(start.Warnings, "\n"), "swarm.privacy.delta is 0.1") {
		t.Errorf("warnings: %q", start.Warnings)
	}
}
