package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// Reach measures whether two hosts of a swarm reach each other over one or two public nodes,
// the founder and another one, which relay.
type Reach struct {
	Binary  string // the covey program
	Dir     string // data directories and logs go below it
	Keep    bool   // them, when a cell was measured
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
	First   string           // the path then, direct or relayed
	Relayed bool             // the path, when the measurement ended
	Direct  time.Duration    // until the path was direct, if it is
	Chat    time.Duration    // of a short answer
	Split   [2]time.Duration // of an answer of the halves to a prompt of about 200 and 2,000 tokens
	Pull    time.Duration    // of the model

	NoJoin, NoPath, NoServe, NoChat, NoSplit, NoPull error // why not; without what B serves nothing was asked and pulled
	NoDirect                                         error // why the path was not direct in time, between kinds that allow it
	Late                                             error // the first path took too long
}

// Err returns why a cell fails; nil: it works.
func (c *Cell) Err() error {
	return errors.Join(c.NoJoin, c.NoPath, c.NoServe, c.NoChat, c.NoSplit, c.NoPull, c.NoDirect, c.Late)
}

// Times after which a cell counts as failed.
const (
	startLimit = 30 * time.Second
	joinLimit  = 30 * time.Second
	pathLimit  = 60 * time.Second
	directIn   = 5 * time.Second  // from the start until the first path, if that is direct
	relayedIn  = 10 * time.Second // and if it is not
	punchLimit = 15 * time.Second // from the start until two homes whose routers allow it are connected directly
	askLimit   = 40 * time.Second
	lookEvery  = 250 * time.Millisecond
)

// model is the name of the model that B serves. The demo's own name would be answered by A
// itself.
const model = "labmodel"

// longContext is how many tokens the measured model takes. The demo's own limit is a number of
// its configuration that its weights know nothing of.
const longContext = 4096

// Prepare checks r, makes its paths absolute and gives the model a context for long prompts
// and answers. It is called once, before Run.
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
	// Answers end with a token that the model never gives, so that they are as long as is asked.
	const never, neverID = "<|system|>", 1
	for name, set := range map[string]map[string]any{
		"config.json":            {"max_position_embeddings": longContext, "eos_token_id": neverID},
		"generation_config.json": {"eos_token_id": neverID},
		"tokenizer_config.json":  {"eos_token": never},
	} {
		if err := change(filepath.Join(to, name), set); err != nil {
			return err
		}
	}
	r.Model = to
	return nil
}

// change sets fields of a JSON file.
func change(path string, set map[string]any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	maps.Copy(fields, set)
	if data, err = json.Marshal(fields); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// Run measures one cell in a lab of its own. The error is that of the lab.
func (r *Reach) Run(ctx context.Context, a, b Kind) (_ *Cell, err error) {
	n, err := r.open(ctx, a, b)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	c := &Cell{A: a, B: b}
	n.measure(n.ctx, c)
	return c, nil
}

func (n *nodes) measure(ctx context.Context, c *Cell) {
	for _, h := range []string{"a", "b"} {
		if c.Joined, c.NoJoin = n.knows(ctx, n.since, joinLimit, h, "pub"); c.NoJoin != nil {
			return
		}
	}
	n.Say("joined after %.1f s", c.Joined.Seconds())
	if c.Path, c.NoPath = n.knows(ctx, n.since, pathLimit, "a", "b"); c.NoPath == nil {
		if p, err := n.peer(ctx, "a", "b"); err == nil {
			c.First = p.Path.State
		}
		n.Say("a %s path after %.1f s", c.First, c.Path.Seconds())
		limit := relayedIn
		if c.First == "direct" {
			limit = directIn
		}
		if c.Path > limit {
			c.Late = fmt.Errorf("the first path, %s, took %.1f s, at most %v", c.First, c.Path.Seconds(), limit)
		}
	}
	if c.NoServe = n.serve(ctx); c.NoServe != nil {
		return
	}
	c.NoChat = n.hears(ctx)
	if c.NoChat == nil {
		_, c.Chat, c.NoChat = n.answer(ctx, "a", "8", question)
	}
	c.NoSplit = n.split(ctx, c)
	begin := time.Now()
	_, c.NoPull = n.covey(ctx, askLimit, "a", "model", "pull", model)
	c.Pull = time.Since(begin)
	n.upgrade(ctx, c)
}

// upgrade notes when the path has become direct, for which it waits if both routers allow that two
// homes dial each other at once.
func (n *nodes) upgrade(ctx context.Context, c *Cell) {
	direct := func(ctx context.Context) error {
		p, err := n.peer(ctx, "a", "b")
		if err != nil {
			return err
		}
		if c.Relayed = p.Path.State == "relayed"; c.Relayed {
			return errors.New("it is relayed")
		}
		c.Direct = p.Path.Since.Sub(n.since)
		return nil
	}
	err := direct(ctx)
	if c.A != Endpoint || c.B != Endpoint {
		return
	}
	if left := punchLimit - time.Since(n.since); err != nil && left > 0 {
		err = wait(ctx, left, "a direct path", direct)
	}
	if c.NoDirect = err; err == nil && c.Direct > punchLimit {
		c.NoDirect = fmt.Errorf("it was direct after %.1f s", c.Direct.Seconds())
	}
}

// split has each host serve a half of the model, asks them together and compares the answers
// with those of b alone.
func (n *nodes) split(ctx context.Context, c *Cell) error {
	var want [2]string
	var err error
	for i, p := range prompts() {
		if want[i], _, err = n.answer(ctx, "b", "8", p); err != nil {
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
		if got, c.Split[i], err = n.answer(ctx, "a", "8", p); err != nil {
			return err
		}
		if got != want[i] {
			return fmt.Errorf("both together answer %q, one alone %q", got, want[i])
		}
	}
	return nil
}
