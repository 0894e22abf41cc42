package harm

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
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/testnet/demo"
	"github.com/covey-network/covey/testnet/hostile"
	"github.com/covey-network/covey/testnet/runner"
)

const (
	sybils      = 4200                  // identities of one token
	sampleEvery = 50 * time.Millisecond // of a process's memory
	// newcomerLimit is how long a newcomer may take to be listed, from its start, and to be
	// used, from when it serves.
	newcomerLimit = 5 * time.Second
	// startTimeout is how long a swarm waits for anything.
	startTimeout = 30 * time.Second
	// lsLimit is how many lines people can look at.
	lsLimit = 100
)

// sampled runs f and returns the most memory that a process had meanwhile and a while
// after, in MiB.
func sampled(ctx context.Context, p *runner.Process, after time.Duration, f func() error) (most float64, err error) {
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		t := time.NewTicker(sampleEvery)
		defer t.Stop()
		for {
			m, err := memory(p, "VmRSS")
			if err != nil {
				done <- err
				return
			}
			most = max(most, m)
			select {
			case <-t.C:
			case <-stop:
				done <- nil
				return
			}
		}
	}()
	if err = f(); err == nil {
		err = hostile.Pause(ctx, after)
	}
	close(stop)
	return most, errors.Join(err, <-done)
}

