package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/trainer"
)

// swarmJob writes a job with a [swarm] section, or more of section [train], and its text.
func swarmJob(t *testing.T, dir, more, swarm string) string {
	t.Helper()
	var text strings.Builder
	for i := range 300 {
		fmt.Fprintf(&text, "the quick brown fox jumps over the lazy dog %d\n", i*i)
	}
	path := filepath.Join(dir, "fox.toml")
	writeFile(t, filepath.Join(dir, "a.txt"), text.String())
	writeFile(t, path, `version = 1
[model]
kind = "llama"
llama = {dim = 16, blocks = 1, heads = 2, ffn = 32, tied = true}
[data.text]
files = ["*.txt"]
split = 0.1
length = 16
[train]
batch = 4
threads = 1
`+more+`
optimizer = {kind = "adam", lr = 0.003}
`+swarm)
	return path
}

// crew starts n nodes of one swarm that know each other.
func crew(t *testing.T, n int) (list []*api.Client) {
	t.Helper()
	list = append(list, start(t, t.TempDir(), online("")))
	for range n - 1 {
		list = append(list, start(t, t.TempDir(), online(invite(t, list[0]))))
	}
	for _, c := range list {
		until(t, "all connected", func() bool { return status(t, c).Peers == n-1 })
	}
	return list
}

func submit(t *testing.T, c *api.Client, req trainer.Request) string {
	t.Helper()
	var i trainer.Info
	if err := c.Post(t.Context(), "/covey/v1/jobs", req, &i); err != nil {
		t.Fatal(err)
	}
	return i.ID
}

// finished waits for the end of a training.
func finished(t *testing.T, c *api.Client, id string) *job.Result {
	t.Helper()
	var end *trainer.End
	watchEvents(t, c, id, func(e trainer.Event) bool { end = e.End; return true })
	if end == nil || end.Result == nil {
		t.Fatalf("training ends as %+v", end)
	}
	return end.Result
}

// heard waits until a peer hears of a job.
func heard(t *testing.T, c *api.Client, name string) {
	t.Helper()
	until(t, "heard of the job", func() bool {
		var jobs []trainer.Posted
		if err := c.Get(t.Context(), "/covey/v1/swarm/jobs", nil, &jobs); err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			if j.Name == name {
				return true
			}
		}
		return false
	})
}

func weights(t *testing.T, r *job.Result) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.Model, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// trainTogether has n nodes train a job, each with its part of the same text, and returns the
// results.
func trainTogether(t *testing.T, list []*api.Client, swarm string) (out []*job.Result) {
	t.Helper()
	dir := t.TempDir()
	path := swarmJob(t, dir, "", swarm)
	n := len(list)
	ids := []string{submit(t, list[0], trainer.Request{Path: path, Swarm: true, MinPeers: n, Of: n, Publish: "fox"})}
	for i, c := range list[1:] {
		heard(t, c, "fox")
		ids = append(ids, submit(t, c, trainer.Request{
			Join: "fox", Local: job.Local{Data: filepath.Join(dir, "a.txt")}, Folder: filepath.Join(dir, fmt.Sprint("run", i)), Threads: 1, Rank: i + 1, Of: n,
		}))
	}
	for i, c := range list {
		out = append(out, finished(t, c, ids[i]))
		var last *trainer.Swarm
		watchEvents(t, c, ids[i], func(e trainer.Event) bool {
			if e.Swarm != nil {
				last = e.Swarm
			}
			return true
		})
		if last == nil || last.Phase != "over" {
			t.Errorf("the last that member %d tells of the swarm is %+v", i, last)
		}
		until(t, "heard of the end", func() bool {
			var jobs []trainer.Posted
			if err := c.Get(t.Context(), "/covey/v1/swarm/jobs", nil, &jobs); err != nil {
				t.Fatal(err)
			}
			return len(jobs) == 1 && jobs[0].Phase == "done" && jobs[0].Members == n
		})
	}
	return out
}

// TestTrainTogether has three nodes learn from disjoint parts: all have the same model at the
// end, in every bit.
func TestTrainTogether(t *testing.T) {
	t.Parallel()
	list := crew(t, 3)
	results := trainTogether(t, list, "[swarm]\nrounds = 4\ninner_steps = 8\n")
	for i, r := range results {
		if r.End != job.EndDone || r.Step != 32 {
			t.Errorf("member %d ends after step %d: %s", i, r.Step, r.End)
		}
		if !bytes.Equal(weights(t, r), weights(t, results[0])) {
			t.Errorf("member %d has another model", i)
		}
	}
	// A peer that learned nothing asks it, and each member has it.
	other := start(t, t.TempDir(), online(invite(t, list[0])))
	until(t, "all serve the model", func() bool {
		m := known(t, other)["fox"]
		return m.Serving == len(list)
	})
	if c := complete(t, other, map[string]any{"model": "fox", "prompt": "the quick", "max_tokens": 4}); len(c.Choices) != 1 {
		t.Errorf("the model answers %+v", c)
	}
}

