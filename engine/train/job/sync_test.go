package job_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/covey-network/covey/engine/train/job"
)

// hook is a Sync of functions; those that are nil do nothing.
type hook struct {
	begin     func(ctx context.Context, r *job.Running) (job.Verdict, error)
	gradient  func(ctx context.Context, r *job.Running, s job.Step) error
	stepped   func(ctx context.Context, r *job.Running, s job.Step) (job.Verdict, error)
	validated func(v job.Validation) (job.Verdict, error)
	save      func() (job.Kept, error)

	run *job.Running
}

var _ job.Sync = (*hook)(nil)

func (h *hook) Begin(ctx context.Context, r *job.Running) (job.Verdict, error) {
	if h.run = r; h.begin == nil {
		return job.Verdict{}, nil
	}
	return h.begin(ctx, r)
}

func (h *hook) Gradient(ctx context.Context, s job.Step) error {
	if h.gradient == nil {
		return nil
	}
	return h.gradient(ctx, h.run, s)
}

func (h *hook) Stepped(ctx context.Context, s job.Step) (job.Verdict, error) {
	if h.stepped == nil {
		return job.Verdict{}, nil
	}
	return h.stepped(ctx, h.run, s)
}

func (h *hook) Validated(_ context.Context, v job.Validation) (job.Verdict, error) {
	if h.validated == nil {
		return job.Verdict{}, nil
	}
	return h.validated(v)
}

func (h *hook) Save() (job.Kept, error) {
	if h.save == nil {
		return job.Kept{}, nil
	}
	return h.save()
}

// syncJobs are a model with running statistics, one with dropout and one of text.
var syncJobs = []struct{ name, job string }{
	{"images", fmt.Sprintf(imageJob, "cnn", cnnSection, 3)},
	{"table", fmt.Sprintf(tableJob, "dropout = 0.2", "class", "sum")},
	{"text", fmt.Sprintf(textJob, false, true, "split = 0.1", 41)},
}

// work makes a folder with data of all kinds and reads a job there.
func work(t testing.TB, text string) *job.Job {
	t.Helper()
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 16)
	table(t, dir, 160)
	texts(t, dir)
	return read(t, dir, text)
}

// TestSyncIdle runs jobs with a Sync that does nothing: the files are those of a run alone.
func TestSyncIdle(t *testing.T) {
	t.Parallel()
	for _, c := range syncJobs {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			alone, tied := work(t, c.job), work(t, c.job)
			run(t, alone, job.Options{})
			var last job.Step
			validations, samples := 0, 0
			h := &hook{
				stepped: func(_ context.Context, r *job.Running, s job.Step) (job.Verdict, error) {
					if s.Step != last.Step+1 || s.Step != r.Trainer.Steps() || !(s.Loss > 0) || s.Epoch < last.Epoch {
						t.Errorf("step %+v after %+v", s, last)
					}
					if s.Epoch == 1 {
						samples += s.Samples
					}
					last = s
					return job.Verdict{}, nil
				},
				validated: func(v job.Validation) (job.Verdict, error) {
					validations++
					if v.Step != last.Step {
						t.Errorf("validation %+v after step %d", v, last.Step)
					}
					return job.Verdict{}, nil
				},
			}
			res := run(t, tied, job.Options{Sync: h})
			if res.End != job.EndDone || last.Step != res.Step || last.Steps != res.Step || validations == 0 {
				t.Errorf("%+v after %+v and %d validations", res, last, validations)
			}
			if samples+res.LeftOut != h.run.Samples || h.run.Validation == 0 || h.run.MetricName != res.MetricName || h.run.Resumed {
				t.Errorf("%d samples in the first epoch of %+v", samples, h.run)
			}
			sameFiles(t, tied.Folder(), alone.Folder())
		})
	}
}

