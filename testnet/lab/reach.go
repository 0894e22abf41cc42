package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/covey-network/covey/node/api"
)

// Reach measures whether two hosts of a swarm reach each other over one or two public nodes,
// the founder and another one, which relay.
type Reach struct {
	Binary  string // the covey program
	Dir     string // data directories and logs go below it
	Model   string // the folder of a model that takes prompts of 2,000 tokens
	Publics int    // 1 or 2
	// Say is told what happens.
	Say func(format string, args ...any)
}

// Cell is what was measured between two hosts of kinds A and B. B serves a model that A asks,
// then each serves a half of it and A asks again, and at last A pulls it.
type Cell struct {
	A, B    Kind
	Joined  time.Duration    // until both knew the founder
	Path    time.Duration    // until A knew B, since the first of them was started
	Relayed bool             // the path, when the measurement ended
	Chat    time.Duration    // of a short answer
	Split   [2]time.Duration // of an answer of the halves to a prompt of about 200 and 2,000 tokens
	Pull    time.Duration    // of the model

	NoJoin, NoPath, NoServe, NoChat, NoSplit, NoPull error // why not; without what B serves nothing was asked and pulled
}

// Err returns why a cell fails; nil: it works.
func (c *Cell) Err() error {
	return errors.Join(c.NoJoin, c.NoPath, c.NoServe, c.NoChat, c.NoSplit, c.NoPull)
}

// Times after which a cell counts as failed.
const (
	startLimit = 30 * time.Second
	joinLimit  = 30 * time.Second
	pathLimit  = 60 * time.Second
	askLimit   = 40 * time.Second
	lookEvery  = 250 * time.Millisecond
)

// model is the name of the model that B serves. The demo's own name would be answered by A
// itself.
const model = "labmodel"

// longContext is how many tokens the measured model takes. The demo's own limit is a number of
// its configuration that its weights know nothing of.
const longContext = 4096

