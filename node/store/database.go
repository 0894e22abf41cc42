package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/covey-network/covey/protocol"
)

// layoutVersion is the version of the keys and values in the database.
const layoutVersion = 1

func layoutKey() []byte { return append([]byte{prefixMeta}, "layout"...) }

// openDatabase opens Badger and reads the index. A database that cannot be opened or read
// is moved aside and an empty one started.
func (s *Store) openDatabase() error {
	dir, aside := s.databaseDir(), s.asideDir()
	damaged, err := s.opening()
	if err != nil {
		return err
	}
	if _, err := os.Stat(s.moveMarker()); err == nil || damaged {
		s.cfg.Log.Error("database does not open, starting a new one", "moved", aside)
		if err := s.moveAside(dir, aside); err != nil {
			return err
		}
	}
	err = s.tryOpen(dir)
	if isDamage(err) {
		s.cfg.Log.Error("database damaged, starting a new one", "moved", aside, "err", err)
		if err := s.moveAside(dir, aside); err != nil {
			return err
		}
		err = s.tryOpen(dir)
	}
	return errors.Join(err, s.opened())
}

// moveMarker is a file that says that the database is to be moved aside: where open files
// cannot be moved (Windows), the next start does it.
func (s *Store) moveMarker() string { return filepath.Join(s.cfg.Dir, "blocks.move") }

func (s *Store) moveAside(dir, aside string) error {
	if err := os.WriteFile(s.moveMarker(), nil, 0o600); err != nil {
		return err
	}
	if err := os.RemoveAll(aside); err != nil { // of an earlier time: one is enough to look into
		return fmt.Errorf("remove %q: %w", aside, err)
	}
	if err := os.Rename(dir, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("move damaged database aside; start again: %w", err)
	}
	s.moved = aside
	return os.Remove(s.moveMarker())
}

// damageError is an error of opening the database that another try would meet again.
type damageError struct{ err error }

func (e *damageError) Error() string { return e.err.Error() }
func (e *damageError) Unwrap() error { return e.err }

func isDamage(err error) bool {
	var d *damageError
	return errors.As(err, &d)
}

// tryOpen opens Badger in dir, checks the layout and reads the index.
func (s *Store) tryOpen(dir string) error {
	if err := checkTables(s.cfg.tuning.options(dir, s.cfg.Log)); err != nil {
		return err
	}
	db, err := s.openFitting()
	if err != nil {
		return err
	}
	if err := s.readIndex(db); err != nil {
		return closeAfter(db, err)
	}
	s.db = db
	return nil
}

// openFitting opens the database as the room on the disk allows. Below the margin it takes no
// blocks, and has small files; with too little room for the usual ones it is opened for reading
// only, unless it is to free room. The reserve stays for that, unless the last run was cut off:
// then the database must write to open.
func (s *Store) openFitting() (*badger.DB, error) {
	opt, lean := s.cfg.tuning.options(s.databaseDir(), s.cfg.Log), false
	open := func(readOnly bool) (*badger.DB, error) {
		db, err := openBadger(opt.WithReadOnly(readOnly))
		if err == nil {
			s.stuck.Store(readOnly)
			s.reading.Store(readOnly)
			s.lean.Store(lean && !readOnly)
		}
		return db, err
	}
	kept := exists(filepath.Join(opt.Dir, badger.ManifestFilename))
	if left, margin, err := s.diskRoom(); kept && err == nil && left <= 0 {
		full := left+margin < s.openBytes()
		if full && !s.freeing {
			if db, err := open(true); err == nil {
				return db, nil
			}
		}
		opt, lean = s.leanTuning().options(opt.Dir, s.cfg.Log), true
		if full {
			if _, _, err := s.easeFreeing(); err != nil {
				return nil, err
			}
		}
	}
	db, err := open(false)
	if kept && isFull(err) {
		readErr := cutEmptyLogs(opt.Dir) // that it has just made: they must not be cut when it is open for reading
		if readErr == nil {
			var db *badger.DB
			if db, readErr = open(true); readErr == nil {
				return db, nil
			}
		}
		s.cfg.Log.Warn("database does not open for reading", "err", readErr)
		free, _, _ := s.cfg.Space(s.cfg.Dir)
		return nil, s.lacks(s.openBytes(), free, err)
	}
	switch {
	case err == nil:
		openDatabases.Store(s.realDir(), true)
	case isFull(err):
		free, _, _ := s.cfg.Space(s.cfg.Dir)
		return nil, s.lacks(s.openBytes(), free, err)
	}
	return db, err
}

