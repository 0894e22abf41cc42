package job_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/job"
)

const imageJob = `version = 1
[model]
kind = "%s"
%s
[data.images]
folder = "images"
split = 0.25
size = [8, 8]
gray = true
mean = [0.5]
std = [0.25]
[data.images.augment]
crop = "random"
padding = 1
rotate = 5
zoom = [0.9, 1.1]
[train]
epochs = %d
batch = 8
threads = 1
seed = 5
best = "metric"
optimizer = {kind = "adamw", lr = 0.01, decay = 0.01}
schedule = {kind = "cosine", warmup = 3}
`

const cnnSection = `[model.cnn]
layers = [{type = "conv", channels = 6, norm = true, relu = true}, {type = "maxpool"}, {type = "flatten"}]`

const tableJob = `version = 1
[model]
kind = "mlp"
[model.mlp]
hidden = [16]
%s
[data.csv]
file = "table.csv"
label = "%s"
split = 0.25
columns = [{name = "id", kind = "ignore"}, {name = "said", kind = "ignore"}, {name = "%s", kind = "ignore"}]
[train]
epochs = 12
batch = 16
threads = 1
optimizer = {kind = "adam", lr = 0.02}
`

const bertJob = `version = 1
[model]
kind = "bert"
[model.bert]
dim = 16
blocks = 1
heads = 2
ffn = 32
[data.csv]
file = "table.csv"
label = "class"
split = 0.25
length = 12
columns = [{name = "said", kind = "text"}]
[train]
epochs = 6
batch = 16
threads = 1
optimizer = {kind = "adam", lr = 0.01}
`

const textJob = `version = 1
[model]
kind = "llama"
[model.llama]
dim = 32
blocks = 2
heads = 4
kv_heads = 2
ffn = 48
context = 64
tied = %v
qkv_bias = %v
[data.text]
folder = "texts"
files = ["*.txt"]
%s
length = 24
[train]
steps = %d
batch = 4
threads = 1
seed = 2
clip = 1
validate_every = 20
checkpoint_every = 7
optimizer = {kind = "adamw", lr = 0.01, decay = 0.1}
schedule = {kind = "cosine", warmup = 5, final = 0.1}
`

func TestRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, job string
		bad       int // files, rows and samples left out, each told once
		metric    string
		ok        func(v job.Validation) bool
	}{
		{"cnn", fmt.Sprintf(imageJob, "cnn", cnnSection, 6), 1, "accuracy", func(v job.Validation) bool { return v.Metric > 0.9 }},
		{"resnet", strings.Replace(fmt.Sprintf(imageJob, "resnet18", "resnet = {width = 4, stem = \"cifar\"}", 3), `split = 0.25`, `validation = "many"`, 1), 2, "accuracy", func(v job.Validation) bool { return v.Metric > 0.5 }},
		{"perceptron on images", fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [16]}", 6), 1, "accuracy", func(v job.Validation) bool { return v.Metric > 0.9 }},
		{"folder for validation", strings.NewReplacer(`split = 0.25`, `validation = "others"`, `crop = "random"`, `crop = "resized"`, "padding = 1", "scale = [0.7, 1.0]\nshear = 3\nshift = 0.05", "gray = true", "fit = \"stretch\"\nfilter = \"bicubic\"").Replace(
			fmt.Sprintf(imageJob, "cnn", cnnSection, 6)), 2, "accuracy", func(v job.Validation) bool { return v.Metric > 0.9 }},
		{"file for validation", strings.Replace(fmt.Sprintf(tableJob, "", "class", "sum"), "split = 0.25", "validation = \"table.csv\"\nmissing = \"fill\"", 1), 1, "accuracy", func(v job.Validation) bool { return v.Metric > 0.9 }},
		{"classes of a table", fmt.Sprintf(tableJob, "", "class", "sum"), 1, "accuracy", func(v job.Validation) bool { return v.Metric > 0.9 }},
		{"numbers of a table", fmt.Sprintf(tableJob, "regression = true", "sum", "class"), 1, "rmse", func(v job.Validation) bool { return v.Metric < 1 }},
		{"texts of a table", bertJob, 1, "accuracy", func(v job.Validation) bool { return v.Metric > 0.9 }},
		{"text", fmt.Sprintf(textJob, true, false, "split = 0.1", 60), 0, "perplexity", func(v job.Validation) bool { return v.Metric < 6 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			pictures(t, filepath.Join(dir, "images"), 16)
			pictures(t, filepath.Join(dir, "others"), 6)
			if c.name == "resnet" { // 12 to validate with say little after 3 epochs
				otherPictures(t, filepath.Join(dir, "many"), 16, 2)
			}
			table(t, dir, 160)
			texts(t, dir)
			j := read(t, dir, c.job)
			bad, steps := 0, []int{}
			var validations []job.Validation
			var start job.Start
			tick := time.Unix(0, 0)
			res := run(t, j, job.Options{
				Now: func() time.Time { tick = tick.Add(time.Second); return tick },
				Events: job.Events{
					Start:      func(s job.Start) { start = s },
					Step:       func(p job.Progress) { steps = append(steps, p.Step); checkProgress(t, p) },
					Validation: func(v job.Validation) { validations = append(validations, v) },
					Bad:        func(data.Bad) { bad++ },
				},
			})
			if res.End != job.EndDone || res.MetricName != c.metric || res.Step != start.Steps && c.metric != "accuracy" || len(steps) != res.Step {
				t.Errorf("got %+v after %d steps, started as %+v", res, len(steps), start)
			}
			if bad != c.bad {
				t.Errorf("%d samples left out, want %d", bad, c.bad)
			}
			if !c.ok(res.Best) || len(validations) == 0 || validations[len(validations)-1] != res.Last {
				t.Errorf("validations %+v", validations)
			}
			checkFolder(t, res, len(steps), validations)
		})
	}
}

