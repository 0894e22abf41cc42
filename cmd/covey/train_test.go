package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/trainer"
)

const tinyJob = `version = 1
[model]
kind = "llama"
llama = {dim = 16, blocks = 1, heads = 2, ffn = 16, tied = true}
[data.text]
files = ["*.txt"]
split = 0.2
length = 16
[train]
steps = 40
batch = 4
threads = 1
validate_every = 20
optimizer = {kind = "adam", lr = 0.01}
`

// tiny writes a job and its text.
func tiny(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"job.toml": tinyJob, "a.txt": strings.Repeat("abcdefgh\n", 100)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "job.toml")
}

// command runs the program with arguments and a data directory of its own.
func command(ctx context.Context, t *testing.T, dataDir string, a ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := rootCommand(&options{})
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(append(a, "--data", dataDir))
	err := c.ExecuteContext(ctx)
	return out.String(), err
}

// TestTrainPublishRun trains a model, publishes it, and asks it.
func TestTrainPublishRun(t *testing.T) {
	t.Parallel()
	path, data := tiny(t), t.TempDir()
	out, err := command(t.Context(), t, data, "train", path, "--publish", "letters")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"40 steps", "ended after step 40: done", "best validation after step 40", "published as letters: bafk", "for peers, a node has to serve it: covey up --data " + data + ", and then covey host letters --data " + data + "\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
	out, err = command(t.Context(), t, data, "run", "letters", "--raw", "abc", "--max-tokens", "4")
	if err != nil || len(out) < 2 {
		t.Errorf("asked: %q, %v", out, err)
	}
}

