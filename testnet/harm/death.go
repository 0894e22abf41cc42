package harm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/hostile"
	"github.com/covey-network/covey/testnet/runner"
)

const (
	// deathStreams is how many answers a peer dies with.
	deathStreams = 8
	// deathLimit is how long after its return the first answer may come: the time of one
	// failed attempt and a look at the news.
	deathLimit = 5 * time.Second
	// deathToken is when its first token may come: the answer computes beside those streams.
	deathToken = time.Second
	// deathPatience is when the check gives up, deathAgain how often it asks.
	deathPatience = 3 * time.Minute
	deathAgain    = 50 * time.Millisecond
	// gapLimit is how long a stream may stand still when its peer is stopped and another one
	// holds the model, too.
	gapLimit = 2 * time.Second
	// longAnswer is how many tokens a stream has that is to be disturbed.
	longAnswer = 200
)

// Death kills the only holder of a model while it answers 8 streams, starts it again, and
// measures how long it takes until an answer comes.
func Death(ctx context.Context, l *Lab) (_ []Figure, err error) {
	s, err := l.startServed(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	q := &asker{model: "demo", tokens: longAnswer}
	want, err := q.settled(ctx, s, asking)
	if err != nil {
		return nil, err
	}
	client := s.Node(asking).API()
	var under, streams sync.WaitGroup
	under.Add(deathStreams)
	var ended atomic.Int64
	wrong := make(chan error, deathStreams)
	for range deathStreams {
		streams.Go(func() {
			started := sync.OnceFunc(under.Done)
			defer started()
			a := q.ask(ctx, client, func(int) { started() })
			ended.Add(1)
			if a.err == nil && a.text != want {
				wrong <- fmt.Errorf("a stream went on as %q, want %q", a.text, want)
			}
		})
	}
	under.Wait() // every stream has a token
	if err = happened(deathStreams-int(ended.Load()), "stream was under way when the peer died"); err == nil {
		err = s.Node("one").Kill()
	}
	if err == nil {
		err = s.Node("one").Start(ctx)
	}
	back, token := time.Now(), time.Duration(0)
	patience := deathPatience
	if l.Short {
		patience = 4 * deathLimit
	}
	for err == nil {
		a := q.ask(ctx, client, func(n int) {
			if n == 1 {
				token = time.Since(back)
			}
		})
		if a.err == nil {
			if a.text != want {
				err = fmt.Errorf("the first answer after the peer's return is %q, want %q", a.text, want)
			}
			break
		}
		if time.Since(back) > patience {
			err = fmt.Errorf("no answer within %v of the peer's return: %w", patience, a.err)
		} else {
			err = hostile.Pause(ctx, deathAgain)
		}
	}
	took := time.Since(back)
	streams.Wait()
	close(wrong)
	for w := range wrong {
		err = errors.Join(err, w)
	}
	return []Figure{
		{"death with 8 streams: first answer after the peer is back", took.Seconds(), deathLimit.Seconds(), "s"},
		{"death with 8 streams: its first token", token.Seconds(), deathToken.Seconds(), "s"},
	}, err
}

// Pause stops that of two holders which answers, in the middle of a stream.
func Pause(ctx context.Context, l *Lab) (_ []Figure, err error) {
	s, err := l.start(ctx, &runner.Manifest{
		Nodes: nodes("one", "two", asking),
		Model: []runner.Model{{Name: "demo", On: "one", Hosts: []runner.Host{{Node: "one", Blocks: "all"}, {Node: "two", Blocks: "all"}}}},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	q := &asker{model: "demo", tokens: longAnswer}
	want, err := q.settled(ctx, s, asking)
	if err != nil {
		return nil, err
	}
	var worst time.Duration
	var wrong, failed float64
	for range l.size(3, 1) {
		// Both must be on offer, or there is nobody to go on with.
		err := q.planned(ctx, s, asking, "with both holders", func(r *route) bool { return r.Chain != nil && len(r.LeftOut) == 0 })
		if err != nil {
			return nil, err
		}
		var stopped *runner.Process
		var pauseErr error
		a := q.ask(ctx, s.Node(asking).API(), func(n int) {
			if n == 10 {
				stopped, pauseErr = pauseServer(ctx, s, "one", "two")
			}
		})
		if stopped != nil {
			pauseErr = errors.Join(pauseErr, stopped.Resume())
		}
		if pauseErr != nil {
			return nil, pauseErr
		}
		if stopped == nil {
			return nil, fmt.Errorf("the attack did not take place: no peer was stopped, the answer was %q, %v", a.text, a.err)
		}
		worst = max(worst, a.gap, a.first)
		switch {
		case a.err != nil:
			l.say("past the stopped peer: %v", a.err)
			failed++
		case a.text != want:
			wrong++
		}
	}
	return []Figure{
		{"one of two holders stopped: longest gap of a stream", worst.Seconds(), gapLimit.Seconds(), "s"},
		{"one of two holders stopped: wrong answers", wrong, 0, "answers"},
		{"one of two holders stopped: failed answers", failed, 0, "answers"},
	}, nil
}

// pauseServer stops that of the nodes that has a session.
func pauseServer(ctx context.Context, s *runner.Swarm, names ...string) (*runner.Process, error) {
	for _, n := range names {
		var st api.Status
		if err := s.Node(n).API().Get(ctx, "/covey/v1/status", nil, &st); err != nil {
			return nil, err
		}
		if st.Sessions > 0 {
			return s.Node(n), s.Node(n).Pause()
		}
	}
	return nil, errors.New("no holder has a session")
}