func checkProgress(t *testing.T, p job.Progress) {
	t.Helper()
	if p.Step < 1 || p.Epoch < 1 || !(p.Loss > 0) || !(p.LR > 0) || !(p.Rate > 0) || p.Step > 1 && p.Step < p.Steps && p.Left <= 0 {
		t.Errorf("got %+v", p)
	}
}

// checkFolder reads what a run left.
func checkFolder(t *testing.T, res *job.Result, steps int, validations []job.Validation) {
	t.Helper()
	points, err := job.ReadHistory(filepath.Join(res.Folder, job.HistoryFile))
	if err != nil {
		t.Fatal(err)
	}
	if len(points) != steps+len(validations) || points[len(points)-1].Step != res.Step {
		t.Errorf("history of %d rows, want %d steps and %d validations", len(points), steps, len(validations))
	}
	b, err := os.ReadFile(filepath.Join(res.Folder, job.CurveFile))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := png.Decode(bytes.NewReader(b)); err != nil || m.Bounds().Dx() != 960 {
		t.Errorf("curve: %v", err)
	}
	b, err = os.ReadFile(filepath.Join(res.Model, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		ModelType string `json:"model_type"`
	}
	if err := json.Unmarshal(b, &config); err != nil || config.ModelType == "" {
		t.Errorf("config.json: %v: %s", err, b)
	}
}

// interrupt runs a job and stops it after each of the given numbers of steps, resuming in
// between, then to its end.
func interrupt(t *testing.T, j *job.Job, after ...int) *job.Result {
	t.Helper()
	for i, n := range after {
		stopAgain(t, j, i > 0, n)
	}
	return run(t, j, job.Options{Resume: true})
}

// stop begins a run and interrupts it after a step.
func stop(t *testing.T, j *job.Job, after int) {
	t.Helper()
	stopAgain(t, j, false, after)
}

func stopAgain(t *testing.T, j *job.Job, resume bool, after int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	res, err := job.Run(ctx, j, job.Options{Resume: resume, Events: job.Events{Step: func(p job.Progress) {
		if p.Step == after {
			cancel()
		}
	}}})
	if err != nil || res.End != job.EndInterrupted || res.Step != after {
		t.Fatalf("got %+v, %v, want an interruption after step %d", res, err, after)
	}
}

// TestResume interrupts runs at steps in the middle and at the end of epochs, at those with
// a validation and the last one, with another number of threads each time.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, job string
		after     []int
	}{
		{"images", fmt.Sprintf(imageJob, "cnn", cnnSection, 3), []int{1, 5, 9, 10, 14}},
		{"table", fmt.Sprintf(tableJob, "dropout = 0.2", "class", "sum"), []int{8, 9, 40, 96}},
		{"text", fmt.Sprintf(textJob, false, true, "validation = [\"5.txt\"]", 41), []int{20, 21, 35, 40}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var folders [2]string
			for i := range folders {
				dir := t.TempDir()
				pictures(t, filepath.Join(dir, "images"), 16)
				table(t, dir, 160)
				texts(t, dir)
				j := read(t, dir, c.job)
				if folders[i] = j.Folder(); i == 0 {
					run(t, j, job.Options{})
					continue
				}
				j.Train.Threads = 2
				interrupt(t, j, c.after...)
			}
			sameFiles(t, folders[1], folders[0])
		})
	}
}

