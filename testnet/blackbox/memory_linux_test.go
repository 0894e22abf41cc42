package blackbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLeanFirstStart checks that a node gives back what it measured the machine with, which is
// 256 MiB, and so idles on its first start as it does after a restart.
func TestLeanFirstStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := up(t, dir)
	n.see("covey is up")
	waitThere(t, filepath.Join(dir, "speeds.json"))
	got := resident(t, n.cmd.Process.Pid)
	t.Logf("%d MB", got/1e6)
	if got >= 80e6 {
		t.Errorf("%d MB after a first start, want less than 80", got/1e6)
	}
}

// waitThere waits until there is a file.
func waitThere(t *testing.T, path string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s does not come", path)
		}
	}
}

// resident returns how many bytes of a process are in memory.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatalf("no VmRSS in %s", data)
	return 0
}