// cutEmptyLogs cuts the logs of changes that have no entry to what Badger takes for whole.
func cutEmptyLogs(dir string) error {
	const head, entry = 20, 64 // bytes of a log's head, and less than of an entry
	names, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		var begin [head + entry]byte
		n, _ := f.ReadAt(begin[:], 0)
		if n == len(begin) && [entry]byte(begin[head:]) == [entry]byte{} {
			err = f.Truncate(head)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// realDir is the directory of the database as the system names it.
func (s *Store) realDir() string {
	dir, err := filepath.Abs(s.databaseDir())
	if err != nil {
		return s.databaseDir()
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	return dir
}

// closePoll is how often the room on the disk is looked at while the database closes.
var closePoll = time.Second

// closeTries is how many of those looks find none, or a table that waits for some, before that
// is given up.
const closeTries = 10

// errUnclosed tells that the database waits for room to write what it has in memory, which
// is in its logs too.
var errUnclosed = errors.New("the disk is full; the database is put in order at its next start")

// closeDatabase closes the database. Badger tries without end to write its last table: on a
// full disk that is not waited for.
func (s *Store) closeDatabase(db *badger.DB) error {
	openDatabases.Delete(s.realDir())
	ended := make(chan struct{})
	s.closing = ended
	flattening := s.flattening
	err := settleReads(db)
	go func() {
		defer close(ended)
		if flattening != nil { // which reads tables, and would be cut off
			<-flattening
		}
		err = errors.Join(err, closeBadger(db))
	}()
	poll := time.NewTicker(closePoll)
	defer poll.Stop()
	for full := 0; ; {
		select {
		case <-ended:
			return err
		case <-poll.C:
		}
		free, _, err := s.cfg.Space(s.cfg.Dir)
		if err == nil && free < 2*s.cfg.tuning.memTable || waitingTables(s.realDir()).Load() > 0 {
			full++
		}
		if full >= closeTries {
			return errUnclosed
		}
	}
}

// markQueue is how many ends of reads Badger has in a queue before it takes note of them.
const markQueue = 100

// settleReads has Badger take note that no read is under way. When it closes it counts what was
// deleted as garbage, but not what came after the last read of which it has noted the end, and it
// does that in a goroutine of its own: once so many more are in the queue it has noted the first.
func settleReads(db *badger.DB) error {
	for range 2 + markQueue/2 {
		if err := db.View(func(*badger.Txn) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

func closeAfter(db *badger.DB, err error) error {
	if closeErr := closeBadger(db); closeErr != nil {
		return fmt.Errorf("%w (and close: %w)", err, closeErr)
	}
	return err
}

// closeBadger closes a database that may be damaged.
func closeBadger(db *badger.DB) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("database panic: %v", r)
		}
	}()
	return db.Close()
}

// openBadger opens a database. Badger panics on some damage, and a truncated file under a
// memory map faults: both become a damageError.
func openBadger(opt badger.Options) (db *badger.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, &damageError{fmt.Errorf("database panic: %v", r)}
		}
	}()
	db, err = badger.Open(opt)
	if err != nil && !environmental(err) {
		err = &damageError{err}
	}
	return db, err
}

// environmental reports whether an error of opening has nothing to do with the data.
func environmental(err error) bool {
	return isFull(err) || isAny(err, fs.ErrPermission, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EROFS)
}

// isAny reports whether an error is or tells of one of others: Badger passes most errors on
// as text.
func isAny(err error, others ...error) bool {
	return err != nil && slices.ContainsFunc(others, func(e error) bool {
		return errors.Is(err, e) || strings.Contains(err.Error(), e.Error())
	})
}

// blockLen returns the length of a block from Badger's estimate, which is off by a few
// bytes for values in its log, and the low byte of the length, which is kept with the key.
func blockLen(estimate int64, low byte) int64 {
	n := estimate + int64(int8(low-byte(estimate)))
	return min(max(0, n), protocol.MaxBlock)
}

// readIndex checks the layout and fills the index and the list of quarantined blocks.
func (s *Store) readIndex(db *badger.DB) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &damageError{fmt.Errorf("database panic: %v", r)}
		}
	}()
	clear(s.index)
	clear(s.bad)
	s.bytes = 0
	if err := checkLayout(db); err != nil {
		return err
	}
	err = db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{PrefetchValues: false})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			item := it.Item()
			d, ok := keyDigest(item.Key())
			switch {
			case !ok:
			case item.Key()[0] == prefixBlock:
				n := blockLen(item.ValueSize(), item.UserMeta())
				s.index[d] = uint32(n)
				s.bytes += n
			case item.Key()[0] == prefixQuarantine:
				s.bad[d] = struct{}{}
			}
		}
		return nil
	})
	if err != nil {
		return &damageError{err}
	}
	return nil
}

// checkLayout compares the version of the data with ours. A new database gets it, once it can
// be written to.
func checkLayout(db *badger.DB) error {
	got, absent, fresh := uint32(0), false, false
	err := db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(layoutKey())
		if errors.Is(err, badger.ErrKeyNotFound) {
			it := txn.NewIterator(badger.IteratorOptions{PrefetchValues: false})
			defer it.Close()
			it.Rewind()
			absent, fresh = true, !it.Valid()
			return nil
		}
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error {
			got = math.MaxUint32
			if len(v) == 4 {
				got = binary.BigEndian.Uint32(v)
			}
			return nil
		})
	})
	switch {
	case err != nil:
		return &damageError{err}
	case fresh && db.Opts().ReadOnly:
		return nil
	case fresh:
		return db.Update(func(txn *badger.Txn) error {
			return txn.Set(layoutKey(), binary.BigEndian.AppendUint32(nil, layoutVersion))
		})
	case absent: // each version writes it before all else
		return &damageError{errors.New("the record of the layout is lost")}
	case got != layoutVersion:
		return &LayoutError{Got: got, Want: layoutVersion}
	}
	return nil
}
