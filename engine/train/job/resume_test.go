package job_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/job"
)

// lostJob validates at steps 20 and 40 and has checkpoints at every seventh.
var lostJob = fmt.Sprintf(textJob, true, false, "split = 0.1", 45)

// remove removes files from the folder of a run.
func remove(t testing.TB, folder string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// damage flips a bit in the middle of a file.
func damage(t testing.TB, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// resumed goes on with a run to its end and returns the last note of its start; those before
// it tell of the data.
func resumed(t testing.TB, j *job.Job) (note string, from int) {
	t.Helper()
	run(t, j, job.Options{Resume: true, Events: job.Events{Start: func(s job.Start) {
		from = s.Step
		if n := len(s.Notes); n > 0 {
			note = s.Notes[n-1]
		}
	}}})
	return note, from
}

// TestResumeWithoutLast loses the last checkpoint of a run that was interrupted after a
// validation: the run goes on from the best one to the files of an undisturbed run.
func TestResumeWithoutLast(t *testing.T) {
	t.Parallel()
	whole := t.TempDir()
	texts(t, whole)
	undisturbed := run(t, read(t, whole, lostJob), job.Options{}).Folder
	for name, c := range map[string]struct {
		lose func(t *testing.T, folder string)
		want string
	}{
		"missing": {func(t *testing.T, folder string) { remove(t, folder, "last.state") }, "last.state is missing: going on from best.state, after step 20"},
		"damaged": {func(t *testing.T, folder string) { damage(t, filepath.Join(folder, "last.state")) }, "last.state is damaged: going on from best.state, after step 20"},
		"empty":   {func(t *testing.T, folder string) { write(t, folder, "last.state", "") }, "last.state is damaged: going on from best.state, after step 20"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			texts(t, dir)
			j := read(t, dir, lostJob)
			stop(t, j, 33)
			c.lose(t, j.Folder())
			note, from := resumed(t, j)
			if from != 20 || note != c.want {
				t.Errorf("went on after step %d, told %q, want %q", from, note, c.want)
			}
			_, err := os.Stat(filepath.Join(j.Folder(), "last.state.damaged"))
			if kept := err == nil; kept != (name != "missing") {
				t.Errorf("the damaged checkpoint is kept: %v", kept)
			}
			remove(t, j.Folder(), "last.state.damaged")
			sameFiles(t, j.Folder(), undisturbed)
		})
	}
}

// TestResumeWithoutBest loses the best checkpoint: it is told before the training, not at
// its end.
func TestResumeWithoutBest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	texts(t, dir)
	j := read(t, dir, lostJob)
	stop(t, j, 33)
	damage(t, filepath.Join(j.Folder(), "best.state"))
	note, from := resumed(t, j)
	if from != 33 || !strings.Contains(note, "best.state is damaged: the next validation counts as the best") {
		t.Errorf("went on after step %d, told %q", from, note)
	}
	remove(t, j.Folder(), "best.state")
	if note, from = resumed(t, j); from != 45 || !strings.Contains(note, "best.state is missing") {
		t.Errorf("at the end: after step %d, told %q", from, note)
	}
}

