package job_test

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/job"
)

// swarmJob trains without a length of its own; the section swarm follows.
var swarmJob = strings.NewReplacer("epochs = 12\n", "").Replace(fmt.Sprintf(tableJob, "", "class", "sum"))

func TestSwarm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, section string
		want          []string
	}{
		{"rounds", "rounds = 10", nil},
		{"a share of liars", "rounds = 10\nrule = \"nnm:10%+trimmed:25%\"", nil},
		{"all of it", `mode = "diloco"
rounds = 20
inner_time = 30
codec = "topk:0.01"
rule = "trimmed-mean"
group = 8
quorum = "two-thirds"
min_peers = 3
peers = ["12D3KooWA", "12D3KooWB"]
outer = {lr = 0.5, momentum = 0}
target = 0.95
patience = 5
publish_every = 2
[swarm.privacy]
clip = 1
noise = 0.8
delta = 1e-6
epsilon = 5`, nil},
		{"a budget is an end", `privacy = {clip = 1, noise = 0.8, epsilon = 5}`, nil},
		{"budgets", "privacy = {clip = 1, epsilon = 5}", []string{"line 17: swarm.privacy.epsilon: needs noise"}},
		{"a budget of gradients", "mode = \"allreduce\"\nprivacy = {clip = 1, noise = 1, epsilon = 5}", []string{`line 18: swarm.privacy.epsilon: has no place in mode = "allreduce"`}},
		{"no end", `mode = "gossip"`, []string{"line 16: swarm: has no end, want rounds, target or patience, or steps or epochs in train"}},
		{"an unknown key", "round = 3", []string{"line 17: swarm.round: unknown key, want one of mode, rounds, inner_steps, inner_time, codec, rule, group, quorum, min_peers, peers, outer, target, patience, publish_every, privacy"}},
		{"an unknown key below", "rounds = 3\nprivacy = {eps = 3}", []string{"line 18: swarm.privacy.eps: unknown key, want one of clip, noise, delta, mask, epsilon"}},
		{"another type", "rounds = \"3\"", []string{`line 17: swarm.rounds: is the text "3", want a whole number`}},
		{"words", "rounds = 3\nmode = \"fedavg\"\nquorum = \"all\"", []string{
			`line 18: swarm.mode: is "fedavg", want one of diloco, allreduce, gossip`, `line 19: swarm.quorum: is "all", want one of majority, two-thirds`,
		}},
		{"names", "rounds = 3\ncodec = \"Int 8\"\nrule = \"\\u0007\"", []string{`line 18: swarm.codec: is "Int 8", want a name of`, `line 19: swarm.rule: is "\a", want a name of`}},
		{"numbers", "rounds = -1\ninner_steps = -1\ngroup = 1\nmin_peers = 100000\npatience = -1\npublish_every = -2\ntarget = -1", []string{
			"line 17: swarm.rounds: is -1, want 0 to", "line 18: swarm.inner_steps: is -1, want 0 to", "line 19: swarm.group: is 1, want 2 to", "line 20: swarm.min_peers: is 100000, want 0 to 10000",
			"line 21: swarm.patience: is -1", "line 22: swarm.publish_every: is -2", "line 23: swarm.target: is -1",
		}},
		{"zeros", "rounds = 3\ninner_steps = 0\ngroup = 0\ntarget = 0.0", []string{"line 18: swarm.inner_steps: is 0, want more", "line 19: swarm.group: is 0, want more", "line 20: swarm.target: is 0, want more"}},
		{"steps and time", "rounds = 3\ninner_steps = 5\ninner_time = 2.5", []string{"line 19: swarm.inner_time: is 2.5 and inner_steps is 5, want one of them"}},
		{"steps of gradients", "rounds = 3\nmode = \"allreduce\"\ninner_steps = 5", []string{`line 18: swarm.mode: is "allreduce", which exchanges gradients after each step`}},
		{"outer of gossip", "rounds = 3\nmode = \"gossip\"\nouter.lr = 0.5", []string{`line 19: swarm.outer: belongs to mode = "diloco"`}},
		{"outer", "rounds = 3\nouter = {lr = 0, momentum = 1}", []string{"line 18: swarm.outer.lr: is 0, want more than 0", "line 18: swarm.outer.momentum: is 1, want at least 0 and less than 1"}},
		{"peers", "rounds = 3\nmin_peers = 4\npeers = [\"a\", \"a\"]", []string{`line 19: swarm.peers: has "a", want identities of peers, each once`, "line 18: swarm.min_peers: is 4, and 2 peers may join: the job waits for ever"}},
		{"privacy", "rounds = 3\nrule = \"krum\"\nprivacy = {noise = 1, mask = true}", []string{"line 19: swarm.privacy.noise: needs clip", `line 19: swarm.privacy.mask: hides single updates, which rule = "krum" looks at`}},
		{"delta", "rounds = 3\nprivacy = {clip = 1, delta = 1.5}", []string{"line 18: swarm.privacy.delta: is 1.5, want more than 0 and less than 1", "line 18: swarm.privacy.delta: needs noise"}},
	} {
		_, err := job.Parse([]byte(swarmJob + "[swarm]\n" + c.section + "\n"))
		if c.want == nil && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v\nwant %q", c.name, err, want)
			}
		}
	}
}