// outer returns a Sync of one: every fifth step it takes a step with momentum from where
// it was five steps ago, as DiLoCo does. block is called in front of that.
func outer(block func(ctx context.Context, s job.Step) error) *hook {
	const every = 5
	var from, momentum []float32
	h := &hook{}
	h.begin = func(_ context.Context, r *job.Running) (job.Verdict, error) {
		if r.Resumed {
			if string(r.Kept.Bytes) != "outer" {
				return job.Verdict{}, fmt.Errorf("kept %q", r.Kept.Bytes)
			}
			from, momentum = r.Kept.Vectors[0], r.Kept.Vectors[1]
			return job.Verdict{}, nil
		}
		from = slices.Clone(r.Trainer.Params().Values)
		momentum = make([]float32, len(from))
		return job.Verdict{}, nil
	}
	h.gradient = func(ctx context.Context, _ *job.Running, s job.Step) error {
		if block != nil && s.Step%every == 2 {
			return block(ctx, s)
		}
		return nil
	}
	h.stepped = func(ctx context.Context, r *job.Running, s job.Step) (job.Verdict, error) {
		if s.Step%every != 0 {
			return job.Verdict{}, nil
		}
		if block != nil {
			if err := block(ctx, s); err != nil {
				return job.Verdict{}, err
			}
		}
		values := r.Trainer.Params().Values
		for i, v := range values {
			d := from[i] - v
			momentum[i] = float32(0.5*momentum[i]) + d
			values[i] = from[i] - float32(0.7*(d+float32(0.5*momentum[i])))
		}
		copy(from, values)
		return job.Verdict{}, nil
	}
	h.save = func() (job.Kept, error) {
		return job.Kept{Bytes: []byte("outer"), Vectors: [][]float32{from, momentum}}, nil
	}
	return h
}

// TestSyncResume interrupts runs while their Sync waits, in front of and behind the step, and
// between steps: each goes on to the bits of a run that nobody disturbed.
func TestSyncResume(t *testing.T) {
	t.Parallel()
	for _, c := range syncJobs {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			whole, cut := work(t, c.job), work(t, c.job)
			run(t, whole, job.Options{Sync: outer(nil)})
			alone := work(t, c.job)
			run(t, alone, job.Options{})
			if contents(t, alone.Folder())["model/model.safetensors"] == contents(t, whole.Folder())["model/model.safetensors"] {
				t.Fatal("the Sync changed nothing")
			}
			for i, at := range []int{5, 7, 8, 10, 12} { // 5 and 10 behind the step, 7 and 12 in front of it, 8 between
				ctx, cancel := context.WithCancel(t.Context())
				h := outer(func(ctx context.Context, s job.Step) error {
					if s.Step == at {
						cancel()
					}
					return ctx.Err()
				})
				res, err := job.Run(ctx, cut, job.Options{Resume: i > 0, Sync: h, Events: job.Events{Step: func(p job.Progress) {
					if p.Step == at && at == 8 {
						cancel()
					}
				}}})
				cancel()
				if want := at - map[bool]int{true: 1}[at%5 == 2]; err != nil || res.End != job.EndInterrupted || res.Step != want {
					t.Fatalf("interrupted at %d: %+v, %v", at, res, err)
				}
			}
			if _, err := job.Run(t.Context(), cut, job.Options{Resume: true}); !errors.Is(err, job.ErrChanged) || !strings.Contains(err.Error(), "trained with others") {
				t.Errorf("went on alone: %v", err)
			}
			run(t, cut, job.Options{Resume: true, Sync: outer(nil)})
			sameFiles(t, cut.Folder(), whole.Folder())
		})
	}
}

