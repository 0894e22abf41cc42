package blackbox_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/node/store"
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
		{"chat without its template", "", "--chat and --raw exclude each other", []string{"run", "demo", "--chat", "--raw"}},
		{"empty prompt", "", "the prompt is empty", []string{"run", "demo", ""}},
		{"empty line", "", "text 2 is empty", []string{"embed", "demo", "a", ""}},
		{"empty path", "", "the path is empty", []string{"model", "import", ""}},
		{"empty name", "", "--name is empty", []string{"model", "import", "demo", "--name", ""}},
		{"empty name to publish", "", "--publish is empty", []string{"train", "job.toml", "--publish", ""}},
		{"API address that is none", "", "want host:port", []string{"up", "--print-config", "--api", "8420"}},
		{"fewer cores than none", "", "limits.cores is -2", []string{"up", "--print-config", "--cores", "-2"}},
		{"no memory", "", "--memory is 0", []string{"up", "--print-config", "--memory", "0"}},
		{"no disk", "", "--disk is 0", []string{"up", "--print-config", "--disk", "0B"}},
		{"more disk than there is", "", "limits.disk is 4000000TB, the whole disk of ", []string{"up", "--print-config", "--disk", "4000000TB"}},
		{"more disk than there is, by the environment", "COVEY_DISK=4000000TB", "iB: lend less with --disk", []string{"up", "--print-config"}},
		{"decimal comma", "", "write a decimal point: 4.5GiB", []string{"up", "--print-config", "--memory", "4,5GiB"}},
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
			if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), c.want) || strings.Contains(string(out), "settings are in") {
				t.Errorf("got %v and %q, want exit code 2 and %q", err, out, c.want)
			}
		})
	}
}

// TestDiskUpToTheWhole lends a disk to its last byte, from a directory that does not exist yet, and
// no byte more.
func TestDiskUpToTheWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, total, err := store.DiskSpace(dir)
	if err != nil {
		t.Fatal(err)
	}
	for more, want := range map[int64]int{0: 0, 1: 2} {
		_, messages, code := covey(t, filepath.Join(dir, "a", "b"), "", "up", "--print-config", "--disk", fmt.Sprintf("%dB", total+more))
		if code != want || want != 0 && !strings.Contains(messages, store.BytesText(total)) {
			t.Errorf("%d of %d bytes: %d, %s; want %d", total+more, total, code, messages, want)
		}
	}
}

// TestMoreMemoryThanThereIs is told in the units that people write.
func TestMoreMemoryThanThereIs(t *testing.T) {
	t.Parallel()
	_, messages, code := covey(t, t.TempDir(), "", "up", "--memory", "1000TiB", "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0")
	if code == 0 || !strings.Contains(messages, "limits.memory is 1000.0 TiB, and the machine has ") || !strings.Contains(messages, "iB\n") {
		t.Errorf("%d: %s", code, messages)
	}
}

// TestPrintedSettings has the settings in force say what 0 stands for, and sizes as they were
// given.
func TestPrintedSettings(t *testing.T) {
	t.Parallel()
	out, messages, code := covey(t, t.TempDir(), "", "up", "--print-config", "--memory", "4GB")
	for _, want := range []string{"# 0: all\ncores = 0", "memory = '4GB'", "less a reserve\ndisk = '0B'", "# port 0: one that"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("got %d, %s%s; want %q", code, out, messages, want)
		}
	}
}
