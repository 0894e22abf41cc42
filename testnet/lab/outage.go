package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/covey-network/covey/node/api"
)

// Outage is what happened to an answer, or to a swarm, as public nodes went away.
type Outage struct {
	What  string
	Took  time.Duration // the answer
	Alone time.Duration // the same answer takes without a loss; 0: it is not about an answer in progress
	Pause time.Duration // the longest between two pieces of the answer; else until there was one
	Limit time.Duration // of Pause
}

// Err returns why it is not as it should be.
func (o *Outage) Err() error {
	if o.Pause > o.Limit {
		return fmt.Errorf("%s: a pause of %.1f s, at most %.0f s are fine", o.What, o.Pause.Seconds(), o.Limit.Seconds())
	}
	return nil
}

// OutageHead is the head of a table of outages.
const OutageHead = "| what | answer | without a loss | longest pause | limit |\n|---|---|---|---|---|"

// String is a row of it.
func (o *Outage) String() string {
	seconds := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |", o.What, seconds(o.Took), seconds(o.Alone), seconds(o.Pause), seconds(o.Limit))
}

const (
	// longAnswer is how many tokens are asked for, so that the relay dies in the middle.
	longAnswer = "3000"
	// relayedPause is how long an answer may pause as its relay dies, directPause if it needs none.
	relayedPause = 5 * time.Second
	directPause  = time.Second
	// awayFor is how long all public nodes are away, backLimit how long the swarm may take to be
	// whole when they are back.
	awayFor   = 40 * time.Second
	backLimit = 30 * time.Second
)

// Outages has b serve a model that a asks. Behind symmetric NATs, it takes away the relay of an
// answer in the middle of it, once by killing the node and once by cutting it off the network.
// Then it kills both public nodes for a while. Behind ordinary routers, which are passed
// directly, it kills both in the middle of an answer, for a while, too. What was seen is told to each. An error is
// that of the lab, or that an answer broke or was another one.
func (r *Reach) Outages(ctx context.Context, each func(*Outage)) error {
	if r.Publics != 2 {
		return errors.New("outages need 2 public nodes")
	}
	for _, pair := range []struct {
		kind Kind
		run  func(*nodes, *conversation, func(*Outage)) error
	}{{Symmetric, (*nodes).loseRelays}, {Endpoint, (*nodes).keepDirect}} {
		r.Say("two homes of kind %s", pair.kind)
		n, err := r.open(ctx, pair.kind, pair.kind)
		if err != nil {
			return err
		}
		c, err := n.converse()
		if err == nil {
			err = pair.run(n, c, each)
		}
		if err = errors.Join(err, n.close()); err != nil {
			return err
		}
	}
	return nil
}

// conversation is an answer that a gets of b.
type conversation struct {
	want  string
	alone time.Duration
}

// converse has b serve the model and a ask it.
func (n *nodes) converse() (*conversation, error) {
	if _, err := n.knows(n.ctx, n.since, pathLimit, "a", "b"); err != nil {
		return nil, err
	}
	if err := errors.Join(n.serve(n.ctx), n.hears(n.ctx)); err != nil {
		return nil, err
	}
	var c conversation
	var err error
	if c.want, _, err = n.answer(n.ctx, "b", longAnswer, question); err != nil {
		return nil, err
	}
	got, err := n.watch(nil, 0)
	c.alone = got.took
	n.Say("an answer takes %.1f s", c.alone.Seconds())
	return &c, err
}

// loseRelays takes away relays in the middle of an answer.
func (n *nodes) loseRelays(c *conversation, each func(*Outage)) error {
	for _, way := range []struct {
		what string
		away func(pub string) error
		back func(pub string) error
	}{
		{"the relay is killed", func(pub string) error { return n.kill(pub) }, func(pub string) error { return n.startPublic(pub) }},
		{"the relay is cut off", func(pub string) error { return n.plugged(pub, false) }, func(pub string) error { return n.plugged(pub, true) }},
	} {
		if err := n.both(func(h string) error { return n.reserved(h) }); err != nil {
			return err
		}
		p, err := n.peer(n.ctx, "a", "b")
		if err != nil {
			return err
		}
		pub := p.Path.ViaName
		if p.Path.State != "relayed" || pub == "" {
			return fmt.Errorf("a reaches b %s over %q, and not over a relay", p.Path.State, pub)
		}
		if err := n.lose(c, way.what, relayedPause, each, func() error { return way.away(pub) }); err != nil {
			return err
		}
		if err := way.back(pub); err != nil {
			return err
		}
		if err := n.both(func(h string) error { _, err := n.knows(n.ctx, time.Now(), joinLimit, h, pub); return err }); err != nil {
			return err
		}
	}
	return n.loseAll(each)
}

// loseAll kills all public nodes for a while.
func (n *nodes) loseAll(each func(*Outage)) error {
	if err := n.kill("pub", "pub2"); err != nil {
		return err
	}
	return n.goBack("an answer after all public nodes were away for", each, func(ctx context.Context) error {
		_, _, err := n.answer(ctx, "a", "8", question)
		return err
	})
}