// TestSyncKill kills processes while the Sync of their run waits, in front of a step and
// behind it, before the first checkpoint and after some.
func TestSyncKill(t *testing.T) {
	t.Parallel()
	text := fmt.Sprintf(textJob, true, false, "split = 0.1", 60)
	whole, killed := work(t, text), work(t, text)
	run(t, whole, job.Options{Sync: outer(nil)})
	path := filepath.Join(killed.Dir, "job.toml")
	for _, at := range []string{"2", "5", "12", "15", "15", "32", "60"} {
		p := start(t, path, childSyncEnv+"="+at)
		waits := false
		for !waits && p.Scan() {
			waits = p.Text() == "waits"
		}
		if p.kill(t) || !waits {
			t.Fatalf("the run did not wait at step %s: %s", at, p.errors.String())
		}
	}
	run(t, killed, job.Options{Resume: true, Sync: outer(nil)})
	sameFiles(t, killed.Folder(), whole.Folder())
}

// round is runs in one process that take means of vectors: the first adds what the others send
// it in their order, and sends them the mean.
type round struct {
	up, down []chan []float32
}

func newRound(n int) *round {
	r := &round{}
	for range n {
		r.up, r.down = append(r.up, make(chan []float32, 1)), append(r.down, make(chan []float32, 1))
	}
	return r
}

// mean replaces v with the mean of those of all runs.
func (r *round) mean(ctx context.Context, rank int, v []float32) error {
	from := func(c chan []float32) []float32 {
		select {
		case x := <-c:
			return x
		case <-ctx.Done():
			return nil
		}
	}
	if rank > 0 {
		r.up[rank] <- slices.Clone(v)
		copy(v, from(r.down[rank]))
		return ctx.Err()
	}
	for _, c := range r.up[1:] {
		for i, x := range from(c) {
			v[i] += x
		}
	}
	for i := range v {
		v[i] *= 1 / float32(len(r.up))
	}
	for _, c := range r.down[1:] {
		c <- slices.Clone(v)
	}
	return ctx.Err()
}

