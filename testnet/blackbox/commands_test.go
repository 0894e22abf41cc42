package blackbox_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/shell"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/runner"
)

// command prepares a command line of covey.
func command(t *testing.T, data string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), path, append(args, "--data", data)...)
}

// exitOf is the exit code that an error of a command tells.
func exitOf(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return 0
}

// covey runs a command line and returns its output, its messages and its exit code.
func covey(t *testing.T, data, stdin string, args ...string) (string, string, int) {
	t.Helper()
	cmd := command(t, data, args...)
	var out, messages bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &messages
	code := exitOf(t, cmd.Run())
	return out.String(), messages.String(), code
}

// fakeNode answers for a node and returns its data directory. Its status and its models
// answer unless routes say otherwise.
func fakeNode(t *testing.T, routes map[string]http.HandlerFunc) string {
	t.Helper()
	dir := t.TempDir()
	mux := http.NewServeMux()
	for _, pattern := range []string{"GET /covey/v1/status", "GET /covey/v1/models/{name}"} {
		if routes[pattern] == nil {
			mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { reply(w, map[string]any{"data_dir": dir}) })
		}
	}
	for pattern, h := range routes {
		mux.HandleFunc(pattern, h)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	data, err := json.Marshal(map[string]any{"url": s.URL, "pid": 1234567, "data_dir": dir})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "api.json"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// say streams pieces of a chat's answer.
func say(w http.ResponseWriter, pieces ...string) {
	for _, p := range pieces {
		fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", p)
	}
	w.(http.Flusher).Flush()
}

// TestTrainWarns lets a node whose clock is wrong, and that reaches nobody, train with others: that is told, and
// not if it is to train alone.
func TestTrainWarns(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	job := filepath.Join(files, "job.toml")
	text := "version = 1\n[model]\nkind = \"llama\"\nllama = {dim = 16, blocks = 1, heads = 2, ffn = 32, tied = true}\n[data.text]\nfiles = [\"*.txt\"]\nlength = 16\n" +
		"[train]\nsteps = 1\nbatch = 1\noptimizer = {kind = \"sgd\", lr = 0.1}\n"
	if err := os.WriteFile(job, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var dir string
	dir = fakeNode(t, map[string]http.HandlerFunc{
		"GET /covey/v1/status": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, map[string]any{"data_dir": dir, "clock": "this clock is an hour fast", "reach": "nobody is reached"})
		},
		"POST /covey/v1/jobs": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
	})
	for _, c := range []struct {
		args []string
		told bool
	}{
		{[]string{"train", job}, false},
		{[]string{"train", job, "--swarm"}, true},
		{[]string{"train", "join", "job", "--from", files}, true},
	} {
		_, messages, code := covey(t, dir, "", c.args...)
		for _, want := range []string{"warning: this clock is an hour fast\n", "warning: nobody is reached\n"} {
			if strings.Contains(messages, want) != c.told || code == 0 {
				t.Errorf("%v: exit code %d, %q, want %q: %t", c.args, code, messages, want, c.told)
			}
		}
	}
}

// TestAnswersAlone asks a node that no peer is connected to, and one with a peer: the first says so,
// once and not in the answer.
func TestAnswersAlone(t *testing.T) {
	t.Parallel()
	for peers, want := range map[int]string{0: "this node answers alone: it has 0 peers\n", 1: ""} {
		var dir string
		dir = fakeNode(t, map[string]http.HandlerFunc{
			"GET /covey/v1/status": func(w http.ResponseWriter, _ *http.Request) {
				reply(w, map[string]any{"data_dir": dir, "peers": peers})
			},
			"POST /v1/chat/completions": func(w http.ResponseWriter, _ *http.Request) {
				say(w, "yes")
				fmt.Fprint(w, "data: [DONE]\n\n")
			},
		})
		if out, messages, code := covey(t, dir, "", "run", "demo", "is it?"); code != 0 || out != "yes\n" || messages != want {
			t.Errorf("%d peers: %d, %q, %q; want %q", peers, code, out, messages, want)
		}
	}
}

