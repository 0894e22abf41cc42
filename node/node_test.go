package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/demo"
)

// start runs a node without a network and returns a client of it.
func start(t *testing.T, dir string, change func(*node.Config)) *api.Client {
	t.Helper()
	c, _ := startStop(t, dir, change)
	return c
}

// startStop is start with what ends the node, as a signal does, and waits for that.
func startStop(t *testing.T, dir string, change func(*node.Config)) (c *api.Client, stop func()) {
	t.Helper()
	cfg, err := node.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Offline, cfg.API.Addr, cfg.Builtin = true, "127.0.0.1:0", demo.Write
	cfg.Limits.Memory, cfg.Limits.Cores = 512<<20, 1
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	if change != nil {
		change(cfg)
	}
	n, err := node.New(*cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("node ended with %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-n.Ready():
	case err := <-ended:
		ended <- err
		t.Fatalf("node ended at its start: %v", err)
	}
	return &api.Client{Base: n.Endpoint().URL, Key: n.Endpoint().Key}, stop
}

// withDemo starts a node and imports the demo model.
func withDemo(t *testing.T) *api.Client {
	t.Helper()
	c := start(t, t.TempDir(), nil)
	if _, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Name: "demo"}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	return c
}

type completion struct {
	Choices []struct {
		Index    int
		Text     string
		Finish   string `json:"finish_reason"`
		Message  struct{ Role, Content string }
		Logprobs struct {
			Tokens []string
			Probs  []float64            `json:"token_logprobs"`
			Top    []map[string]float64 `json:"top_logprobs"`
		}
	}
	Usage struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Total      int `json:"total_tokens"`
	}
}

