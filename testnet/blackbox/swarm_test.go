package blackbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/testnet/runner"
)

// binary builds the program once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "covey-blackbox-")
	if err != nil {
		return "", err
	}
	return runner.Build(dir)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// swarm starts the nodes of a manifest and stops them at the end of the test.
func swarm(t *testing.T, m *runner.Manifest) *runner.Swarm {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s, err := runner.Start(t.Context(), runner.Config{Binary: path, Dir: t.TempDir()}, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, n := range m.Nodes {
				log, err := os.ReadFile(s.Node(n.Name).Log())
				t.Logf("log of %s (%v):\n%s", n.Name, err, log)
			}
		}
	})
	return s
}

func nodes(names ...string) (out []runner.Node) {
	for _, n := range names {
		out = append(out, runner.Node{Name: n, Cores: 1, Memory: "256MiB"})
	}
	return out
}

type event struct {
	Choices []struct {
		Text     string
		Finish   string `json:"finish_reason"`
		Logprobs struct{ Tokens []string }
	}
	Error *struct{ Message string }
}

// complete streams a completion; each is called after every token with their number.
func complete(ctx context.Context, c *api.Client, model string, length int, each func(n int)) ([]string, error) {
	res, err := c.Do(ctx, "POST", "/v1/completions", map[string]any{
		"model": model, "prompt": "// Reader implements buffering", "max_tokens": length, "temperature": 2, "seed": 7, "logprobs": 0, "stream": true,
	})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var tokens []string
	err = api.ReadEvents(res.Body, func(data []byte) error {
		var e event
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		if e.Error != nil {
			return errors.New(e.Error.Message)
		}
		for _, ch := range e.Choices {
			if len(ch.Logprobs.Tokens) > 0 {
				tokens = append(tokens, ch.Logprobs.Tokens...)
				each(len(tokens))
			}
		}
		return nil
	})
	return tokens, err
}

