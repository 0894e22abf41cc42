package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

type chatRequest struct {
	sampling
	Messages       json.RawMessage `json:"messages"`
	Logprobs       bool            `json:"logprobs"`
	TopLogprobs    *uint32         `json:"top_logprobs"`
	Tools          given           `json:"tools"`
	Functions      given           `json:"functions"` // what tools were called before
	ResponseFormat *responseFormat `json:"response_format"`
}

type responseFormat struct {
	Type string `json:"type"`
}

// tokenLogprob is a token and how likely it was.
type tokenLogprob struct {
	Token   string  `json:"token"`
	Logprob float32 `json:"logprob"`
	Bytes   []int   `json:"bytes"`
}

// chatLogprob is a drawn token and its alternatives, a list even if there are none.
type chatLogprob struct {
	tokenLogprob
	Top []tokenLogprob `json:"top_logprobs"`
}

type chatLogprobs struct {
	Content []chatLogprob `json:"content"`
}

type chatMessage struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

type chatChoice struct {
	Index    int           `json:"index"`
	Message  *chatMessage  `json:"message,omitempty"`
	Delta    *chatMessage  `json:"delta,omitempty"`
	Logprobs *chatLogprobs `json:"logprobs"`
	Finish   *string       `json:"finish_reason"`
}

type chatResponse struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []chatChoice `json:"choices"`
	Usage   *usage       `json:"usage,omitempty"`
}

// newID returns an answer's id.
func newID(prefix string) string {
	var b [12]byte
	rand.Read(b[:]) // never errs since Go 1.24
	return prefix + hex.EncodeToString(b[:])
}

func (g *Gateway) chatCompletions(w http.ResponseWriter, r *http.Request, b *body) error {
	var req chatRequest
	if err := decode(r.Context(), b, &req); err != nil {
		return err
	}
	n, err := g.prepareChat(r.Context(), b, &req)
	if err != nil {
		return err
	}
	head := chatResponse{ID: newID("chatcmpl-"), Object: "chat.completion", Created: g.cfg.Now().Unix(), Model: req.Model}
	if req.Stream {
		head.Object += ".chunk"
		return g.streamChat(w, r, n, head, &req)
	}
	var text strings.Builder
	var probs *chatLogprobs
	err = n.run(r.Context(), func(p piece) error {
		text.WriteString(p.text)
		if req.Logprobs && p.sampled != nil {
			if probs == nil {
				probs = &chatLogprobs{}
			}
			probs.Content = append(probs.Content, n.logprob(*p.sampled))
		}
		return nil
	})
	if err != nil {
		return err
	}
	answer := text.String()
	head.Choices = []chatChoice{{Message: &chatMessage{Role: "assistant", Content: &answer}, Logprobs: probs, Finish: &n.finish}}
	head.Usage = usageOf([]*generation{n})
	return writeJSON(w, head)
}

// prepareChat checks a request and makes its prompt. Then the body is free: what is left of it
// is the prompt's tokens.
func (g *Gateway) prepareChat(ctx context.Context, b *body, req *chatRequest) (*generation, error) {
	o, err := req.check()
	if err != nil {
		return nil, err
	}
	if req.Tools {
		return nil, badRequest("tools", "tools are not supported")
	}
	if req.Functions {
		return nil, badRequest("functions", "functions are not supported")
	}
	if f := req.ResponseFormat; f != nil && f.Type != "" && f.Type != "text" {
		return nil, badRequest("response_format", "response_format %.40q is not supported", f.Type)
	}
	o.wire.WantLogprob = req.Logprobs
	if req.TopLogprobs != nil {
		if !req.Logprobs || *req.TopLogprobs > protocol.MaxLogprobs {
			return nil, badRequest("top_logprobs", "top_logprobs is %d, want at most %d, with logprobs", *req.TopLogprobs, protocol.MaxLogprobs)
		}
		o.wire.Logprobs = *req.TopLogprobs
	}
	m, err := g.openModel(ctx, req.Model, TaskGenerate)
	if err != nil {
		return nil, err
	}
	n := &generation{g: g, model: m, param: "messages", opts: o}
	err = b.work(ctx, func() error {
		messages, err := readMessages(req.Messages)
		if err == nil {
			n.prompt, err = chatPrompt(m, messages, g.cfg.Now)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	req.Messages = nil
	b.free()
	return n, n.check()
}

func (g *Gateway) streamChat(w http.ResponseWriter, r *http.Request, n *generation, head chatResponse, req *chatRequest) error {
	e := newEvents(w)
	defer e.close()
	send := func(c chatChoice) error {
		head.Choices = []chatChoice{c}
		return e.send(head)
	}
	first := true
	err := n.run(r.Context(), func(p piece) error {
		delta := &chatMessage{Content: &p.text}
		if first {
			delta.Role, first = "assistant", false
		}
		c := chatChoice{Delta: delta}
		if req.Logprobs && p.sampled != nil {
			c.Logprobs = &chatLogprobs{Content: []chatLogprob{n.logprob(*p.sampled)}}
		} else if p.text == "" && delta.Role == "" {
			return nil
		}
		return send(c)
	})
	if err == nil {
		err = send(chatChoice{Delta: &chatMessage{}, Finish: &n.finish})
	}
	if err == nil && req.usage() {
		head.Choices, head.Usage = []chatChoice{}, usageOf([]*generation{n})
		err = e.send(head)
	}
	if err != nil {
		return e.fail(r.Context(), err)
	}
	return e.end()
}

// logprob names a drawn token and its alternatives.
func (n *generation) logprob(s wire.Sampled) chatLogprob {
	name := func(id int32, p float32) tokenLogprob {
		raw := n.model.Tokenizer.TokenBytes(id)
		out := tokenLogprob{Token: strings.ToValidUTF8(string(raw), "\uFFFD"), Logprob: finite(p), Bytes: make([]int, len(raw))}
		for i, b := range raw {
			out.Bytes[i] = int(b)
		}
		return out
	}
	out := chatLogprob{tokenLogprob: name(s.Token, s.Logprob), Top: []tokenLogprob{}}
	for _, a := range s.Top {
		out.Top = append(out.Top, name(a.Token, a.Logprob))
	}
	return out
}

// finite makes a logprob of JSON's numbers, with the value OpenAI has for the impossible.
func finite(p float32) float32 {
	if p < -9999 {
		return -9999
	}
	return p
}
