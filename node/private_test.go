package node_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/engine/train/privacy"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/trainer"
)

// told returns what a training told of the swarm, and its start.
func told(t *testing.T, c *api.Client, id string) (list []*trainer.Swarm, start *job.Start) {
	t.Helper()
	watchEvents(t, c, id, func(e trainer.Event) bool {
		if e.Swarm != nil {
			list = append(list, e.Swarm)
		}
		if e.Start != nil {
			start = e.Start
		}
		return true
	})
	return list, start
}

// epsilonOf is what the accountant says of steps of batches of 4.
func epsilonOf(samples, steps int) float64 {
	var a privacy.Accountant
	return a.With(privacy.Steps{Rate: 4 / float64(samples), Noise: 0.7, Count: steps}, 1e-5)
}

// TestPrivateTogether has two members with different numbers of samples learn to a budget: each
// reports what the accountant says of its steps, none exceeds it, the one with more samples does
// more steps, and both end with the same bits by the same certificate. No loss of training leaves.
func TestPrivateTogether(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"diloco", "gossip"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			list := crew(t, 2)
			dir := t.TempDir()
			rule := map[string]string{"gossip": "gossip"}[mode]
			path := swarmJob(t, dir, "", fmt.Sprintf("[swarm]\nmode = %q\nrule = %q\nrounds = 1000\ninner_steps = 12\nprivacy = {clip = 0.5, noise = 0.7, epsilon = 2.5}\n", mode, rule))
			ids := []string{submit(t, list[0], trainer.Request{Path: path, Swarm: true, MinPeers: 2})}
			heard(t, list[1], "fox")
			less, err := os.ReadFile(filepath.Join(dir, "a.txt"))
			if err != nil {
				t.Fatal(err)
			}
			half := filepath.Join(t.TempDir(), "b.txt")
			writeFile(t, half, string(less[:len(less)/2]))
			ids = append(ids, submit(t, list[1], trainer.Request{Join: "fox", Local: job.Local{Data: half}, Folder: filepath.Join(dir, "two"), Threads: 1}))
			var results []*job.Result
			for i, c := range list {
				r := finished(t, c, ids[i])
				results = append(results, r)
				seen, start := told(t, c, ids[i])
				p := r.Private
				if r.End != job.EndSpent || p == nil || p.Epsilon > 2.5 || p.Epsilon != epsilonOf(start.Samples, p.Steps) || epsilonOf(start.Samples, p.Steps+1) <= 2.5 {
					t.Fatalf("member %d ends as %s with %+v of %d samples", i, r.End, p, start.Samples)
				}
				last := 0.0
				for _, s := range seen {
					if s.Privacy == nil {
						continue
					}
					if e := epsilonOf(start.Samples, s.Privacy.Steps); s.Privacy.Epsilon != e || e < last || s.Loss != 0 {
						t.Errorf("member %d: round %d tells %+v and a loss of %v, want epsilon %v", i, s.Round, s.Privacy, s.Loss, e)
					}
					last = s.Privacy.Epsilon
					for _, m := range s.Peers {
						if m.Loss != 0 {
							t.Errorf("round %d tells a loss of %v of %s", s.Round, m.Loss, m.Name)
						}
					}
				}
				if last != p.Epsilon {
					t.Errorf("member %d: the last that is told of the swarm is epsilon %v, at the end %v", i, last, p.Epsilon)
				}
			}
			if !bytes.Equal(weights(t, results[0]), weights(t, results[1])) {
				t.Error("the members have other models")
			}
			if a, b := results[0].Private.Steps, results[1].Private.Steps; a <= b {
				t.Errorf("the member with more samples does %d steps, the other one %d", a, b)
			}
		})
	}
}

