package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUsage runs the program without what it needs: it says so, lists its modes and exits
// with 2.
func TestUsage(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "hostile")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"nothing", "-join", nil},
		{"no mode", "-mode", []string{"-join", "token"}},
		{"unknown mode", `no mode "smile"`, []string{"-join", "token", "-mode", "smile"}},
		{"no flag", `"sybils" is no flag`, []string{"-join", "token", "sybils"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), program, tt.args...)
			cmd.Env = append(os.Environ(), "COVEY_JOIN=")
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
				t.Errorf("ends with %v", err)
			}
			first, rest, _ := strings.Cut(string(out), "\n")
			if !strings.Contains(first, tt.want) {
				t.Errorf("says %q", first)
			}
			for _, m := range modes() {
				if !strings.Contains(rest, "\n  "+m+" ") {
					t.Errorf("mode %s is not listed", m)
				}
			}
		})
	}
}