// TestInterrupts sends SIGINT to commands that wait for their input.
func TestInterrupts(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"run", "demo"}, {"embed", "demo"}} {
		cmd := command(t, fakeNode(t, map[string]http.HandlerFunc{"POST /v1/chat/completions": func(w http.ResponseWriter, _ *http.Request) {
			say(w, "yes")
			fmt.Fprint(w, "data: [DONE]\n\n")
		}}), args...)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// More than a pipe holds, in blank lines: they are written once the command reads.
		if _, err := in.Write(bytes.Repeat([]byte(" \n"), 200_000)); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if code := exitOf(t, cmd.Wait()); code != 130 {
			t.Errorf("covey %s: exit code %d after SIGINT, want 130", args[0], code)
		}
		in.Close()
	}
}

func TestChatJSON(t *testing.T) {
	t.Parallel()
	out, messages, code := covey(t, t.TempDir(), "hi\n\nhow are you?\n", "run", "demo", "--chat", "--json", "--max-tokens", "5")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, messages)
	}
	lines := bufio.NewScanner(strings.NewReader(out))
	n := 0
	for ; lines.Scan(); n++ {
		var answer struct{ Model, Text string }
		if err := json.Unmarshal(lines.Bytes(), &answer); err != nil || answer.Model != "demo" || answer.Text == "" {
			t.Errorf("line %q, %v", lines.Text(), err)
		}
	}
	if n != 2 {
		t.Errorf("%d lines for 2 questions: %q", n, out)
	}
}

// TestPipedPrompt pipes a prompt of several lines in, alone and after one that is given.
func TestPipedPrompt(t *testing.T) {
	t.Parallel()
	var asked []struct{ Role, Content string }
	var raw string
	dir := fakeNode(t, map[string]http.HandlerFunc{
		"POST /v1/chat/completions": func(w http.ResponseWriter, r *http.Request) {
			var q struct {
				Messages []struct{ Role, Content string }
			}
			if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
				t.Error(err)
			}
			asked = append(asked, q.Messages...)
			say(w, "yes")
			fmt.Fprint(w, "data: [DONE]\n\n")
		},
		"POST /v1/completions": func(w http.ResponseWriter, r *http.Request) {
			var q struct{ Prompt string }
			if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
				t.Error(err)
			}
			raw = q.Prompt
			fmt.Fprint(w, "data: [DONE]\n\n")
		},
	})
	for _, c := range []struct {
		args     []string
		in, want string
	}{
		{[]string{"run", "demo"}, "hi\n", "hi"},
		{[]string{"run", "demo"}, "one\ntwo\n\nthree", "one\ntwo\n\nthree"},
		{[]string{"run", "demo", "Summarise:"}, "one\r\ntwo\r\n", "Summarise:\n\none\r\ntwo"},
		{[]string{"run", "demo", "hi"}, "", "hi"},
		{[]string{"run", "demo", "hi"}, "\n", "hi"},
	} {
		asked = nil
		out, messages, code := covey(t, dir, c.in, c.args...)
		if code != 0 || out != "yes\n" {
			t.Errorf("%q with %q: exit code %d, %q, %s", c.args, c.in, code, out, messages)
		}
		if len(asked) != 1 || asked[0].Role != "user" || strings.TrimSuffix(asked[0].Content, "\n") != c.want {
			t.Errorf("%q with %q asks %+v", c.args, c.in, asked)
		}
	}
	if _, messages, code := covey(t, dir, "// Copyright", "run", "demo", "--raw"); code != 0 || raw != "// Copyright" {
		t.Errorf("exit code %d, asks %q, %s", code, raw, messages)
	}
	for _, in := range []string{"\xff\xfe", strings.Repeat("long", 1<<20)} {
		if _, messages, code := covey(t, dir, in, "run", "demo"); code != 2 || !strings.Contains(messages, "the input is") {
			t.Errorf("exit code %d, %s", code, messages)
		}
	}
}

