package harm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/testnet/hostile"
	"github.com/covey-network/covey/testnet/runner"
)

const (
	churnTime    = 3 * time.Minute
	churnEvery   = 10 * time.Second
	churnStreams = 8
	churnTokens  = 48
	// churnPause is how long a client waits after a failure before it asks again.
	churnPause = 100 * time.Millisecond
)

// gatewayState is whether a node lives, for the clients that ask it.
type gatewayState struct {
	mu    sync.Mutex
	kills int
	up    chan struct{} // closed while it lives
}

func (g *gatewayState) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kills++
	g.up = make(chan struct{})
}

func (g *gatewayState) back() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.up)
}

// now returns how often the node was killed so far, and what is closed while it lives.
func (g *gatewayState) now() (int, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.kills, g.up
}

// churn counts what clients hear.
type churn struct {
	l    *Lab
	s    *runner.Swarm
	q    asker
	want string

	states                        map[string]*gatewayState
	requests, failed, lost, wrong atomic.Int64
}

// Churn kills a random one of four nodes again and again, and starts it again at once, while
// clients ask all of them. Two nodes hold the first half of the model, one the second, and
// one nothing: an answer waits for the only holder's return, or goes on over the copy.
func Churn(ctx context.Context, l *Lab) (_ []Figure, err error) {
	c := &churn{l: l, q: asker{model: "demo", tokens: churnTokens}, states: map[string]*gatewayState{}}
	if c.want, err = c.lone(ctx); err != nil {
		return nil, fmt.Errorf("ask one process: %w", err)
	}
	names := []string{"one", "two", "three", "four"}
	mod := runner.Model{Name: "demo", On: "one"}
	for i, n := range names {
		if blocks := []string{"0-1", "2-3", "0-1", ""}[i]; blocks != "" {
			mod.Hosts = append(mod.Hosts, runner.Host{Node: n, Blocks: blocks})
		}
		c.states[n] = &gatewayState{up: make(chan struct{})}
		c.states[n].back()
	}
	if c.s, err = l.start(ctx, &runner.Manifest{Nodes: nodes(names...), Model: []runner.Model{mod}}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.s.Stop()) }()
	for _, n := range names {
		if got, err := c.q.settled(ctx, c.s, n); err != nil || got != c.want {
			return nil, fmt.Errorf("before the first death %s answers %q, %w; want %q", n, got, err, c.want)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	over := make(chan struct{})
	g.Go(func() error {
		defer close(over)
		return c.killAll(ctx, names)
	})
	for i := range churnStreams {
		g.Go(func() error { return c.client(ctx, names[i%len(names)], over) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	l.say("churn, seed %d: %d requests, %d failed, %d wrong, %d lost with their gateway", l.Seed, c.requests.Load(), c.failed.Load(), c.wrong.Load(), c.lost.Load())
	return []Figure{
		{"churn: failed requests, but those of a killed gateway", float64(c.failed.Load()), 0, "of " + fmt.Sprint(c.requests.Load())},
		{"churn: requests with a wrong token", float64(c.wrong.Load()), 0, "requests"},
	}, nil
}

// lone returns the answer of a process that holds all.
func (c *churn) lone(ctx context.Context) (text string, err error) {
	s, err := c.l.start(ctx, &runner.Manifest{
		Nodes: nodes("alone"), Model: []runner.Model{{Name: "demo", On: "alone", Hosts: []runner.Host{{Node: "alone", Blocks: "all"}}}},
	})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	return c.q.settled(ctx, s, "alone")
}

// killAll kills one node after the other: all of them in a random order, and again.
func (c *churn) killAll(ctx context.Context, names []string) error {
	rng := rand.New(rand.NewPCG(c.l.Seed, 0))
	every, rounds := churnEvery, int(churnTime/churnEvery)
	if c.l.Short {
		every, rounds = 3*time.Second, len(names)
	}
	t := time.NewTicker(every)
	defer t.Stop()
	var order []int
	for range rounds {
		if len(order) == 0 {
			order = rng.Perm(len(names))
		}
		n := names[order[0]]
		order = order[1:]
		select { // a while of peace before the first death, too
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		c.l.say("kill %s", n)
		c.states[n].kill()
		if err := c.s.Node(n).Kill(); err != nil {
			return err
		}
		if err := c.s.Node(n).Start(ctx); err != nil {
			return err
		}
		c.states[n].back()
	}
	return hostile.Pause(ctx, every)
}

// client asks one node until over is closed.
func (c *churn) client(ctx context.Context, node string, over <-chan struct{}) error {
	for {
		kills, up := c.states[node].now()
		select {
		case <-up:
		case <-over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		c.requests.Add(1)
		a := c.q.ask(ctx, c.s.Node(node).API(), nil)
		after, _ := c.states[node].now()
		switch {
		case !strings.HasPrefix(c.want, a.text) || a.err == nil && a.text != c.want:
			c.wrong.Add(1)
		case a.err != nil && after != kills:
			c.lost.Add(1)
		case a.err != nil:
			c.failed.Add(1)
			c.l.say("through %s: %v", node, a.err)
			if err := hostile.Pause(ctx, churnPause); err != nil {
				return err
			}
		}
		select {
		case <-over:
			return nil
		default:
		}
	}
}
