package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/testnet/chains"
)

// Trained is what was measured of a training under one fault.
type Trained struct {
	Fault  string
	What   string  // was measured
	Got    float64 //
	Limit  float64 //
	AtMost bool    // Got may be Limit at most; else at least
	Unit   string
}

// Err returns why it is not as it should be.
func (t *Trained) Err() error {
	if word := "at most"; t.AtMost && !(t.Got <= t.Limit) || !t.AtMost && !(t.Got >= t.Limit) {
		if !t.AtMost {
			word = "at least"
		}
		return fmt.Errorf("%s: %s is %.4g %s, %s %.4g are fine", t.Fault, t.What, t.Got, t.Unit, word, t.Limit)
	}
	return nil
}

// TrainedHead is the head of a table of Trained.
const TrainedHead = "| fault | what | measured | limit |\n|---|---|---|---|"

// String is a row of it.
func (t *Trained) String() string {
	word := "≥"
	if t.AtMost {
		word = "≤"
	}
	return fmt.Sprintf("| %s | %s | %.4g %s | %s %.4g |", t.Fault, t.What, t.Got, t.Unit, word, t.Limit)
}

const (
	// faultTime is how long a fault lasts, flapTime how long each way of one that comes and goes.
	faultTime = time.Minute
	flapTime  = 5 * time.Second
	// healLimit is how long members may take to be in one round again after a fault.
	healLimit = 30 * time.Second
	// calmRounds are trained before a fault.
	calmRounds = 5
	// trainStart bounds the time until the first rounds.
	trainStart = 90 * time.Second
	// slowShare is the part of its time that a slow machine runs, in turns of slowTurn.
	slowShare = 0.01
	slowTurn  = 200 * time.Millisecond
	// slowRounds is how many times a usual round one with a slow member may take.
	slowRounds = 3
	// lossyRounds are trained in a minute over lossy lines, at least.
	lossyRounds = 10
)

// scene is a fault of the lines or machines of a training.
type scene struct {
	name    string
	members int
	far     *Wire // of each member
	loss    int   // of the packets that come in at each member, in percent, once some rounds are over
	hears   bool  // those who are cut off hear what the others decide
	run     func(*crew) error
}

// TrainScenes returns the names of the faults that Train knows.
func TrainScenes() (out []string) {
	for _, s := range scenes() {
		out = append(out, s.name)
	}
	return out
}

func scenes() []scene {
	const far = 50 * time.Millisecond // 200 ms there and back: each packet passes two wires
	return []scene{
		{name: "3 and 2 cut off from each other", members: 5, run: func(c *crew) error { return c.part(3, c.cut, true) }},
		{name: "2 and 2 cut off from each other", members: 4, run: func(c *crew) error { return c.part(2, c.cut, false) }},
		{name: "1 hears 4 that do not hear it", members: 5, run: func(c *crew) error { return c.part(4, c.mute, true) }, hears: true},
		{name: "3 and 2 cut off for 5 s of each 10", members: 5, run: (*crew).flap},
		{name: "5 % of the packets lost, 200 ms", members: 5, far: &Wire{Delay: far}, loss: 5, run: func(c *crew) error { return c.lossy(0.99) }},
		{name: "30 % of the packets lost, 200 ms", members: 5, far: &Wire{Delay: far}, loss: 30, run: func(c *crew) error { return c.lossy(0.90) }},
		{name: "one machine at 1 % of its speed", members: 5, run: (*crew).slow},
	}
}

