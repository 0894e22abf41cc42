package blackbox_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestWrongUsage has command lines and settings that covey refuses before it does anything.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, env, want string
		args            []string
	}{
		{"unknown instruction set", "COVEY_CPU=mmx", `"mmx" is not one of`, []string{"version"}},
		{"bench converts a path to f16", "", "--type f16: the matrices of a path", []string{"bench", "--type", "f16", "model.gguf"}},
		{"no tokens", "", "--max-tokens is 0, want 1 or more", []string{"run", "demo", "hi", "--max-tokens", "0"}},
		{"empty prompt", "", "the prompt is empty", []string{"run", "demo", ""}},
		{"empty line", "", "text 2 is empty", []string{"embed", "demo", "a", ""}},
		{"empty path", "", "the path is empty", []string{"model", "import", ""}},
		{"empty name", "", "--name is empty", []string{"model", "import", "demo", "--name", ""}},
		{"empty name to publish", "", "--publish is empty", []string{"train", "job.toml", "--publish", ""}},
		{"unknown type", "", "no such type", []string{"bench", "--type", "int3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), path, append(c.args, "--data", t.TempDir())...)
			if c.env != "" {
				cmd.Env = append(os.Environ(), c.env)
			}
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), c.want) {
				t.Errorf("got %v and %q, want exit code 2 and %q", err, out, c.want)
			}
		})
	}
}
