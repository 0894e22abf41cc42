package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestStartWithoutRoom starts a node in a new directory where the disk has no room: it says what is
// full and what to do.
func TestStartWithoutRoom(t *testing.T) {
	t.Parallel()
	const mend = "or choose a directory on another disk (covey up --data)"
	dir := t.TempDir()
	blocks := filepath.Join(dir, "store", "blocks")
	err := errors.Join(os.MkdirAll(blocks, 0o700), os.Symlink("/dev/full", filepath.Join(blocks, "MANIFEST-REWRITE")))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.DataDir, cfg.Offline = dir, true
	n, err := New(*cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = n.Run(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), mend) && !strings.HasSuffix(err.Error(), ": try again") {
		t.Errorf("the store has no room: %v", err)
	}
	err = noRoom(dir, fmt.Errorf("open credentials: %w", syscall.ENOSPC))
	if want := "no room for files of the node in " + dir + ": the disk"; !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "another d") || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the credentials have no room: %v", err)
	}
	if err := noRoom(dir, os.ErrPermission); err != os.ErrPermission {
		t.Errorf("another error: %v", err)
	}
}