// rested starts nodes again once they have measured their machine, which takes much memory
// once in a node's life.
func rested(ctx context.Context, s *runner.Swarm, names ...string) error {
	for _, n := range names {
		err := s.Wait(ctx, n+" to measure its machine", func(ctx context.Context) (bool, error) {
			var st api.Status
			err := s.Node(n).API().Get(ctx, "/covey/v1/status", nil, &st)
			return st.Speeds.MemBytesPerSec > 0, err
		})
		if err := errors.Join(err, s.Node(n).Stop(), s.Node(n).Start(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// Sybils floods two peers with adverts of identities of one token, then lets an honest
// newcomer join that serves a model.
func Sybils(ctx context.Context, l *Lab) (_ []Figure, err error) {
	s, err := l.start(ctx, &runner.Manifest{
		Nodes: nodes("one", asking),
		// Half of the model: a chain needs the newcomer.
		Model: []runner.Model{{Name: "demo", On: "one", Hosts: []runner.Host{{Node: "one", Blocks: "0-1"}}}},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err := rested(ctx, s, "one", asking); err != nil {
		return nil, err
	}
	if err := s.Hear(ctx, asking, "demo"); err != nil {
		return nil, err
	}
	a, err := l.attack(ctx, s, "one", nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	before, err := memory(s.Node("one"), "VmRSS")
	if err != nil {
		return nil, err
	}
	heard, _, err := metric(ctx, s.Node("one"), "host_adverts_total")
	if err != nil {
		return nil, err
	}
	var size int64
	most, err := sampled(ctx, s.Node("one"), time.Second, func() (err error) {
		size, err = a.Sybils(ctx, sybils, protocol.MaxAdvertModels)
		return err
	})
	if err != nil {
		return nil, err
	}
	now, _, err := metric(ctx, s.Node("one"), "host_adverts_total")
	if err != nil {
		return nil, err
	}
	if now-heard < sybils {
		return nil, fmt.Errorf("the attack did not take place: %g adverts arrived, want those of %d sybils", now-heard, sybils)
	}
	l.say("%d bytes of sybils took the memory of a peer that serves from %.0f to %.0f MiB", size, before, most)

	listed, used, err := newcomer(ctx, s)
	shut := 0.0
	if err != nil {
		l.say("the newcomer: %v", err)
		shut, listed, used = 1, startTimeout, startTimeout
	}
	out, err := exec.CommandContext(ctx, l.Binary, "model", "ls", "--data", s.Node(asking).Dir()).Output()
	if err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	return []Figure{
		{"sybils: resident memory of a peer that serves, of what it was", most / before, 1.5, "times"},
		{"sybils: honest newcomers that are not listed or not used", shut, 0, "peers"},
		{"sybils: an honest newcomer is listed after", listed.Seconds(), newcomerLimit.Seconds(), "s"},
		{"sybils: what it serves is used after", used.Seconds(), newcomerLimit.Seconds(), "s"},
		{"sybils: covey model ls", float64(bytes.Count(out, []byte("\n"))), lsLimit, "lines"},
	}, nil
}

// newcomer lets an honest node join and serve, and measures until the asking node knows
// and uses it.
func newcomer(ctx context.Context, s *runner.Swarm) (listed, used time.Duration, err error) {
	start := time.Now()
	if err := s.Join(ctx, nodes("newcomer")[0]); err != nil {
		return 0, 0, err
	}
	var st api.Status
	if err := s.Node("newcomer").API().Get(ctx, "/covey/v1/status", nil, &st); err != nil {
		return 0, 0, err
	}
	err = s.Wait(ctx, "the newcomer to be listed", func(ctx context.Context) (bool, error) {
		var peers []api.Peer
		err := s.Node(asking).API().Get(ctx, "/covey/v1/peers", nil, &peers)
		return slices.ContainsFunc(peers, func(p api.Peer) bool { return p.ID == st.Peer && p.Expected }), err
	})
	if err != nil {
		return 0, 0, err
	}
	listed = time.Since(start)
	if err := s.Hear(ctx, "newcomer", "demo"); err != nil {
		return 0, 0, err
	}
	if _, err := s.Node("newcomer").API().Watch(ctx, "/covey/v1/host", api.HostRequest{Model: "demo", Blocks: "all"}, func(api.Event) {}); err != nil {
		return 0, 0, fmt.Errorf("host the model on the newcomer: %w", err)
	}
	start = time.Now()
	q := &asker{model: "demo", tokens: 4}
	if err := q.planned(ctx, s, asking, "a chain over the newcomer", func(r *route) bool { return r.over(st.Peer) }); err != nil {
		return 0, 0, err
	}
	answer := q.ask(ctx, s.Node(asking).API(), nil)
	return listed, time.Since(start), answer.err
}

// Hog lets a peer reserve sessions of a long context, and has the node's own user and then
// another peer, which came with another token, ask several questions at once meanwhile.
func Hog(ctx context.Context, l *Lab) (_ []Figure, err error) {
	dir, err := l.dir("long")
	if err != nil {
		return nil, err
	}
	if err := writeLong(dir); err != nil {
		return nil, err
	}
	names := nodes("one", asking)
	names[0].Memory = "512MiB"
	s, err := l.start(ctx, &runner.Manifest{
		Nodes: names, Model: []runner.Model{{Name: "long", Path: dir, On: "one", Hosts: []runner.Host{{Node: "one", Blocks: "all"}}}},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	q := &asker{model: "long", tokens: longAnswer}
	want, err := q.settled(ctx, s, asking)
	if err != nil {
		return nil, err
	}
	a, err := l.attack(ctx, s, "one", nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	var st api.Status
	if err := s.Node("one").API().Get(ctx, "/covey/v1/status", nil, &st); err != nil {
		return nil, err
	}
	if err := hogs(ctx, l, a, st.Peer, "long"); err != nil {
		return nil, err
	}
	var out []Figure
	for _, who := range []struct{ name, node string }{{"the node's own user", "one"}, {"another peer", asking}} {
		failed := 0
		for _, a := range q.atOnce(ctx, s.Node(who.node).API(), 4) {
			if a.err == nil && a.text != want {
				a.err = fmt.Errorf("the answer is %q, want %q", a.text, want)
			}
			if a.err != nil {
				l.say("a question of %s: %v", who.name, a.err)
				failed++
			}
		}
		out = append(out, Figure{"hog of 40 sessions of 32,768: questions of " + who.name + " that fail", float64(failed), 0, "answers"})
	}
	return out, nil
}

// hogs lets a peer take all sessions on another one that it can get.
func hogs(ctx context.Context, l *Lab, a *attacker, on host.ID, model string) error {
	got, tokens, err := a.Hog(ctx, on, model, 40, 32768)
	if err != nil {
		return err
	}
	l.say("the hog has %d of 40 sessions, for %d tokens", got, tokens)
	return happened(got, "session was opened by the hog")
}

// writeLong writes the demo model with a context of 32,768 into a folder.
func writeLong(dir string) error {
	if err := demo.Write(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		return err
	}
	config["max_position_embeddings"] = 32768
	if data, err = json.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