func host(t *testing.T, s *runner.Swarm, node, blocks string) *api.Event {
	t.Helper()
	if err := s.Hear(t.Context(), node, "demo"); err != nil {
		t.Fatal(err)
	}
	e, err := s.Node(node).API().Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: "demo", Blocks: blocks}, func(api.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func waitFor(t *testing.T, s *runner.Swarm, what string, done func(context.Context) (bool, error)) {
	t.Helper()
	if err := s.Wait(t.Context(), what, done); err != nil {
		t.Fatal(err)
	}
}

// chain waits until a node plans a chain over the given peers.
func chain(t *testing.T, s *runner.Swarm, node string, peers ...string) {
	t.Helper()
	if err := s.Hear(t.Context(), node, "demo"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, s, fmt.Sprintf("%s to plan a chain over %v", node, peers), func(ctx context.Context) (bool, error) {
		var choice router.Choice
		err := s.Node(node).API().Get(ctx, "/covey/v1/route", url.Values{"model": {"demo"}}, &choice)
		if err != nil || choice.Chain == nil {
			return false, err
		}
		var names []string
		for _, l := range choice.Chain.Links {
			names = append(names, l.Name)
		}
		if !slices.Equal(names, peers) {
			return false, fmt.Errorf("planned %v", names)
		}
		return true, nil
	})
}

// TestSwarm is the life of a small swarm: import on one peer, ranges on two others, answers
// through a fourth, a kill in the middle of an answer, a restart.
func TestSwarm(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{
		Nodes: nodes("one", "two", "three", "four"),
		Model: []runner.Model{{Name: "demo", On: "one"}},
	})
	four := s.Node("four").API()
	const length = 60
	quiet := func(int) {}

	size := map[string]int64{}
	for node, blocks := range map[string]string{"two": "0-1", "three": "2-3"} {
		e := host(t, s, node, blocks)
		var m api.Model
		if err := s.Node(node).API().Get(t.Context(), "/covey/v1/models/demo", nil, &m); err != nil {
			t.Fatal(err)
		}
		// The tied embedding and head are one set of blocks that both ends need.
		if e.Bytes == 0 || m.BytesHere >= m.Bytes || e.Bytes > m.BytesHere {
			t.Errorf("%s fetched %d bytes and holds %d of %d", node, e.Bytes, m.BytesHere, m.Bytes)
		}
		size[node] = e.Bytes
	}
	chain(t, s, "four", "two", "three")
	want, err := complete(t.Context(), four, "demo", length, quiet)
	if err != nil || len(want) != length {
		t.Fatalf("%d tokens, %v", len(want), err)
	}
	var m api.Model
	if err := four.Get(t.Context(), "/covey/v1/models/demo", nil, &m); err != nil || m.BytesHere != 0 {
		t.Errorf("peer four holds %d bytes of weights, %v", m.BytesHere, err)
	}

	t.Run("one process says the same", func(t *testing.T) {
		alone := swarm(t, &runner.Manifest{
			Nodes: nodes("alone"), Model: []runner.Model{{Name: "demo", On: "alone", Hosts: []runner.Host{{Node: "alone", Blocks: "all"}}}},
		})
		got, err := complete(t.Context(), alone.Node("alone").API(), "demo", length, quiet)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("one process says %q, the swarm %q (%v)", got, want, err)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		var tasks sync.WaitGroup
		for range 6 {
			tasks.Go(func() {
				got, err := complete(t.Context(), four, "demo", length, quiet)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("together with others: %q, %v; want %q", got, err, want)
				}
			})
		}
		tasks.Wait()
	})
	t.Run("a client that leaves frees its session", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := complete(ctx, four, "demo", 400, func(n int) {
			if n == 3 {
				cancel()
			}
		})
		if err == nil {
			t.Error("the stream ended well without its client")
		}
		for _, node := range []string{"two", "three"} {
			waitFor(t, s, node+" to have no session", func(ctx context.Context) (bool, error) {
				var st api.Status
				err := s.Node(node).API().Get(ctx, "/covey/v1/status", nil, &st)
				return st.Sessions == 0, err
			})
		}
	})
	t.Run("a peer is killed in the middle of an answer", func(t *testing.T) { testKill(t, s, want) })
	t.Run("it comes back and serves again", func(t *testing.T) { testReturn(t, s, want) })
	t.Run("nobody serves a part", func(t *testing.T) {
		if err := s.Node("three").Kill(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err := complete(t.Context(), four, "demo", length, quiet)
		var status *api.StatusError
		if !errors.As(err, &status) || status.Status < 500 || time.Since(start) > 20*time.Second {
			t.Errorf("answered %v after %s, want a clear refusal soon", err, time.Since(start))
		}
	})
}

// testKill kills a peer of the chain while it answers; another one serves a copy.
func testKill(t *testing.T, s *runner.Swarm, want []string) {
	four := s.Node("four").API()
	host(t, s, "one", "0-1")
	chain2 := func(ctx context.Context) (bool, error) { // four has heard of the copy
		var peers []api.Peer
		err := four.Get(ctx, "/covey/v1/peers", nil, &peers)
		return slices.ContainsFunc(peers, func(p api.Peer) bool {
			return p.Name == "one" && len(p.Models) == 1 && len(p.Models[0].Served) == 1
		}), err
	}
	waitFor(t, s, "four to hear of the copy", chain2)
	got, err := complete(t.Context(), four, "demo", len(want), func(n int) {
		if n == 10 {
			if err := s.Node("two").Kill(); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("after the kill %q, %v; want %q", got, err, want)
	}
}

// testReturn starts the killed peer again and takes the copy away.
func testReturn(t *testing.T, s *runner.Swarm, want []string) {
	if err := s.Node("two").Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, s, "two to serve again", func(ctx context.Context) (bool, error) {
		var st api.Status
		err := s.Node("two").API().Get(ctx, "/covey/v1/status", nil, &st)
		return len(st.Hosted) == 1 && st.Hosted[0].State == "serving", err
	})
	if err := s.Node("one").API().Delete(t.Context(), "/covey/v1/host/demo", nil); err != nil {
		t.Fatal(err)
	}
	chain(t, s, "four", "two", "three")
	got, err := complete(t.Context(), s.Node("four").API(), "demo", len(want), func(int) {})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("after the restart %q, %v; want %q", got, err, want)
	}
}

