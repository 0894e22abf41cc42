package store

import (
	"io/fs"
	"os"
	"path/filepath"
)

// diskRoom returns how many bytes of the disk may still be written, and how many must stay
// free: the owner's margin, at least what the database needs for files of its own. What is lent
// to a compaction counts as free.
func (s *Store) diskRoom() (left, margin int64, err error) {
	free, total, err := s.cfg.Space(s.cfg.Dir)
	if err != nil {
		return 0, 0, err
	}
	margin = s.margin(total)
	return free + s.roomKept() - margin, margin, nil
}

// room returns how many bytes may still be written, and by which bound: a margin of 0
// means the owner's limit.
func (s *Store) room() (left, margin int64, err error) {
	if left, margin, err = s.diskRoom(); err != nil {
		return 0, 0, err
	}
	if s.cfg.Limit > 0 {
		if l := s.cfg.Limit - s.used.Load(); l < left {
			return l, 0, nil
		}
	}
	return left, margin, nil
}

// CheckRoom returns a SpaceError if size bytes may not be written now.
func (s *Store) CheckRoom(size int64) error {
	left, margin, err := s.room()
	if err != nil {
		return err
	}
	if size <= left && !s.stuck.Load() {
		return nil
	}
	return s.shortOf(&SpaceError{Need: size, Free: left + margin, Margin: margin})
}

// modelRoom returns how much a model may take beside those that are being stored, by which bound as
// room does, and what of the disk it may not take: files of the store that come while it is
// written, and what is missing of the reserve. It is the same before and after the database was
// opened again, so that what frees room never makes it less. left may be less than nothing.
func (s *Store) modelRoom() (left, margin, extra int64, err error) {
	left, margin, err = s.diskRoom()
	if err != nil {
		return 0, 0, 0, err
	}
	extra = s.filesMissing() + s.reserveMissing() + s.inAdvance() + s.inMemory()
	left -= extra
	if s.cfg.Limit > 0 {
		if l := s.cfg.Limit - s.used.Load(); l < left {
			left, margin, extra = l, 0, 0
		}
	}
	return left - s.claimed(), margin, extra, nil
}

// CheckModel is CheckRoom for much that is put bit by bit: the files that are written to have
// room in advance, and the reserve is filled up meanwhile. A store that met a full disk takes
// writes again, if there is room now.
func (s *Store) CheckModel(size int64) error {
	if size == 0 { // all of it is here
		return nil
	}
	left, margin, extra, err := s.modelRoom()
	if err != nil {
		return err
	}
	if size > left {
		return s.noRoom(size, left, margin, extra)
	}
	if err := s.makeWritable(false); err != nil {
		return err
	}
	return s.CheckRoom(size)
}

// writableFor opens the database again if it takes no writes, or only few, and there is room
// for size bytes beside its files. It returns a SpaceError if there is not.
func (s *Store) writableFor(size int64) error {
	left, margin, err := s.room()
	extra := int64(0) // of the owner's limit they take nothing
	if err == nil && (margin > 0 || size <= left) {
		left, margin, err = s.diskRoom()
		extra = s.filesMissing()
		left -= extra
	}
	if err != nil {
		return err
	}
	if size > left {
		return s.shortOf(&SpaceError{Need: size, Free: left + margin + extra, Margin: margin, Extra: extra})
	}
	return s.makeWritable(false)
}

// noRoom is the error of a model that does not fit into what is left.
func (s *Store) noRoom(size, left, margin, extra int64) error {
	claimed := s.claimed()
	return s.shortOf(&SpaceError{Need: size, Free: left + margin + extra + claimed, Margin: margin, Extra: extra, Claimed: claimed})
}

func (s *Store) shortOf(e *SpaceError) error {
	s.tell()
	return s.advise(e)
}

// inAdvance is how much of the disk a further file occupies before its first byte, beyond what the
// one that is written to has in advance: that holds nothing once the database is opened again.
func (s *Store) inAdvance() int64 {
	s.counting.Lock()
	defer s.counting.Unlock()
	tail := s.tail.written
	if s.stuck.Load() || s.lean.Load() { // it goes on in a new one
		tail = 0
	}
	return tail + int64(min(writeBytes, s.cfg.tuning.vlogFile/2))
}

// filesMissing is how much of the disk the database takes for its files when it is opened for
// writing again: nothing while it is open with the usual ones.
func (s *Store) filesMissing() int64 {
	if !s.stuck.Load() && !s.lean.Load() {
		return 0
	}
	return max(0, 2*s.cfg.tuning.vlogFile+2*s.cfg.tuning.memTable-s.filesInAdvance())
}

// filesInAdvance is how much of the disk the files occupy that the database has for what it
// writes. They go when it is closed.
func (s *Store) filesInAdvance() (n int64) {
	if s.reading.Load() || s.away.Load() {
		return 0
	}
	last, newest := int64(0), ""
	list, err := os.ReadDir(s.databaseDir())
	if err != nil {
		return 0
	}
	for _, e := range list { // in the order of names
		info, err := e.Info()
		if err != nil {
			continue // files come and go
		}
		switch filepath.Ext(e.Name()) {
		case ".mem":
			n += occupied(info)
		case ".vlog":
			newest, last = filepath.Join(s.databaseDir(), e.Name()), occupied(info)
		}
	}
	s.counting.Lock()
	defer s.counting.Unlock()
	if newest == s.tail.file {
		last -= s.tail.written
	}
	return n + max(0, last)
}