// TestTrainPublishTaken refuses before a training a name that a model has or that none can have,
// with commands that can be pasted.
func TestTrainPublishTaken(t *testing.T) {
	t.Parallel()
	path, data := tiny(t), t.TempDir()
	if out, err := command(t.Context(), t, data, "train", path, "--steps", "1", "--publish", "letters"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	other := tiny(t)
	for name, want := range map[string]string{
		"letters": "a model called letters is here: give the new one another name (covey train " + other + " --threads 1 --steps 3 --publish letters:2 --data " + data +
			"), or remove that one first (covey model rm letters --data " + data + ")",
		"letters:latest": "a model called letters",
		"a/../b":         "--publish: model name",
	} {
		out, err := command(t.Context(), t, data, "train", other, "--steps", "3", "--threads", "1", "--publish", name)
		if exitCode(err) != exitUsage || !strings.Contains(err.Error(), want) || strings.Contains(out, "parameters") {
			t.Errorf("%s: got %v, want %s:\n%s", name, err, want, out)
		}
	}
	if out, err := command(t.Context(), t, data, "train", other, "--steps", "3", "--publish", "letters:2"); err != nil {
		t.Errorf("the advice: %v\n%s", err, out)
	}
	again := tiny(t)
	if _, err := command(t.Context(), t, data, "train", again, "--steps", "2"); err != nil {
		t.Fatal(err)
	}
	out, err := command(t.Context(), t, data, "train", again, "--resume", "--steps", "4", "--publish", "letters")
	folder := strings.TrimSuffix(again, ".toml") + ".run"
	want := "covey model import " + filepath.Join(folder, job.ExportDir) + " --name letters:3 --data " + data
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(out, "note: a model called letters is here") {
		t.Errorf("after the training: got %v, want %s:\n%s", err, want, out)
	}
	if out, err := command(t.Context(), t, data, strings.Fields(strings.TrimPrefix(strings.TrimSuffix(want, " --data "+data), "covey "))...); err != nil {
		t.Errorf("the advice: %v\n%s", err, out)
	}
}

func TestTrainJSON(t *testing.T) {
	t.Parallel()
	out, err := command(t.Context(), t, t.TempDir(), "train", tiny(t), "--json", "--steps", "21", "--threads", "2")
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for line := range strings.Lines(out) {
		var e struct {
			Event  string
			Step   int
			Reason string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if count[e.Event]++; e.Event == "end" && (e.Step != 21 || e.Reason != job.EndDone) {
			t.Errorf("ended with %s", line)
		}
	}
	if count["start"] != 1 || count["step"] != 21 || count["validation"] != 2 || count["end"] != 1 {
		t.Errorf("events %v", count)
	}
}

// TestTrainInterrupted ends the context of a run, as Ctrl-C does, and goes on.
func TestTrainInterrupted(t *testing.T) {
	t.Parallel()
	path, data := tiny(t), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, err := command(ctx, t, data, "train", path, "--publish", "x")
	if err == nil || exitCode(err) != exitInterrupted || !strings.Contains(out, "go on with: covey train "+path+" --resume --publish x --data "+data+"\n") {
		t.Errorf("got %v, want an interruption:\n%s", err, out)
	}
	if out, err := command(t.Context(), t, data, "train", path, "--resume"); err != nil || !strings.Contains(out, "ended after step 40") {
		t.Errorf("resumed: %v\n%s", err, out)
	}
}

// TestTrainResumeLost loses the last checkpoint, then the other one.
func TestTrainResumeLost(t *testing.T) {
	t.Parallel()
	path, data := tiny(t), t.TempDir()
	if _, err := command(t.Context(), t, data, "train", path, "--steps", "25"); err != nil {
		t.Fatal(err)
	}
	folder := strings.TrimSuffix(path, ".toml") + ".run"
	if err := os.Remove(filepath.Join(folder, "last.state")); err != nil {
		t.Fatal(err)
	}
	out, err := command(t.Context(), t, data, "train", path, "--resume")
	if err != nil || !strings.Contains(out, "last.state is missing: going on from best.state, after step 2") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range []string{"last.state", "best.state"} {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := command(t.Context(), t, data, "train", path, "--resume"); exitCode(err) != exitUsage || !strings.Contains(err.Error(), "last.state and best.state are missing") {
		t.Errorf("without checkpoints: %v", err)
	}
}

// TestTrainLeftOut leaves out the same image in each of three epochs.
func TestTrainLeftOut(t *testing.T) {
	t.Parallel()
	const images = `version = 1
model = {kind = "mlp", mlp = {hidden = [2]}}
data = {images = {folder = "images", size = [2, 2]}}
train = {epochs = 3, batch = 2, threads = 1, optimizer = {kind = "sgd", lr = 0.1}}
`
	dir := t.TempDir()
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"job.toml": []byte(images), "images/a/1.png": picture.Bytes(), "images/a/2.png": []byte("none"), "images/b/1.png": picture.Bytes(),
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	out, err := command(t.Context(), t, t.TempDir(), "train", filepath.Join(dir, "job.toml"), "--json")
	if err != nil || !strings.Contains(out, `"event":"end","last":`) || !strings.Contains(out, `"left_out":1,`) || strings.Count(out, `"event":"left_out"`) != 1 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTrainPatience asks for more steps of a run that its patience ended: it says what goes on, and
// that does.
func TestTrainPatience(t *testing.T) {
	t.Parallel()
	path, data := tiny(t), t.TempDir()
	text := strings.NewReplacer("validate_every = 20", "validate_every = 1\npatience = 1\nschedule = {kind = \"constant\"}", "lr = 0.01", "lr = 3.0").Replace(tinyJob)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	ended := regexp.MustCompile(`(?m)^ended after step (\d+): (.*)$`)
	train := func(more ...string) (out, step, why string) {
		t.Helper()
		out, err := command(t.Context(), t, data, append([]string{"train", path}, more...)...)
		m := ended.FindStringSubmatch(out)
		if err != nil || m == nil {
			t.Fatalf("%v: %v\n%s", more, err, out)
		}
		return out, m[1], m[2]
	}
	_, first, why := train()
	early := "no better validation, and patience = 1 in [train] forbids more steps: --resume --steps N with N above %s goes on all the same"
	if why != fmt.Sprintf(early, first) {
		t.Errorf("ended after step %s: %s", first, why)
	}
	if _, step, again := train("--resume"); step != first || again != why {
		t.Errorf("without more steps it ended after step %s: %s", step, again)
	}
	out, second, _ := train("--resume", "--steps", "50")
	if second == first || !strings.Contains(out, "the run had ended after 1 validations without a better one: it goes on") {
		t.Errorf("50 steps end after step %s, as before:\n%s", second, out)
	}
	_, _, why = train("--resume", "--steps", second)
	if !strings.Contains(why, "--steps N with N above "+second+" goes on") {
		t.Errorf("no more steps than there are: %s", why)
	}
}

// TestTrainLeftOutRows counts rows that are left out, however many and however the run ends.
func TestTrainLeftOutRows(t *testing.T) {
	t.Parallel()
	const rows = `version = 1
model = {kind = "mlp", mlp = {hidden = [2]}}
data = {csv = {file = "a.csv", label = "y", columns = [{name = "x", kind = "number"}]}}
train = {steps = 2, batch = 2, threads = 1, optimizer = {kind = "sgd", lr = 0.1}}
`
	for _, c := range []struct{ table, want, last string }{
		{strings.Repeat("1,k\n2,l\n", 20) + strings.Repeat("Gas,k\n", 1500), "\n1500 files, rows or samples were left out\n", ""},
		{strings.Repeat("1,k\n2,l\n", 20) + strings.Repeat("Gas,m\n", 15), "\nat least 15 files, rows or samples cannot be used\n", `no row of the class "m" can be used`},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "job.toml")
		if err := errors.Join(os.WriteFile(path, []byte(rows), 0o600), os.WriteFile(filepath.Join(dir, "a.csv"), []byte("x,y\n"+c.table), 0o600)); err != nil {
			t.Fatal(err)
		}
		out, err := command(t.Context(), t, t.TempDir(), "train", path)
		if (err == nil) != (c.last == "") || err != nil && !strings.Contains(err.Error(), c.last) {
			t.Errorf("got %v, want %q", err, c.last)
		}
		if !strings.Contains(out, "more are left out: they are counted at the end\n") || !strings.Contains(out, c.want) {
			t.Errorf("output lacks %q:\n%s", c.want, out)
		}
	}
}

func TestTrainErrors(t *testing.T) {
	t.Parallel()
	path, data := tiny(t), t.TempDir()
	if _, err := command(t.Context(), t, data, "train", path, "--steps", "1"); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.toml")
	if err := os.WriteFile(broken, []byte(strings.Replace(tinyJob, "batch = 4", "bath = 4", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no job", []string{"train"}, exitUsage, "takes a job file"},
		{"no file", []string{"train", "nowhere.toml"}, exitNotFound, "nowhere.toml"},
		{"a table", []string{"train", "haus.CSV"}, exitUsage, "haus.CSV: that is a table, not a job: covey train --example mlp > job.toml"},
		{"mistake", []string{"train", broken}, exitUsage, "line 11: train.bath: unknown key, want one of epochs, steps, batch"},
		{"twice", []string{"train", path}, exitUsage, "has a run already"},
		{"nothing to resume", []string{"train", tiny(t), "--resume"}, exitUsage, "no run to go on with"},
		{"threads", []string{"train", path, "--threads", "-1"}, exitUsage, "positive"},
		{"example", []string{"train", "--example", "gpt"}, exitUsage, "bert, cnn, llama, mlp, resnet18"},
		{"example and job", []string{"train", path, "--example", "mlp"}, exitUsage, "no file with --example"},
		{"model of bench", []string{"bench", "train", "--model", "vgg"}, exitUsage, "resnet18"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := command(context.Background(), t, data, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if code := exitCode(err); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
		})
	}
}

func TestTrainExample(t *testing.T) {
	t.Parallel()
	for _, name := range job.Examples() {
		out, err := command(t.Context(), t, t.TempDir(), "train", "--example", name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := job.Parse([]byte(out)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBenchTrain(t *testing.T) {
	t.Parallel()
	out, err := command(t.Context(), t, t.TempDir(), "bench", "train", "--model", "mlp", "--steps", "2", "--threads", "1", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var reports []stepReport
	if err := json.Unmarshal([]byte(out), &reports); err != nil {
		t.Fatal(err)
	}
	if len(reports) != 1 || reports[0].Model != "mlp" || reports[0].Threads != 1 || !(reports[0].MedianMS > 0) || !(reports[0].GFLOPS > 0) {
		t.Errorf("got %+v", reports)
	}
}

func TestTrainLine(t *testing.T) {
	t.Parallel()
	p := newTrainProgress(io.Discard, io.Discard, false, "accuracy")
	p.loss = 1.25
	got := p.line(job.Progress{Step: 3, Steps: 40, Epoch: 1, Epochs: 2, Metric: 0.5, Rate: 123.4, Left: 61 * time.Second})
	if want := "step 3 of 40, epoch 1 of 2  loss 1.2500  accuracy 50.00 %  123 samples/s  1m1s left"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestTrainSwarmLines tells each thing of a job of the swarm once, and of the model that all have.
func TestTrainSwarmLines(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	p := newTrainProgress(&b, &b, false, "accuracy")
	const id = "0123456789abcdef"
	for _, s := range []trainer.Swarm{
		{Job: id, Phase: "waiting", Members: 1, Want: 2},
		{Job: id, Phase: "waiting", Members: 2, Want: 2},
		{Job: id, Phase: "waiting", Members: 2, Want: 2},
		{Job: id, Phase: "work", Round: 1, Rounds: 2, Members: 2, Heard: 1, Quorum: 2},
		{Job: id, Phase: "headers", Round: 1, Rounds: 2, Members: 2, Heard: 1, Quorum: 2},
		{Job: id, Phase: "work", Round: 2, Rounds: 2, Members: 1, Samples: 7, Loss: 0.5, Heard: 1, Quorum: 1},
		{Job: id, Phase: "over", Round: 3, Rounds: 2, Members: 1, Samples: 7, Loss: 0.5},
	} {
		p.swarm(&s)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, job.HistoryFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.done(&job.Result{End: job.EndDone, Folder: folder, Step: 8, Best: job.Validation{Step: 4, Metric: 1}, Last: job.Validation{Step: 8, Loss: 0.25, Metric: 0.75}, Model: "m"}, 0); err != nil {
		t.Fatal(err)
	}
	want := `job 0123456789ab: 1 of 2 peers are here; others join with: covey train join 0123456789ab --from DATA
job 0123456789ab: 2 of 2 peers are here; others join with: covey train join 0123456789ab --from DATA
round 1 of 2: 2 members
round 1 waits: 1 of 2 members are heard, 2 are needed
round 2 of 2: 1 member; the last one: 7 samples, loss 0.5000
ended after step 8: done
the model of all members, after step 8, on this machine's validation: loss 0.25000, accuracy 75.00 %
model in m, curve in ` + filepath.Join(folder, job.CurveFile) + "\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// TestTrainPrivacyLines tells what is spent to hide samples, after each round and at the end, for
// people and for programs.
func TestTrainPrivacyLines(t *testing.T) {
	t.Parallel()
	const id = "0123456789abcdef"
	spent := &job.Spent{Epsilon: 1.23456, Delta: 1e-5, Budget: 8, Steps: 12, Rate: 0.25}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, job.HistoryFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for asJSON, want := range map[bool][]string{
		false: {"round 2 of 9: 3 members; the last one: 7 samples; epsilon 1.235 of 8 at delta 1e-05\n", "ended after step 12: privacy budget spent\n", "privacy of each sample of this machine: epsilon 1.235 of 8 at delta 1e-05, for 12 steps\n"},
		true:  {`"privacy":{"epsilon":1.23456,"delta":0.00001,"budget":8,"steps":12,"rate":0.25},"quorum"`, `"privacy":{"epsilon":1.23456,"delta":0.00001,"budget":8,"steps":12,"rate":0.25},"reason":"privacy budget spent"`},
	} {
		var b bytes.Buffer
		p := newTrainProgress(&b, &b, asJSON, "accuracy")
		p.swarm(&trainer.Swarm{Job: id, Phase: "work", Round: 2, Rounds: 9, Members: 3, Samples: 7, Heard: 3, Quorum: 2, Privacy: spent})
		if err := p.done(&job.Result{End: job.EndSpent, Folder: folder, Step: 12, Model: "m", Private: spent}, 0); err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(b.String(), text) {
				t.Errorf("got\n%s\nwant %s", b.String(), text)
			}
		}
	}
}

// TestTrainListRows lists a training that was refused, one that waits and one that goes on.
func TestTrainListRows(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]trainer.Info{
		"houses\tab12\tfailed\t-\t-\ttable a.csv: column \"a\": its values": {Name: "houses", ID: "ab12", State: trainer.Failed, Folder: "/houses.run", Problem: "table a.csv: column \"a\": its values\ncolumn \"b\": its values"},
		"houses\tab12\tqueued\t-\t-\t/houses.run":                           {Name: "houses", ID: "ab12", State: trainer.Queued, Folder: "/houses.run"},
		"houses\tab12\trunning\t7\t0.2500\t/houses.run":                     {Name: "houses", ID: "ab12", State: trainer.Running, Step: 7, Loss: 0.25, Folder: "/houses.run"},
	} {
		if got := runRow(&r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestJoinWaits joins a job of which its node hears at the third try, and one of which it never does.
func TestJoinWaits(t *testing.T) {
	t.Parallel()
	unknown := &api.StatusError{Status: http.StatusNotFound, Message: "no peer that is heard of trains it"}
	tries, told := 0, 0
	err := untilHeard(t.Context(), time.Millisecond, time.Minute, func() { told++ }, func() error {
		if tries++; tries < 3 {
			return unknown
		}
		return nil
	})
	if err != nil || tries != 3 || told != 1 {
		t.Errorf("got %v after %d tries, told %d times", err, tries, told)
	}
	if err := untilHeard(t.Context(), time.Millisecond, 10*time.Millisecond, func() {}, func() error { return unknown }); !errors.Is(err, unknown) {
		t.Errorf("got %v, want that nobody has told of it", err)
	}
	other := errors.New("other")
	if err := untilHeard(t.Context(), time.Hour, time.Hour, func() { t.Error("told") }, func() error { return other }); !errors.Is(err, other) {
		t.Errorf("got %v, want the error of another kind at once", err)
	}
}

// TestDrawLosses draws a falling line and two validations.
func TestDrawLosses(t *testing.T) {
	t.Parallel()
	var points []job.Point
	for i := range 288 {
		points = append(points, job.Point{Step: i + 1, Loss: 2 - float64(i)/287})
	}
	points = append(points, job.Point{Step: 288, Loss: 1.5, Validation: true})
	var b bytes.Buffer
	drawLosses(&b, job.NewCurve(points, 2*curveColumns))
	lines := strings.Split(b.String(), "\n")
	if len(lines) != curveRows+3 {
		t.Fatalf("%d lines:\n%s", len(lines), b.String())
	}
	for i, want := range map[int]string{0: "       2 │⠉⠓⠦⢤⣀⡀", 13: "       1 │", 14: "         └──", 15: "× of validation"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want)
		}
	}
	if !strings.HasSuffix(lines[6], "×") && !strings.HasSuffix(lines[7], "×") {
		t.Errorf("no validation in the middle:\n%s", b.String())
	}
	b.Reset()
	drawLosses(&b, job.NewCurve(nil, 2*curveColumns))
	if b.Len() != 0 {
		t.Errorf("nothing is drawn as %q", b.String())
	}
}
