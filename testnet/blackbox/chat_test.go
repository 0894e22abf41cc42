package blackbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestChatOutgrowsContext chats for longer than the context of the model lasts.
func TestChatOutgrowsContext(t *testing.T) {
	t.Parallel()
	const lines = 14
	long := strings.Repeat("word ", 900)
	huge := strings.Repeat("x", 2<<20)
	var in strings.Builder
	for i := range lines {
		fmt.Fprintf(&in, "What does strings.Contains number %d do in this program, and why?\n", i)
	}
	in.WriteString(long + "\n" + huge + "\nWhat is Go?\n")
	out, messages, code := covey(t, t.TempDir(), in.String(), "run", "demo", "--chat", "--json", "--system", "Be short.", "--max-tokens", "60")
	if code != 0 || strings.Count(messages, "oldest turns") != 1 {
		t.Errorf("exit code %d, messages %q", code, messages)
	}
	answers := strings.Split(strings.TrimSpace(out), "\n")
	if len(answers) != lines+3 {
		t.Fatalf("%d answers for %d lines: %s", len(answers), lines+3, out)
	}
	for i, a := range answers {
		var got struct{ Text, Error string }
		if err := json.Unmarshal([]byte(a), &got); err != nil {
			t.Fatal(err)
		}
		refused := i == lines || i == lines+1
		if refused != strings.Contains(got.Error, "too long") || refused == (len(got.Text) > 20) {
			t.Errorf("line %d: %+v", i, got)
		}
	}
}

// TestChatKeepsTurnsThatFit says little, to a model whose chat template is longer than that.
func TestChatKeepsTurnsThatFit(t *testing.T) {
	t.Parallel()
	out, messages, code := covey(t, t.TempDir(), "hi\nhi\nhi\n", "run", "demo", "--chat", "--max-tokens", "20")
	if code != 0 || out == "" || strings.Contains(messages, "oldest turns") {
		t.Errorf("exit code %d, messages %q, %s", code, messages, out)
	}
}

// TestChatDropsOldTurns looks at what a node is asked when it refuses a prompt.
func TestChatDropsOldTurns(t *testing.T) {
	t.Parallel()
	var last string
	dir := fakeNode(t, map[string]http.HandlerFunc{"POST /v1/chat/completions": func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Messages []struct{ Role, Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		last = ""
		for _, m := range asked.Messages {
			last += m.Role[:1] + ":" + m.Content + " "
		}
		if len(last) > 26 {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":{"message":"the prompt is long","code":"context_length_exceeded"}}`)
			return
		}
		say(w, "yes")
		fmt.Fprint(w, "data: [DONE]\n\n")
	}})
	_, messages, code := covey(t, dir, "one\ntwo\nthree\n"+strings.Repeat("long", 9)+"\nfour\n", "run", "demo", "--chat", "--system", "S")
	if code != 0 || last != "s:S u:three a:yes u:four " || strings.Count(messages, "oldest turns") != 1 || strings.Count(messages, "too long") != 1 {
		t.Errorf("exit code %d, %q, asked last with %q", code, messages, last)
	}
}
