package node_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/trainer"
)

// trainingJob writes a job of so many steps and its text, and returns the job's path.
func trainingJob(t *testing.T, steps int) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "job.toml")
	writeFile(t, filepath.Join(dir, "a.txt"), strings.Repeat("abcdefgh\n", 100))
	writeFile(t, path, `version = 1
[model]
kind = "llama"
llama = {dim = 16, blocks = 1, heads = 2, ffn = 16, tied = true}
[data.text]
files = ["*.txt"]
split = 0.2
length = 16
[train]
steps = `+strconv.Itoa(steps)+`
batch = 4
threads = 1
optimizer = {kind = "adam", lr = 0.01}
`)
	return path
}

// watchEvents reads the events of a training until each returns false or the end.
func watchEvents(t *testing.T, c *api.Client, id string, each func(e trainer.Event) bool) {
	t.Helper()
	res, err := c.Do(t.Context(), http.MethodGet, "/covey/v1/jobs/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	enough := errors.New("enough")
	last := 0
	err = api.ReadEvents(res.Body, func(data []byte) error {
		var e trainer.Event
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		if e.Seq <= last {
			t.Errorf("event %d after %d", e.Seq, last)
		}
		if last = e.Seq; !each(e) {
			return enough
		}
		return nil
	})
	if err != nil && !errors.Is(err, enough) {
		t.Errorf("events of %s: %v", id, err)
	}
}

// TestTrainings queues three trainings: the first is stopped, the second while it waits, the
// third runs to its end, and then the first goes on.
func TestTrainings(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), nil)
	long := trainingJob(t, 1<<30)
	submit := func(req trainer.Request) (i trainer.Info) {
		t.Helper()
		if err := c.Post(t.Context(), "/covey/v1/jobs", req, &i); err != nil {
			t.Fatal(err)
		}
		return i
	}
	first, second := submit(trainer.Request{Path: long}), submit(trainer.Request{Path: trainingJob(t, 9)})
	third := submit(trainer.Request{Path: trainingJob(t, 1<<30), Steps: 50, Threads: 1})
	var list []trainer.Info
	if err := c.Get(t.Context(), "/covey/v1/jobs", nil, &list); err != nil || len(list) != 3 || list[2].ID != third.ID || list[2].State != trainer.Queued || list[2].Ahead != 2 {
		t.Errorf("queue %+v: %v", list, err)
	}
	for _, i := range []trainer.Info{second, first} {
		if i.ID == first.ID {
			watchEvents(t, c, i.ID, func(e trainer.Event) bool { return e.Step == nil })
		}
		if err := c.Delete(t.Context(), "/covey/v1/jobs/"+i.ID, nil); err != nil {
			t.Fatal(err)
		}
	}
	end := func(id string) (end *trainer.End, steps int) {
		t.Helper()
		watchEvents(t, c, id, func(e trainer.Event) bool {
			if e.Step != nil {
				steps++
			}
			end = e.End
			return true
		})
		if end == nil {
			t.Fatalf("training %s has no end", id)
		}
		return end, steps
	}
	if e, _ := end(first.ID); e.Result == nil || e.Result.End != "interrupted" || e.Result.Step == 0 {
		t.Errorf("stopped: %+v", e)
	}
	if e, steps := end(second.ID); e.Result == nil || e.Result.End != "interrupted" || steps > 0 {
		t.Errorf("stopped while it waited: %+v", e)
	}
	if e, steps := end(third.ID); e.Result == nil || e.Result.End != "done" || steps != 50 {
		t.Errorf("50 steps end as %+v after %d", e, steps)
	}
	var i trainer.Info
	if err := c.Get(t.Context(), "/covey/v1/jobs/"+third.ID, nil, &i); err != nil || i.State != trainer.Done || i.Step != 50 || i.Metric != "perplexity" {
		t.Errorf("%+v: %v", i, err)
	}
	e, _ := end(first.ID)
	done := e.Result.Step
	again := submit(trainer.Request{Path: long, Resume: true, Steps: done + 3})
	if e, _ := end(again.ID); e.Result == nil || e.Result.End != "done" || e.Result.Step != done+3 {
		t.Errorf("goes on from step %d: %+v", done, e)
	}
}

func TestTrainingRefusals(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), nil)
	bad := trainingJob(t, -1)
	for name, refused := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"relative path": {"POST", "", `{"path":"job.toml"}`, http.StatusBadRequest, "absolute"},
		"no such file":  {"POST", "", `{"path":"/nowhere/job.toml"}`, http.StatusNotFound, "/nowhere/job.toml"},
		"bad job":       {"POST", "", `{"path":` + strconv.Quote(bad) + `}`, http.StatusBadRequest, "line 10: train.steps"},
		"unknown field": {"POST", "", `{"job":"x"}`, http.StatusBadRequest, "unknown field"},
		"unknown run":   {"GET", "/abc", "", http.StatusNotFound, "no such training"},
		"its events":    {"GET", "/abc/events", "", http.StatusNotFound, "no such training"},
		"to be stopped": {"DELETE", "/abc", "", http.StatusNotFound, "no such training"},
	} {
		status, body := request(t, c, refused.method, "/covey/v1/jobs"+refused.path, refused.body, map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + c.Key})
		if status != refused.status || !strings.Contains(body, refused.says) {
			t.Errorf("%s: %d %s, want %d with %q", name, status, body, refused.status, refused.says)
		}
	}
}