// TestGossipTogether has three nodes learn from disjoint parts in mode gossip: the model that they
// certify at the end is the same at all, and has learned.
func TestGossipTogether(t *testing.T) {
	t.Parallel()
	results := trainTogether(t, crew(t, 3), "[swarm]\nmode = \"gossip\"\nrounds = 12\ninner_steps = 8\n")
	for i, r := range results {
		if r.End != job.EndDone || !bytes.Equal(weights(t, r), weights(t, results[0])) {
			t.Errorf("member %d ends after step %d with another model: %s", i, r.Step, r.End)
		}
		if first := math.Log(256); !(r.Last.Loss < 0.8*first) {
			t.Errorf("member %d: the model's loss is %.3f", i, r.Last.Loss)
		}
	}
}

// TestAllReduceIsOneProcess compares three nodes that average the gradients of each step with
// one process that takes three batches for each: the members are in the order of their
// identities, so the parts of the data are given to them in that order.
func TestAllReduceIsOneProcess(t *testing.T) {
	t.Parallel()
	list := crew(t, 3)
	results := trainTogether(t, ordered(t, list), "[swarm]\nmode = \"allreduce\"\nrounds = 12\n")
	alone := finished(t, list[0], submit(t, list[0], trainer.Request{Path: swarmJob(t, t.TempDir(), "accumulate = 3\nsteps = 12", "")}))
	for i, r := range results {
		if r.Step != 12 || !bytes.Equal(weights(t, r), weights(t, alone)) {
			t.Errorf("member %d, after step %d, has another model than one process", i, r.Step)
		}
	}
}

// ordered sorts nodes by their peers' identities.
func ordered(t *testing.T, list []*api.Client) []*api.Client {
	t.Helper()
	out := append([]*api.Client(nil), list...)
	for i := range out {
		for k := i + 1; k < len(out); k++ {
			if status(t, out[k]).Peer < status(t, out[i]).Peer {
				out[i], out[k] = out[k], out[i]
			}
		}
	}
	return out
}

// TestSwarmOfOne checks that a swarm of one trains as covey train does alone, in each mode.
func TestSwarmOfOne(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), online(""))
	alone := finished(t, c, submit(t, c, trainer.Request{Path: swarmJob(t, t.TempDir(), "steps = 12", "")}))
	for _, mode := range []string{"mode = \"diloco\"\nrounds = 3\ninner_steps = 4", "mode = \"allreduce\"\nrounds = 12", "mode = \"gossip\"\nrounds = 6\ninner_steps = 2"} {
		began := time.Now()
		r := finished(t, c, submit(t, c, trainer.Request{Path: swarmJob(t, t.TempDir(), "", "[swarm]\n"+mode+"\n"), Swarm: true}))
		if r.Step != 12 || !bytes.Equal(weights(t, r), weights(t, alone)) {
			t.Errorf("%s: after step %d another model than alone", mode, r.Step)
		}
		t.Logf("%q took %v", mode, time.Since(began))
	}
}

// TestSwarmRefused checks that a job that cannot be trained together yet is refused at once, with
// the key and what to do.
func TestSwarmRefused(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), online(""))
	for _, x := range []struct{ train, swarm, want string }{
		{"epochs = 3", "", "set rounds, target or patience"},
		{"", "[swarm]\nmode = \"gossip\"\nrounds = 2\nrule = \"mean\"\n", "swarm.rule"},
		{"", "[swarm]\nmode = \"gossip\"\nrounds = 2\ncodec = \"topk:0.1:4\"\n", "swarm.codec"},
		{"", "[swarm]\nrounds = 2\nrule = \"gossip\"\n", "swarm.rule"},
		{"", "[swarm]\nrounds = 2\nrule = \"krum:1\"\nmin_peers = 2\n", "swarm.rule"},
		{"", "[swarm]\nrounds = 2\nmin_peers = 257\n", "swarm.min_peers"},
		{"", "[swarm]\nrounds = 2\npublish_every = 1\n", "--publish NAME"},
	} {
		err := c.Post(t.Context(), "/covey/v1/jobs", trainer.Request{Path: swarmJob(t, t.TempDir(), x.train, x.swarm), Swarm: true}, nil)
		var status *api.StatusError
		if !errors.As(err, &status) || status.Status != http.StatusBadRequest || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s%s: got %v, want %q", x.train, x.swarm, err, x.want)
		}
	}
}

// TestPatienceEndsForAll has members whose losses no longer get better: all end with the same round
// and the same bits, long before their rounds are over.
func TestPatienceEndsForAll(t *testing.T) {
	t.Parallel()
	list := crew(t, 2)
	results := trainTogether(t, list, "[swarm]\nrounds = 1000\ninner_steps = 2\npatience = 2\nouter = {lr = 1e-30, momentum = 0.0}\n")
	for i, r := range results {
		if r.End != job.EndEarly || r.Step != 6 || !bytes.Equal(weights(t, r), weights(t, results[0])) {
			t.Errorf("member %d ends after step %d: %s", i, r.Step, r.End)
		}
	}
}