// TestListSummary has peers with many models: the own one and those that are served are listed.
func TestListSummary(t *testing.T) {
	t.Parallel()
	models := []api.Model{{Name: "mine", CID: "c", Task: "generate"}, {Name: "zzz served", CID: "s", Peers: 1, Serving: 1}}
	for i := range 5000 {
		models = append(models, api.Model{Name: fmt.Sprintf("n%d", i), CID: fmt.Sprintf("p%d", i), Peers: 1})
	}
	dir := fakeNode(t, map[string]http.HandlerFunc{"GET /covey/v1/models": func(w http.ResponseWriter, _ *http.Request) { reply(w, models) }})
	out, messages, code := covey(t, dir, "", "model", "ls")
	if n := strings.Count(out, "\n"); code != 0 || n != 53 || !strings.Contains(out, "\nmine ") || !strings.Contains(out, "\nzzz served ") || !strings.Contains(out, "and 4951 more that peers have: covey model ls --all --data "+dir+"\n") {
		t.Errorf("exit code %d, %d lines, %s%.2000s", code, n, messages, out)
	}
	if out, _, _ := covey(t, dir, "", "model", "ls", "--all"); strings.Count(out, "\n") != 5003 {
		t.Errorf("%d lines with --all", strings.Count(out, "\n"))
	}
}

// TestBenchOfAName measures a model by its name, and says what is no model.
func TestBenchOfAName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, messages, code := covey(t, dir, "", "bench", "demo", "--json", "--prompt", "4", "--tokens", "2", "--repeat", "1")
	var r struct {
		Model  string
		Types  map[string]int
		Decode struct {
			Rate float64 `json:"tokens_per_second"`
		}
	}
	if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil || r.Model != "demo" || r.Types["F16"] == 0 || r.Decode.Rate <= 0 {
		t.Errorf("exit code %d, %v, %s, %s", code, err, out, messages)
	}
	if _, messages, code := covey(t, dir, "", "bench", "no such"); code != 3 || !strings.Contains(messages, "no file and no model") {
		t.Errorf("exit code %d, %s", code, messages)
	}
}

// TestPastedCommands has names that a shell would take apart.
func TestPastedCommands(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "my data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, messages, code := covey(t, dir, "", "status"); code != 4 || !strings.Contains(messages, "covey up --data '"+dir+"'") {
		t.Errorf("exit code %d, %s", code, messages)
	}
	if _, messages, code := covey(t, dir, "", "model", "import", "demo", "--name", "my demo"); code != 0 {
		t.Fatalf("exit code %d, %s", code, messages)
	}
	if _, messages, code := covey(t, dir, "", "model", "import", "demo", "--name", "my demo", "--quantize", "q8_0"); code != 1 || !strings.Contains(messages, "covey model rm 'my demo'") {
		t.Errorf("exit code %d, %s", code, messages)
	}
}

// TestStopTexts gives a stop text with a comma, and two of them.
func TestStopTexts(t *testing.T) {
	t.Parallel()
	var asked struct{ Stop []string }
	dir := fakeNode(t, map[string]http.HandlerFunc{"POST /v1/chat/completions": func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, "data: [DONE]\n\n")
	}})
	if _, messages, code := covey(t, dir, "", "run", "demo", "hi", "--stop", "yes, but", "--stop", "no"); code != 0 {
		t.Fatalf("exit code %d, %s", code, messages)
	}
	if strings.Join(asked.Stop, "|") != "yes, but|no" {
		t.Errorf("asked to stop at %q", asked.Stop)
	}
}

// TestBusyNode has a node that does not answer in time: it is not taken for gone.
func TestBusyNode(t *testing.T) {
	t.Parallel()
	dir := fakeNode(t, map[string]http.HandlerFunc{"GET /covey/v1/status": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }})
	for _, args := range [][]string{{"run", "demo", "hi"}, {"up", "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0", "--mdns=false", "--nat=false"}} {
		_, messages, code := covey(t, dir, "", args...)
		if want := map[string]int{"run": 4, "up": 1}[args[0]]; code != want || !strings.Contains(messages, "pid 1234567") {
			t.Errorf("covey %s: exit code %d, %s", args[0], code, messages)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("the data directory of the busy node has now %v, %v", files, err)
	}
}