// TestLastSample trains a model whose batch norm sees one value of each sample, on batches
// after which one sample is left over.
func TestLastSample(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("split = 0.25\n", "", "best = \"metric\"\n", "").Replace(fmt.Sprintf(imageJob, "resnet18", `resnet = {width = 4, stem = "cifar"}`, 2))
	var folders [2]string
	for i := range folders {
		dir := t.TempDir()
		pictures(t, filepath.Join(dir, "images"), 11) // 33, and one that is no image
		j := read(t, dir, text)
		if folders[i] = j.Folder(); i == 1 {
			interrupt(t, j, 1, 4, 7)
			continue
		}
		var told []string
		res := run(t, j, job.Options{Events: job.Events{Bad: func(b data.Bad) { told = append(told, b.Error()) }}})
		if res.Step != 8 || res.LeftOut != 2 || len(told) != 2 || !slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, "last batch of epoch 1: has 1 sample, too few for") }) {
			t.Errorf("%d steps, %d samples left out, told %q", res.Step, res.LeftOut, told)
		}
	}
	sameFiles(t, folders[1], folders[0])
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 2)
	if _, err := job.Run(t.Context(), read(t, dir, strings.Replace(text, "batch = 8", "batch = 1", 1)), job.Options{}); err == nil || !strings.Contains(err.Error(), "line 18: train.batch: is 1, want at least 2") {
		t.Errorf("batches of one: %v", err)
	}
}

func TestResumeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	texts(t, dir)
	j := read(t, dir, fmt.Sprintf(textJob, true, false, "split = 0.1", 10))
	if _, err := job.Run(t.Context(), j, job.Options{Resume: true}); !errors.Is(err, job.ErrNoRun) {
		t.Errorf("got %v, want no run", err)
	}
	first := run(t, j, job.Options{})
	if _, err := job.Run(t.Context(), j, job.Options{}); !errors.Is(err, job.ErrExists) {
		t.Errorf("got %v, want a run that exists", err)
	}
	before := contents(t, first.Folder)
	steps := 0
	count := job.Options{Resume: true, Events: job.Events{Step: func(job.Progress) { steps++ }}}
	again := run(t, j, count)
	if steps != 0 || again.Step != 10 {
		t.Errorf("%d steps after the end", steps)
	}
	for name, b := range contents(t, first.Folder) {
		if b != before[name] {
			t.Errorf("%s has changed", name)
		}
	}
	j.Train.Steps = 14
	if more := run(t, j, count); steps != 4 || more.Step != 14 {
		t.Errorf("%d more steps, then at %d; want 4 and 14", steps, more.Step)
	}
	write(t, dir, "texts/new.txt", strings.Repeat("new ", 50))
	if _, err := job.Run(t.Context(), j, job.Options{Resume: true}); !errors.Is(err, job.ErrChanged) {
		t.Errorf("got %v, want other data", err)
	}
	if err := os.Remove(filepath.Join(dir, "texts/new.txt")); err != nil {
		t.Fatal(err)
	}
	j.Train.Optimizer.LR = 0.5
	if _, err := job.Run(t.Context(), j, job.Options{Resume: true}); !errors.Is(err, job.ErrChanged) || !strings.Contains(err.Error(), "checkpoint: train.optimizer.lr was 0.01 and is 0.5; undo that") {
		t.Errorf("got %v, want the key that has changed", err)
	}
}

