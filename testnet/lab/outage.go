package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Outage is what happened to two homes that reach each other over a relay only when public
// nodes died.
type Outage struct {
	Relay  time.Duration // an answer took that lost its relay in the middle
	Alone  time.Duration // the same answer takes without a loss
	Return time.Duration // until a had an answer of b again, after all public nodes had died and come back
}

const (
	// longAnswer is how many tokens are asked for, so that the relay dies in the middle.
	longAnswer = "3000"
	// backLimit is how long the swarm may take to be whole again.
	backLimit = 60 * time.Second
)

// Outages has b, behind a symmetric NAT, serve a model that a, behind another one, asks. It
// kills each public node in turn, one of which relays, during an answer, and then all of them.
// An error is that of the lab, or that an answer broke or was another one.
func (r *Reach) Outages(ctx context.Context) (_ *Outage, err error) {
	if r.Publics != 2 {
		return nil, errors.New("outages need 2 public nodes")
	}
	n, err := r.open(ctx, Symmetric, Symmetric)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	ctx = n.ctx
	if _, err := n.knows(ctx, n.since, pathLimit, "a", "b"); err != nil {
		return nil, err
	}
	if err := errors.Join(n.serve(ctx), n.hears(ctx)); err != nil {
		return nil, err
	}
	want, _, err := n.answer(ctx, "b", longAnswer, question)
	if err != nil {
		return nil, err
	}
	var o Outage
	if _, o.Alone, err = n.answer(ctx, "a", longAnswer, question); err != nil {
		return nil, err
	}
	n.Say("an answer over the relay takes %.1f s", o.Alone.Seconds())
	for _, pub := range []string{"pub", "pub2"} {
		took, err := n.lose(ctx, pub, o.Alone/2, want)
		if err != nil {
			return nil, fmt.Errorf("%s dies: %w", pub, err)
		}
		n.Say("%s died in the middle, and it took %.1f s", pub, took.Seconds())
		o.Relay = max(o.Relay, took)
		if err := n.startPublic(pub); err != nil {
			return nil, err
		}
		for _, h := range []string{"a", "b"} {
			if _, err := n.knows(ctx, time.Now(), joinLimit, h, pub); err != nil {
				return nil, err
			}
		}
	}
	if err := n.kill("pub", "pub2"); err != nil {
		return nil, err
	}
	if err := errors.Join(n.startPublic("pub"), n.startPublic("pub2")); err != nil {
		return nil, err
	}
	begin := time.Now()
	err = wait(ctx, backLimit, "an answer after all have come back", func(ctx context.Context) error {
		_, _, err := n.answer(ctx, "a", "8", question)
		return err
	})
	o.Return = time.Since(begin)
	n.Say("whole again after %.1f s", o.Return.Seconds())
	return &o, err
}

// lose kills a public node after a while of an answer.
func (n *nodes) lose(ctx context.Context, pub string, after time.Duration, want string) (time.Duration, error) {
	type result struct {
		text string
		took time.Duration
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, took, err := n.answer(ctx, "a", longAnswer, question)
		done <- result{text, took, err}
	}()
	t := time.NewTimer(after)
	defer t.Stop()
	select {
	case <-t.C:
	case got := <-done:
		return 0, fmt.Errorf("the answer was over before: %w", got.err)
	}
	if err := n.kill(pub); err != nil {
		return 0, err
	}
	got := <-done
	if got.err == nil && got.text != want {
		got.err = fmt.Errorf("the answer is another one, %d bytes and not %d", len(got.text), len(want))
	}
	return got.took, got.err
}