// TestResumeLost has nothing whole to go on from: what is there stays as it is.
func TestResumeLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose func(t *testing.T, folder string)
		want string
	}{
		"both missing": {func(t *testing.T, folder string) { remove(t, folder, "last.state", "best.state") }, "history.csv goes to step 33, but last.state and best.state are missing"},
		"only a model": {func(t *testing.T, folder string) {
			remove(t, folder, "last.state", "best.state", "history.csv")
			write(t, folder, "model/a", "")
		}, "it has a model"},
		"both damaged": {func(t *testing.T, folder string) {
			damage(t, filepath.Join(folder, "last.state"))
			damage(t, filepath.Join(folder, "best.state"))
		}, "last.state is damaged, best.state is damaged: put a copy of one back"},
		"damaged, no other": {func(t *testing.T, folder string) {
			damage(t, filepath.Join(folder, "last.state"))
			remove(t, folder, "best.state")
		}, "last.state is damaged, best.state is missing: put a copy of one back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			texts(t, dir)
			j := read(t, dir, lostJob)
			stop(t, j, 33)
			c.lose(t, j.Folder())
			before := contents(t, j.Folder())
			_, err := job.Run(t.Context(), j, job.Options{Resume: true})
			if !errors.Is(err, job.ErrLost) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if _, err := job.Run(t.Context(), j, job.Options{}); !errors.Is(err, job.ErrExists) {
				t.Errorf("a new run in the folder: %v", err)
			}
			after := contents(t, j.Folder())
			for name, b := range before {
				if after[name] != b {
					t.Errorf("%s is gone or has changed", name)
				}
			}
		})
	}
}

// TestNoNewRunOverBest begins anew where only the best checkpoint is left.
func TestNoNewRunOverBest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	texts(t, dir)
	j := read(t, dir, lostJob)
	stop(t, j, 33)
	remove(t, j.Folder(), "last.state", "history.csv")
	if _, err := job.Run(t.Context(), j, job.Options{}); !errors.Is(err, job.ErrExists) {
		t.Errorf("got %v, want a run that exists", err)
	}
}

// TestNewerCheckpoint goes on from a checkpoint that a newer version wrote: it stays where it
// is, and the best one is not taken in its place.
func TestNewerCheckpoint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	texts(t, dir)
	j := read(t, dir, lostJob)
	stop(t, j, 33)
	path := filepath.Join(j.Folder(), "last.state")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = b[:len(b)-sha256.Size]
	b[8]++ // its version
	sum := sha256.Sum256(b)
	if err := os.WriteFile(path, append(b, sum[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := job.Run(t.Context(), j, job.Options{Resume: true}); !errors.Is(err, train.ErrNewer) || strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v, want that it is newer", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// TestHistoryLost cuts the history within a row: the rows that are left stay whole.
func TestHistoryLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	texts(t, dir)
	j := read(t, dir, lostJob)
	stop(t, j, 33)
	path := filepath.Join(j.Folder(), job.HistoryFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := bytes.LastIndexByte(b[:len(b)/2], '\n') + 4
	if err := os.WriteFile(path, b[:cut], 0o600); err != nil {
		t.Fatal(err)
	}
	if note, _ := resumed(t, j); !strings.Contains(note, "history.csv has lost rows") {
		t.Errorf("told %q", note)
	}
	points, err := job.ReadHistory(path)
	if want := bytes.Count(b[:cut], []byte("\n")) - 1 + 12 + 2; err != nil || len(points) != want {
		t.Errorf("%d rows, want %d; %v", len(points), want, err)
	}
}

// TestImagesReplaced replaces images under the same names, with as many bytes.
func TestImagesReplaced(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"training":   fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [4]}", 2),
		"validation": strings.Replace(fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [4]}", 2), "split = 0.25", `validation = "others"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			pictures(t, filepath.Join(dir, "images"), 6)
			pictures(t, filepath.Join(dir, "others"), 2)
			j := read(t, dir, text)
			run(t, j, job.Options{})
			folder := map[string]string{"training": "images", "validation": "others"}[name]
			path := filepath.Join(dir, folder, "left/00.png")
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			damage(t, path)
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
			if _, err := job.Run(t.Context(), j, job.Options{Resume: true}); !errors.Is(err, job.ErrChanged) || !strings.Contains(err.Error(), "what is in the files of the images") {
				t.Errorf("got %v, want an error of changed images", err)
			}
			damage(t, path) // as it was
			later := info.ModTime().AddDate(1, 0, 0)
			if err := os.Chtimes(path, later, later); err != nil {
				t.Fatal(err)
			}
			run(t, j, job.Options{Resume: true})
		})
	}
}
