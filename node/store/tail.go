package store

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// logTail is where the database writes values: the newest of its log files, which has its room
// on the disk in advance. The files before it were cut to what was written to them.
type logTail struct {
	file    string // "" if none is known
	written int64  // about
}

// grow takes note that n bytes were written, and that the database went on in further files if
// there are any: what did not go into the files before is in the newest.
func (t *logTail) grow(n int64) {
	t.written += n
	for next := t.next(); next != "" && exists(next); next = t.next() {
		before := t.written
		if info, err := os.Stat(t.file); err == nil {
			before = info.Size()
		}
		t.file, t.written = next, min(n, max(0, t.written-before))
	}
}

// next returns the name of the file after the newest known, "" if none is known.
func (t *logTail) next() string {
	number, isLog := strings.CutSuffix(filepath.Base(t.file), ".vlog")
	n, err := strconv.ParseUint(number, 10, 32)
	if !isLog || err != nil {
		return ""
	}
	return filepath.Join(filepath.Dir(t.file), logName(n+1))
}

// logName is what Badger calls a log file of values.
func logName(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	return strings.Repeat("0", max(0, 6-len(digits))) + digits + ".vlog"
}

// restartTail takes note that the database was opened, and goes on in a new file.
func (s *Store) restartTail() {
	newest := ""
	list, err := os.ReadDir(s.databaseDir())
	if err != nil {
		s.cfg.Log.Warn("disk use not measured", "err", err)
	}
	for _, e := range list { // in the order of names
		if filepath.Ext(e.Name()) == ".vlog" {
			newest = filepath.Join(s.databaseDir(), e.Name())
		}
	}
	s.counting.Lock()
	defer s.counting.Unlock()
	s.tail, s.due = logTail{file: newest}, 0
}

// entryBytes is the most that an entry takes beside its value: in a log file of values, and in the
// tree.
const entryBytes = 256

// count adds what was written to the bytes on disk: size in all, and logged of that to the log
// files of values. s.writing must be held, so that nothing else is written to them meanwhile.
func (s *Store) count(entries int, size, logged int64) {
	s.counting.Lock()
	defer s.counting.Unlock()
	s.tail.grow(logged)
	s.due += size - logged + int64(entries)*entryBytes
	s.used.Add(size)
}

// inMemory is how much of the disk is taken when what is in memory comes to it, about.
func (s *Store) inMemory() int64 {
	s.counting.Lock()
	defer s.counting.Unlock()
	if s.due == 0 {
		return 0
	}
	return min(s.due, 2*s.cfg.tuning.memTable) + roomGrain // more would be in tables
}

// recountTail finds out anew how much the newest log file of values has, after Badger has moved
// values there. s.writing must be held.
func (s *Store) recountTail() {
	s.counting.Lock()
	s.tail.grow(0)
	newest := s.tail.file
	s.counting.Unlock()
	n, err := lastWritten(newest)
	if err != nil {
		s.cfg.Log.Warn("disk use not measured", "err", err)
		return
	}
	s.counting.Lock()
	defer s.counting.Unlock()
	s.tail.written = n
}

// lastWritten returns where the zeros begin that a file ends with: Badger's entries end with a
// checksum.
func lastWritten(name string) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 256<<10)
	for end := info.Size(); end > 0; end -= int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), end)]
		if _, err := f.ReadAt(buf, end-int64(len(buf))); err != nil && err != io.EOF {
			return 0, err
		}
		if rest := bytes.TrimRight(buf, "\x00"); len(rest) > 0 {
			return end - int64(len(buf)-len(rest)), nil
		}
	}
	return 0, nil
}
