package harm

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/testnet/runner"
)

// askTimeout bounds one answer.
const askTimeout = 60 * time.Second

// asker asks one question, the same again and again.
type asker struct {
	model  string
	tokens int // of the answer
	vector bool
}

// answer is what came, and when.
type answer struct {
	text  string        // token by token, or the vector
	first time.Duration // to the first token, or to the vector
	gap   time.Duration // the longest between two tokens
	err   error
}

// ask asks a node. each, if not nil, is called after every token with their number.
func (q *asker) ask(ctx context.Context, c *api.Client, each func(n int)) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	start := time.Now()
	if q.vector {
		a.text, a.err = q.infer(ctx, c)
		a.first = time.Since(start)
		return a
	}
	res, err := c.Do(ctx, "POST", "/v1/completions", map[string]any{
		"model": q.model, "prompt": "// Reader implements buffering", "max_tokens": q.tokens, "temperature": 2, "seed": 7, "logprobs": 0, "stream": true,
	})
	if err != nil {
		a.err = err
		return a
	}
	defer res.Body.Close()
	n, last := 0, start
	done := false
	a.err = api.ReadEvents(res.Body, func(data []byte) error {
		var e struct {
			Choices []struct {
				Finish   string `json:"finish_reason"`
				Logprobs struct{ Tokens []string }
			}
			Error *struct{ Message string }
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		if e.Error != nil {
			return errors.New(e.Error.Message)
		}
		for _, ch := range e.Choices {
			done = done || ch.Finish != ""
			for _, token := range ch.Logprobs.Tokens {
				now := time.Now()
				if n++; n == 1 {
					a.first = now.Sub(start)
				} else {
					a.gap = max(a.gap, now.Sub(last))
				}
				last = now
				a.text += token + "|"
				if each != nil {
					each(n)
				}
			}
		}
		return nil
	})
	if a.err == nil && !done {
		a.err = errors.New("the stream ended without a reason")
	}
	return a
}

// atOnce asks a node n times at once.
func (q *asker) atOnce(ctx context.Context, c *api.Client, n int) []answer {
	out := make([]answer, n)
	var all sync.WaitGroup
	for i := range out {
		all.Go(func() { out[i] = q.ask(ctx, c, nil) })
	}
	all.Wait()
	return out
}

// infer asks a model of images for its scores.
func (q *asker) infer(ctx context.Context, c *api.Client) (string, error) {
	pixels := make([]float32, 3*32*32)
	for i := range pixels {
		pixels[i] = float32(i%17) / 17
	}
	var out struct{ Outputs json.RawMessage }
	err := c.Post(ctx, "/v2/models/"+q.model+"/infer", map[string]any{
		"inputs": []map[string]any{{"name": "pixels", "datatype": "FP32", "shape": []int{1, 3, 32, 32}, "data": pixels}},
	}, &out)
	return string(out.Outputs), err
}

// route is what a node plans for a question now.
type route struct {
	Chain *struct {
		Links []struct{ Peer host.ID }
	}
	LeftOut []struct {
		Peer   host.ID
		Reason string
	} `json:"left_out"`
}

func (q *asker) route(ctx context.Context, p *runner.Process) (*route, error) {
	r, like := new(route), url.Values{"model": {q.model}, "prompt": {"8"}, "tokens": {strconv.Itoa(max(1, q.tokens))}}
	if q.vector {
		like.Set("prompt", "1")
	}
	return r, p.API().Get(ctx, "/covey/v1/route", like, r)
}

// over reports whether the chain goes over a peer.
func (r *route) over(peer host.ID) bool {
	if r.Chain == nil {
		return false
	}
	for _, l := range r.Chain.Links {
		if l.Peer == peer {
			return true
		}
	}
	return false
}

// avoided returns the peers that are left out because they failed.
func (r *route) avoided() map[host.ID]bool {
	out := map[host.ID]bool{}
	for _, l := range r.LeftOut {
		if strings.Contains(l.Reason, "failed") {
			out[l.Peer] = true
		}
	}
	return out
}

// planned waits until a node plans a chain that is as wanted.
func (q *asker) planned(ctx context.Context, s *runner.Swarm, node, what string, want func(*route) bool) error {
	if err := s.Hear(ctx, node, q.model); err != nil {
		return err
	}
	return s.Wait(ctx, node+" to plan "+what, func(ctx context.Context) (bool, error) {
		r, err := q.route(ctx, s.Node(node))
		return err == nil && want(r), err
	})
}

// settled waits for a chain of honest peers and returns their answer.
func (q *asker) settled(ctx context.Context, s *runner.Swarm, node string, without ...host.ID) (string, error) {
	err := q.planned(ctx, s, node, "a chain of honest peers", func(r *route) bool {
		for _, p := range without {
			if r.over(p) {
				return false
			}
		}
		return r.Chain != nil
	})
	if err != nil {
		return "", err
	}
	a := q.ask(ctx, s.Node(node).API(), nil)
	return a.text, a.err
}
