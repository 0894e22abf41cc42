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
// files. It comes back by itself, and leaves as much free as it takes: what is free counts for
// models without what is missing of it.
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

func (t tuning) openBytes() int64 { return t.firstBytes() + 2*t.memTable }

// firstBytes is that without the tables.
func (t tuning) firstBytes() int64 { return 2*t.vlogFile + 2*t.memTable }

// leanBytes is how much the database needs to open with small files.
func (s *Store) leanBytes() int64 {
	if s.hasLogs() {
		return s.leanTuning().openBytes()
	}
	return s.leanTuning().firstBytes()
}

// smallReservePart is the part of a disk that the reserve takes at most, as long as it suffices.
const smallReservePart = 8

// reserveSize is the size of the reserve on a disk of a size: of a small one less, but so much that
// a database whose last run was cut off can open with small files.
func (s *Store) reserveSize(total int64) int64 {
	return min(s.openBytes()+4*startBytes, max(s.leanFiles(true).openBytes()+2*startBytes, total/smallReservePart))
}

// reserveBytes is the size of the reserve on this disk.
func (s *Store) reserveBytes() int64 {
	_, total, err := s.cfg.Space(s.cfg.Dir)
	if err != nil {
		return s.openBytes()
	}
	return s.reserveSize(total)
}

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

// reserveMissing returns how much is to be added to the reserve.
func (s *Store) reserveMissing() int64 { return max(0, s.reserveBytes()-s.reserveKept()) }

// makeReserve makes the reserve, or as much of it as leaves as much free; the first half comes
// before other programs.
func (s *Store) makeReserve() {
	s.trimReserve()
	kept := s.reserveKept()
	free, _, err := s.cfg.Space(s.cfg.Dir)
	if err != nil {
		return
	}
	size := s.reserveBytes()
	size = min(size, max((free+kept)/2, min(size/2, free+kept-startBytes))/reserveCrumb*reserveCrumb)
	if size > kept && !s.growReserve(kept, size) {
		s.cfg.Log.Warn("the reserve for a full disk is smaller than it should be", "bytes", kept)
	}
}

// trimReserve takes back what the reserve had for a while beyond its size.
func (s *Store) trimReserve() {
	if more := s.reserveKept() - s.reserveBytes(); more > 0 {
		shrinkReserve(s.cfg.Dir, more)
	}
}

// growReserve makes the reserve larger, and reports whether there was room for that. Else it is
// as it was.
func (s *Store) growReserve(kept, size int64) bool {
	path := filepath.Join(s.cfg.Dir, reserveName)
	if err := occupy(path, size); err != nil {
		if cutErr := os.Truncate(path, kept); cutErr != nil || kept == 0 {
			cutErr = os.Remove(path)
			if cutErr != nil && !errors.Is(cutErr, fs.ErrNotExist) {
				err = errors.Join(err, cutErr)
			}
		}
		s.cfg.Log.Debug("reserve not made larger", "bytes", size, "err", err)
		return false
	}
	return true
}

// secure makes sure that the database, which is open, comes to its end when it is closed, whatever
// other programs write meanwhile, since one that does not cannot be read either: the reserve, on which all its
// files draw, has room for the tables of what is in memory and for the tree once more. It has room for
// the small files, too, with which the database opens again, as far as closing gives none back. A
// SpaceError is returned if there is not so much.
func (s *Store) secure() error {
	need := s.treeBytes() + s.logged() + max(0, s.leanFiles(false).firstBytes()-s.filesInAdvance())
	free, _, err := s.cfg.Space(s.cfg.Dir)
	if err != nil {
		return err
	}
	kept := s.reserveForTables()
	if kept >= need || !s.cfg.tuning.roomForMaps && free >= need {
		return nil
	}
	if s.cfg.tuning.roomForMaps && free+kept >= need && s.growReserve(kept, need) {
		return nil
	}
	full := s.lacks(need, free+kept, nil)
	full.Owed = true
	return full
}

// logged is how much the logs of changes have of what is in memory only, rounded up to what its
// tables take at most.
func (s *Store) logged() (n int64) {
	names, err := filepath.Glob(filepath.Join(s.databaseDir(), "*.mem"))
	if err != nil {
		return s.cfg.tuning.memTable
	}
	for _, name := range names {
		written, err := lastWritten(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			written = 2 * s.cfg.tuning.memTable
		}
		n += written + roomGrain // of a table's index and ends
	}
	return n
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
	need = s.leanBytes()
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
