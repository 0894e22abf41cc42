package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// TestClosedWithoutRoomForTables closes a store whose disk is full, so that the tree cannot be
// compacted. Nothing is lost: the database comes to its end when there is room.
func TestClosedWithoutRoomForTables(t *testing.T) { // not parallel: it replaces what others use
	wait, poll := logWait, closePoll
	var full atomic.Bool
	defer func() { full.Store(false); fallocate = unix.Fallocate; logWait, closePoll = wait, poll }()
	QuickWaits()
	cfg := Config{Dir: t.TempDir(), tuning: treeFiles()}
	cfg.Space = func(string) (int64, int64, error) {
		if full.Load() {
			return 0, 1 << 40, nil
		}
		return 1 << 39, 1 << 40, nil
	}
	fallocate = func(fd int, mode uint32, offset, size int64) error {
		name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		if err == nil && filepath.Ext(name) == ".sst" && full.Load() && bytes.Contains(debug.Stack(), []byte("compact")) {
			return unix.ENOSPC
		}
		return unix.Fallocate(fd, mode, offset, size)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	blocks := treeBlocks(t, 3000, 1)
	putTree(t, s, blocks)
	full.Store(true)
	if err := s.Close(); !errors.Is(err, errUnclosed) {
		t.Errorf("closed on a full disk: %v", err)
	}
	full.Store(false)
	<-s.closing
	for s, err = Open(cfg); errors.Is(err, ErrInUse); s, err = Open(cfg) { // the lock goes a moment later
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	holdsAll(t, s, blocks)
}
