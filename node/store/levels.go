package store

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"
)

// Badger's own compactors look at the tree forty times a second, also when nothing is written:
// two thirds of what an idle node computes. There are none here: who writes looks, before each
// transaction, and compacts what would have woken a compactor.
const (
	// fullLevel0 is how many tables of level 0 are compacted; each read asks all of them. It is
	// the least that Badger compacts while there is no other level.
	fullLevel0 = 6
	// noStall keeps Badger from waiting for a compactor at level 0.
	noStall = math.MaxInt32
)

// flushTables is how many tables the flusher may make of what is in memory while the tree is
// compacted: three, of which each may be a little larger than what it was in memory.
const flushTables = 4

// roomName is the file that holds the room on the disk that compacting the tree needs, while it
// is compacted. Tables draw on it as on the reserve, see roomForMap.
const roomName = "room"

// compactLevel0 compacts the tree if level 0 is full; s.writing is held. Without room writes go on,
// and it is tried again when as many tables have come.
func (s *Store) compactLevel0() {
	tables := s.db.Levels()[0].NumTables
	if tables < fullLevel0 { // it was compacted, or the database opened again
		s.level0Due = fullLevel0
	}
	if tables < max(s.level0Due, fullLevel0) {
		return
	}
	s.level0Due = tables + fullLevel0
	if err := s.flatten(flushTables * s.db.Opts().MemTableSize); err != nil {
		s.cfg.Log.Info("tree not compacted", "tables", tables, "err", err)
	}
}

// flatten compacts the tree down to one level. Badger takes no notice of a table that it could not
// make, and loses what was to be in it: so it gets its room first, and a table that lacks some is
// waited for (Linux). Where that takes too long, as the room was taken away again, or the store
// is to be closed, flatten leaves the compaction alone with that: the database can be read then,
// but is neither written to nor closed before the compaction has ended. s.life and s.writing are
// held, or s.life for writing. The flusher may make tables of so many bytes meanwhile.
func (s *Store) flatten(flushed int64) error {
	give, err := s.takeRoom(flushed)
	if err != nil {
		return err
	}
	db, ended := s.db, make(chan struct{})
	s.flattening = ended
	go func() {
		defer close(ended)
		defer give()
		err = db.Flatten(1)
	}()
	poll := time.NewTicker(closePoll)
	defer poll.Stop()
	for late := 0; ; {
		select {
		case <-ended:
			return err
		case <-poll.C:
		}
		if waitingTables(s.realDir()).Load() == 0 {
			late = 0
			continue
		}
		if late++; late >= closeTries || s.ending.Load() {
			s.stuck.Store(true)
			return s.noLog()
		}
	}
}

// isFlattening reports whether a compaction goes on that flatten has left alone. s.life is held
// for writing.
func (s *Store) isFlattening() bool {
	if s.flattening == nil {
		return false
	}
	select {
	case <-s.flattening:
		return false
	default:
		return true
	}
}

// takeRoom takes the room on the disk that compacting the tree needs: for the tree once more, and
// for so many bytes of tables of what is in memory. Where there is less, the reserve stands for some of it. The
// function that it returns gives what is left back.
func (s *Store) takeRoom(flushed int64) (give func(), err error) {
	need := flushed + s.treeBytes()
	if give, err = s.lendRoom(need); isSpace(err) {
		give, err = s.lendRoom(max(0, need-s.reserveForTables()))
	}
	return give, err
}

// treeBytes is how much the tables of the tree have.
func (s *Store) treeBytes() (n int64) {
	for _, l := range s.db.Levels() {
		n += l.Size
	}
	return n
}

// reserveForTables is how much of the reserve tables may draw on.
func (s *Store) reserveForTables() int64 {
	if !s.cfg.tuning.roomForMaps {
		return 0
	}
	return s.reserveKept()
}

// flattenToClose compacts the tree before the database closes where Badger may not do that by
// itself, as it would not look at the room. Without room what is at level 0 stays there, as does
// what is in memory, and is compacted later: see Store.stale. s.life is held for writing.
func (s *Store) flattenToClose() {
	if s.cfg.tuning.roomForMaps || s.stuck.Load() || s.db.Levels()[0].NumTables == 0 {
		return
	}
	if err := s.flatten(flushTables * s.db.Opts().MemTableSize); err != nil {
		s.cfg.Log.Info("tree not compacted before it is closed", "err", err)
	}
}

// lendRoom occupies room on the disk until the function that it returns is called.
func (s *Store) lendRoom(need int64) (give func(), err error) {
	free, _, err := s.cfg.Space(s.cfg.Dir)
	if err != nil {
		return nil, err
	}
	if free < need {
		return nil, s.lacks(need, free, nil)
	}
	if !s.cfg.tuning.roomForMaps { // nothing would draw on it
		return func() {}, nil
	}
	path := filepath.Join(s.cfg.Dir, roomName)
	give = func() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.cfg.Log.Warn("room for compacting the tree not given back before the next start", "err", err)
		}
	}
	if err := occupy(path, need); err != nil {
		give()
		if isFull(err) {
			free, _, _ = s.cfg.Space(s.cfg.Dir)
			err = s.lacks(need, free, nil)
		}
		return nil, err
	}
	return give, nil
}

// roomKept returns how much of the disk is lent to a compaction of the tree.
func (s *Store) roomKept() int64 { return sizeOf(filepath.Join(s.cfg.Dir, roomName)) }
