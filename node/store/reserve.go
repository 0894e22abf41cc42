package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// The reserve is a file that does nothing but occupy room. On a full disk it goes first, so
// that there is room for what frees more: the database opens, deletes, and rewrites its log
// files. It is made again as soon as it leaves as much free: it is part of what must stay free.
const reserveName = "reserve"

// How much of the reserve goes at once: for a file of the database, and for a small one.
const (
	reserveStep  = 4 << 20
	reserveCrumb = 1 << 20
)

// startBytes is taken off the reserve where a disk is so full that a node could not even
// write where it answers.
const startBytes = 4 << 20

// openDatabases has the directory of each database that is open for writing: true, or false if
// it found no room for its next log of changes, so that it can be neither written nor read, or is
// about to close.
var openDatabases sync.Map

// waitTables has the number of tables of the database in each directory that wait for room.
var waitTables sync.Map

func waitingTables(dir string) *atomic.Int32 {
	n, _ := waitTables.LoadOrStore(dir, new(atomic.Int32))
	return n.(*atomic.Int32)
}

// logless reports whether the database must be opened again before it is read.
func (s *Store) logless() bool {
	logs, open := openDatabases.Load(s.realDir())
	return open && logs == false
}

// noLog is the error of using a database that is logless.
func (s *Store) noLog() error {
	free, _, _ := s.cfg.Space(s.cfg.Dir)
	return s.lacks(s.openBytes(), free, nil)
}

// openBytes is how much the database needs on the disk to open: a log of changes, a log file
// of values, the tables of what the last run left in memory.
func (s *Store) openBytes() int64 { return s.cfg.tuning.openBytes() }

func (t tuning) openBytes() int64 { return 2*t.vlogFile + 2*t.memTable + 2*t.memTable }

// reserveBytes is the size of the reserve.
func (s *Store) reserveBytes() int64 { return s.openBytes() + 4*startBytes }

// reserveKept returns how much there is of the reserve.
func (s *Store) reserveKept() int64 { return sizeOf(filepath.Join(s.cfg.Dir, reserveName)) }

// sizeOf returns the size of a file, 0 if there is none.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// reserveMissing returns how much is to be added to the reserve once so much was taken for other
// files: nothing while the disk has too little for it.
func (s *Store) reserveMissing(files int64) int64 {
	kept := s.reserveKept()
	free, _, err := s.cfg.Space(s.cfg.Dir)
	if err != nil || free-files+kept < 2*s.reserveBytes() {
		return 0
	}
	return max(0, s.reserveBytes()-kept)
}

// makeReserve makes the reserve if there is none and the disk has room for it.
func (s *Store) makeReserve() {
	path := filepath.Join(s.cfg.Dir, reserveName)
	if s.reserveMissing(0) == 0 {
		return
	}
	if err := occupy(path, s.reserveBytes()); err != nil {
		s.cfg.Log.Warn("no reserve for a full disk", "err", err)
		shrinkReserve(s.cfg.Dir, s.reserveBytes())
	}
}

// occupy makes a file that does nothing but occupy a number of bytes, or has one do so.
func occupy(path string, size int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := reserveRoom(f, size); err != nil {
		return err
	}
	return f.Truncate(size)
}

// releaseReserve gives a part of the reserve of a store to the disk, and reports whether there
// was any left: what removes needs little, and the next time it is needed may come before
// there is room for a new one.
func releaseReserve(dir string) bool { return shrinkReserve(dir, reserveStep) }

func shrinkReserve(dir string, n int64) bool { return shrink(filepath.Join(dir, reserveName), n) }

// roomGrain is what the room of a compaction is given back in multiples of: no less than a block
// of the disk.
const roomGrain = 64 << 10

// releaseRoom gives as much to the disk as a table needs, of the room that was taken for
// compacting the tree of a store, and reports whether there was any left.
func releaseRoom(dir string, size int64) bool {
	return shrink(filepath.Join(dir, roomName), (size+roomGrain-1)/roomGrain*roomGrain)
}

// shrink gives n bytes of a file that occupies room to the disk, and reports whether there were any.
func shrink(path string, n int64) bool {
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		return false
	}
	// Cut first: the room of a file that was only unlinked may come back later.
	if err := os.Truncate(path, max(0, info.Size()-n)); err != nil {
		return false
	}
	return info.Size() > n || os.Remove(path) == nil
}

// easeStart gives some of the reserve back where the disk has next to nothing left.
func (s *Store) easeStart() {
	if free, _, err := s.cfg.Space(s.cfg.Dir); err == nil && free < startBytes {
		shrinkReserve(s.cfg.Dir, startBytes)
	}
}

// easeFreeing gives as much of the reserve back as the database needs to open for what frees
// room, and returns how much that is and what is free.
func (s *Store) easeFreeing() (need, free int64, err error) {
	need = s.leanTuning().openBytes()
	for {
		free, _, err = s.cfg.Space(s.cfg.Dir)
		if err != nil || free >= need || !releaseReserve(s.cfg.Dir) {
			return need, free, err
		}
	}
}

// withReserve does something that needs a little room, at the cost of some of the reserve if
// the disk is full.
func withReserve(dir string, do func() error) error {
	err := do()
	if isFull(err) && shrinkReserve(dir, reserveCrumb) {
		err = do()
	}
	return err
}

// IsFull reports whether an error means that there is no room on the disk.
func IsFull(err error) bool { return isFull(err) }

// exists reports whether there is a file, as far as that can be found out.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