// TestLoadingIsShown asks a node that loads the model first.
func TestLoadingIsShown(t *testing.T) {
	t.Parallel()
	var dir string
	var looks atomic.Int64
	done := make(chan struct{})
	loaded := sync.OnceFunc(func() { close(done) })
	dir = fakeNode(t, map[string]http.HandlerFunc{
		"GET /covey/v1/status": func(w http.ResponseWriter, _ *http.Request) {
			if looks.Add(1) > 3 {
				loaded()
			}
			reply(w, map[string]any{"data_dir": dir, "peers": 1, "loading": []string{"big", "other"}})
		},
		"POST /v1/chat/completions": func(w http.ResponseWriter, _ *http.Request) {
			<-done
			say(w, "here")
			fmt.Fprint(w, "data: [DONE]\n\n")
		},
	})
	out, messages, code := covey(t, dir, "", "run", "big", "hi")
	if code != 0 || out != "here\n" || messages != "loading big\n" {
		t.Errorf("exit code %d, %q, %q", code, out, messages)
	}
}

// TestNodeEndsInAnAnswer has the connection to the node break off before and in an answer.
func TestNodeEndsInAnAnswer(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(w http.ResponseWriter){
		"before": func(http.ResponseWriter) {},
		"in it":  func(w http.ResponseWriter) { say(w, "one") },
	} {
		dir := fakeNode(t, map[string]http.HandlerFunc{"POST /v1/chat/completions": func(w http.ResponseWriter, _ *http.Request) {
			begin(w)
			panic(http.ErrAbortHandler)
		}})
		if _, messages, code := covey(t, dir, "", "run", "any", "Hello"); code != 4 || !strings.Contains(messages, "covey: the node ended while it answered") {
			t.Errorf("%s: %d, %s", name, code, messages)
		}
	}
}

// TestErrorsInStreams checks that an error after the start of an answer keeps its class.
func TestErrorsInStreams(t *testing.T) {
	t.Parallel()
	dir := fakeNode(t, map[string]http.HandlerFunc{
		"POST /v1/chat/completions": func(w http.ResponseWriter, _ *http.Request) {
			say(w, "so ")
			fmt.Fprint(w, "data: {\"error\":{\"message\":\"all peers are gone\"},\"status\":503}\n\n")
		},
		"POST /covey/v1/host": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, `{"stage":"fetching"}`)
			fmt.Fprintln(w, `{"error":"no such thing","status":404}`)
		},
	})
	for _, tc := range []struct {
		code int
		want string
		args []string
	}{
		{4, "all peers are gone", []string{"run", "demo", "hi"}},
		{3, "no such thing", []string{"host", "demo"}},
	} {
		if _, messages, code := covey(t, dir, "", tc.args...); code != tc.code || !strings.Contains(messages, tc.want) {
			t.Errorf("covey %s: exit code %d, %s; want %d", tc.args[0], code, messages, tc.code)
		}
	}
}

// TestSmallMemory asks for a model that does not fit into what its only holder lends.
func TestSmallMemory(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{
		Nodes: []runner.Node{{Name: "one", Cores: 1, Memory: "8MiB"}}, Model: []runner.Model{{Name: "demo", On: "one"}},
	})
	dir := s.Node("one").Dir()
	for _, args := range [][]string{{"host", "demo", "--blocks", "all"}, {"host", "demo"}, {"run", "demo", "hi"}} {
		if _, messages, code := covey(t, dir, "", args...); code != 4 || !strings.Contains(messages, "memory") {
			t.Errorf("covey %s: exit code %d, %s; want 4", args, code, messages)
		}
	}
	res, err := s.Node("one").API().Do(t.Context(), "POST", "/v1/completions", map[string]any{"model": "demo", "prompt": "x"})
	var status *api.StatusError
	if !errors.As(err, &status) || status.Status != 503 {
		t.Errorf("answered %v, %v; want 503", res, err)
	}
}

