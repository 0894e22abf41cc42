package harm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/trainer"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/testnet/chains"
	"github.com/covey-network/covey/testnet/hostile"
	"github.com/covey-network/covey/testnet/runner"
)

const (
	// trainRounds is how long a training is, trainShort a short one.
	trainRounds = 14
	trainShort  = 9
	// trainLimit is when a training counts as one that hangs.
	trainLimit = 2 * time.Minute
	// trainMoment bounds how long after the second round something happens, trainAway for how
	// long a peer is away.
	trainMoment = 3 * time.Second
	trainAway   = 3 * time.Second
	// trainRound is the longest that a round may take after a death: the deadlines of what the
	// dead owe, and a leader that does not propose.
	trainRound = 12 * time.Second
)

// trainScenes are what happens to five members, the first of which is the initiator.
var trainScenes = []struct {
	name string
	run  func(*trainCrew, context.Context) error
}{
	{"two die", func(c *trainCrew, ctx context.Context) error { return c.die(ctx, c.some(2)...) }},
	{"all die and come back", func(c *trainCrew, ctx context.Context) error { return c.back(ctx, c.some(5)...) }},
	{"two die and come back", func(c *trainCrew, ctx context.Context) error { return c.back(ctx, c.some(2)...) }},
	{"the initiator dies", func(c *trainCrew, ctx context.Context) error { return c.die(ctx, "one") }},
	{"one comes late", func(c *trainCrew, ctx context.Context) error { return c.late(ctx, c.some(0)...) }},
	{"one comes late, the initiator is gone", func(c *trainCrew, ctx context.Context) error { return c.late(ctx, "one") }},
	{"one leaves", (*trainCrew).leave},
}

// Training kills members of a training at random moments, and lets some come back: those who
// live end with the same model.
func Training(ctx context.Context, l *Lab) ([]Figure, error) {
	var sum trainSum
	for i := range l.runs(l.size(2*len(trainScenes), 2)) {
		scene := trainScenes[i%len(trainScenes)]
		seed := l.Seed + uint64(i)
		began := time.Now()
		got, err := l.train(ctx, scene.run, seed)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		l.say("training, seed %d: %s: %d members of %d ended, longest round %.1f s, after it %.1f s, %.0f s in all: %v", seed, scene.name, got.ended, got.want, got.calm.Seconds(), got.longest.Seconds(), time.Since(began).Seconds(), err)
		sum.add(&got, err)
	}
	of := fmt.Sprintf("of %d", sum.runs)
	return []Figure{
		{"training: runs that hang or fail", float64(sum.failed), 0, of},
		{"training: members that do not end", float64(sum.want - sum.ended), 0, fmt.Sprintf("of %d", sum.want)},
		{"training: members with another model", float64(sum.other), 0, fmt.Sprintf("of %d", sum.ended)},
		{"training: rounds that are in a chain twice, or left out", float64(sum.twice), 0, "rounds"},
		{"training: rounds with two outcomes", float64(sum.forks), 0, "rounds"},
		{"training: longest round after a death", sum.longest.Seconds(), trainRound.Seconds(), "s"},
	}, nil
}

// trainFound is what a training ended with.
type trainFound struct {
	want, ended, other, twice, forks int
	calm, longest                    time.Duration // longest round before and after what happened
}

// trainSum adds trainings up.
type trainSum struct {
	trainFound
	runs, failed int
}

func (s *trainSum) add(f *trainFound, err error) {
	if s.runs++; err != nil {
		s.failed++
	}
	s.want, s.ended, s.other, s.twice, s.forks = s.want+f.want, s.ended+f.ended, s.other+f.other, s.twice+f.twice, s.forks+f.forks
	s.longest = max(s.longest, f.longest)
}

// trainCrew is the members of a training.
type trainCrew struct {
	s   *runner.Swarm
	say func(format string, args ...any)
	dir string
	rng *rand.Rand

	rounds int

	mu    sync.Mutex
	seen  map[string]*trainSeen
	gone  map[string]bool // who does not end
	news  chan struct{}   // closed and replaced when seen changes
	watch sync.WaitGroup
}

// trainSeen is what one member has told.
type trainSeen struct {
	run    string
	at     []trainRoundAt // its rounds, as they began
	result *trainer.Result
	failed string
}

type trainRoundAt struct {
	round uint64
	at    time.Time
}

