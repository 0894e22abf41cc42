package chat_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/chat"
)

// caseFile holds templates, conversations and what Python renders of each pair.
type caseFile struct {
	Templates     map[string]string          `json:"templates"`
	Conversations map[string]json.RawMessage `json:"conversations"`
	Variables     map[string]json.RawMessage `json:"variables"`
	Rendered      []struct {
		Template, Conversation string
		Text                   *string
		Error                  string
	} `json:"rendered"`
}

func readCases(t testing.TB, name string) caseFile {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var c caseFile
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// input makes an Input of a conversation: messages apart, all else variables.
func input(t testing.TB, raw json.RawMessage) chat.Input {
	t.Helper()
	v, err := chat.FromJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	in := chat.Input{
		BOS: "<s>", EOS: "</s>", Extra: map[string]any{},
		Now: func() time.Time { return time.Date(2024, 7, 26, 13, 5, 9, 42000, time.UTC) },
	}
	conv := v.(*chat.Map)
	for _, k := range conv.Keys() {
		value, _ := conv.Get(k)
		switch k {
		case "messages":
			for _, m := range value.([]any) {
				in.Messages = append(in.Messages, m.(*chat.Map))
			}
		case "tools":
			in.Tools = value
		case "documents":
			in.Documents = value
		case "add_generation_prompt":
			in.AddGenerationPrompt = value.(bool)
		default:
			in.Extra[k] = value
		}
	}
	return in
}

// checkCases renders every pair of a file and compares with Python's text or error.
func checkCases(t *testing.T, name string) {
	t.Helper()
	c := readCases(t, name)
	texts, errs := 0, 0
	for _, want := range c.Rendered {
		t.Run(want.Template+"/"+want.Conversation, func(t *testing.T) {
			got, err := render(c.Templates[want.Template], input(t, c.Conversations[want.Conversation]))
			switch {
			case want.Text == nil && err == nil:
				t.Errorf("got %q, want an error like %q", got, want.Error)
			case want.Text != nil && err != nil:
				t.Errorf("got error %v, want %q", err, *want.Text)
			case want.Text != nil && got != *want.Text:
				t.Errorf("\n got %q\nwant %q", got, *want.Text)
			case err != nil && !strings.Contains(err.Error(), "line "):
				t.Errorf("error without a line: %v", err)
			}
		})
		if want.Text == nil {
			errs++
		} else {
			texts++
		}
	}
	t.Logf("%s: %d texts, %d errors", name, texts, errs)
}

func render(template string, in chat.Input) (string, error) {
	tmpl, err := chat.Parse(template)
	if err != nil {
		return "", err
	}
	return tmpl.Render(in)
}

func TestRenderAsTransformers(t *testing.T) {
	t.Parallel()
	checkCases(t, "cases.json")
}