// Train lets nodes on the public segment train together and breaks lines or machines meanwhile, in the
// way of each fault whose name holds pick. It tells what was measured.
func (r *Reach) Train(ctx context.Context, pick string, tell func(*Trained)) error {
	known := false
	for _, s := range scenes() {
		if !strings.Contains(s.name, pick) {
			continue
		}
		known = true
		r.Say("%s", s.name)
		if err := r.trainScene(ctx, &s, tell); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if !known {
		return fmt.Errorf("%q is in the name of no fault, of which there are %q", pick, TrainScenes())
	}
	return nil
}

// crew is the members of a training.
type crew struct {
	*nodes
	scene *scene
	names []string
	tell  func(*Trained)
	runs  sync.WaitGroup

	mu     sync.Mutex
	seen   map[string][]seenRound
	waits  map[string]time.Time // when a member last said that it hears too few
	failed error
}

// seenRound is a round as a member began it.
type seenRound struct {
	round uint64
	at    time.Time
}

func (r *Reach) trainScene(ctx context.Context, s *scene, tell func(*Trained)) (err error) {
	names := []string{"a", "b", "c", "d", "e"}[:s.members]
	spec := Spec{Far: map[string]Wire{}}
	for i, name := range names {
		spec.Hosts = append(spec.Hosts, Host{Name: name, Kind: Public})
		if s.far != nil {
			w := *s.far
			w.Seed = uint64(i)
			spec.Far[name] = w
		}
	}
	n, err := r.build(ctx, spec, strings.Trim(strings.Map(plain, s.name), "-"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	c := &crew{nodes: n, scene: s, names: names, tell: tell, seen: map[string][]seenRound{}, waits: map[string]time.Time{}}
	if err := c.up(); err != nil {
		return err
	}
	defer c.runs.Wait()
	defer n.stop()
	for _, name := range names {
		if err := c.begin(name); err != nil {
			return err
		}
	}
	if err := c.until(trainStart, "some rounds", func() bool { return c.least(names) > calmRounds }); err != nil {
		return err
	}
	if err := s.run(c); err != nil {
		return err
	}
	return c.compare()
}

// plain keeps a letter or digit, and has a hyphen for all else, for names of folders.
func plain(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}

// up starts the nodes.
func (c *crew) up() error {
	if err := c.startPublic(c.names[0]); err != nil {
		return err
	}
	var in api.Invite
	if err := c.ask(c.ctx, startLimit, c.names[0], &in, "invite"); err != nil {
		return err
	}
	for _, name := range c.names[1:] {
		if err := c.start(name, "--join", in.Token); err != nil {
			return err
		}
	}
	for i, a := range c.names {
		for _, b := range c.names[i+1:] {
			if _, err := c.knows(c.ctx, time.Now(), pathLimit, a, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// labJob is what is trained. Its rounds take half a second, and do not end before the lab does.
const labJob = `version = 1
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
folder = "run"
optimizer = {kind = "adam", lr = 0.003}
[swarm]
rounds = 100000
inner_time = 0.5
`

func (c *crew) folder(name string) string { return filepath.Join(c.dir, name+".train") }

// begin lets a member train.
func (c *crew) begin(name string) error {
	if err := os.MkdirAll(c.folder(name), 0o700); err != nil {
		return err
	}
	var text strings.Builder
	for i := range 400 {
		fmt.Fprintf(&text, "%s has %d words, and %d more for the others\n", name, i*i, 7*i)
	}
	job := filepath.Join(c.folder(name), "words.toml")
	if err := errors.Join(os.WriteFile(filepath.Join(c.folder(name), "a.txt"), []byte(text.String()), 0o600), os.WriteFile(job, []byte(labJob), 0o600)); err != nil {
		return err
	}
	args := []string{"train", "join", "words", "--from", c.folder(name), "--folder", filepath.Join(c.folder(name), "run")}
	if name == c.names[0] {
		args = []string{"train", job, "--swarm", "--min-peers", fmt.Sprint(len(c.names))}
	}
	cmd := c.lab.Exec(c.ctx, name, append([]string{c.Binary, "--data", filepath.Join(c.dir, name), "--json"}, args...)...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	log, err := os.OpenFile(c.folder(name)+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	c.runs.Go(func() {
		defer log.Close()
		c.follow(name, bufio.NewScanner(out), log)
		if err := cmd.Wait(); c.ctx.Err() == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.failed = errors.Join(c.failed, fmt.Errorf("the training of %s ended: %w: %s", name, err, said.String()))
		}
	})
	return nil
}

// follow reads what a member tells, and writes it down with the times at which it came.
func (c *crew) follow(name string, lines *bufio.Scanner, log io.Writer) {
	for lines.Scan() {
		_, _ = fmt.Fprintf(log, "%s %s\n", time.Now().UTC().Format("15:04:05.000"), lines.Bytes()) // for people
		var e struct {
			Event, Phase  string
			Round         uint64
			Heard, Quorum int
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Event != "swarm" || e.Phase == "waiting" {
			continue
		}
		now := time.Now()
		c.mu.Lock()
		if s := c.seen[name]; len(s) == 0 || s[len(s)-1].round < e.Round {
			c.seen[name] = append(s, seenRound{e.Round, now})
		}
		if e.Heard < e.Quorum && e.Phase != "work" {
			c.waits[name] = now
		}
		c.mu.Unlock()
	}
}

// round returns the round that a member is in.
func (c *crew) round(name string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.seen[name]; len(s) > 0 {
		return s[len(s)-1].round
	}
	return 0
}

// least and most return the first and the last round that one of some members is in.
func (c *crew) least(of []string) uint64 {
	out := uint64(math.MaxUint64)
	for _, name := range of {
		out = min(out, c.round(name))
	}
	return out
}

func (c *crew) most(of []string) (out uint64) {
	for _, name := range of {
		out = max(out, c.round(name))
	}
	return out
}

// until waits until something is so, or a training fails.
func (c *crew) until(limit time.Duration, what string, so func() bool) error {
	var failed error
	err := waitEvery(c.ctx, waitForMeet, limit, what, func(context.Context) error {
		c.mu.Lock()
		failed = c.failed
		c.mu.Unlock()
		if failed != nil || so() {
			return nil
		}
		return errors.New(c.state())
	})
	return errors.Join(failed, err)
}

func (c *crew) state() string {
	var out []string
	for _, name := range c.names {
		out = append(out, fmt.Sprintf("%s is in round %d", name, c.round(name)))
	}
	return strings.Join(out, ", ")
}

// typical is the median of the rounds that a member began since some time.
func (c *crew) typical(name string, since time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var took []time.Duration
	for i, s := range c.seen[name] {
		if i > 0 && s.at.After(since) {
			took = append(took, s.at.Sub(c.seen[name][i-1].at))
		}
	}
	if len(took) == 0 {
		return math.MaxInt64
	}
	slices.Sort(took)
	return took[len(took)/2]
}

func (c *crew) measured(what string, got float64, atMost bool, limit float64, unit string) {
	c.tell(&Trained{Fault: c.scene.name, What: what, Got: got, Limit: limit, AtMost: atMost, Unit: unit})
}

// filter has a host drop some of what comes in, besides what it drops already.
func (c *crew) filter(host, rule string) error {
	cmd := c.lab.Exec(c.ctx, host, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader("table inet fault {\n\tchain input {\n\t\ttype filter hook input priority filter;\n\t\t" + rule + "\n\t}\n}\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("filter %q on %s: %w: %s", rule, host, err, out)
	}
	return nil
}

// pass takes filter back.
func (c *crew) pass(hosts ...string) error {
	var errs []error
	for _, h := range hosts {
		errs = append(errs, c.command(c.ctx, h, "nft delete table inet fault"))
	}
	return errors.Join(errs...)
}

// deaf has hosts drop what comes from others.
func (c *crew) deaf(hosts, to []string) error {
	var v4, v6 []string
	for _, name := range to {
		i := slices.Index(c.names, name)
		v4 = append(v4, fmt.Sprintf("%s%d", public4, i+firstHost))
		v6 = append(v6, fmt.Sprintf("%s%x", public6, i+firstHost))
	}
	rule := fmt.Sprintf("ip saddr { %s } drop\n\t\tip6 saddr { %s } drop", strings.Join(v4, ", "), strings.Join(v6, ", "))
	for _, h := range hosts {
		if err := c.filter(h, rule); err != nil {
			return err
		}
	}
	return nil
}

// cut parts two sides, and mute keeps the first one from hearing the second. heal takes it back.
func (c *crew) cut(one, two []string) (heal func() error, err error) {
	err = errors.Join(c.deaf(one, two), c.deaf(two, one))
	return func() error { return c.pass(c.names...) }, err
}

func (c *crew) mute(one, two []string) (heal func() error, err error) {
	return func() error { return c.pass(one...) }, c.deaf(one, two)
}

// part parts the first n members and the others for a while. With goOn the first go on meanwhile.
func (c *crew) part(n int, how func(one, two []string) (func() error, error), goOn bool) error {
	one, two := c.names[:n], c.names[n:]
	heal, err := how(one, two)
	if err != nil {
		return err
	}
	began := c.most(c.names)
	cutAt := time.Now()
	if err := sleepFor(c.ctx, faultTime); err != nil {
		return err
	}
	c.Say("after %.0f s: %s", faultTime.Seconds(), c.state())
	first, other := c.most(one), c.most(two)
	if goOn {
		c.measured("rounds of the larger side meanwhile", float64(first)-float64(began), false, 10, "rounds")
	} else {
		c.measured("rounds of the first side meanwhile", float64(first)-float64(began), true, 1, "rounds")
	}
	if !c.scene.hears { // a round that was certified as the line broke may still be taken up
		c.measured("rounds of the other side meanwhile", float64(other)-float64(began), true, 1, "rounds")
		c.measured("members of the other side that say why they wait", float64(c.waiting(two, cutAt)), false, float64(len(two)), "members")
	}
	if err := heal(); err != nil {
		return err
	}
	return c.heals()
}

// waiting counts members that have said since some time that they hear too few.
func (c *crew) waiting(of []string, since time.Time) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range of {
		if c.waits[name].After(since) {
			n++
		}
	}
	return n
}

// heals measures how long it takes until all are in one round again and go on.
func (c *crew) heals() error {
	began, goal := time.Now(), c.most(c.names)+2
	err := c.until(4*healLimit, "all to go on together", func() bool { return c.least(c.names) >= goal })
	c.measured("all go on together after", time.Since(began).Seconds(), true, healLimit.Seconds(), "s")
	return err
}

// flap parts members again and again.
func (c *crew) flap() error {
	began := c.most(c.names)
	for range int(faultTime / (2 * flapTime)) {
		heal, err := c.cut(c.names[:3], c.names[3:])
		if err != nil {
			return err
		}
		err = sleepFor(c.ctx, flapTime)
		if err = errors.Join(err, heal(), sleepFor(c.ctx, flapTime)); err != nil {
			return err
		}
	}
	c.measured("rounds meanwhile", float64(c.most(c.names))-float64(began), false, 10, "rounds")
	return c.heals()
}

// lossy trains over lossy lines and measures which part of the updates counts.
func (c *crew) lossy(part float64) error {
	for _, name := range c.names {
		if err := c.filter(name, fmt.Sprintf("iifname != \"lo\" numgen random mod 100 < %d drop", c.scene.loss)); err != nil {
			return err
		}
	}
	began := c.most(c.names)
	if err := sleepFor(c.ctx, faultTime); err != nil {
		return err
	}
	c.Say("%s", c.state())
	c.measured("rounds in a minute", float64(c.most(c.names))-float64(began), false, lossyRounds, "rounds")
	taken, want := 0, 0
	chain, err := chains.Read(filepath.Join(c.folder(c.names[0]), "run"))
	if err != nil {
		return err
	}
	for i, cert := range chain {
		if o := &cert.Outcome; i > 0 && o.Round > began {
			taken, want = taken+o.Senders.Len(), want+len(chain[i-1].Outcome.Members)
		}
	}
	c.measured("updates that counted", 100*float64(taken)/float64(max(want, 1)), false, 100*part, "%")
	c.measured("members at the end", float64(len(chain[len(chain)-1].Outcome.Members)), false, float64(len(c.names)), "members")
	if err := c.pass(c.names...); err != nil {
		return err
	}
	return c.heals()
}

// slow slows a member down and measures the rounds of another one.
func (c *crew) slow() error {
	usual := c.typical(c.names[0], time.Time{})
	last := c.names[len(c.names)-1]
	ctx, cancel := context.WithCancel(c.ctx)
	var turns sync.WaitGroup
	turns.Go(func() { halt(ctx, c.running[last]) })
	began := time.Now()
	err := sleepFor(c.ctx, faultTime)
	c.Say("after %.0f s: %s", faultTime.Seconds(), c.state())
	c.measured(fmt.Sprintf("a round of the others, which takes %.2f s before", usual.Seconds()), c.typical(c.names[0], began).Seconds(), true, slowRounds*usual.Seconds(), "s")
	cancel()
	turns.Wait()
	if err != nil {
		return err
	}
	return c.heals()
}

// halt lets a process run for a small part of its time, until ctx ends.
func halt(ctx context.Context, cmd *exec.Cmd) {
	run := time.Duration(slowShare * float64(slowTurn))
	for ctx.Err() == nil {
		_ = cmd.Process.Signal(syscall.SIGSTOP) // it has ended with ctx at most
		_ = sleepFor(ctx, slowTurn-run)
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = sleepFor(ctx, run)
	}
}

// compare compares what the members decided.
func (c *crew) compare() error {
	all := map[string][]*train.Certificate{}
	for _, name := range c.names {
		chain, err := chains.Read(filepath.Join(c.folder(name), "run"))
		if err != nil {
			return fmt.Errorf("the chain of %s: %w", name, err)
		}
		all[name] = chain
	}
	got := chains.Compare(all)
	for _, note := range got.Notes {
		c.Say("%s", note)
	}
	c.measured("rounds with two outcomes", float64(got.Forks), true, 0, "rounds")
	c.measured("rounds twice in a chain, or left out", float64(got.Gaps), true, 0, "rounds")
	return nil
}