func complete(t *testing.T, c *api.Client, change map[string]any) completion {
	t.Helper()
	body := map[string]any{"model": "demo", "prompt": "// Reader implements", "max_tokens": 12, "temperature": 0}
	for k, v := range change {
		body[k] = v
	}
	var out completion
	if err := c.Post(t.Context(), "/v1/completions", body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCompletions(t *testing.T) {
	t.Parallel()
	c := withDemo(t)
	greedy := complete(t, c, map[string]any{"logprobs": 2})
	first := greedy.Choices[0]
	if first.Finish != "length" || len(first.Logprobs.Tokens) != 12 || greedy.Usage.Completion != 12 || greedy.Usage.Total != greedy.Usage.Prompt+12 {
		t.Errorf("greedy answer %+v", greedy)
	}
	if got := strings.Join(first.Logprobs.Tokens, ""); got != first.Text {
		t.Errorf("tokens join to %q, the text is %q", got, first.Text)
	}
	for i, p := range first.Logprobs.Probs {
		best := -1e9
		for _, q := range first.Logprobs.Top[i] {
			best = max(best, q)
		}
		if p > 0 || p != best || len(first.Logprobs.Top[i]) != 2 {
			t.Errorf("token %d: logprob %g, alternatives %v", i, p, first.Logprobs.Top[i])
		}
	}
	if again := complete(t, c, nil); again.Choices[0].Text != first.Text {
		t.Errorf("greedy twice: %q and %q", first.Text, again.Choices[0].Text)
	}
	hot := func(seed int) string {
		return complete(t, c, map[string]any{"temperature": 1.5, "seed": seed, "max_tokens": 24}).Choices[0].Text
	}
	drawn := hot(1)
	if again := hot(1); again != drawn {
		t.Errorf("the same seed gave %q and %q", drawn, again)
	}
	if drawn == hot(2) {
		t.Error("two seeds gave the same text")
	}
	stop := first.Text[len(first.Text)/2 : len(first.Text)/2+3]
	cut := complete(t, c, map[string]any{"stop": stop}).Choices[0]
	if cut.Finish != "stop" || strings.Contains(cut.Text, stop) || !strings.HasPrefix(first.Text, cut.Text) {
		t.Errorf("stop %q: %+v of %q", stop, cut, first.Text)
	}
}

// TestStreamIsTheWholeAnswer compares a stream, piece by piece, with the answer in one.
func TestStreamIsTheWholeAnswer(t *testing.T) {
	t.Parallel()
	c := withDemo(t)
	body := map[string]any{
		"model": "demo", "max_tokens": 30, "temperature": 0,
		"messages": []map[string]string{{"role": "user", "content": "What does strings.Contains do?"}},
	}
	var whole completion
	if err := c.Post(t.Context(), "/v1/chat/completions", body, &whole); err != nil {
		t.Fatal(err)
	}
	if whole.Choices[0].Message.Role != "assistant" || !strings.Contains(whole.Choices[0].Message.Content, "Contains") {
		t.Errorf("answer %+v", whole)
	}
	body["stream"], body["stream_options"] = true, map[string]bool{"include_usage": true}
	res, err := c.Do(t.Context(), "POST", "/v1/chat/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var text, finish string
	var used int
	err = api.ReadEvents(res.Body, func(data []byte) error {
		var e struct {
			Choices []struct {
				Delta  struct{ Content string }
				Finish string `json:"finish_reason"`
			}
			Usage *struct {
				Total int `json:"total_tokens"`
			}
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		for _, ch := range e.Choices {
			text += ch.Delta.Content
			finish += ch.Finish
		}
		if e.Usage != nil {
			used = e.Usage.Total
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if w := whole.Choices[0]; text != w.Message.Content || finish != w.Finish || used != whole.Usage.Total {
		t.Errorf("streamed %q (%s, %d), whole %q (%s, %d)", text, finish, used, w.Message.Content, w.Finish, whole.Usage.Total)
	}
}

// TestStopLetsAnswersFinish ends a node in the middle of a stream: the stream comes whole.
func TestStopLetsAnswersFinish(t *testing.T) {
	t.Parallel()
	c, stop := startStop(t, t.TempDir(), nil)
	if _, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Name: "demo"}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	const length = 100
	body := map[string]any{"model": "demo", "prompt": "// Reader implements", "max_tokens": length, "temperature": 2, "seed": 5, "logprobs": 0, "stream": true}
	res, err := c.Do(t.Context(), "POST", "/v1/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	ended, tokens := make(chan struct{}), 0
	var finish string
	err = api.ReadEvents(res.Body, func(data []byte) error {
		var e completion
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		for _, ch := range e.Choices {
			tokens += len(ch.Logprobs.Tokens)
			finish += ch.Finish
		}
		if tokens == 1 {
			go func() {
				defer close(ended)
				stop()
			}()
		}
		return nil
	})
	if err != nil || finish != "length" || tokens != length {
		t.Errorf("%d of %d tokens, finish %q, %v", tokens, length, finish, err)
	}
	<-ended
	if _, err := c.Do(t.Context(), "GET", "/healthz", nil); err == nil {
		t.Error("answers after its end")
	}
}

// TestUserTextHoldsNoSpecialTokens checks that a message cannot speak as another role: the
// text of special tokens in it costs as many tokens as other text of its kind.
func TestUserTextHoldsNoSpecialTokens(t *testing.T) {
	t.Parallel()
	c := withDemo(t)
	count := func(content string) int {
		var out completion
		body := map[string]any{"model": "demo", "max_tokens": 1, "messages": []map[string]string{{"role": "user", "content": content}}}
		if err := c.Post(t.Context(), "/v1/chat/completions", body, &out); err != nil {
			t.Fatal(err)
		}
		return out.Usage.Prompt
	}
	plain := count("hi")
	if got := count("hi<|end|>"); got < plain+3 {
		t.Errorf("%d tokens with the text of a special token, %d without: it was taken for the token", got, plain)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c := withDemo(t)
	chat := func(change string) string {
		return `{"model":"demo","messages":[{"role":"user","content":"hi"}]` + change + `}`
	}
	for _, tc := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"no JSON", "/v1/completions", `{`, 400, "JSON"},
		{"two values", "/v1/completions", `{}{}`, 400, "more than one"},
		{"key twice", "/v1/completions", `{"model":"demo","model":"x"}`, 400, "twice"},
		{"deep", "/v1/completions", strings.Repeat(`{"a":`, 60) + "1" + strings.Repeat("}", 60), 400, "nested"},
		{"no model", "/v1/completions", `{"prompt":"x"}`, 400, "model"},
		{"unknown model", "/v1/completions", `{"model":"nothing","prompt":"x"}`, 404, "not here"},
		{"no prompt", "/v1/completions", `{"model":"demo"}`, 400, "prompt"},
		{"empty prompt", "/v1/completions", `{"model":"demo","prompt":[]}`, 400, "prompt"},
		{"token out of range", "/v1/completions", `{"model":"demo","prompt":[99999]}`, 400, "vocabulary"},
		{"long prompt", "/v1/completions", `{"model":"demo","prompt":"` + strings.Repeat("word ", 2000) + `"}`, 400, "context"},
		{"no messages", "/v1/chat/completions", `{"model":"demo"}`, 400, "messages"},
		{"image", "/v1/chat/completions", `{"model":"demo","messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, 400, "image_url"},
		{"n of 2", "/v1/chat/completions", chat(`,"n":2`), 400, "n must be 1"},
		{"hot", "/v1/chat/completions", chat(`,"temperature":9`), 400, "temperature"},
		{"wrong type", "/v1/chat/completions", chat(`,"temperature":"hot"`), 400, `"message":"temperature is a text, want a number","param":"temperature"`},
		{"half a token", "/v1/chat/completions", chat(`,"max_tokens":1.5`), 400, "max_tokens is the number 1.5, want a whole number"},
		{"messages are a text", "/v1/chat/completions", `{"model":"demo","messages":"hi"}`, 400, "messages is a text, want a list"},
		{"a list", "/v1/chat/completions", `[]`, 400, "request is a list, want an object"},
		{"cut off", "/v1/chat/completions", `{"model":"demo","mess`, 400, "ends after 21 bytes"},
		{"nothing", "/v1/chat/completions", ` `, 400, "request is empty"},
		{"a comma too many", "/v1/chat/completions", `{"model":"demo",}`, 400, "at byte 1"},
		{"key twice in two cases", "/v1/completions", `{"model":"x","Model":"demo"}`, 400, "twice"},
		{"key twice in a schema", "/v1/chat/completions", chat(`,"tools":[{"parameters":{"id":1,"id":2}}]`), 400, "twice"},
		{"keys of two cases in a schema", "/v1/chat/completions", chat(`,"tools":[{"parameters":{"properties":{"id":{},"ID":{}}}}]`), 400, "tools are not supported"},
		{"keys of two cases in a message", "/v1/chat/completions", `{"model":"demo","messages":[{"role":"user","Role":"system","content":"hi"}]}`, 400, "twice"},
		{"keys of two cases in a part", "/v1/chat/completions", `{"model":"demo","messages":[{"role":"user","content":[{"type":"text","text":"a","TEXT":"b"}]}]}`, 400, "twice"},
		{"keys of two cases in the options of a stream", "/v1/chat/completions", chat(`,"stream_options":{"include_usage":true,"Include_Usage":false}`), 400, "twice"},
		{"keys of two cases in a format", "/v1/chat/completions", chat(`,"response_format":{"type":"json_schema","json_schema":{"a":1,"A":2}}`), 400, "is not supported"},
		{"keys of two cases in an input", "/v2/models/demo/infer", `{"inputs":[{"name":"a","Name":"b"}]}`, 400, "twice"},
		{"key twice for the decoder", "/v1/completions", `{"mask":1,"ma\u017f\u212a":2}`, 400, "twice"},
		{"no role", "/v1/chat/completions", `{"model":"demo","messages":[{"content":"hi"}]}`, 400, "message 0 has no role"},
		{"unknown role", "/v1/chat/completions", `{"model":"demo","messages":[{"role":"boss","content":"hi"}]}`, 400, `messages.[0].role`},
		{"functions", "/v1/chat/completions", chat(`,"functions":[{}]`), 400, "functions"},
		{"no tokens", "/v1/chat/completions", chat(`,"max_tokens":0`), 400, "max_tokens"},
		{"tools", "/v1/chat/completions", chat(`,"tools":[{}]`), 400, "tools"},
		{"many logprobs", "/v1/chat/completions", chat(`,"logprobs":true,"top_logprobs":21`), 400, "top_logprobs"},
		{"empty stop", "/v1/chat/completions", chat(`,"stop":""`), 400, "stop"},
		{"embedding by a language model", "/v1/embeddings", `{"model":"demo","input":"x"}`, 400, "task"},
		{"no route", "/v1/nothing", `{}`, 404, "no route"},
		{"no control route", "/covey/v1/nothing", `{}`, 404, `"type":"invalid_request_error"`},
		{"wrong method", "/v1/models", `{}`, 405, "/v1/models takes GET, not POST"},
		{"wrong method of a control route", "/covey/v1/status", `{}`, 405, "takes GET"},
		{"two methods", "/covey/v1/models/demo", `{}`, 405, "GET or DELETE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			status, body := request(t, c, "POST", tc.path, tc.body, nil)
			if status != tc.status || !strings.Contains(body, tc.want) || !strings.Contains(body, `"error"`) {
				t.Errorf("answered %d %s, want %d with %q", status, body, tc.status, tc.want)
			}
		})
	}
}

// TestLogprobsShape checks what OpenAI's clients rely on: an empty list of alternatives is
// a list, alternatives have none of their own, and offsets count characters.
func TestLogprobsShape(t *testing.T) {
	t.Parallel()
	c := withDemo(t)
	_, body := request(t, c, "POST", "/v1/chat/completions", `{"model":"demo","messages":[{"role":"user","content":"hi"}],"max_tokens":2,"logprobs":true}`, nil)
	if strings.Count(body, `"top_logprobs":[]`) != 2 {
		t.Errorf("no alternatives: %s", body)
	}
	_, body = request(t, c, "POST", "/v1/chat/completions", `{"model":"demo","messages":[{"role":"user","content":"hi"}],"max_tokens":2,"logprobs":true,"top_logprobs":2}`, nil)
	if strings.Count(body, `"top_logprobs":`) != 2 || strings.Count(body, `"bytes":`) != 6 {
		t.Errorf("two alternatives: %s", body)
	}
	for seed := range 50 { // until an answer has a character of several bytes
		var out struct {
			Choices []struct {
				Text     string
				Logprobs struct {
					Tokens  []string
					Offsets []int `json:"text_offset"`
				}
			}
		}
		err := c.Post(t.Context(), "/v1/completions", map[string]any{"model": "demo", "prompt": "é ü 世界 ñ é", "max_tokens": 200, "temperature": 2, "seed": seed, "logprobs": 0}, &out)
		if err != nil {
			t.Fatal(err)
		}
		text := out.Choices[0].Text
		runes, last := []rune(text), out.Choices[0].Logprobs
		end := last.Offsets[len(last.Offsets)-1]
		if end > len(runes) {
			t.Fatalf("token %d starts at %d of %d characters", len(last.Offsets), end, len(runes))
		}
		if tail := last.Tokens[len(last.Tokens)-1]; len(text) > len(runes) && strings.HasPrefix(string(runes[end:]), tail) {
			return
		}
	}
	t.Error("no answer with characters of several bytes")
}

// request sends raw bytes with headers, and with the owner's key unless there is a header
// Authorization; the header Host changes the host.
func request(t *testing.T, c *api.Client, method, path, body string, headers map[string]string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.Base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.Key)
	for k, v := range headers {
		if k == "Host" {
			req.Host = v
		}
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestIndex asks for the routes of the API.
func TestIndex(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), nil)
	for _, path := range []string{"/v1", "/v1/"} {
		if status, body := request(t, c, "GET", path, "", nil); status != 200 || !strings.Contains(body, `"POST /v1/chat/completions"`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := request(t, c, "GET", "/v1/nothing", "", nil); status != 404 {
		t.Errorf("no route: %d %s", status, body)
	}
}

// TestIndexIsComplete holds the list of routes against what the node answers: each of the list
// is a route, and each route for models is on it.
func TestIndexIsComplete(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), nil)
	_, body := request(t, c, "GET", "/v1", "", nil)
	var index struct{ Routes []string }
	if err := json.Unmarshal([]byte(body), &index); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"GET /", "GET /healthz", "GET /metrics", "GET /v1", "GET /v1/models", "GET /v1/models/{name}",
		"GET /v2", "GET /v2/health/live", "GET /v2/health/ready", "GET /v2/models/{name}", "GET /v2/models/{name}/ready",
		"POST /v1/chat/completions", "POST /v1/completions", "POST /v1/embeddings", "POST /v2/models/{name}/infer",
	}
	slices.Sort(index.Routes)
	if !slices.Equal(index.Routes, want) {
		t.Errorf("the index has %q, want %q", index.Routes, want)
	}
	for _, r := range index.Routes {
		method, path, _ := strings.Cut(r, " ")
		status, body := request(t, c, method, strings.Replace(path, "{name}", "demo", 1), "{}", nil)
		if status == 405 || strings.Contains(body, "no route") {
			t.Errorf("%s: %d %s", r, status, body)
		}
	}
}

// routes are all that a node answers, for the tests of the guard.
var routes = []string{
	"GET /v1/models", "GET /v1/models/demo", "POST /v1/chat/completions", "POST /v1/completions", "POST /v1/embeddings", "GET /metrics",
	"GET /covey/v1/status", "GET /covey/v1/peers", "GET /covey/v1/models", "GET /covey/v1/models/demo", "DELETE /covey/v1/models/demo",
	"POST /covey/v1/models/import", "POST /covey/v1/models/pull", "POST /covey/v1/models/pin", "POST /covey/v1/host", "DELETE /covey/v1/host/demo",
	"GET /covey/v1/route", "POST /covey/v1/invite", "POST /covey/v1/gc", "GET /nothing",
}

func TestGuard(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("k", 20)
	c := start(t, t.TempDir(), func(cfg *node.Config) { cfg.API.Keys = []string{sha256Hex(key)} })
	for _, r := range routes {
		method, path, _ := strings.Cut(r, " ")
		for name, tc := range map[string]struct {
			headers map[string]string
			status  int
		}{
			"no key":         {map[string]string{"Authorization": ""}, 401},
			"wrong key":      {map[string]string{"Authorization": "Bearer x"}, 401},
			"other host":     {map[string]string{"Authorization": "Bearer " + key, "Host": "evil.example"}, 421},
			"other origin":   {map[string]string{"Authorization": "Bearer " + key, "Origin": "https://evil.example"}, 403},
			"opaque origin":  {map[string]string{"Authorization": "Bearer " + key, "Origin": "null"}, 403},
			"rebound origin": {map[string]string{"Authorization": "Bearer " + key, "Host": "evil.example:80", "Origin": "http://evil.example"}, 421},
		} {
			if status, body := request(t, c, method, path, "{}", tc.headers); status != tc.status {
				t.Errorf("%s with %s: %d %s, want %d", r, name, status, body, tc.status)
			}
		}
	}
	if status, _ := request(t, c, "GET", "/v1/models", "", map[string]string{"Authorization": "Bearer " + key, "Origin": "http://localhost:3000"}); status != 200 {
		t.Errorf("with key and a page of this machine: %d", status)
	}
	if status, _ := request(t, c, "GET", "/healthz", "", nil); status != 200 {
		t.Errorf("health without a key: %d", status)
	}
	if status, body := request(t, c, "POST", "/v1/completions", "{}", map[string]string{"Authorization": "Bearer " + key, "Content-Type": "text/plain"}); status != 415 {
		t.Errorf("plain text: %d %s", status, body)
	}
	if status, _ := request(t, c, "POST", "/v1/completions", `{"prompt":"`+strings.Repeat("x", 5<<20)+`"}`, map[string]string{"Authorization": "Bearer " + key}); status != 413 {
		t.Errorf("5 MiB: %d", status)
	}
}

func TestOpenAddressNeedsAKey(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		api  node.API
		want string
	}{
		{node.API{Addr: "0.0.0.0:0"}, "API key"},
		{node.API{Addr: "0.0.0.0:0", Keys: []string{sha256Hex("x")}}, "TLS"},
		{node.API{Addr: "127.0.0.1:0", Keys: []string{"x"}}, "printf %s KEY | sha256sum"},
		{node.API{Addr: "127.0.0.1:99999"}, "65535"},
	} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "config.toml"), fmt.Sprintf("[api]\naddr = %q\n", tc.api.Addr))
		cfg, err := node.ReadConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Offline, cfg.API = true, tc.api
		if _, err := node.New(*cfg); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "config.toml") {
			t.Errorf("%+v: %v, want an error with %q and the file", tc.api, err, tc.want)
		}
		if files, err := os.ReadDir(cfg.DataDir); err != nil || len(files) != 1 || files[0].Name() != "config.toml" {
			t.Errorf("a refused node left %v, %v", files, err)
		}
	}
}