// together runs jobs, each with its options, to their end.
func together(t *testing.T, jobs []*job.Job, options []job.Options) []*job.Result {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	results := make([]*job.Result, len(jobs))
	var group sync.WaitGroup
	for i, j := range jobs {
		group.Go(func() {
			res, err := job.Run(ctx, j, options[i])
			if results[i] = res; err != nil || res.End == job.EndInterrupted {
				t.Errorf("run %d: %+v, %v", i, res, err)
				cancel() // the others wait for it
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return results
}

// TestSyncAverage trains two runs in one process on different data, which take the mean of
// their parameters after each step and of their running statistics: they end with the same
// model, which knows what both have learned.
func TestSyncAverage(t *testing.T) {
	t.Parallel()
	text := strings.Replace(fmt.Sprintf(imageJob, "cnn", cnnSection, 4), "split = 0.25", `validation = "others"`, 1)
	with := newRound(2)
	var jobs []*job.Job
	var options []job.Options
	for i := range 2 {
		dir := t.TempDir()
		otherPictures(t, filepath.Join(dir, "images"), 16, uint64(10+i))
		otherPictures(t, filepath.Join(dir, "others"), 8, 12)
		jobs = append(jobs, read(t, dir, text))
		options = append(options, job.Options{Sync: &hook{stepped: func(ctx context.Context, r *job.Running, _ job.Step) (job.Verdict, error) {
			return job.Verdict{}, errors.Join(with.mean(ctx, i, r.Trainer.Params().Values), with.mean(ctx, i, r.Trainer.Stats()))
		}}})
	}
	for i, res := range together(t, jobs, options) {
		if !(res.Last.Metric > 0.9) {
			t.Errorf("run %d: %+v", i, res)
		}
	}
	a, b := contents(t, jobs[0].Folder()), contents(t, jobs[1].Folder())
	if a["model/model.safetensors"] != b["model/model.safetensors"] {
		t.Error("the two have other models")
	}
	if a["history.csv"] == b["history.csv"] {
		t.Error("the two had the same data")
	}
}

// TestSyncLate begins a run with the state that another had after 12 steps: from there on
// the two do the same, as far as their data does not count.
func TestSyncLate(t *testing.T) {
	t.Parallel()
	const at, end = 12, 30
	text := fmt.Sprintf(textJob, true, false, "split = 0.1", end)
	type state struct {
		values, stats []float32
		moments       [][]float32
	}
	take := func(r *job.Running) state {
		s := state{slices.Clone(r.Trainer.Params().Values), slices.Clone(r.Trainer.Stats()), nil}
		for _, m := range r.Trainer.Moments() {
			s.moments = append(s.moments, slices.Clone(m))
		}
		return s
	}
	made := func(_ context.Context, r *job.Running, s job.Step) error { // gradients of no data
		for i := range r.Trainer.Params().Grads {
			r.Trainer.Params().Grads[i] = float32((i*7+s.Step*13)%11) - 5
		}
		return nil
	}
	var then, want, got state
	run(t, work(t, text), job.Options{Sync: &hook{gradient: made, stepped: func(_ context.Context, r *job.Running, s job.Step) (job.Verdict, error) {
		switch s.Step {
		case at:
			then = take(r)
		case end:
			want = take(r)
		}
		return job.Verdict{}, nil
	}}})
	late := &hook{gradient: made}
	late.begin = func(_ context.Context, r *job.Running) (job.Verdict, error) {
		copy(r.Trainer.Params().Values, then.values)
		copy(r.Trainer.Stats(), then.stats)
		for i, m := range r.Trainer.Moments() {
			copy(m, then.moments[i])
		}
		return job.Verdict{Validate: true}, r.Trainer.SetSteps(at)
	}
	var first job.Validation
	late.validated = func(v job.Validation) (job.Verdict, error) {
		if first.Step == 0 {
			first = v
		}
		return job.Verdict{}, nil
	}
	steps := 0
	late.stepped = func(_ context.Context, r *job.Running, _ job.Step) (job.Verdict, error) {
		steps++
		got = take(r)
		return job.Verdict{}, nil
	}
	if res := run(t, work(t, text), job.Options{Sync: late}); res.Step != end || steps != end-at || first.Step != at {
		t.Errorf("%+v after %d steps, the first validation was %+v", res, steps, first)
	}
	if !slices.Equal(got.values, want.values) || !slices.EqualFunc(got.moments, want.moments, slices.Equal) || len(want.moments) != 2 {
		t.Error("the late run has other numbers than the first")
	}
}

// TestSyncVerdicts lets a Sync decide when a run ends, validates and saves.
func TestSyncVerdicts(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("steps = 1\n", "", "validate_every = 20\ncheckpoint_every = 7\n", "", `schedule = {kind = "cosine", warmup = 5, final = 0.1}`, "").Replace(fmt.Sprintf(textJob, true, false, "split = 0.1", 1))
	dir := t.TempDir()
	texts(t, dir)
	path := write(t, dir, "job.toml", text)
	if _, err := job.Read(path); err == nil || !strings.Contains(err.Error(), "neither epochs nor steps") {
		t.Errorf("without a length: %v", err)
	}
	j := read(t, dir, strings.Replace(text, "batch = 4", "steps = 1\nbatch = 4", 1))
	j.Train.Steps = 0
	if _, err := job.Run(t.Context(), j, job.Options{Sync: &hook{}}); err == nil || !strings.Contains(err.Error(), "neither epochs nor steps") {
		t.Errorf("with a Sync that does not end it: %v", err)
	}
	j.Train.Schedule.Kind = "cosine"
	if _, err := job.Run(t.Context(), j, job.Options{Sync: &hook{}, SyncEnds: true}); err == nil || !strings.Contains(err.Error(), "train.schedule.steps: is missing") {
		t.Errorf("a cosine without an end: %v", err)
	}
	j.Train.Schedule.Kind = ""
	var validated []int
	saves := 0
	h := &hook{
		stepped: func(_ context.Context, _ *job.Running, s job.Step) (job.Verdict, error) {
			if s.Steps != 0 {
				t.Errorf("step %+v of a run without a length", s)
			}
			return job.Verdict{Validate: s.Step == 3 || s.Step == 5, Checkpoint: s.Step == 4}, nil
		},
		validated: func(v job.Validation) (job.Verdict, error) {
			validated = append(validated, v.Step)
			if v.Step == 5 {
				return job.Verdict{End: "target reached"}, nil
			}
			return job.Verdict{}, nil
		},
		save: func() (job.Kept, error) { saves++; return job.Kept{Bytes: []byte{1}}, nil },
	}
	var at4 bool
	res := run(t, j, job.Options{Sync: h, SyncEnds: true, Events: job.Events{Step: func(p job.Progress) {
		_, err := os.Stat(filepath.Join(j.Folder(), "last.state"))
		at4 = at4 || err == nil && p.Step == 5
		if err == nil && p.Step < 5 {
			t.Errorf("there is a checkpoint at step %d", p.Step)
		}
	}}})
	if res.End != "target reached" || res.Step != 5 || res.Model == "" || !slices.Equal(validated, []int{3, 5}) || !at4 || saves < 3 {
		t.Errorf("%+v, validated at %v, saved %d times, in time: %v", res, validated, saves, at4)
	}
	over := &hook{begin: func(_ context.Context, r *job.Running) (job.Verdict, error) {
		if !r.Resumed || string(r.Kept.Bytes) != "\x01" {
			t.Errorf("resumed as %+v", r)
		}
		return job.Verdict{End: "still over"}, nil
	}}
	if res := run(t, j, job.Options{Resume: true, Sync: over, SyncEnds: true}); res.End != "still over" || res.Step != 5 || res.Model == "" {
		t.Errorf("resumed at the end: %+v", res)
	}
}

// TestSyncAloneEnds has steps, epochs and patience that are over before the Sync ends the run: with
// SyncEnds they end nothing, for other members would reach them at another time.
func TestSyncAloneEnds(t *testing.T) {
	t.Parallel()
	for name, bound := range map[string]func(t *job.Train){
		"steps":    func(t *job.Train) { t.Steps, t.Epochs = 2, 0 },
		"epochs":   func(t *job.Train) { t.Steps, t.Epochs = 0, 1 },
		"patience": func(t *job.Train) { t.Steps, t.Epochs, t.Patience, t.ValidateEvery, t.Optimizer.LR = 0, 1, 1, 1, 1e-30 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := work(t, fmt.Sprintf(textJob, true, false, "split = 0.1", 60))
			bound(&j.Train)
			j.Train.Schedule = (job.Train{}).Schedule
			h := &hook{stepped: func(_ context.Context, _ *job.Running, s job.Step) (job.Verdict, error) {
				if s.Epoch == 3 && s.Step > 4 {
					return job.Verdict{End: "certified"}, nil
				}
				return job.Verdict{}, nil
			}}
			if res := run(t, j, job.Options{Sync: h, SyncEnds: true}); res.End != "certified" {
				t.Errorf("after step %d: %s", res.Step, res.End)
			}
		})
	}
}

// TestSyncExport ends a run whose last step made the model worse: what is exported is the best
// of the run, or the last if the Sync says so, and what it exports itself is what there is.
func TestSyncExport(t *testing.T) {
	t.Parallel()
	for _, last := range []bool{false, true} {
		j := work(t, fmt.Sprintf(textJob, true, false, "split = 0.1", 60))
		now := filepath.Join(t.TempDir(), "now")
		h := &hook{stepped: func(_ context.Context, r *job.Running, s job.Step) (job.Verdict, error) {
			if s.Step < 22 {
				return job.Verdict{}, nil
			}
			clear(r.Trainer.Params().Values)
			return job.Verdict{End: "enough", Last: last}, errors.Join(r.Export(now), r.Export(now))
		}}
		res := run(t, j, job.Options{Sync: h})
		if res.Best.Step != 20 || res.Last.Step != 22 {
			t.Errorf("%+v", res)
		}
		got, want := contents(t, res.Model), contents(t, now)
		for name := range want {
			if same := got[name] == want[name]; same != (last || name != "model.safetensors") {
				t.Errorf("the last is exported: %v; %s is the same: %v", last, name, same)
			}
		}
		if len(got) != len(want) || len(want) < 4 {
			t.Errorf("files %v, want %v", keys(got), keys(want))
		}
	}
}

// TestSyncFails lets each method fail: the run does too, with its words.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		hook *hook
		want string
	}{
		"begin":      {&hook{begin: func(context.Context, *job.Running) (job.Verdict, error) { return job.Verdict{}, broken }}, "broken"},
		"gradient":   {&hook{gradient: func(context.Context, *job.Running, job.Step) error { return broken }}, "broken"},
		"stepped":    {&hook{stepped: func(context.Context, *job.Running, job.Step) (job.Verdict, error) { return job.Verdict{}, broken }}, "broken"},
		"validated":  {&hook{validated: func(job.Validation) (job.Verdict, error) { return job.Verdict{}, broken }}, "broken"},
		"save":       {&hook{save: func() (job.Kept, error) { return job.Kept{}, broken }}, "broken"},
		"many bytes": {&hook{save: func() (job.Kept, error) { return job.Kept{Bytes: make([]byte, job.MaxKeptBytes+1)}, nil }}, "262145 bytes"},
		"many vectors": {&hook{save: func() (job.Kept, error) {
			return job.Kept{Vectors: make([][]float32, job.MaxKeptVectors+1)}, nil
		}}, "9 vectors"},
		"a long vector": {&hook{save: func() (job.Kept, error) { return job.Kept{Vectors: [][]float32{make([]float32, 1<<20)}}, nil }}, "1048576 numbers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := work(t, fmt.Sprintf(textJob, true, false, "split = 0.1", 21))
			if _, err := job.Run(t.Context(), j, job.Options{Sync: c.hook}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestSyncNeverBegan interrupts a run while its Sync begins: what it kept stays.
func TestSyncNeverBegan(t *testing.T) {
	t.Parallel()
	text := fmt.Sprintf(textJob, true, false, "split = 0.1", 21)
	whole, cut := work(t, text), work(t, text)
	run(t, whole, job.Options{Sync: outer(nil)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := outer(func(ctx context.Context, s job.Step) error {
		if s.Step == 10 {
			cancel()
		}
		return ctx.Err()
	})
	if res, err := job.Run(ctx, cut, job.Options{Sync: h}); err != nil || res.End != job.EndInterrupted {
		t.Fatalf("%+v, %v", res, err)
	}
	before := contents(t, cut.Folder())["last.state"]
	waiting, stopWaiting := context.WithCancel(t.Context())
	defer stopWaiting()
	res, err := job.Run(waiting, cut, job.Options{Resume: true, Sync: &hook{begin: func(ctx context.Context, _ *job.Running) (job.Verdict, error) {
		stopWaiting()
		return job.Verdict{}, ctx.Err()
	}}})
	if err != nil || res.End != job.EndInterrupted || contents(t, cut.Folder())["last.state"] != before {
		t.Errorf("%+v, %v, or the checkpoint has changed", res, err)
	}
	run(t, cut, job.Options{Resume: true, Sync: outer(nil)})
	sameFiles(t, cut.Folder(), whole.Folder())
}

// TestValues has the size of the model checked before a Sync sees it.
func TestValues(t *testing.T) {
	t.Parallel()
	values := 0
	run(t, work(t, syncJobs[0].job), job.Options{Sync: &hook{begin: func(_ context.Context, r *job.Running) (job.Verdict, error) {
		values = len(r.Trainer.Params().Values) + len(r.Trainer.Stats())
		return job.Verdict{}, nil
	}}})
	run(t, work(t, syncJobs[0].job), job.Options{Values: values})
	if _, err := job.Run(t.Context(), work(t, syncJobs[0].job), job.Options{Values: values + 1}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("has %d numbers, want %d", values, values+1)) {
		t.Errorf("a model of another size: %v", err)
	}
}