// TestPrivateGoesOn stops a member and lets it come back: it counts on, and what it told before is in
// its folder before anything leaves.
func TestPrivateGoesOn(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), online(""))
	path := swarmJob(t, t.TempDir(), "", "[swarm]\nrounds = 1000000\ninner_steps = 8\nprivacy = {clip = 1.0, noise = 0.7, epsilon = 2.7}\n")
	id := submit(t, c, trainer.Request{Path: path, Swarm: true})
	watchEvents(t, c, id, func(e trainer.Event) bool { return e.Step == nil || e.Step.Step < 57 })
	left, err := os.ReadFile(filepath.Join(filepath.Dir(path), "fox.run", job.PrivateFile))
	var kept struct{ Steps []privacy.Steps }
	if err == nil {
		err = json.Unmarshal(left, &kept)
	}
	if err != nil || len(kept.Steps) != 1 || kept.Steps[0].Count < 56 { // seven rounds have been given
		t.Fatalf("after 57 steps %s is kept, %v", left, err)
	}
	if err := c.Delete(t.Context(), "/covey/v1/jobs/"+id, nil); err != nil {
		t.Fatal(err)
	}
	first := finished(t, c, id)
	if first.End != job.EndInterrupted || first.Private.Steps != first.Step {
		t.Fatalf("stopped as %+v, %+v", first, first.Private)
	}
	again := submit(t, c, trainer.Request{Path: path, Swarm: true, Resume: true})
	res := finished(t, c, again)
	_, begun := told(t, c, again)
	if p := res.Private; res.End != job.EndSpent || p.Epsilon > 2.7 || p.Epsilon != epsilonOf(begun.Samples, p.Steps) || epsilonOf(begun.Samples, p.Steps+1) <= 2.7 {
		t.Errorf("ends as %+v with %+v", res, p)
	}
	if more := res.Step - first.Step; res.Private.Steps < first.Private.Steps+more {
		t.Errorf("%d steps are counted, after %d and %d more", res.Private.Steps, first.Private.Steps, more)
	}
	if !strings.Contains(strings.Join(begun.Notes, "\n"), fmt.Sprintf("epsilon %.3g is spent", first.Private.Epsilon)) {
		t.Errorf("goes on with notes %q after epsilon %v", begun.Notes, first.Private.Epsilon)
	}
	// A run whose budget is spent does no further step.
	id = submit(t, c, trainer.Request{Path: path, Swarm: true, Resume: true})
	if r := finished(t, c, id); r.Private.Steps != res.Private.Steps || r.End != job.EndSpent {
		t.Errorf("resumed with nothing left: %+v, %+v", r, r.Private)
	}
}

// TestPrivateAllReduce averages private gradients of each step: epsilon is told, and all have the
// same bits.
func TestPrivateAllReduce(t *testing.T) {
	t.Parallel()
	list := crew(t, 2)
	results := trainTogether(t, list, "[swarm]\nmode = \"allreduce\"\nrounds = 8\nprivacy = {clip = 1.0, noise = 0.7}\n")
	for i, r := range results {
		if p := r.Private; r.End != job.EndDone || p == nil || p.Steps != 8 || !(p.Epsilon > 0) || math.IsInf(p.Epsilon, 0) || !bytes.Equal(weights(t, r), weights(t, results[0])) {
			t.Errorf("member %d: %+v, %+v", i, r, p)
		}
	}
}

// TestPrivateRefused names what of privacy cannot be had.
func TestPrivateRefused(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), online(""))
	for _, x := range []struct{ swarm, want string }{
		{"rounds = 2\nprivacy = {mask = true}", "swarm.privacy.mask"},
		{"rounds = 2\nprivacy = {noise = 1.0}", "swarm.privacy.noise: needs clip"},
		{"rounds = 2\nprivacy = {clip = 1.0, epsilon = 2.7}", "swarm.privacy.epsilon: needs noise"},
		{"rounds = 2\nmode = \"allreduce\"\nprivacy = {clip = 1.0, noise = 1.0, epsilon = 2.7}", "swarm.privacy.epsilon: has no place"},
	} {
		err := c.Post(t.Context(), "/covey/v1/jobs", trainer.Request{Path: swarmJob(t, t.TempDir(), "", "[swarm]\n"+x.swarm+"\n"), Swarm: true}, nil)
		var status *api.StatusError
		if !errors.As(err, &status) || status.Status != http.StatusBadRequest || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want %q", x.swarm, err, x.want)
		}
	}
}