// train runs one training while something happens to it.
func (l *Lab) train(ctx context.Context, scene func(*trainCrew, context.Context) error, seed uint64) (f trainFound, err error) {
	dir, err := l.dir("training")
	if err != nil {
		return f, err
	}
	c := &trainCrew{say: l.say, dir: dir, rounds: l.size(trainRounds, trainShort), rng: rand.New(rand.NewPCG(seed, 0)), gone: map[string]bool{}, seen: map[string]*trainSeen{}, news: make(chan struct{})}
	names := []string{"one", "two", "three", "four", "five"}
	if c.s, err = l.start(ctx, &runner.Manifest{Nodes: nodes("one")}); err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, c.s.Stop()) }()
	if err := c.s.JoinAll(ctx, nodes(names[1:]...), len(names)); err != nil {
		return f, err
	}
	ctx, cancel := context.WithTimeout(ctx, trainLimit)
	defer func() {
		cancel()
		c.watch.Wait()
	}()
	for _, n := range names {
		if err := c.submit(ctx, n); err != nil {
			return f, err
		}
	}
	if err := c.wait(ctx, "the second round", func() bool { return c.all(names, func(s *trainSeen) bool { return len(s.at) > 1 }) }); err != nil {
		return f, err
	}
	if err := hostile.Pause(ctx, c.random(trainMoment)); err != nil {
		return f, err
	}
	happened := time.Now()
	if err := scene(c, ctx); err != nil {
		return f, err
	}
	err = c.wait(ctx, "the end", func() bool {
		return c.all(c.living(), func(s *trainSeen) bool { return s.result != nil || s.failed != "" })
	})
	return c.found(happened), err
}

func (c *trainCrew) random(most time.Duration) time.Duration {
	return time.Duration(c.rng.Int64N(int64(most)))
}

// some returns n of the members in a random order.
func (c *trainCrew) some(n int) []string {
	names := []string{"one", "two", "three", "four", "five"}
	c.rng.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
	return names[:n]
}