// Prepare checks r, makes its paths absolute and gives the model a context for long prompts. It
// is called once, before Run.
func (r *Reach) Prepare() (err error) {
	if r.Publics != 1 && r.Publics != 2 {
		return fmt.Errorf("%d public nodes: 1 or 2 are measured", r.Publics)
	}
	for _, p := range []*string{&r.Binary, &r.Dir} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	to := filepath.Join(r.Dir, "model")
	if err := os.CopyFS(to, os.DirFS(r.Model)); err != nil {
		return fmt.Errorf("copy the model: %w", err)
	}
	path := filepath.Join(to, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	config["max_position_embeddings"] = longContext
	if data, err = json.Marshal(config); err != nil {
		return err
	}
	r.Model = to
	return os.WriteFile(path, data, 0o600)
}

// Run measures one cell in a lab of its own. The error is that of the lab.
func (r *Reach) Run(ctx context.Context, a, b Kind) (_ *Cell, err error) {
	spec := Spec{Hosts: []Host{{"a", a}, {"b", b}, {"pub", Public}, {"pub2", Public}}[:2+r.Publics]}
	l, err := New(ctx, spec)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running []*exec.Cmd
	defer func() {
		cancel()
		for _, c := range running {
			_ = c.Wait() // it was told to end
		}
		err = errors.Join(err, l.Close())
	}()
	c := &Cell{A: a, B: b}
	n := &nodes{Reach: r, lab: l, dir: filepath.Join(r.Dir, string(a)+"-"+string(b))}
	start := func(host string, args ...string) error {
		cmd, err := n.start(ctx, host, args...)
		if cmd != nil {
			running = append(running, cmd)
		}
		return err
	}
	for i, h := range spec.Hosts {
		if h.Kind != Proxy {
			continue
		}
		cmd, err := l.serveProxy(ctx, h.Name, proxyAddr(i))
		if err != nil {
			return nil, err
		}
		running = append(running, cmd)
	}
	if err := start("pub", "--relay", "on"); err != nil {
		return nil, err
	}
	var in api.Invite
	if err := n.ask(ctx, startLimit, "pub", &in, "invite"); err != nil {
		return nil, err
	}
	if r.Publics > 1 {
		if err := start("pub2", "--join", in.Token, "--relay", "on"); err != nil {
			return nil, err
		}
		if _, err := n.knows(ctx, time.Now(), "pub2", "pub"); err != nil {
			return nil, err
		}
	}
	since := time.Now()
	for i, h := range spec.Hosts[:2] {
		n.proxy = ""
		if h.Kind == Proxy {
			n.proxy = proxyAddr(i)
		}
		if err := start(h.Name, "--join", in.Token); err != nil {
			return nil, err
		}
	}
	n.measure(ctx, c, since)
	return c, nil
}

// nodes are the nodes of a lab.
type nodes struct {
	*Reach
	lab   *Lab
	dir   string
	proxy string // of the node that is started next
}

// start starts a node and waits until it is ready. The command is nil if it does not run.
func (n *nodes) start(ctx context.Context, host string, args ...string) (*exec.Cmd, error) {
	data := filepath.Join(n.dir, host)
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	log, err := os.Create(data + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := n.lab.Exec(ctx, host, append([]string{n.Binary, "up", "--data", data, "--name", host, "--api", "127.0.0.1:0", "--cores", "1", "--memory", "256MiB", "--log-level", "debug"}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if n.proxy != "" {
		cmd.Env = append(os.Environ(), "HTTPS_PROXY=http://"+n.proxy)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	err = wait(ctx, startLimit, "node "+host+" to be ready; its log is "+log.Name(), func(context.Context) error {
		_, err := os.Stat(filepath.Join(data, "api.json"))
		return err
	})
	return cmd, err
}

// covey runs a command of the program on a host and returns what it prints.
func (n *nodes) covey(ctx context.Context, limit time.Duration, host string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := n.lab.Exec(ctx, host, append([]string{n.Binary, "--data", filepath.Join(n.dir, host)}, args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("covey %s on %s: %w: %s", strings.Join(args, " "), host, err, bytes.TrimSpace(said.Bytes()))
	}
	return out, err
}

// ask runs a command and reads its JSON.
func (n *nodes) ask(ctx context.Context, limit time.Duration, host string, to any, args ...string) error {
	out, err := n.covey(ctx, limit, host, append([]string{"--json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, to)
}

// peer returns what a host knows of another one that it is connected to.
func (n *nodes) peer(ctx context.Context, host, other string) (*api.Peer, error) {
	var peers []api.Peer
	if err := n.ask(ctx, joinLimit, host, &peers, "peers"); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(peers, func(p api.Peer) bool { return p.Name == other })
	if i < 0 {
		return nil, fmt.Errorf("%s does not know %s", host, other)
	}
	if p := &peers[i]; !p.Path.Connected() {
		return nil, fmt.Errorf("%s does not reach %s: %s %s", host, other, p.Path.State, p.Path.Reason)
	}
	return &peers[i], nil
}

// knows waits until a host knows another one and returns how long that took.
func (n *nodes) knows(ctx context.Context, since time.Time, host, other string) (time.Duration, error) {
	err := wait(ctx, pathLimit, host+" to reach "+other, func(ctx context.Context) error {
		_, err := n.peer(ctx, host, other)
		return err
	})
	return time.Since(since), err
}

// run runs commands on a host, up to the first that fails.
func (n *nodes) run(ctx context.Context, host string, commands ...[]string) error {
	for _, args := range commands {
		if _, err := n.covey(ctx, askLimit, host, args...); err != nil {
			return err
		}
	}
	return nil
}

// prompts are of about 200 and 2,000 tokens.
func prompts() [2]string {
	const line = "Write the result to the file and return an error if it fails. "
	return [2]string{strings.Repeat(line, 13), strings.Repeat(line, 130)}
}

// answer asks the model for a few tokens, the likeliest each time.
func (n *nodes) answer(ctx context.Context, host, prompt string) (string, time.Duration, error) {
	begin := time.Now()
	out, err := n.covey(ctx, askLimit, host, "run", model, "--temperature", "0", "--max-tokens", "8", prompt)
	return string(out), time.Since(begin), err
}

func (n *nodes) measure(ctx context.Context, c *Cell, since time.Time) {
	for _, h := range []string{"a", "b"} {
		if c.Joined, c.NoJoin = n.knows(ctx, since, h, "pub"); c.NoJoin != nil {
			return
		}
	}
	n.Say("joined after %.1f s", c.Joined.Seconds())
	if c.Path, c.NoPath = n.knows(ctx, since, "a", "b"); c.NoPath == nil {
		n.Say("a path after %.1f s", c.Path.Seconds())
	}
	if c.NoServe = n.run(ctx, "b", []string{"model", "import", n.Model, "--name", model}, []string{"host", model}); c.NoServe != nil {
		return
	}
	c.NoChat = wait(ctx, askLimit, "a to hear of the model", func(ctx context.Context) error {
		_, err := n.covey(ctx, askLimit, "a", "model", "show", model)
		return err
	})
	if c.NoChat == nil {
		_, c.Chat, c.NoChat = n.answer(ctx, "a", "What does strings.Contains do?")
	}
	c.NoSplit = n.split(ctx, c)
	begin := time.Now()
	_, c.NoPull = n.covey(ctx, askLimit, "a", "model", "pull", model)
	c.Pull = time.Since(begin)
	if p, err := n.peer(ctx, "a", "b"); err == nil {
		c.Relayed = p.Path.State == "relayed"
	}
}

// split has each host serve a half of the model, asks them together and compares the answers
// with those of b alone.
func (n *nodes) split(ctx context.Context, c *Cell) error {
	var want [2]string
	var err error
	for i, p := range prompts() {
		if want[i], _, err = n.answer(ctx, "b", p); err != nil {
			return err
		}
	}
	err = errors.Join(n.run(ctx, "b", []string{"host", model, "--off"}, []string{"host", model, "--blocks", "2-3"}),
		n.run(ctx, "a", []string{"host", model, "--blocks", "0-1"}))
	if err != nil {
		return err
	}
	err = wait(ctx, askLimit, "a chain over both", func(ctx context.Context) error {
		out, err := n.covey(ctx, askLimit, "a", "route", model)
		if err == nil && !(bytes.Contains(out, []byte("blocks 0-1")) && bytes.Contains(out, []byte("blocks 2-3"))) {
			err = fmt.Errorf("it is %s", bytes.TrimSpace(out))
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, p := range prompts() {
		got := ""
		if got, c.Split[i], err = n.answer(ctx, "a", p); err != nil {
			return err
		}
		if got != want[i] {
			return fmt.Errorf("both together answer %q, one alone %q", got, want[i])
		}
	}
	return nil
}

// wait tries again and again until there is no error, which is the last one then.
func wait(ctx context.Context, limit time.Duration, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // not that it was broken off
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait %s for %s: %w", limit, what, last)
		case <-t.C:
		}
	}
}