// TestSecondUp starts a node where one runs already.
func TestSecondUp(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{Nodes: nodes("one")})
	_, messages, code := covey(t, s.Node("one").Dir(), "", "up", "--api", "127.0.0.1:0")
	if code != 1 || !strings.Contains(messages, "already runs on "+s.Node("one").Dir()+" (pid ") || strings.Count(messages, "\n") != 1 {
		t.Errorf("exit code %d, %s", code, messages)
	}
}

// TestChangesAreTold checks that commands which change something say what they did.
func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{
		Nodes: nodes("one"), Model: []runner.Model{{Name: "demo", On: "one", Hosts: []runner.Host{{Node: "one", Blocks: "all"}}}},
	})
	dir := s.Node("one").Dir()
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"model", "unpin", "demo"}, "demo is not pinned: it stays as long as this node serves it"},
		{[]string{"model", "pin", "demo"}, "demo is pinned"},
		{[]string{"model", "pin", "demo", "--json"}, `"pinned": true`},
		{[]string{"host", "demo", "--off", "--json"}, `"served": false`},
		{[]string{"host", "demo"}, "all blocks of demo are here already\nserving"},
		{[]string{"model", "pull", "demo"}, "all blocks of demo are here already\n"},
		{[]string{"host", "demo", "--off"}, "demo is not served here"},
		{[]string{"model", "rm", "demo"}, "MiB back"},
	} {
		if out, messages, code := covey(t, dir, "", tc.args...); code != 0 || !strings.Contains(out, tc.want) || strings.Contains(messages, "fetching") {
			t.Errorf("covey %s: exit code %d, %q, %s; want %q", tc.args, code, out, messages, tc.want)
		}
	}
}

// TestCompletion completes names of models, on a node and without one.
func TestCompletion(t *testing.T) {
	t.Parallel()
	dir := fakeNode(t, map[string]http.HandlerFunc{"GET /covey/v1/models": func(w http.ResponseWriter, _ *http.Request) {
		reply(w, []map[string]string{{"name": "one", "task": "generate"}, {"name": "two"}})
	}})
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"run", "host", "route", "embed", "model show", "model rm", "model pull", "model pin", "model unpin"} {
		args := append(append([]string{"__complete"}, strings.Fields(command)...), "")
		for data, want := range map[string]string{dir: "one\tgenerate\ntwo\n:4\n", t.TempDir(): "demo\n:4\n"} {
			cmd := exec.CommandContext(t.Context(), path, args...)
			cmd.Env = append(os.Environ(), "COVEY_DATA="+data)
			if out, err := cmd.Output(); err != nil || string(out) != want {
				t.Errorf("%s: %v, %q; want %q", command, err, out, want)
			}
		}
	}
}

// TestFreshNodeKnowsDemo asks a node on which nothing was imported for the model in the program.
func TestFreshNodeKnowsDemo(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{Nodes: nodes("one")})
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"model", "ls"}, "demo"},
		{[]string{"model", "show", "demo"}, "generate"},
		{[]string{"host", "demo"}, "serving"},
		{[]string{"route", "demo"}, "embedding, blocks 0-3, head"},
		{[]string{"model", "ls"}, "generate"},
	} {
		if out, messages, code := covey(t, s.Node("one").Dir(), "", tc.args...); code != 0 || !strings.Contains(out, tc.want) {
			t.Errorf("covey %s: exit code %d, %q, %s; want %q", tc.args, code, out, messages, tc.want)
		}
	}
}