// TestEarlyStop makes validations worse by a rate that is far too high.
func TestEarlyStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	table(t, dir, 160)
	j := read(t, dir, fmt.Sprintf(tableJob, "", "class", "sum"))
	j.Train.Optimizer.LR, j.Train.Epochs, j.Train.Patience = 3, 100, 2
	var validations []job.Validation
	res := run(t, j, job.Options{Events: job.Events{Validation: func(v job.Validation) { validations = append(validations, v) }}})
	n := len(validations)
	if res.End != job.EndEarly || n < 3 || n > 90 || validations[n-1].Best || validations[n-2].Best || !validations[n-3].Best || res.Best != validations[n-3] {
		t.Errorf("got %+v after %+v", res, validations)
	}
	steps := 0
	if again := run(t, j, job.Options{Resume: true, Events: job.Events{Step: func(job.Progress) { steps++ }}}); steps != 0 || again.End != job.EndEarly {
		t.Errorf("went on for %d steps: %s", steps, again.End)
	}
}

func TestRunErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 4)
	table(t, dir, 20)
	texts(t, dir)
	for _, c := range []struct{ name, job, old, new, want string }{
		{"no folder", fmt.Sprintf(imageJob, "cnn", cnnSection, 1), `folder = "images"`, `folder = "nowhere"`, "nowhere"},
		{"classes", fmt.Sprintf(imageJob, "cnn", strings.Replace(cnnSection, "layers", "classes = 5\nlayers", 1), 1), "", "", "model.cnn.classes: is 5, the data makes it 3"},
		{"inputs", fmt.Sprintf(tableJob, "input = 9", "class", "sum"), "", "", "model.mlp.input: is 9, the data makes it 4"},
		{"no column", fmt.Sprintf(tableJob, "", "klass", "sum"), "", "", "klass"},
		{"no file", fmt.Sprintf(tableJob, "", "class", "sum"), "table.csv", "none.csv", "none.csv"},
		{"no text", fmt.Sprintf(textJob, true, false, "", 5), "*.txt", "*.md", "texts: text: no file matches [\"*.md\"]"},
		{"all for validation", fmt.Sprintf(textJob, true, false, "validation = [\"*.txt\"]", 5), "", "", "no file matches"},
		{"no tokenizer", fmt.Sprintf(textJob, true, false, "tokenizer = \"tokenizer.json\"", 5), "", "", "tokenizer.json"},
		{"not finite", fmt.Sprintf(tableJob, "regression = true", "sum", "class"), "lr = 0.02", "lr = 1000", "not finite"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			j, err := job.Parse([]byte(strings.Replace(c.job, c.old, c.new, 1)))
			if err != nil {
				t.Fatal(err)
			}
			j.Dir, j.Name, j.Train.Folder = dir, c.name, filepath.Join(t.TempDir(), "run")
			if c.name == "not finite" {
				j.Train.Epochs, j.Model.MLP.Hidden = 400, []int{64, 64, 64, 64, 64, 64}
			}
			if _, err := job.Run(t.Context(), j, job.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestTicks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		low, high float64
		want      []float64
	}{
		{0, 600, []float64{0, 100, 200, 300, 400, 500, 600}},
		{0.03, 2.6, []float64{0.5, 1, 1.5, 2, 2.5}},
		{-0.5, 0.5, []float64{-0.4, -0.2, 0, 0.2, 0.4}},
		{1, 1, nil},
	} {
		if got := job.Ticks(c.low, c.high, 6); !slices.Equal(got, c.want) {
			t.Errorf("from %v to %v: got %v, want %v", c.low, c.high, got, c.want)
		}
	}
}