// goBack starts the public nodes again after a while and tells how long it takes until the swarm is
// whole.
func (n *nodes) goBack(what string, each func(*Outage), whole func(context.Context) error) error {
	select {
	case <-time.After(awayFor):
	case <-n.ctx.Done():
		return n.ctx.Err()
	}
	begin := time.Now()
	if err := errors.Join(n.startPublic("pub"), n.startPublic("pub2")); err != nil {
		return err
	}
	what += fmt.Sprintf(" %.0f s", awayFor.Seconds())
	err := wait(n.ctx, 2*backLimit, what, whole)
	each(&Outage{What: what, Pause: time.Since(begin), Limit: backLimit})
	return err
}

// keepDirect kills all public nodes in the middle of an answer that needs none.
func (n *nodes) keepDirect(c *conversation, each func(*Outage)) error {
	err := wait(n.ctx, pathLimit, "a to reach b directly", func(context.Context) error {
		p, err := n.peer(n.ctx, "a", "b")
		if err == nil && p.Path.State != "direct" {
			err = fmt.Errorf("it is %s", p.Path.State)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := n.lose(c, "direct: all public nodes are killed", directPause, each, func() error { return n.kill("pub", "pub2") }); err != nil {
		return err
	}
	return n.goBack("direct: connections to all public nodes after", each, func(ctx context.Context) error {
		return n.both(func(h string) error {
			_, err := n.peer(ctx, h, "pub")
			_, err2 := n.peer(ctx, h, "pub2")
			return errors.Join(err, err2)
		})
	})
}

// lose takes something away in the middle of an answer.
func (n *nodes) lose(c *conversation, what string, limit time.Duration, each func(*Outage), away func() error) error {
	got, err := n.watch(away, c.alone/2)
	if err == nil && got.text != c.want {
		err = fmt.Errorf("the answer is another one, %d bytes and not %d", len(got.text), len(c.want))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	each(&Outage{What: what, Took: got.took, Alone: c.alone, Pause: got.pause, Limit: limit})
	return nil
}

// watched is an answer as it came.
type watched struct {
	text        string
	took, pause time.Duration
}

// watch has a ask for a long answer, does something after a while of it, and returns it when it
// is over.
func (n *nodes) watch(do func() error, after time.Duration) (w watched, err error) {
	ctx, cancel := context.WithTimeout(n.ctx, askLimit)
	defer cancel()
	cmd := n.lab.Exec(ctx, "a", n.Binary, "--data", filepath.Join(n.dir, "a"), "run", model, "--temperature", "0", "--max-tokens", longAnswer, question)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return w, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return w, err
	}
	var done chan error
	if do != nil {
		done = make(chan error, 1)
		t := time.AfterFunc(after, func() { done <- do() })
		defer t.Stop()
	}
	var text bytes.Buffer
	last := begin
	for piece := make([]byte, 4096); err == nil; {
		var k int
		k, err = out.Read(piece)
		now := time.Now()
		if text.Len() > 0 && k > 0 {
			w.pause = max(w.pause, now.Sub(last))
		}
		last = now
		text.Write(piece[:k])
	}
	if err == io.EOF {
		err = nil
	}
	if failed := cmd.Wait(); failed != nil {
		err = errors.Join(err, fmt.Errorf("%w: %s", failed, bytes.TrimSpace(said.Bytes())))
	}
	w.text, w.took = text.String(), time.Since(begin)
	if do == nil {
		return w, err
	}
	select {
	case failed := <-done:
		return w, errors.Join(err, failed)
	default:
		return w, errors.Join(err, errors.New("the answer was over before the loss"))
	}
}

// reserved waits until a host has reservations on both public nodes.
func (n *nodes) reserved(host string) error {
	return wait(n.ctx, pathLimit, host+" to have two relays", func(ctx context.Context) error {
		out, failed := n.covey(ctx, askLimit, host, "doctor", "--json") // its exit code may tell of something else
		var d api.Diagnosis
		if err := json.Unmarshal(out, &d); err != nil {
			return errors.Join(err, failed)
		}
		if !slices.ContainsFunc(d.Findings, func(f api.Finding) bool { return f.Check == "relay" && strings.Count(f.What, "pub") == 2 }) {
			return fmt.Errorf("covey doctor says %+v", d.Findings)
		}
		return nil
	})
}

// plugged connects a public host to the network, or cuts it off without a word to anybody.
func (n *nodes) plugged(host string, in bool) error {
	state := "down"
	if in {
		state = "up"
	}
	return step{args: []string{"ip", "-n", n.lab.prefix + coreName, "link", "set", "p-" + host, state}}.run(n.ctx)
}

// both does something to a and b.
func (n *nodes) both(f func(host string) error) error {
	return errors.Join(f("a"), f("b"))
}