// TestModelsAndRestart imports, shows, serves, and finds all of it again after a restart.
func TestModelsAndRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var cid, text string
	t.Run("first", func(t *testing.T) {
		c := start(t, dir, nil)
		last, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Name: "mine"}, func(api.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		cid = last.Model
		again, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Name: "mine"}, func(api.Event) {})
		if err != nil || again.Model != cid {
			t.Errorf("imported again as %s, %v; want %s", again.Model, err, cid)
		}
		if _, err := c.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: "mine", Blocks: "all"}, func(api.Event) {}); err != nil {
			t.Fatal(err)
		}
		text = complete(t, c, map[string]any{"model": "mine"}).Choices[0].Text
	})
	c := start(t, dir, nil)
	var m api.Model
	if err := c.Get(t.Context(), "/covey/v1/models/mine", nil, &m); err != nil {
		t.Fatal(err)
	}
	if m.CID != cid || m.BytesHere != m.Bytes || m.Blocks != 4 || len(m.Parts) != 6 || !m.Pinned {
		t.Errorf("model after the restart: %+v", m)
	}
	if got := complete(t, c, map[string]any{"model": "mine"}).Choices[0].Text; got != text {
		t.Errorf("after the restart %q, before %q", got, text)
	}
	var freed api.Collected
	if err := c.Delete(t.Context(), "/covey/v1/models/mine?force=true", &freed); err != nil || freed.Bytes == 0 {
		t.Errorf("removed %+v of %d bytes, %v", freed, m.Bytes, err)
	}
	if status, body := request(t, c, "GET", "/covey/v1/models/mine", "", nil); status != 404 {
		t.Errorf("removed model: %d %s", status, body)
	}
}

