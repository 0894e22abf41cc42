package job

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHistoryWithoutRoom writes the history to a disk that is full: that is told once.
func TestHistoryWithoutRoom(t *testing.T) {
	t.Parallel()
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	h := newHistory(f, "accuracy")
	_, err = h.step(Progress{})
	err = errors.Join(err, h.sync())
	err = noRoom(t.TempDir(), errors.Join(err, h.close()))
	if n := strings.Count(err.Error(), "no space left on device"); n != 1 || !strings.HasSuffix(err.Error(), ", then start it again") {
		t.Errorf("told %d times: %v", n, err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, lastFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := noRoom(dir, err); !strings.HasSuffix(err.Error(), "then covey train JOB --resume goes on from the last checkpoint") {
		t.Error(err)
	}
	if err := noRoom(dir, os.ErrPermission); err != os.ErrPermission {
		t.Errorf("another error: %v", err)
	}
}
