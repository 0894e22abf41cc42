package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

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

func (g *Gateway) completions(w http.ResponseWriter, r *http.Request) error {
	var req completionRequest
	if err := decode(r, &req); err != nil {
		return err
	}
	n, err := g.prepareCompletion(r, &req)
	if err != nil {
		return err
	}
	head := completionResponse{ID: newID("cmpl-"), Object: "text_completion", Created: g.cfg.Now().Unix(), Model: req.Model}
	if req.Stream {
		return g.streamCompletion(w, r, n, head, &req)
	}
	var text strings.Builder
	var probs *completionLogprobs
	length := 0
	err = n.run(r.Context(), func(p piece) error {
		if req.Logprobs != nil && p.sampled != nil {
			if probs == nil {
				probs = &completionLogprobs{}
			}
			probs.add(n, *p.sampled, length)
		}
		length += utf8.RuneCountInString(p.text)
		text.WriteString(p.text)
		return nil
	})
	if err != nil {
		return err
	}
	head.Choices = []completionChoice{{Text: text.String(), Logprobs: probs, Finish: &n.finish}}
	head.Usage = n.usage()
	return writeJSON(w, head)
}

func (g *Gateway) prepareCompletion(r *http.Request, req *completionRequest) (*generation, error) {
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
	m, err := g.openModel(r.Context(), req.Model, TaskGenerate)
	if err != nil {
		return nil, err
	}
	prompts, err := readInputs(m, "prompt", req.Prompt)
	if err != nil {
		return nil, err
	}
	if len(prompts) != 1 {
		return nil, badRequest("prompt", "%d prompts in a request, want 1", len(prompts))
	}
	return &generation{g: g, model: m, prompt: prompts[0], opts: o}, nil
}

func (g *Gateway) streamCompletion(w http.ResponseWriter, r *http.Request, n *generation, head completionResponse, req *completionRequest) error {
	e := newEvents(w)
	defer e.close()
	offset := 0
	err := n.run(r.Context(), func(p piece) error {
		c := completionChoice{Text: p.text}
		if req.Logprobs != nil && p.sampled != nil {
			c.Logprobs = &completionLogprobs{}
			c.Logprobs.add(n, *p.sampled, offset)
		} else if p.text == "" {
			return nil
		}
		offset += utf8.RuneCountInString(p.text)
		head.Choices = []completionChoice{c}
		return e.send(head)
	})
	if err == nil {
		head.Choices = []completionChoice{{Finish: &n.finish}}
		err = e.send(head)
	}
	if err == nil && req.usage() {
		head.Choices, head.Usage = []completionChoice{}, n.usage()
		err = e.send(head)
	}
	if err != nil {
		return e.fail(err)
	}
	return e.end()
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

// readInputs reads a text, a list of texts, a list of token ids or a list of such lists.
func readInputs(m *Model, param string, raw json.RawMessage) ([][]int32, error) {
	var text string
	var texts []string
	var ids []int32
	var lists [][]int32
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, badRequest(param, "%s is missing", param)
	case json.Unmarshal(raw, &text) == nil:
		texts = []string{text}
	case json.Unmarshal(raw, &texts) == nil:
	case json.Unmarshal(raw, &ids) == nil:
		lists = [][]int32{ids}
	case json.Unmarshal(raw, &lists) == nil:
	default:
		return nil, badRequest(param, "%s must be a text, token ids, or a list of these", param)
	}
	for _, t := range texts {
		// Special tokens in a raw prompt count: whoever writes one writes the whole text.
		lists = append(lists, m.Tokenizer.Encode(t, true))
	}
	for _, l := range lists {
		for _, id := range l {
			if id < 0 || int(id) >= m.Tokenizer.Size() {
				return nil, badRequest(param, "token %d is not in the vocabulary of %d", id, m.Tokenizer.Size())
			}
		}
	}
	return lists, nil
}
