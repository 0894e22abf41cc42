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
}

// ask streams the answer to a question and calls show with each piece. It returns the
// whole answer.
func ask(ctx context.Context, c *api.Client, q question, show func(string)) (string, error) {
	q.Stream = true
	path := "/v1/completions"
	if q.Messages != nil {
		path = "/v1/chat/completions"
	}
	res, err := c.Do(ctx, "POST", path, q)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var all strings.Builder
	err = api.ReadEvents(res.Body, func(data []byte) error {
		text, err := pieceOf(data)
		all.WriteString(text)
		show(text)
		return err
	})
	return all.String(), err
}

func pieceOf(data []byte) (string, error) {
	var e struct {
		Choices []struct {
			Text  string
			Delta struct{ Content string }
		}
		Error  *struct{ Message string }
		Status int
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return "", fmt.Errorf("read answer: %w", err)
	}
	if e.Error != nil {
		return "", &api.StatusError{Status: e.Status, Message: e.Error.Message}
	}
	if len(e.Choices) == 0 {
		return "", nil
	}
	return e.Choices[0].Text + e.Choices[0].Delta.Content, nil
}
