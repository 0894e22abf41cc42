// Package clients runs the official OpenAI Go client, unchanged, against a node. run.sh
// starts the node and sets COVEY_URL, and COVEY_EMBED if there is an embedding model.
package clients

import (
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func client(t *testing.T) openai.Client {
	t.Helper()
	url := os.Getenv("COVEY_URL")
	if url == "" {
		t.Fatal("COVEY_URL is not set: use run.sh")
	}
	return openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey("none"), option.WithMaxRetries(0))
}

func question() openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: "demo", Temperature: openai.Float(0), MaxTokens: openai.Int(40), Seed: openai.Int(1),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("What does strings.Contains do?")},
	}
}

func TestModels(t *testing.T) {
	c := client(t)
	page, err := c.Models.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range page.Data {
		names = append(names, m.ID)
	}
	if !strings.Contains(strings.Join(names, " "), "demo") {
		t.Errorf("models %v", names)
	}
	if m, err := c.Models.Get(t.Context(), "demo"); err != nil || m.ID != "demo" {
		t.Errorf("model %+v, %v", m, err)
	}
}

func TestChatAndStream(t *testing.T) {
	c := client(t)
	p := question()
	p.Logprobs, p.TopLogprobs = openai.Bool(true), openai.Int(3)
	whole, err := c.Chat.Completions.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	want := whole.Choices[0].Message.Content
	if !strings.Contains(want, "Contains") || whole.Usage.CompletionTokens == 0 || len(whole.Choices[0].Logprobs.Content) == 0 {
		t.Errorf("answer %+v", whole)
	}
	p = question()
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	s := c.Chat.Completions.NewStreaming(t.Context(), p)
	var acc openai.ChatCompletionAccumulator
	for s.Next() {
		acc.AddChunk(s.Current())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if got := acc.Choices[0].Message.Content; got != want {
		t.Errorf("streamed %q, whole %q", got, want)
	}
	if acc.Usage.TotalTokens != whole.Usage.TotalTokens || acc.Choices[0].FinishReason != whole.Choices[0].FinishReason {
		t.Errorf("streamed %+v, whole %+v", acc.Usage, whole.Usage)
	}
}

func TestCompletion(t *testing.T) {
	c := client(t)
	r, err := c.Completions.New(t.Context(), openai.CompletionNewParams{
		Model: "demo", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("// Copyright")}, MaxTokens: openai.Int(16), Temperature: openai.Float(0),
	})
	if err != nil || r.Choices[0].Text == "" {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestErrors(t *testing.T) {
	c := client(t)
	p := question()
	p.Model = "nothing"
	_, err := c.Chat.Completions.New(t.Context(), p)
	var api *openai.Error
	if !errors.As(err, &api) || api.StatusCode != 404 || api.Code != "model_not_found" {
		t.Errorf("unknown model: %v", err)
	}
	p = question()
	p.N = openai.Int(2)
	if _, err := c.Chat.Completions.New(t.Context(), p); !errors.As(err, &api) || api.StatusCode != 400 || api.Param != "n" {
		t.Errorf("n of 2: %v", err)
	}
}

func TestEmbeddings(t *testing.T) {
	model := os.Getenv("COVEY_EMBED")
	if model == "" {
		t.Log("no embedding model given")
		return
	}
	c := client(t)
	r, err := c.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
		Model: model, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a cat", "a kitten", "monetary policy"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	dot := func(a, b []float64) (s float64) {
		for i := range a {
			s += a[i] * b[i]
		}
		return s
	}
	v := r.Data
	if near, far := dot(v[0].Embedding, v[1].Embedding), dot(v[0].Embedding, v[2].Embedding); near < far+0.2 || math.Abs(dot(v[0].Embedding, v[0].Embedding)-1) > 1e-4 {
		t.Errorf("near %.3f, far %.3f", near, far)
	}
}
