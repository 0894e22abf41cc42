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

// Reach measures whether two hosts of a swarm with one public node, its founder, reach each
// other.
type Reach struct {
	Binary string // the covey program
	Dir    string // data directories and logs go below it
	// Say is told what happens.
	Say func(format string, args ...any)
}

// Cell is what was measured between two hosts of kinds A and B. B serves a model that A asks
// and then pulls.
type Cell struct {
	A, B    Kind
	Joined  time.Duration // until both knew the founder
	Path    time.Duration // until A knew B, since the first of them was started
	Relayed bool          // the path, when the measurement ended
	Chat    time.Duration // of a short answer
	Pull    time.Duration // of the model

	NoJoin, NoPath, NoServe, NoChat, NoPull error // why not; without what B serves nothing was asked and pulled
}

// Err returns why a cell fails; nil: it works.
func (c *Cell) Err() error { return errors.Join(c.NoJoin, c.NoPath, c.NoServe, c.NoChat, c.NoPull) }

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

// Run measures one cell in a lab of its own. The error is that of the lab.
func (r *Reach) Run(ctx context.Context, a, b Kind) (_ *Cell, err error) {
	spec := Spec{Hosts: []Host{{"pub", Public}, {"a", a}, {"b", b}}}
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
	since := time.Now()
	for i, h := range spec.Hosts[1:] {
		n.proxy = ""
		if h.Kind == Proxy {
			n.proxy = proxyAddr(i + 1)
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
	return &peers[i], nil
}

func (n *nodes) measure(ctx context.Context, c *Cell, since time.Time) {
	knows := func(limit time.Duration, host, other string) (time.Duration, error) {
		err := wait(ctx, limit, host+" to reach "+other, func(ctx context.Context) error {
			_, err := n.peer(ctx, host, other)
			return err
		})
		return time.Since(since), err
	}
	for _, h := range []string{"a", "b"} {
		if c.Joined, c.NoJoin = knows(joinLimit, h, "pub"); c.NoJoin != nil {
			return
		}
	}
	n.Say("joined after %.1f s", c.Joined.Seconds())
	if c.Path, c.NoPath = knows(pathLimit, "a", "b"); c.NoPath == nil {
		n.Say("a path after %.1f s", c.Path.Seconds())
	}
	serve := func() error {
		if _, err := n.covey(ctx, askLimit, "b", "model", "import", "demo", "--name", model); err != nil {
			return err
		}
		_, err := n.covey(ctx, askLimit, "b", "host", model)
		return err
	}
	if c.NoServe = serve(); c.NoServe != nil {
		return
	}
	c.NoChat = wait(ctx, askLimit, "a to hear of the model", func(ctx context.Context) error {
		_, err := n.covey(ctx, askLimit, "a", "model", "show", model)
		return err
	})
	begin := time.Now()
	if c.NoChat == nil {
		_, c.NoChat = n.covey(ctx, askLimit, "a", "run", model, "--temperature", "0", "--max-tokens", "8", "What does strings.Contains do?")
		c.Chat = time.Since(begin)
	}
	begin = time.Now()
	_, c.NoPull = n.covey(ctx, askLimit, "a", "model", "pull", model)
	c.Pull = time.Since(begin)
	if p, err := n.peer(ctx, "a", "b"); err == nil {
		c.Relayed = p.Relayed
	}
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