// TestSizesAgree compares what commands say of the size of a model whose head is its
// embedding.
func TestSizesAgree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tc := range []struct {
		args       []string
		want, less string
	}{
		{[]string{"model", "import", "demo", "--name", "mine"}, "imported mine: 7.4 MiB", ""},
		{[]string{"model", "ls"}, "7.4 MiB  7.4 MiB", "9.3 MiB"},
		{[]string{"model", "show", "mine"}, "here          7.4 MiB", "licence"},
		{[]string{"model", "show", "mine"}, "2.0 MiB, 1 tensor, here", "1 tensors"},
		{[]string{"model", "show", "mine"}, "2.0 MiB shared with other parts, 2 tensors", ""},
		{[]string{"model", "rm", "mine"}, " of 7.4 MiB, the disk got", ""},
	} {
		out, messages, code := covey(t, dir, "", tc.args...)
		if code != 0 || !strings.Contains(out, tc.want) || tc.less != "" && strings.Contains(out, tc.less) {
			t.Errorf("covey %s: exit code %d, %q, %s; want %q and not %q", tc.args, code, out, messages, tc.want, tc.less)
		}
	}
}

// TestModelsOfPeers lists and shows a model of which nothing is here.
func TestModelsOfPeers(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{Nodes: nodes("one", "two"), Model: []runner.Model{{Name: "far", On: "one"}}})
	if err := s.Hear(t.Context(), "two", "far"); err != nil {
		t.Fatal(err)
	}
	dir := s.Node("two").Dir()
	for _, tc := range []struct{ command, want string }{
		{"model ls", "far   -     -     0 B   1 "},
		{"model ls", "-: not known yet, only peers have them; covey model show NAME --data " + shell.Quote(dir) + " asks one of them"},
		{"model show far", "pinned        its description only"},
		{"model ls", "far   generate  7.4 MiB  0 B   1 "},
	} {
		if out, messages, code := covey(t, dir, "", strings.Fields(tc.command)...); code != 0 || !strings.Contains(out+messages, tc.want) {
			t.Errorf("covey %s: exit code %d, %q, %s; want %q", tc.command, code, out, messages, tc.want)
		}
	}
}

// TestRouteWithoutChain asks for the way to a model that nobody serves, on a node that has all of it
// and on one that has nothing, and for one that the model is too small for.
func TestRouteWithoutChain(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{Nodes: nodes("one", "two"), Model: []runner.Model{{Name: "far", On: "one"}}})
	if err := s.Hear(t.Context(), "two", "far"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		node, args string
		code       int
		want       string
	}{
		{"one", "route far", 0, "this node would answer alone"},
		{"one", "route far --json", 0, `"alone": true`},
		{"two", "run far hi", 4, "fetch and serve it with: covey host far --data "},
		{"two", "route far", 4, "no chain: no peer serves any of it"},
		{"two", "route nothing", 3, "nothing is not here"},
		{"two", "route " + wire.CIDOf([]byte("nothing")).String(), 3, "is not here, and no peer that is reached has it"},
		{"two", "route far --json", 4, `"missing": "no peer serves any of it`},
		{"one", "route far --prompt 5000", 2, "the context of far"},
	} {
		out, messages, code := covey(t, s.Node(tc.node).Dir(), "", strings.Fields(tc.args)...)
		if code != tc.code || !strings.Contains(out+messages, tc.want) {
			t.Errorf("covey %s at %s: exit code %d, %q, %s; want %d and %q", tc.args, tc.node, code, out, messages, tc.code, tc.want)
		}
	}
}

// TestRemoveOfServedModel removes a model of which the node serves blocks.
func TestRemoveOfServedModel(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{
		Nodes: nodes("one"), Model: []runner.Model{{Name: "mine", On: "one", Hosts: []runner.Host{{Node: "one", Blocks: "0-1"}}}},
	})
	dir := s.Node("one").Dir()
	for _, tc := range []struct {
		command string
		code    int
		want    string
	}{
		{"model rm mine", 2, "serves blocks 0-1 of mine; use `covey host mine --off --data " + shell.Quote(dir) + "` first, or --force"},
		{"model show mine", 0, "7.4 MiB"},
		{"model rm mine --force", 0, "the disk got"},
		{"model rm mine", 3, "not here"},
	} {
		if out, messages, code := covey(t, dir, "", strings.Fields(tc.command)...); code != tc.code || !strings.Contains(out+messages, tc.want) {
			t.Errorf("covey %s: exit code %d, %q, %s; want %d and %q", tc.command, code, out, messages, tc.code, tc.want)
		}
	}
}
