package chat_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/chat"
)

func addTemplates(f *testing.F, add func(template string)) {
	f.Helper()
	for _, file := range []string{"cases.json", "own_cases.json"} {
		for _, template := range readCases(f, file).Templates {
			add(template)
		}
	}
	data, err := os.ReadFile(filepath.Join("testdata", "expressions.txt"))
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		add(line)
	}
}

// FuzzParse gives Parse any text: a template or a *chat.Error with a line comes back.
func FuzzParse(f *testing.F) {
	addTemplates(f, func(template string) { f.Add(template) })
	f.Fuzz(func(t *testing.T, template string) {
		_, err := chat.Parse(template)
		var e *chat.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("got a %T: %v", err, err)
		}
	})
}

// FuzzRender gives Render any template and messages: the same text or error comes back twice.
func FuzzRender(f *testing.F) {
	messages := `[{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"é"}]},` +
		`{"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":{"a":[1,2.5,true]}}}]}]`
	addTemplates(f, func(template string) { f.Add(template, messages) })
	f.Add(`{{ messages | tojson }}`, `[{"a":1e999}]`)
	f.Fuzz(func(t *testing.T, template, messages string) {
		in := chat.Input{
			BOS: "<s>", AddGenerationPrompt: true, Now: func() time.Time { return time.Unix(1e9, 0).UTC() },
			Limits: chat.Limits{Steps: 20000, Output: 1 << 16},
		}
		if err := json.Unmarshal([]byte(messages), &in.Messages); err != nil {
			return
		}
		tmpl, err := chat.Parse(template)
		if err != nil {
			return
		}
		first, err1 := tmpl.Render(in)
		second, err2 := tmpl.Render(in)
		if first != second || (err1 == nil) != (err2 == nil) || err1 != nil && err1.Error() != err2.Error() {
			t.Errorf("got %q, %v and then %q, %v", first, err1, second, err2)
		}
		var e *chat.Error
		if err1 != nil && !errors.As(err1, &e) {
			t.Errorf("got a %T: %v", err1, err1)
		}
	})
}
