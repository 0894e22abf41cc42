package gateway

import (
	"context"
	"fmt"
	"slices"

	"github.com/covey-network/covey/engine/sample"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol/wire"
)

// The reasons for which an answer ends, as the API names them.
const (
	finishStop   = "stop"
	finishLength = "length"
)

// piece is a token of an answer: the text that is safe to show by now, which may be empty
// or span earlier tokens, and what was drawn.
type piece struct {
	text    string
	sampled *wire.Sampled // nil for text that was held back until the end
}

// generation is one answer.
type generation struct {
	g      *Gateway
	model  *Model
	prompt []int32
	param  string // the field of the request that the prompt is from
	at     string // where in it, for errors; "" if it is all of it
	opts   *options
	onStep func(*router.Session) // for the route of an answer; may be nil

	completion int    // tokens drawn, the ending one included
	finish     string // set when run returns nil
}

// check refuses a prompt that no answer can follow.
func (n *generation) check() error {
	if len(n.prompt) == 0 {
		return badRequest(n.param, "%sthe prompt is empty", n.at)
	}
	if len(n.prompt) >= n.model.Context {
		return &apiError{status: 400, Type: "invalid_request_error", Param: n.param, Code: "context_length_exceeded", Message: fmt.Sprintf("%sthe prompt has %d tokens, the model's context is %d", n.at, len(n.prompt), n.model.Context)}
	}
	return nil
}

// run draws tokens until the answer ends, and gives each piece to emit. The prompt has been
// checked.
func (n *generation) run(ctx context.Context, emit func(piece) error) error {
	most := n.opts.maxTokens
	if most == 0 {
		most = defaultTokens
	}
	most = min(most, n.model.Context-len(n.prompt))
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	s, err := n.g.openSession(ctx, router.Request{
		Model: n.model.ID, Name: n.model.Name, Blocks: n.model.Blocks, Shape: n.model.Shape,
		Prompt: len(n.prompt), Answer: most, Timeout: requestTimeout, Sampling: n.opts.wire,
	})
	if err != nil {
		return err
	}
	defer func() {
		n.g.closeSession(s)
		n.g.metrics.prompt.Add(float64(len(n.prompt)))
		n.g.metrics.answered.Add(float64(n.completion))
	}()
	return n.loop(ctx, s, most, emit)
}

func (n *generation) loop(ctx context.Context, s *router.Session, most int, emit func(piece) error) error {
	decoder := n.model.Tokenizer.NewDecoder(true)
	stops := sample.NewStopMatcher(n.opts.stops)
	feed := n.prompt
	for {
		drawn, err := s.Next(ctx, feed, len(n.prompt))
		if err != nil {
			return err
		}
		if n.onStep != nil {
			n.onStep(s)
		}
		n.completion++
		if slices.Contains(n.model.EOSIDs, drawn.Token) {
			n.finish = finishStop
			return n.last(emit, stops, decoder.Flush())
		}
		text, stopped := stops.Next(decoder.Next(drawn.Token))
		if err := emit(piece{text: text, sampled: &drawn}); err != nil {
			return err
		}
		if stopped {
			n.finish = finishStop
			return nil
		}
		if n.completion == most {
			n.finish = finishLength
			return n.last(emit, stops, decoder.Flush())
		}
		feed = []int32{drawn.Token}
	}
}

// last gives out what was held back.
func (n *generation) last(emit func(piece) error, stops *sample.StopMatcher, tail string) error {
	text, stopped := stops.Next(tail)
	if !stopped {
		text += stops.Flush()
	} else {
		n.finish = finishStop
	}
	if text == "" {
		return nil
	}
	return emit(piece{text: text})
}

// usage counts the tokens of an answer.
type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

// usageOf counts the tokens of the answers to a request.
func usageOf(all []*generation) *usage {
	u := &usage{}
	for _, n := range all {
		u.Prompt += len(n.prompt)
		u.Completion += n.completion
	}
	u.Total = u.Prompt + u.Completion
	return u
}

// openSession opens a session on a chain of peers, for closeSession.
func (g *Gateway) openSession(ctx context.Context, req router.Request) (*router.Session, error) {
	s, err := g.cfg.Router.Open(ctx, req)
	if err != nil {
		g.metrics.reroutes.Add(float64(s.Reroutes()))
		return nil, err
	}
	return s, nil
}

func (g *Gateway) closeSession(s *router.Session) {
	s.Close()
	g.metrics.reroutes.Add(float64(s.Reroutes()))
}