func TestConfigFile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ file, want string }{
		{"version = 1\n[limits]\nmemory = \"2GiB\"\n", ""},
		{"version = 1\n[limits]\nmemori = \"2GiB\"\n", "memori"},
		{"version = 1\n[limits]\nmemory = \"2 sacks\"\n", "sacks"},
		{"version = 9\n", "version is 9"},
		{"name = \"a\\u001bb\"\n", "name"},
		{"[api]\nkeys = [\"secret\"]\n", "hash"},
		{"[limits]\nrelay = \"4B\"\n", "limits.relay is 4B a second"},
		{"[network]\nproxy = \"socks5://me:secret@host:1080\"\n", "network.proxy is no address like http://HOST:PORT"},
	} {
		dir := t.TempDir()
		writeFile(t, dir+"/config.toml", tc.file)
		cfg, err := node.ReadConfig(dir)
		if err == nil {
			err = cfg.Validate()
		}
		if tc.want == "" && (err != nil || cfg.Limits.Memory != 2<<30) || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%q: %v, want %q", tc.file, err, tc.want)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]node.Size{"0": 0, "0.0": 0, "0GiB": 0, "512MiB": 512 << 20, "1.5GiB": 3 << 29, "10 MB": 10e6, "7 bytes": 7, "4G": 4 << 30, "4GB": 4e9, "4 gib": 4 << 30, "512m": 512 << 20, "2Ti": 2 << 40, "1.5k": 1536} {
		var s node.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q: %d, %v; want %d", text, s, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1GiB", "1XB", "1e400", "9999999TiB", "4", "4294967296", "4 potatoes", "GiB", "0 potatoes", "0x10", "0e3", "0,5GiB"} {
		var s node.Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %d", text, s)
		}
	}
	var s node.Size
	if err := s.UnmarshalText([]byte("4")); err == nil || !strings.Contains(err.Error(), "4 what? a size has a unit, such as 4GiB") {
		t.Errorf("a number alone: %v", err)
	}
	if b, err := node.Size(3 << 20).MarshalText(); err != nil || string(b) != "3MiB" {
		t.Errorf("3 MiB: %s, %v", b, err)
	}
}
