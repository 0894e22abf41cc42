package job_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/job"
)

// TestChangedData goes on with a run after something has changed that its numbers depend on.
func TestChangedData(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		job    string
		change func(t *testing.T, dir string, j *job.Job)
		want   string
	}{
		"a class renamed": {fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [4]}", 2), func(t *testing.T, dir string, _ *job.Job) {
			if err := os.Rename(filepath.Join(dir, "images/left"), filepath.Join(dir, "images/wrong")); err != nil {
				t.Fatal(err)
			}
		}, "samples for training"},
		"labels exchanged": {fmt.Sprintf(tableJob, "", "class", "sum"), func(t *testing.T, dir string, _ *job.Job) {
			path := filepath.Join(dir, "table.csv")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "table.csv", strings.NewReplacer(",high,", ",low,", ",low,", ",high,").Replace(string(b)))
		}, "samples for training"},
		"batch": {fmt.Sprintf(tableJob, "", "class", "sum"), func(_ *testing.T, _ string, j *job.Job) { j.Train.Batch = 8 }, "train.batch was 16 and is 8;"},
		"a setting of the model and two of the optimiser": {fmt.Sprintf(tableJob, "", "class", "sum"), func(_ *testing.T, _ string, j *job.Job) {
			j.Model.MLP.Hidden, j.Train.Optimizer.Beta1, j.Train.Optimizer.LR = []int{8, 4}, new(0.0), 0.01
		}, "checkpoint: model.mlp.hidden was [16] and is [8, 4], train.optimizer.beta1 was not set and is 0, train.optimizer.lr was 0.02 and is 0.01; undo that"},
		"augmentation": {fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [4]}", 2), func(_ *testing.T, _ string, j *job.Job) {
			j.Data.Images.Augment.Flip = 0.25
		}, "data.images.augment.flip was not set and is 0.25;"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			pictures(t, filepath.Join(dir, "images"), 6)
			table(t, dir, 160)
			j := read(t, dir, c.job)
			run(t, j, job.Options{})
			c.change(t, dir, j)
			_, err := job.Run(t.Context(), j, job.Options{Resume: true})
			if !errors.Is(err, job.ErrChanged) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestMovedData goes on with a run whose images lie elsewhere now.
func TestMovedData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 6)
	j := read(t, dir, fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [4]}", 2))
	run(t, j, job.Options{})
	if err := os.Rename(filepath.Join(dir, "images"), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	j.Data.Images.Folder, j.Train.Epochs = "moved", 3
	if res := run(t, j, job.Options{Resume: true}); res.End != job.EndDone {
		t.Errorf("ended with %s", res.End)
	}
}

// TestColumnsMoved validates on the rows of the table with its columns in another order, and
// one more: the scores are those of the table itself.
func TestColumnsMoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	table(t, dir, 160)
	b, err := os.ReadFile(filepath.Join(dir, "table.csv"))
	if err != nil {
		t.Fatal(err)
	}
	in := csv.NewReader(strings.NewReader(strings.TrimSuffix(string(b), "broken\n")))
	rows, err := in.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var moved strings.Builder
	out := csv.NewWriter(&moved)
	for _, r := range rows {
		slices.Reverse(r)
		if err := out.Write(append(r, "more")); err != nil {
			t.Fatal(err)
		}
	}
	out.Flush()
	write(t, dir, "moved.csv", moved.String())
	var best [2]job.Validation
	for i, file := range []string{"table.csv", "moved.csv"} {
		j := read(t, dir, strings.Replace(fmt.Sprintf(tableJob, "", "class", "sum"), "split = 0.25", fmt.Sprintf("validation = %q", file), 1))
		j.Train.Folder = file + ".run"
		best[i] = run(t, j, job.Options{}).Best
	}
	if best[0] != best[1] {
		t.Errorf("got %+v, then %+v", best[0], best[1])
	}
}

// TestRunFolderIsNoData runs a job in the folder of its images, twice: the folder of the
// first run is no class of the second.
func TestRunFolderIsNoData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pictures(t, dir, 6)
	for range 2 {
		j := read(t, dir, strings.Replace(fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [4]}", 2), `folder = "images"`, `folder = "."`, 1))
		res := run(t, j, job.Options{})
		if config := contents(t, res.Model)["config.json"]; strings.Contains(config, ".run") {
			t.Errorf("labels of %s", config)
		}
		remove(t, res.Folder, "last.state", "best.state", "history.csv", "model")
		write(t, res.Folder, "picture.png", contents(t, dir)["left/0.png"])
	}
}

