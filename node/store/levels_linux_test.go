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
	"time"

	"golang.org/x/sys/unix"
)

// isForTree reports whether the caller makes a table of a compaction in a file.
func isForTree(fd int) bool {
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	return err == nil && filepath.Ext(name) == ".sst" && bytes.Contains(debug.Stack(), []byte(").subcompact"))
}

// inTime does something that must come to its end.
func inTime(t *testing.T, what string, do func()) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		do()
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal(what, "does not come to its end")
	}
}

// reopened opens a store that was closed. What it has in memory may still be written, and its lock
// goes a moment later.
func reopened(t *testing.T, s *Store) *Store {
	t.Helper()
	inTime(t, "the database", func() { <-s.closing })
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	cfg, late := s.cfg, time.After(time.Minute)
	for {
		s, err := Open(cfg)
		switch {
		case err == nil:
			return s
		case !errors.Is(err, ErrInUse):
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the lock does not go")
		}
	}
}

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
		if full.Load() && isForTree(fd) {
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
	s = reopened(t, s)
	defer s.Close()
	holdsAll(t, s, blocks)
}

// putUntil puts blocks bit by bit until something has come, and returns those that were put.
func putUntil(t *testing.T, s *Store, come func() bool) (held []Block) {
	t.Helper()
	for seed := range uint32(100) {
		blocks := treeBlocks(t, 200, seed)
		if _, err := s.PutMany(t.Context(), blocks); err != nil && !(come() && isSpace(err)) {
			t.Fatal(err)
		} else if err == nil {
			held = append(held, blocks...)
		}
		if come() {
			return held
		}
	}
	t.Fatal("the tree is not compacted")
	return nil
}

// TestFilledWhileCompacting has another program fill the disk to the last byte once the tree is
// being compacted, with no reserve: the room that was taken for that before is enough.
func TestFilledWhileCompacting(t *testing.T) { // not parallel: it replaces what others use
	defer func() { fallocate = unix.Fallocate }()
	cfg := Config{Dir: t.TempDir(), MarginBytes: 1, MarginPercent: 1e-9, tuning: treeFiles()}
	disk := NewBudget(cfg.Dir, 256<<20)
	cfg.Space = disk.Space
	var filled atomic.Bool
	plain := fallocate
	fallocate = func(fd int, mode uint32, offset, size int64) error {
		if isForTree(fd) && !filled.Swap(true) {
			if err := errors.Join(os.Remove(filepath.Join(cfg.Dir, reserveName)), disk.Fill(0)); err != nil {
				t.Error(err)
			}
		}
		return plain(fd, mode, offset, size)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var held []Block
	inTime(t, "put", func() { held = putUntil(t, s, filled.Load) })
	if n := s.db.Levels()[0].NumTables; n >= fullLevel0 {
		t.Errorf("level 0 has %d tables", n)
	}
	inTime(t, "get", func() { holdsAll(t, s, held) })
	inTime(t, "delete", func() {
		if err := s.Delete(t.Context(), held[0].CID()); err != nil {
			t.Errorf("delete on a full disk: %v", err)
		}
	})
	if sizeOf(filepath.Join(cfg.Dir, roomName)) > 0 {
		t.Error("the room was not given back")
	}
	inTime(t, "close", func() {
		if err := s.Close(); err != nil && !errors.Is(err, errUnclosed) {
			t.Error(err)
		}
	})
	disk.Clear()
	s = reopened(t, s)
	defer s.Close()
	holdsAll(t, s, held[1:])
}

// TestNoTablesWhileCompacting gets no table at all on the disk once the tree is being compacted,
// although it seems to have room, as where its owner's share is taken away: who writes is told so
// after a while, reads go on, the store closes, and nothing is lost.
func TestNoTablesWhileCompacting(t *testing.T) { // not parallel: it replaces what others use
	wait, poll := logWait, closePoll
	var room atomic.Bool
	defer func() { room.Store(true); fallocate = unix.Fallocate; logWait, closePoll = wait, poll }()
	QuickWaits()
	var asked atomic.Bool
	fallocate = func(fd int, mode uint32, offset, size int64) error {
		if !room.Load() && isForTree(fd) {
			asked.Store(true)
			return unix.EDQUOT
		}
		return unix.Fallocate(fd, mode, offset, size)
	}
	s, err := Open(Config{Dir: t.TempDir(), tuning: treeFiles()})
	if err != nil {
		t.Fatal(err)
	}
	var held []Block
	inTime(t, "put", func() { held = putUntil(t, s, asked.Load) })
	inTime(t, "delete", func() {
		if err := s.Delete(t.Context(), held[0].CID()); !isSpace(err) {
			t.Errorf("delete while the tree waits for room: %v", err)
		}
	})
	inTime(t, "sync", func() {
		if err := s.Sync(); err != nil {
			t.Error(err)
		}
	})
	inTime(t, "gc", func() {
		if _, err := s.GC(t.Context()); !isSpace(err) {
			t.Errorf("gc while the tree waits for room: %v", err)
		}
	})
	inTime(t, "get", func() { holdsAll(t, s, held) })
	inTime(t, "close", func() {
		if err := s.Close(); !errors.Is(err, errUnclosed) {
			t.Errorf("closed while the tree waits for room: %v", err)
		}
	})
	room.Store(true)
	s = reopened(t, s)
	defer s.Close()
	holdsAll(t, s, held)
}
