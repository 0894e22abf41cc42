package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/y"
)

// SetLayout writes another layout version into a closed store.
func SetLayout(tb testing.TB, dir string, version uint32) {
	tb.Helper()
	changeLayout(tb, dir, func(txn *badger.Txn) error {
		return txn.Set(layoutKey(), binary.BigEndian.AppendUint32(nil, version))
	})
}

// LoseLayout takes the version out of the data in dir.
func LoseLayout(tb testing.TB, dir string) {
	tb.Helper()
	changeLayout(tb, dir, func(txn *badger.Txn) error { return txn.Delete(layoutKey()) })
}

func changeLayout(tb testing.TB, dir string, change func(*badger.Txn) error) {
	tb.Helper()
	s := &Store{cfg: Config{Dir: dir}}
	db, err := openBadger(defaultTuning().options(s.databaseDir(), slog.New(slog.DiscardHandler)))
	if err != nil {
		tb.Fatal(err)
	}
	err = db.Update(change)
	if err := closeAfter(db, err); err != nil {
		tb.Fatal(err)
	}
}

// Quarantined lists the blocks that were found damaged and have not been put again.
func (s *Store) Quarantined() ([]Quarantined, error) {
	release, err := s.use()
	if err != nil {
		return nil, err
	}
	defer release()
	var out []Quarantined
	err = s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{PrefetchValues: false, Prefix: []byte{prefixQuarantine}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			d, ok := keyDigest(it.Item().Key())
			if !ok {
				continue
			}
			q := Quarantined{CID: d.cid()}
			err := it.Item().Value(func(v []byte) error { return json.Unmarshal(v, &q) })
			if err != nil {
				q.Reason = Unreadable // the record is damaged too
			}
			out = append(out, q)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	return out, nil
}

// PayOwed does the GC that is owed, as Run does.
func (s *Store) PayOwed(ctx context.Context) { s.payOwed(ctx) }

// Unclosed reports whether a database was left to close by itself when there is room.
func Unclosed(err error) bool { return errors.Is(err, errUnclosed) }

// Watch looks at the room on the disk, as Run does.
func (s *Store) Watch() { s.watch() }

// EmptyDatabase makes a database that has nothing yet, as a start that was cut off leaves it.
func EmptyDatabase(tb testing.TB, dir string) {
	tb.Helper()
	s := &Store{cfg: Config{Dir: dir}}
	if err := os.MkdirAll(s.databaseDir(), 0o700); err != nil {
		tb.Fatal(err)
	}
	db, err := openBadger(defaultTuning().options(s.databaseDir(), slog.New(slog.DiscardHandler)))
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// SettleReads writes to the database, reads, and reports whether Badger has noted that all reads
// ended: up to there it counts garbage when it closes.
func (s *Store) SettleReads(tb testing.TB, d []byte) bool {
	tb.Helper()
	err := s.db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("test"), d) })
	if err == nil {
		err = settleReads(s.db)
	}
	if err != nil {
		tb.Fatal(err)
	}
	marks := reflect.ValueOf(s.db).Elem().FieldByName("orc").Elem().FieldByName("readMark").UnsafePointer()
	reads := (*y.WaterMark)(marks)
	return reads.DoneUntil() == reads.LastIndex()
}

// Space returns what is free on the disk, and its size.
func (s *Store) Space() (free, total int64, err error) { return s.cfg.Space(s.cfg.Dir) }