// living returns who is to end.
func (c *trainCrew) living() (out []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range c.seen {
		if !c.gone[n] {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// all reports whether something holds for all of some members.
func (c *trainCrew) all(names []string, f func(*trainSeen) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !slices.ContainsFunc(names, func(n string) bool { return !f(c.seen[n]) })
}

// wait waits until something is so.
func (c *trainCrew) wait(ctx context.Context, what string, done func() bool) error {
	for {
		c.mu.Lock()
		news := c.news
		c.mu.Unlock()
		if done() {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %s", what, ctx.Err(), c.state())
		}
	}
}

// state says where the members are.
func (c *trainCrew) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for n, s := range c.seen {
		text := n + " "
		switch {
		case s.result != nil:
			text += "has ended: " + s.result.End
		case s.failed != "":
			text += "has failed: " + s.failed
		case len(s.at) == 0:
			text += "has not begun"
		default:
			text += fmt.Sprintf("is in round %d", s.at[len(s.at)-1].round)
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// submit lets a member train, or go on.
func (c *trainCrew) submit(ctx context.Context, name string) error {
	data := filepath.Join(c.dir, name, "text")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "a.txt"), []byte(trainText(name)), 0o600); err != nil {
		return err
	}
	req := trainer.Request{Join: "words", Local: trainer.Local{Data: data}, Folder: filepath.Join(c.dir, name+".run"), Threads: 1}
	if name == "one" {
		req = trainer.Request{Path: filepath.Join(data, "words.toml"), Swarm: true, MinPeers: 5, Threads: 1}
		c.mu.Lock()
		req.Resume = c.seen[name] != nil
		c.mu.Unlock()
		text := fmt.Sprintf(trainJob, c.rounds, filepath.Join(c.dir, name+".run"))
		if err := os.WriteFile(req.Path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	var info trainer.Info
	var refused error
	client := c.s.Node(name).API()
	err := c.s.Wait(ctx, name+" to hear of the job", func(ctx context.Context) (bool, error) {
		err := client.Post(ctx, "/covey/v1/jobs", req, &info)
		var status *api.StatusError
		if errors.As(err, &status) && status.Status != http.StatusNotFound {
			refused = err
			return true, nil
		}
		return err == nil, err
	})
	if err = cmp.Or(refused, err); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[name] == nil {
		c.seen[name] = new(trainSeen)
	}
	c.seen[name].run, c.seen[name].failed = info.ID, ""
	delete(c.gone, name)
	c.watch.Go(func() { c.follow(ctx, name, client, info.ID) })
	return nil
}

// trainText is the data of a member.
func trainText(name string) string {
	var b strings.Builder
	for i := range 400 {
		fmt.Fprintf(&b, "%s has %d words, and %d more for the others\n", name, i*i, 7*i)
	}
	return b.String()
}

const trainJob = `version = 1
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
folder = %[2]q
optimizer = {kind = "adam", lr = 0.003}
[swarm]
rounds = %[1]d
inner_time = 0.3
`

// follow notes what a member tells of a run, until its end or the node's.
func (c *trainCrew) follow(ctx context.Context, name string, client *api.Client, run string) {
	res, err := client.Do(ctx, "GET", "/covey/v1/jobs/"+run+"/events", nil)
	if err != nil {
		return // it was killed
	}
	defer res.Body.Close()
	err = api.ReadEvents(res.Body, func(data []byte) error {
		var e trainer.Event
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		s := c.seen[name]
		switch {
		case e.Swarm != nil && e.Swarm.Phase != "waiting":
			if n := len(s.at); n == 0 || s.at[n-1].round != e.Swarm.Round {
				s.at = append(s.at, trainRoundAt{e.Swarm.Round, time.Now()})
			}
		case e.End != nil && e.End.Result != nil && e.End.Result.End != trainer.EndInterrupted:
			s.result = e.End.Result
		case e.End != nil && e.End.Error != "":
			s.failed = e.End.Error
		}
		close(c.news)
		c.news = make(chan struct{})
		return nil
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.seen[name]; err != nil && !c.gone[name] && s.run == run && ctx.Err() == nil { // nobody killed it
		s.failed = err.Error()
		close(c.news)
		c.news = make(chan struct{})
	}
}

// goes notes that a member is not to end.
func (c *trainCrew) goes(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone[name] = true
}

// die kills members one after the other within a third of a second.
func (c *trainCrew) die(ctx context.Context, names ...string) error {
	for _, n := range names {
		if err := hostile.Pause(ctx, c.random(trainMoment/10)); err != nil {
			return err
		}
		c.say("kill %s: %s", n, c.state())
		c.goes(n)
		if err := c.s.Node(n).Kill(); err != nil {
			return err
		}
	}
	return nil
}

// back kills members, and lets them come back after a while.
func (c *trainCrew) back(ctx context.Context, names ...string) error {
	if err := c.die(ctx, names...); err != nil {
		return err
	}
	for _, n := range names {
		if err := hostile.Pause(ctx, c.random(trainAway)/time.Duration(len(names))); err != nil {
			return err
		}
		if err := c.s.Node(n).Start(ctx); err != nil {
			return err
		}
		if err := c.submit(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// late kills some and lets another peer of the swarm join the training.
func (c *trainCrew) late(ctx context.Context, names ...string) error {
	if err := c.s.Join(ctx, nodes("six")[0]); err != nil {
		return err
	}
	if err := c.die(ctx, names...); err != nil {
		return err
	}
	return c.submit(ctx, "six")
}

// leave stops the training at one member.
func (c *trainCrew) leave(ctx context.Context) error {
	n := c.some(1)[0]
	c.say("%s leaves: %s", n, c.state())
	c.goes(n)
	return c.s.Node(n).API().Delete(ctx, "/covey/v1/jobs/"+c.seen[n].run, nil)
}

// found looks at what the members have at the end.
func (c *trainCrew) found(happened time.Time) (f trainFound) {
	all := map[string][]*train.Certificate{}
	var model []byte
	living := c.living()
	f.want = len(living)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range living {
		s := c.seen[n]
		for i := 1; i < len(s.at); i++ {
			took := s.at[i].at.Sub(s.at[i-1].at)
			if s.at[i].at.After(happened) {
				f.longest = max(f.longest, took)
			} else {
				f.calm = max(f.calm, took)
			}
		}
		if s.result == nil {
			c.say("%s has not ended: %s", n, s.failed)
			continue
		}
		f.ended++
		got, err := os.ReadFile(filepath.Join(s.result.Model, "model.safetensors"))
		if model == nil {
			model = got
		}
		if err != nil || string(got) != string(model) {
			c.say("%s has another model, %v", n, err)
			f.other++
		}
		if all[n], err = chains.Read(filepath.Join(c.dir, n+".run")); err != nil {
			c.say("the chain of %s: %v", n, err)
			f.twice++
		}
	}
	got := chains.Compare(all)
	for _, note := range got.Notes {
		c.say("%s", note)
	}
	f.twice += got.Gaps
	f.forks = got.Forks
	return f
}
