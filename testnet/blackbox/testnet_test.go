package blackbox_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/testnet/runner"
)

// testnet runs the program testnet and returns what it printed and its exit code.
func testnet(t *testing.T, args ...string) (string, int) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "testnet")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/covey-network/covey/testnet/cmd/testnet").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}

// metric returns the sum of a metric over its labels.
func metric(t *testing.T, path, name string) (sum float64) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? (\S+)$`).FindAllStringSubmatch(string(data), -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// TestManifest runs the manifest of the repository with its kill, restart and pause.
func TestManifest(t *testing.T) {
	t.Parallel()
	covey, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text, code := testnet(t, "-covey", covey, "-out", dir, "../manifests/ci.toml")
	if code != 0 || !strings.Contains(text, " 0 different, 0 failed") {
		t.Fatalf("exit code %d:\n%s", code, text)
	}
	for _, want := range []string{"pause three", "resume three", "kill two", "start two", "four answers"} {
		if !strings.Contains(text, want) {
			t.Errorf("it did not say %q:\n%s", want, text)
		}
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, n := range []string{"one", "two", "three", "four"} {
		if log, err := os.ReadFile(path(n + ".log")); err != nil || len(log) == 0 {
			t.Errorf("log of %s: %d bytes, %v", n, len(log), err)
		}
		if metric(t, path(n+".metrics"), "go_goroutines") == 0 {
			t.Errorf("no metrics of %s", n)
		}
	}
	if got := metric(t, path("four.metrics"), "covey_gateway_answered_tokens_total"); got == 0 {
		t.Error("four counts no tokens")
	}
	if got := metric(t, path("one.metrics"), "covey_gateway_answered_tokens_total"); got != 0 {
		t.Errorf("one counts %g tokens; nobody asked it", got)
	}
}

func TestManifestIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bad.toml")
	for _, tc := range []struct{ text, want string }{
		{"", "no nodes"},
		{"[[node]]\nname='a'\n[[node]]\nname='a'\n", "twice"},
		{"[[node]]\nname='a'\ncolour='red'\n", "colour"},
		{"[[node]]\nname='a'\n[[link]]\nnode='a'\nto='a'\n", "itself"},
		{"[[node]]\nname='a'\n[[node]]\nname='b'\n[[link]]\nnode='a'\nto='b'\n[[link]]\nnode='b'\nto='a'\n", "second"},
		{"[[node]]\nname='a'\n[[step]]\ndo='paint'\nnode='a'\n", "paint"},
		{"[[node]]\nname='a'\n[ask]\nthrough='b'\n", `"b"`},
	} {
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := runner.Read(path); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, want %q", tc.text, err, tc.want)
		}
	}
	if text, code := testnet(t, path); code != 2 || !strings.Contains(text, "bad.toml") {
		t.Errorf("exit code %d, %s", code, text)
	}
}

// TestPausedPeer pauses the only holder of a model in the middle of an answer: the answer
// goes on where it was when the peer wakes up.
func TestPausedPeer(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{
		Nodes: nodes("asker", "sleeper"),
		Model: []runner.Model{{Name: "demo", On: "sleeper", Hosts: []runner.Host{{Node: "sleeper", Blocks: "all"}}}},
	})
	chain(t, s, "asker", "sleeper")
	asker, sleeper := s.Node("asker").API(), s.Node("sleeper")
	want, err := complete(t.Context(), asker, "demo", 60, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	got, err := complete(t.Context(), asker, "demo", 60, func(n int) {
		if n != 10 {
			return
		}
		if err := sleeper.Pause(); err != nil {
			t.Error(err)
		}
		if err := sleeper.Pause(); err == nil {
			t.Error("paused twice")
		}
		waitFor(t, s, "the sleeper to answer nobody", func(ctx context.Context) (bool, error) {
			ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			defer cancel()
			err := sleeper.API().Get(ctx, "/covey/v1/status", nil, nil)
			return errors.Is(err, context.DeadlineExceeded), nil
		})
		if err := sleeper.Resume(); err != nil {
			t.Error(err)
		}
	})
	if err != nil || strings.Join(got, "") != strings.Join(want, "") {
		t.Errorf("after the pause %q, %v; want %q", got, err, want)
	}
	if err := sleeper.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := sleeper.Stop(); err != nil {
		t.Errorf("stop a paused process: %v", err)
	}
}
