package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// maxPrompts is how many prompts one request may have; they are answered one after the other.
const maxPrompts = 64

type completionRequest struct {
	sampling
	Prompt   json.RawMessage `json:"prompt"`
	Logprobs *uint32         `json:"logprobs"`
	Echo     bool            `json:"echo"`
	Suffix   *string         `json:"suffix"`
	BestOf   *int            `json:"best_of"`
}

type completionLogprobs struct {
	Tokens   []string             `json:"tokens"`
	Logprobs []float32            `json:"token_logprobs"`
	Top      []map[string]float32 `json:"top_logprobs"`
	Offsets  []int                `json:"text_offset"` // in characters
}

type completionChoice struct {
	Text     string              `json:"text"`
	Index    int                 `json:"index"`
	Logprobs *completionLogprobs `json:"logprobs"`
	Finish   *string             `json:"finish_reason"`
}

type completionResponse struct {
	ID      string             `json:"id"`
	Object  string             `json:"object"`
	Created int64              `json:"created"`
	Model   string             `json:"model"`
	Choices []completionChoice `json:"choices"`
	Usage   *usage             `json:"usage,omitempty"`
}

func (g *Gateway) completions(w http.ResponseWriter, r *http.Request, b *body) error {
	var req completionRequest
	if err := decode(r.Context(), b, &req); err != nil {
		return err
	}
	all, err := g.prepareCompletion(r.Context(), b, &req)
	if err != nil {
		return err
	}
	head := completionResponse{ID: newID("cmpl-"), Object: "text_completion", Created: g.cfg.Now().Unix(), Model: req.Model}
	if req.Stream {
		return g.streamCompletion(w, r, all, head, &req)
	}
	for i, n := range all {
		c, err := n.complete(r.Context(), i, req.Logprobs != nil)
		if err != nil {
			return err
		}
		head.Choices = append(head.Choices, c)
	}
	head.Usage = usageOf(all)
	return writeJSON(w, head)
}

// complete draws the whole answer to one prompt.
func (n *generation) complete(ctx context.Context, index int, logprobs bool) (completionChoice, error) {
	var text strings.Builder
	var probs *completionLogprobs
	length := 0
	err := n.run(ctx, func(p piece) error {
		if logprobs && p.sampled != nil {
			if probs == nil {
				probs = &completionLogprobs{}
			}
			probs.add(n, *p.sampled, length)
		}
		length += utf8.RuneCountInString(p.text)
		text.WriteString(p.text)
		return nil
	})
	return completionChoice{Text: text.String(), Index: index, Logprobs: probs, Finish: &n.finish}, err
}

// prepareCompletion checks a request and returns an answer to be drawn for each prompt. Then
// the body is free.
func (g *Gateway) prepareCompletion(ctx context.Context, b *body, req *completionRequest) ([]*generation, error) {
	o, err := req.check()
	if err != nil {
		return nil, err
	}
	switch {
	case req.Echo:
		return nil, badRequest("echo", "echo is not supported")
	case req.Suffix != nil && *req.Suffix != "":
		return nil, badRequest("suffix", "suffix is not supported")
	case req.BestOf != nil && *req.BestOf != 1:
		return nil, badRequest("best_of", "best_of must be 1")
	}
	if req.Logprobs != nil {
		if *req.Logprobs > protocol.MaxLogprobs {
			return nil, badRequest("logprobs", "logprobs is %d, at most %d", *req.Logprobs, protocol.MaxLogprobs)
		}
		o.wire.Logprobs, o.wire.WantLogprob = *req.Logprobs, true
	}
	m, err := g.openModel(ctx, req.Model, TaskGenerate)
	if err != nil {
		return nil, err
	}
	in := inputs{model: m, param: "prompt", most: maxPrompts, blank: true}
	var prompts [][]int32
	err = b.work(ctx, func() (err error) {
		prompts, err = in.read(req.Prompt)
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []*generation
	for i, p := range prompts {
		n := &generation{g: g, model: m, prompt: p, param: "prompt", opts: o}
		if len(prompts) > 1 {
			n.at = fmt.Sprintf("prompt.[%d]: ", i)
		}
		if err := n.check(); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	req.Prompt = nil
	b.free()
	return all, nil
}

// streamCompletion streams the answers one after the other.
func (g *Gateway) streamCompletion(w http.ResponseWriter, r *http.Request, all []*generation, head completionResponse, req *completionRequest) error {
	e := newEvents(w)
	defer e.close()
	for i, n := range all {
		if err := n.streamChoice(r.Context(), e, head, i, req.Logprobs != nil); err != nil {
			return e.fail(r.Context(), err)
		}
	}
	if req.usage() {
		head.Choices, head.Usage = []completionChoice{}, usageOf(all)
		if err := e.send(head); err != nil {
			return e.fail(r.Context(), err)
		}
	}
	return e.end()
}

// streamChoice streams the answer to one prompt.
func (n *generation) streamChoice(ctx context.Context, e *events, head completionResponse, index int, logprobs bool) error {
	offset := 0
	err := n.run(ctx, func(p piece) error {
		c := completionChoice{Text: p.text, Index: index}
		if logprobs && p.sampled != nil {
			c.Logprobs = &completionLogprobs{}
			c.Logprobs.add(n, *p.sampled, offset)
		} else if p.text == "" {
			return nil
		}
		offset += utf8.RuneCountInString(p.text)
		head.Choices = []completionChoice{c}
		return e.send(head)
	})
	if err != nil {
		return err
	}
	head.Choices = []completionChoice{{Index: index, Finish: &n.finish}}
	return e.send(head)
}

func (l *completionLogprobs) add(n *generation, s wire.Sampled, offset int) {
	name := func(id int32) string { return strings.ToValidUTF8(string(n.model.Tokenizer.TokenBytes(id)), "\uFFFD") }
	l.Tokens = append(l.Tokens, name(s.Token))
	l.Logprobs = append(l.Logprobs, finite(s.Logprob))
	l.Offsets = append(l.Offsets, offset)
	top := map[string]float32{}
	for _, a := range s.Top {
		top[name(a.Token)] = finite(a.Logprob)
	}
	l.Top = append(l.Top, top)
}