// TestOneLine runs the command that a new user runs first, on a fresh data directory.
func TestOneLine(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "run", "demo", "What does strings.Contains do?", "--data", t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Contains") {
		t.Errorf("covey run demo: %v\n%s", err, out)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"version"}, 0, fmt.Sprintf("capability %d", protocol.Capability)},
		{[]string{"--version"}, 0, fmt.Sprintf("capability %d", protocol.Capability)},
		{[]string{"nothing"}, 2, "unknown command"},
		{[]string{"ls"}, 2, "did you mean covey model ls?"},
		{[]string{"list"}, 2, "did you mean covey model ls?"},
		{[]string{"ps"}, 2, "did you mean covey peers or covey status?"},
		{[]string{"import", "x"}, 2, "did you mean covey model import?"},
		{[]string{"pull", "x"}, 2, "did you mean covey model pull?"},
		{[]string{"chat", "demo"}, 2, "did you mean covey run?"},
		{[]string{"serve"}, 2, "did you mean covey up?"},
		{[]string{"model", "lss"}, 2, "unknown command \"lss\" for \"covey model\": did you mean covey model ls?"},
		{[]string{"bench", "--tokens", "0"}, 2, "--tokens is 0, want 1 or more"},
		{[]string{"run"}, 2, "a model"},
		{[]string{"up", "--memory", "two"}, 2, "--memory"},
		{[]string{"up", "--join", "covey1xyz"}, 2, "the whole line that covey invite prints\n"},
		{[]string{"up", "--cores", "999"}, 2, "limits.cores"},
		{[]string{"up", "--api", "127.0.0.1:84200"}, 2, "65535"},
		{[]string{"up", "--api", "0.0.0.0:0"}, 2, "sha256sum"},
		{[]string{"host", "demo", "--blocks", "x"}, 2, "first-last"},
		{[]string{"model", "pull", "demo", "--blocks", "3-1"}, 2, "--blocks 3-1"},
		{[]string{"model", "import", "demo", "--quantize", "q9"}, 2, "q8_0 or q4_0"},
		{[]string{"model", "import", "."}, 3, "config.json, tokenizer.json and *.safetensors, or a GGUF file"},
		{[]string{"route", "demo", "--tokens", "-1"}, 2, "--tokens is -1"},
		{[]string{"invite", "--ttl", "-1h"}, 2, "--ttl is -1h"},
		{[]string{"run", "demo", "hi", "--temperature", "9"}, 2, "temperature"},
		{[]string{"model", "import", "/does/not/exist"}, 3, "exist"},
		{[]string{"model", "import", "no/model"}, 3, "there is no file or folder no/model"},
		{[]string{"model", "import", "https://example.org/model.gguf"}, 3, "is no file or folder"},
		{[]string{"run", "nothing", "hello"}, 3, "not here"},
		{[]string{"peers"}, 4, "covey up"},
	} {
		out, err := exec.CommandContext(t.Context(), path, append(c.args, "--data", t.TempDir())...).CombinedOutput()
		code := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		if code != c.code || !strings.Contains(string(out), c.want) {
			t.Errorf("covey %s: code %d, %s; want %d and %q", strings.Join(c.args, " "), code, out, c.code, c.want)
		}
	}
}

// TestSignalLetsAnswersFinish stops the process that answers in the middle: the answer comes
// whole, then the process ends well.
func TestSignalLetsAnswersFinish(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{
		Nodes: nodes("alone"), Model: []runner.Model{{Name: "demo", On: "alone", Hosts: []runner.Host{{Node: "alone", Blocks: "all"}}}},
	})
	const length = 60
	ended := make(chan error, 1)
	got, err := complete(t.Context(), s.Node("alone").API(), "demo", length, func(n int) {
		if n == 2 {
			go func() { ended <- s.Node("alone").Stop() }()
		}
	})
	if err != nil || len(got) != length {
		t.Errorf("%d of %d tokens, %v", len(got), length, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