// TestSwarmDefaults fills in what a section does not say.
func TestSwarmDefaults(t *testing.T) {
	t.Parallel()
	outer := job.Outer{LR: new(1.0), Momentum: new(0.4)}
	for _, c := range []struct {
		name      string
		got, want job.Swarm
	}{
		{"nothing", job.Swarm{}, job.Swarm{Mode: "diloco", InnerSteps: 128, Codec: "int8", Rule: "mean", Quorum: "majority", MinPeers: 1, Outer: outer}},
		{"time", job.Swarm{InnerTime: 3, MinPeers: 4}, job.Swarm{Mode: "diloco", InnerTime: 3, Codec: "int8", Rule: "mean", Quorum: "majority", MinPeers: 4, Outer: outer}},
		{"gradients", job.Swarm{Mode: "allreduce", Codec: "f32"}, job.Swarm{Mode: "allreduce", InnerSteps: 1, Codec: "f32", Rule: "mean", Quorum: "majority", MinPeers: 1}},
		{
			"privacy",
			job.Swarm{Mode: "gossip", Privacy: &job.Privacy{Clip: 1, Noise: 2}},
			job.Swarm{Mode: "gossip", InnerSteps: 16, Codec: "int8", Rule: "gossip", Quorum: "majority", MinPeers: 1, Privacy: &job.Privacy{Clip: 1, Noise: 2, Delta: 1e-5}},
		},
		{
			"all said",
			job.Swarm{Outer: job.Outer{LR: new(1.0), Momentum: new(0.0)}, InnerSteps: 3, Rule: "krum", Quorum: "two-thirds"},
			job.Swarm{Mode: "diloco", Outer: job.Outer{LR: new(1.0), Momentum: new(0.0)}, InnerSteps: 3, Codec: "int8", Rule: "krum", Quorum: "two-thirds", MinPeers: 1},
		},
	} {
		if got := c.got.WithDefaults(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestCheckSwarm asks others for names that only they know.
func TestCheckSwarm(t *testing.T) {
	t.Parallel()
	is := func(names ...string) func(string) error {
		return func(name string) error {
			for _, n := range names {
				if n == name {
					return nil
				}
			}
			return fmt.Errorf("want one of %s", strings.Join(names, ", "))
		}
	}
	j, err := job.Parse([]byte(swarmJob + "[swarm]\nrounds = 3\nrule = \"median\"\npeers = [\"a\", \"b\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.CheckSwarm(is("int8"), is("median"), is("a", "b")); err != nil {
		t.Error(err)
	}
	err = j.CheckSwarm(is("f32"), is("mean", "krum"), is("b"))
	for _, want := range []string{`line 16: swarm.codec: is "int8": want one of f32`, `line 18: swarm.rule: is "median": want one of mean, krum`, `line 19: swarm.peers[0]: is "a": want one of b`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	j.Swarm = nil
	if err := j.CheckSwarm(nil, nil, nil); err != nil {
		t.Error(err)
	}
}

// TestSwarmRun runs a job of a swarm: alone it needs a length, and with a Sync that ends it the
// schedule has the length of all rounds. Shared, it is the same for whoever joins.
func TestSwarmRun(t *testing.T) {
	t.Parallel()
	text := swarmJob + "schedule = {kind = \"linear\"}\n[swarm]\nrounds = 4\ninner_steps = 5\npatience = 2\n"
	mine := work(t, text)
	if _, err := job.Run(t.Context(), mine, job.Options{}); err == nil || !strings.Contains(err.Error(), "line 12: train: has neither epochs nor steps, want one of them to train alone") {
		t.Errorf("alone: %v", err)
	}
	joined, err := job.Join([]byte(shared(t, mine)), job.Local{Data: filepath.Join(mine.Dir, "table.csv")})
	if err != nil {
		t.Fatal(err)
	}
	if was, is := train.Keys(mine.Swarm), train.Keys(joined.Swarm); !reflect.DeepEqual(was, is) || len(is) != 3 {
		t.Errorf("shared %v, joined with %v", was, is)
	}
	joined.Dir, joined.Name = mine.Dir, "joined"
	var rates []float64
	h := &hook{stepped: func(_ context.Context, _ *job.Running, s job.Step) (job.Verdict, error) {
		if s.Steps != 20 {
			t.Errorf("step %+v of a run of 20", s)
		}
		if s.Step == 20 {
			return job.Verdict{End: "rounds"}, nil
		}
		return job.Verdict{}, nil
	}}
	res := run(t, joined, job.Options{Sync: h, SyncEnds: true, Events: job.Events{Step: func(p job.Progress) { rates = append(rates, p.LR) }}})
	if res.End != "rounds" || len(rates) != 20 || !(rates[19] < rates[0]/10) {
		t.Errorf("%+v with rates %v", res, rates)
	}
	timed := work(t, swarmJob+"[swarm]\nrounds = 4\ninner_time = 5\n")
	timed.Train.Schedule.Kind = train.Cosine
	if err := timed.Validate(); err == nil || !strings.Contains(err.Error(), "train.schedule.steps: is missing") {
		t.Errorf("a cosine without an end: %v", err)
	}
	if _, err := job.Parse([]byte(strings.Replace(text, "split = 0.25\n", "", 1))); err == nil || !strings.Contains(err.Error(), "swarm: target and patience need data for validation") {
		t.Errorf("patience without validation: %v", err)
	}
}

// TestJoinSwarmWithoutValidation joins a job that wants validations without data for them:
// others have it.
func TestJoinSwarmWithoutValidation(t *testing.T) {
	t.Parallel()
	j := work(t, strings.Replace(swarmJob, "split = 0.25", "validation = \"table.csv\"", 1)+"[swarm]\ntarget = 0.9\n")
	if _, err := job.Join([]byte(shared(t, j)), job.Local{Data: filepath.Join(j.Dir, "table.csv")}); err != nil {
		t.Error(err)
	}
}
