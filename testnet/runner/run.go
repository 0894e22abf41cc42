package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/router"
)

// askTimeout bounds one answer: a paused peer may hold it up.
const askTimeout = 2 * time.Minute

// Report counts the answers of a run.
type Report struct {
	Answered  int // equal to the first answer
	Different int
	Failed    int
	Last      error // of those that failed
}

// Run runs a whole manifest: it starts the swarm, hosts the models, asks the question over
// and over while it takes the steps, and once more after them; then it saves logs and
// metrics in the folder out and stops the nodes. The error tells a swarm that did not do
// what the manifest wants.
func Run(ctx context.Context, cfg Config, m *Manifest, out string) (r Report, err error) {
	if err := os.MkdirAll(out, 0o700); err != nil {
		return r, err
	}
	s, err := Start(ctx, cfg, m)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Stop(), s.SaveLogs(out)) }()
	if m.Ask == nil {
		err = s.Perturb(ctx)
	} else {
		r, err = s.perturbed(ctx, m.Ask)
	}
	return r, errors.Join(err, s.SaveMetrics(context.WithoutCancel(ctx), out))
}

// perturbed takes the steps while it asks.
func (s *Swarm) perturbed(ctx context.Context, a *Ask) (r Report, err error) {
	want, err := s.settledAnswer(ctx, a)
	if err != nil {
		return r, fmt.Errorf("before the first step: %w", err)
	}
	s.cfg.say("%s answers: %q", a.Through, want)
	g, ctx := errgroup.WithContext(ctx)
	over := make(chan struct{})
	g.Go(func() error {
		defer close(over)
		return s.Perturb(ctx)
	})
	g.Go(func() error {
		for {
			got, err := s.ask(ctx, a)
			r.count(want, got, err)
			if err != nil {
				s.cfg.say("%s does not answer: %v", a.Through, err)
			}
			select {
			case <-over:
				return nil
			case <-time.After(a.Every.Duration):
			}
		}
	})
	if err := g.Wait(); err != nil {
		return r, err
	}
	got, err := s.settledAnswer(context.WithoutCancel(ctx), a)
	r.count(want, got, err)
	switch {
	case err != nil:
		return r, fmt.Errorf("after the last step: %w", err)
	case r.Different > 0:
		return r, fmt.Errorf("%d answers differ from the first", r.Different)
	case r.Failed > a.Failures:
		return r, fmt.Errorf("%d answers failed, at most %d may; the last one: %w", r.Failed, a.Failures, r.Last)
	}
	return r, nil
}

func (r *Report) count(want, got string, err error) {
	switch {
	case err != nil:
		r.Failed, r.Last = r.Failed+1, err
	case got != want:
		r.Different++
	default:
		r.Answered++
	}
}

// settledAnswer asks when the swarm has a chain.
func (s *Swarm) settledAnswer(ctx context.Context, a *Ask) (string, error) {
	if err := s.Hear(ctx, a.Through, a.Model); err != nil {
		return "", err
	}
	err := s.Wait(ctx, fmt.Sprintf("node %s to find a chain of peers for %s", a.Through, a.Model), func(ctx context.Context) (bool, error) {
		var choice router.Choice
		err := s.Node(a.Through).API().Get(ctx, "/covey/v1/route", url.Values{"model": {a.Model}}, &choice)
		return choice.Chain != nil, err
	})
	if err != nil {
		return "", err
	}
	return s.ask(ctx, a)
}

// ask streams one answer.
func (s *Swarm) ask(ctx context.Context, a *Ask) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	res, err := s.Node(a.Through).API().Do(ctx, "POST", "/v1/completions", map[string]any{
		"model": a.Model, "prompt": a.Prompt, "max_tokens": a.Tokens, "temperature": 0, "stream": true,
	})
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text := ""
	err = api.ReadEvents(res.Body, func(data []byte) error {
		var e struct {
			Choices []struct{ Text string }
			Error   *struct{ Message string }
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		if e.Error != nil {
			return errors.New(e.Error.Message)
		}
		for _, c := range e.Choices {
			text += c.Text
		}
		return nil
	})
	return text, err
}