// free returns how much a model may still take.
func (s *Store) free() int64 {
	left, _, _, err := s.modelRoom()
	if err != nil || s.away.Load() {
		return 0
	}
	return max(0, left)
}

// full tells why nothing can be stored now and what to do, "" if something can, or could but for
// what is being stored.
func (s *Store) full() (why, mend string) {
	left, margin, extra, err := s.modelRoom()
	if err != nil {
		return err.Error(), ""
	}
	left += s.claimed()
	e := &SpaceError{Need: 1, Free: left + margin + extra, Margin: margin, Extra: extra}
	switch {
	case left <= 0 && margin == 0:
		return e.limit(s.cfg.Limit), s.advise(e).mend()
	case left <= 0:
		return e.disk(), s.advise(e).mend()
	case s.away.Load():
		return "the disk was full", "the store goes on by itself"
	}
	return "", ""
}

// tell logs when the store begins and ends to take no blocks for lack of room.
func (s *Store) tell() {
	why, mend := s.full()
	if left, margin, err := s.room(); why == "" && s.told.Load() && err == nil && margin > 0 && left < s.openBytes() {
		return // not worth telling: the next block may be the last
	}
	if s.told.Swap(why != "") == (why != "") {
		return
	}
	if why != "" {
		s.cfg.Log.Warn("no room: the store is read-only", "why", why, "mend", mend)
		return
	}
	s.cfg.Log.Info("there is room again: the store takes blocks")
}

// watch goes back to writing when there is room again, to reading as soon as the database can
// be opened, and fills the reserve up.
func (s *Store) watch() {
	left, margin, err := s.diskRoom()
	if err == nil && (left > s.filesMissing() || !s.readable() && left+margin >= s.openBytes()) {
		if err := s.makeWritable(false); err != nil {
			s.cfg.Log.Warn("database stays read-only", "err", err)
		}
	}
	s.makeReserve()
	s.tell()
}

// readable reports whether the database is open and can be read.
func (s *Store) readable() bool {
	s.life.RLock()
	defer s.life.RUnlock()
	return s.db != nil && !s.logless()
}

// makeWritable opens the database again if it was opened for reading only, or a write to it
// met a full disk. Who is about to free room may use the reserve, and small files; who is not
// gets the usual ones.
func (s *Store) makeWritable(freeing bool) error {
	fit := func() bool { return !s.stuck.Load() && (freeing || !s.lean.Load()) }
	if fit() {
		return nil
	}
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return ErrClosed
	}
	if fit() {
		return nil
	}
	free, _, err := s.cfg.Space(s.cfg.Dir)
	if err != nil {
		return err
	}
	need := s.openBytes()
	switch {
	case freeing && free < need: // tried in any case: what is free may be enough
		if need, free, err = s.easeFreeing(); err != nil {
			return err
		}
	case free < need:
		return s.noRoomToOpen(need, free, false)
	}
	if err := s.renew(freeing); err != nil && !(freeing && isSpace(err)) {
		return err
	} else if err != nil || s.stuck.Load() {
		return s.noRoomToOpen(need, free, freeing)
	}
	return nil
}

// noRoomToOpen is the error of a database that cannot be opened for writing. What was to be
// freed is owed, see Run.
func (s *Store) noRoomToOpen(need, free int64, freeing bool) error {
	err := s.lacks(need, free, nil)
	err.Owed = freeing
	return err
}

// wrote takes note of an error of writing: after one of a full disk the database must be
// opened again before it is written to.
func (s *Store) wrote(err error) error {
	if !isFull(err) {
		return err
	}
	s.stuck.Store(true)
	s.tell()
	free, _, _ := s.cfg.Space(s.cfg.Dir)
	return s.lacks(s.openBytes(), free, err)
}

// measure counts the bytes that the database occupies on disk. Of the files that it writes
// now, which have their room in advance, what was written counts.
func (s *Store) measure() {
	s.writing.Lock()
	defer s.writing.Unlock()
	var sum, last int64
	var newest string
	err := filepath.WalkDir(s.databaseDir(), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(name) == ".mem" {
			return nil // files come and go
		}
		info, err := e.Info()
		if err != nil {
			return nil
		}
		n := occupied(info)
		sum += n
		if filepath.Ext(name) == ".vlog" && name > newest {
			newest, last = name, n
		}
		return nil
	})
	if err != nil {
		s.cfg.Log.Warn("disk use not measured", "err", err)
		return
	}
	s.counting.Lock()
	defer s.counting.Unlock()
	if s.reading.Load() { // none is written
		s.used.Store(sum)
		return
	}
	if newest == s.tail.file {
		sum -= max(0, last-s.tail.written)
	}
	s.used.Store(sum)
}