// TestPublishOnTheWay serves the certified model of every other round in place of the one before, and
// the last one under the job's name alone.
func TestPublishOnTheWay(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), online(""))
	id := submit(t, c, trainer.Request{Path: swarmJob(t, t.TempDir(), "", "[swarm]\nrounds = 9\ninner_steps = 2\npublish_every = 2\n"), Swarm: true, Publish: "fox"})
	if r := finished(t, c, id); r.End != job.EndDone {
		t.Fatalf("ends as %s", r.End)
	}
	var names, problems []string
	watchEvents(t, c, id, func(e trainer.Event) bool {
		if p := e.Published; p != nil {
			names, problems = append(names, p.Name), append(problems, p.Error)
		}
		return true
	})
	if len(names) < 2 || names[0] != "fox:r2" || names[len(names)-1] != "fox" || strings.Join(problems, "") != "" {
		t.Errorf("published %q, problems %q", names, problems)
	}
	var here []api.Model
	if err := c.Get(t.Context(), "/covey/v1/models", nil, &here); err != nil {
		t.Fatal(err)
	}
	here = slices.DeleteFunc(here, func(m api.Model) bool { return m.Builtin })
	if len(here) != 1 || here[0].Name != "fox" {
		t.Errorf("models here: %+v", here)
	}
}

// stopped asks a node to stop a job for all.
func stopped(t *testing.T, c *api.Client, name string) error {
	t.Helper()
	return c.Delete(t.Context(), "/covey/v1/swarm/jobs/"+name, nil)
}

// TestStopForAll stops a job that goes on and on: its initiator alone can, and all members end with
// the same certified model.
func TestStopForAll(t *testing.T) {
	t.Parallel()
	list := crew(t, 2)
	dir := t.TempDir()
	path := swarmJob(t, dir, "", "[swarm]\nrounds = 1000000\ninner_steps = 2\n")
	ids := []string{submit(t, list[0], trainer.Request{Path: path, Swarm: true, MinPeers: 2, Of: 2})}
	heard(t, list[1], "fox")
	ids = append(ids, submit(t, list[1], trainer.Request{
		Join: "fox", Local: job.Local{Data: filepath.Join(dir, "a.txt")}, Folder: filepath.Join(dir, "two"), Threads: 1, Rank: 1, Of: 2,
	}))
	for i, c := range list {
		watchEvents(t, c, ids[i], func(e trainer.Event) bool { return e.Swarm == nil || e.Swarm.Round < 3 })
	}
	var status *api.StatusError
	if err := stopped(t, list[1], "fox"); !errors.As(err, &status) || status.Status != http.StatusBadRequest || !strings.Contains(err.Error(), "who alone can stop it") {
		t.Errorf("stopped by another member: %v", err)
	}
	if err := stopped(t, list[1], "wolf"); !errors.As(err, &status) || status.Status != http.StatusNotFound {
		t.Errorf("a job of which nobody has heard: %v", err)
	}
	if err := stopped(t, list[0], "fox"); err != nil {
		t.Fatal(err)
	}
	var results []*job.Result
	for i, c := range list {
		r := finished(t, c, ids[i])
		if results = append(results, r); r.End != "stopped by its initiator" || !bytes.Equal(weights(t, r), weights(t, results[0])) {
			t.Errorf("member %d ends after step %d: %s", i, r.Step, r.End)
		}
	}
	if err := stopped(t, list[0], "fox"); !errors.As(err, &status) || status.Status != http.StatusNotFound {
		t.Errorf("stopped when it is over: %v", err)
	}
	until(t, "heard of the stop", func() bool {
		var jobs []trainer.Posted
		if err := list[1].Get(t.Context(), "/covey/v1/swarm/jobs", nil, &jobs); err != nil {
			t.Fatal(err)
		}
		return len(jobs) == 1 && jobs[0].Phase == "stopped"
	})
}

// TestStopBeforeTheFirstRound stops a job that still waits for members: who wanted to join gives up.
func TestStopBeforeTheFirstRound(t *testing.T) {
	t.Parallel()
	list := crew(t, 2)
	dir := t.TempDir()
	first := submit(t, list[0], trainer.Request{Path: swarmJob(t, dir, "", "[swarm]\nrounds = 3\n"), Swarm: true, MinPeers: 3})
	heard(t, list[1], "fox")
	second := submit(t, list[1], trainer.Request{Join: "fox", Local: job.Local{Data: filepath.Join(dir, "a.txt")}, Folder: filepath.Join(dir, "two"), Threads: 1})
	watchEvents(t, list[0], first, func(e trainer.Event) bool { return e.Swarm == nil || e.Swarm.Members < 2 })
	if err := stopped(t, list[0], "fox"); err != nil {
		t.Fatal(err)
	}
	if r := finished(t, list[0], first); r.End != job.EndInterrupted {
		t.Errorf("the initiator's run ends as %s", r.End)
	}
	var end *trainer.End
	watchEvents(t, list[1], second, func(e trainer.Event) bool { end = e.End; return true })
	if end == nil || !strings.Contains(end.Error, "stopped by its initiator") {
		t.Errorf("the other one's ends as %+v", end)
	}
}
