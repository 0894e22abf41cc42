package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// The reserve is a file that does nothing but occupy room. On a full disk it goes first, so
// that there is room for what frees more: the database opens, deletes, and rewrites its log
// files. It is made again as soon as it leaves as much free: it is part of what must stay free.
const reserveName = "reserve"

// startBytes is taken off the reserve where a disk is so full that a node could not even
// write where it answers.
const startBytes = 4 << 20

// openDatabases has the directory of each database that is open for writing.
var openDatabases sync.Map

// openBytes is how much the database needs on the disk to open: a log of changes, a log file
// of values, the tables of what the last run left in memory.
func (s *Store) openBytes() int64 { return s.cfg.tuning.openBytes() }

func (t tuning) openBytes() int64 { return 2*t.vlogFile + 2*t.memTable + 2*t.memTable }

// reserveBytes is the size of the reserve.
func (s *Store) reserveBytes() int64 { return s.openBytes() + 4*startBytes }

// makeReserve makes the reserve if there is none and the disk has room for it.
func (s *Store) makeReserve() {
	path := filepath.Join(s.cfg.Dir, reserveName)
	if info, err := os.Stat(path); err == nil && info.Size() >= s.openBytes() {
		return
	}
	if free, _, err := s.cfg.Space(s.cfg.Dir); err != nil || free < 2*s.reserveBytes() {
		return
	}
	if err := s.writeReserve(path); err != nil {
		s.cfg.Log.Warn("no reserve for a full disk", "err", err)
		releaseReserve(s.cfg.Dir)
	}
}

func (s *Store) writeReserve(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := reserveRoom(f, s.reserveBytes()); err != nil {
		return err
	}
	return f.Truncate(s.reserveBytes())
}

// releaseReserve gives the reserve of a store to the disk, and reports whether there was one.
func releaseReserve(dir string) bool {
	path := filepath.Join(dir, reserveName)
	// Cut to nothing first: the room of a file that was only unlinked may come back later.
	if err := os.Truncate(path, 0); err != nil {
		return false
	}
	return os.Remove(path) == nil
}

// easeStart gives some of the reserve back where the disk has next to nothing left.
func (s *Store) easeStart() {
	path := filepath.Join(s.cfg.Dir, reserveName)
	info, err := os.Stat(path)
	if err != nil || info.Size() < s.openBytes()+startBytes {
		return
	}
	if free, _, err := s.cfg.Space(s.cfg.Dir); err != nil || free >= startBytes {
		return
	}
	if err := os.Truncate(path, info.Size()-startBytes); err != nil {
		s.cfg.Log.Warn("reserve for a full disk not used", "err", err)
	}
}

// withReserve does something that needs a little room, at the cost of the reserve if the
// disk is full.
func withReserve(dir string, do func() error) error {
	err := do()
	if isFull(err) && releaseReserve(dir) {
		err = do()
	}
	return err
}

// exists reports whether there is a file, as far as that can be found out.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// bytesText writes a number of bytes for people.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d bytes", n)
	}
	f, i := float64(n)/unit, 0
	for f >= unit && i < 4 {
		f /= unit
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTP"[i])
}
