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
	const mend = "; make room on the disk, or choose another directory with --data"
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
	if err == nil || !strings.Contains(err.Error(), "no room for files of the store: the disk has ") && !strings.Contains(err.Error(), "the disk was full a moment ago") || !strings.HasSuffix(err.Error(), mend) {
		t.Errorf("the store has no room: %v", err)
	}
	err = noRoom(dir, fmt.Errorf("open credentials: %w", syscall.ENOSPC))
	if want := "no room for files of the node: the disk of " + dir + " has "; !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), mend) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the credentials have no room: %v", err)
	}
	if err := noRoom(dir, os.ErrPermission); err != os.ErrPermission {
		t.Errorf("another error: %v", err)
	}
}