// TestClassFolders has folders that are no classes.
func TestClassFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 6)
	pictures(t, filepath.Join(dir, "others"), 2)
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "images/empty"), 0o755), os.Rename(filepath.Join(dir, "others/left"), filepath.Join(dir, "others/Left"))); err != nil {
		t.Fatal(err)
	}
	var told []string
	j := read(t, dir, strings.Replace(fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [4]}", 2), "split = 0.25", `validation = "others"`, 1))
	res := run(t, j, job.Options{Events: job.Events{Bad: func(b data.Bad) { told = append(told, b.Error()) }}})
	all := strings.Join(told, "\n")
	if config := contents(t, res.Model)["config.json"]; strings.Contains(config, "empty") || !strings.Contains(all, "empty: the folder has no image") || strings.Count(all, `"Left" is no class`) != 3 {
		t.Errorf("told %s; %s", all, config)
	}
	for _, name := range []string{"right", "none"} {
		if err := os.RemoveAll(filepath.Join(dir, "images", name)); err != nil {
			t.Fatal(err)
		}
	}
	j.Train.Folder = "again"
	if _, err := job.Run(t.Context(), j, job.Options{}); err == nil || !strings.Contains(err.Error(), "the only folder with images") {
		t.Errorf("one class: %v", err)
	}
}

// TestPatienceAgain goes on after an early end with more patience.
func TestPatienceAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	table(t, dir, 160)
	j := read(t, dir, strings.NewReplacer("epochs = 12", "epochs = 60\npatience = 1\nbest = \"metric\"").Replace(fmt.Sprintf(tableJob, "", "class", "sum")))
	first := run(t, j, job.Options{})
	if first.End != job.EndEarly {
		t.Fatalf("ended with %s", first.End)
	}
	if again := run(t, j, job.Options{Resume: true}); again.End != job.EndEarly || again.Step != first.Step {
		t.Errorf("the same patience: %+v", again)
	}
	j.Train.Patience = 0
	if more := run(t, j, job.Options{Resume: true}); more.End != job.EndDone || more.Step <= first.Step {
		t.Errorf("more patience: %+v", more)
	}
}

// TestValidationUnusable has validation images that are none: the run goes on without them.
func TestValidationUnusable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 6)
	for _, class := range []string{"left", "right", "none"} {
		write(t, dir, "others/"+class+"/a.png", "no image")
	}
	j := read(t, dir, strings.Replace(fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [4]}", 2), "split = 0.25", `validation = "others"`, 1))
	told := 0
	res := run(t, j, job.Options{Events: job.Events{Bad: func(b data.Bad) { told++ }}})
	if res.End != job.EndDone || res.Model == "" || told != 5 { // three of them, one of training, and that there is no validation
		t.Errorf("%+v, told %d", res, told)
	}
}

// TestDamagedHistory exports although the history cannot be read.
func TestDamagedHistory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	table(t, dir, 160)
	j := read(t, dir, fmt.Sprintf(tableJob, "", "class", "sum"))
	first := run(t, j, job.Options{})
	path := filepath.Join(first.Folder, job.HistoryFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] = '\n'
	if err := errors.Join(os.WriteFile(path, b, 0o600), os.RemoveAll(first.Model)); err != nil {
		t.Fatal(err)
	}
	if _, err := job.Run(t.Context(), j, job.Options{Resume: true}); err == nil || !strings.Contains(err.Error(), "history") {
		t.Errorf("got %v, want an error of the history", err)
	}
	if len(contents(t, first.Model)) == 0 {
		t.Error("the model was not exported")
	}
}

// TestHugeBatch asks for far larger batches than there are samples.
func TestHugeBatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	table(t, dir, 160)
	j := read(t, dir, fmt.Sprintf(tableJob, "", "class", "sum"))
	j.Train.Batch, j.Train.Epochs = 1<<20, 2
	if res := run(t, j, job.Options{}); res.Step != 2 {
		t.Errorf("%d steps, want 2", res.Step)
	}
}

// TestLabelKinds has models that cannot predict what the data has: the job file is refused.
func TestLabelKinds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kind := func(more, kind string) string {
		return strings.Replace(fmt.Sprintf(tableJob, more, "class", "sum"), "columns = [", fmt.Sprintf("columns = [{name = \"class\", kind = %q}, ", kind), 1)
	}
	for name, c := range map[string]struct{ job, want string }{
		"numbers as classes":   {kind("", "number"), "line 11: data.csv.columns[0].kind: is \"number\", and the model predicts a category"},
		"classes as numbers":   {kind("regression = true", "category"), "line 11: data.csv.columns[0].kind: is \"category\", and the model predicts a number"},
		"an ignored label":     {kind("", "ignore"), "and the model predicts a category"},
		"regression on images": {fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [4], regression = true}", 2), "line 4: model.mlp.regression: is for tables"},
	} {
		_, err := job.Read(write(t, dir, "job.toml", c.job))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %s", name, err, c.want)
		}
	}
	read(t, dir, kind("", "auto"))
}

// TestKeysOfOtherSchedules refuses keys that would change nothing.
func TestKeysOfOtherSchedules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for more, want := range map[string]string{
		`{kind = "cosine", gamma = 0.5}`:           "belong to kind step",
		`{kind = "step", every = 5, final = 0.5}`:  "belongs to kind cosine and linear",
		`{kind = "cosine", steps = 4, warmup = 5}`: "train.schedule.steps: cosine needs more steps than the 5 of warmup, has 4",
	} {
		_, err := job.Read(write(t, dir, "job.toml", fmt.Sprintf(tableJob, "", "class", "sum")+"schedule = "+more+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", more, err, want)
		}
	}
}
