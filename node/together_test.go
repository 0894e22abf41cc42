package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
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
	for _, mode := range []string{"mode = \"diloco\"\nrounds = 3\ninner_steps = 4", "mode = \"allreduce\"\nrounds = 12"} {
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
		{"epochs = 3", "", "set rounds, or target"},
		{"", "[swarm]\nmode = \"gossip\"\nrounds = 2\n", "swarm.mode"},
		{"", "[swarm]\nrounds = 2\nrule = \"clip\"\n", "swarm.rule"},
		{"", "[swarm]\nrounds = 2\nrule = \"gossip\"\n", "swarm.rule"},
		{"", "[swarm]\nrounds = 2\nrule = \"krum:1\"\nmin_peers = 2\n", "swarm.rule"},
		{"", "[swarm]\nrounds = 2\nmin_peers = 257\n", "swarm.min_peers"},
		{"", "[swarm]\npatience = 2\n", "swarm.patience"},
		{"", "[swarm]\nrounds = 2\npublish_every = 1\n", "swarm.publish_every"},
		{"", "[swarm]\nrounds = 2\nprivacy = {clip = 1.0, noise = 1.0}\n", "swarm.privacy"},
	} {
		err := c.Post(t.Context(), "/covey/v1/jobs", trainer.Request{Path: swarmJob(t, t.TempDir(), x.train, x.swarm), Swarm: true}, nil)
		var status *api.StatusError
		if !errors.As(err, &status) || status.Status != http.StatusBadRequest || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s%s: got %v, want %q", x.train, x.swarm, err, x.want)
		}
	}
}
