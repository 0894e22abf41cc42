package store

import (
	"encoding/binary"
	"log/slog"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// SetLayout writes another layout version into a closed store.
func SetLayout(tb testing.TB, dir string, version uint32) {
	tb.Helper()
	s := &Store{cfg: Config{Dir: dir}}
	db, err := openBadger(defaultTuning().options(s.databaseDir(), slog.New(slog.DiscardHandler)))
	if err != nil {
		tb.Fatal(err)
	}
	err = db.Update(func(txn *badger.Txn) error {
		return txn.Set(layoutKey(), binary.BigEndian.AppendUint32(nil, version))
	})
	if err := closeAfter(db, err); err != nil {
		tb.Fatal(err)
	}
}
