package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/covey-network/covey/node/api"
)

// turn is a message of a chat.
type turn struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// question is a request for a streamed answer. Either Messages or Prompt is set.
type question struct {
	Model       string   `json:"model"`
	Messages    []turn   `json:"messages,omitempty"`
	Prompt      string   `json:"prompt,omitempty"`
	Stream      bool     `json:"stream"`
	MaxTokens   int      `json:"max_tokens,omitempty"`
	Temperature float64  `json:"temperature"`
	TopP        float64  `json:"top_p"`
	Seed        *int64   `json:"seed,omitempty"`
	Stop        []string `json:"stop,omitempty"`
	Options     struct {
		Usage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// answered is an answer, as far as it came.
type answered struct {
	text   string
	tokens int // of the prompt and the answer; 0: not told
}

// ask streams the answer to a question and calls show with each piece. It returns the
// whole answer.
func ask(ctx context.Context, c *api.Client, q question, show func(string)) (answered, error) {
	q.Stream, q.Options.Usage = true, true
	path := "/v1/completions"
	if q.Messages != nil {
		path = "/v1/chat/completions"
	}
	var a answered
	res, err := c.Do(ctx, "POST", path, q)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	var all strings.Builder
	err = api.ReadEvents(res.Body, func(data []byte) error {
		text, tokens, err := pieceOf(data)
		a.tokens = max(a.tokens, tokens)
		all.WriteString(text)
		show(text)
		return err
	})
	a.text = all.String()
	return a, err
}

// pieceOf reads an event: text of the answer, or at its end how many tokens it and the prompt had.
func pieceOf(data []byte) (text string, tokens int, err error) {
	var e struct {
		Choices []struct {
			Text  string
			Delta struct{ Content string }
		}
		Usage struct {
			Total int `json:"total_tokens"`
		}
		Error  *struct{ Message, Code string }
		Status int
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return "", 0, fmt.Errorf("read answer: %w", err)
	}
	if e.Error != nil {
		return "", 0, &api.StatusError{Status: e.Status, Message: e.Error.Message, Code: e.Error.Code}
	}
	if len(e.Choices) > 0 {
		text = e.Choices[0].Text + e.Choices[0].Delta.Content
	}
	return text, e.Usage.Total, nil
}
