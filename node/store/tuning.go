package store

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// tuning holds the Badger options that were chosen by measurement, see
// docs/adr/0002-block-store-options.md.
type tuning struct {
	valueThreshold int64 // values of this size and more go to the value log
	vlogFile       int64 // bytes of a value log file; it is mapped at twice that
	memTable       int64
	blockCache     int64
	compression    options.CompressionType
	syncWrites     bool
	roomForMaps    bool // tables get their room at the cost of the reserve, or wait for it
}

// defaultTuning keeps the tree to keys and pointers: blocks are written once, to the value
// log, and compaction never moves them.
func defaultTuning() tuning {
	return tuning{
		valueThreshold: 4 << 10,
		vlogFile:       32 << 20,
		memTable:       8 << 20,
		blockCache:     0,
		compression:    options.None,
		roomForMaps:    roomForMaps,
	}
}

// leanTuning is for a database that only removes: small files of values. Logs of changes are
// small too, unless there are some from before, which must fit into memory of the same size.
func (s *Store) leanTuning() tuning { return s.leanFiles(s.hasLogs()) }

func (s *Store) leanFiles(logs bool) tuning {
	t := *s.cfg.tuning
	t.vlogFile = min(t.vlogFile, leanFile+leanFile/4) // twice that has room for it and the largest block
	if !logs {
		t.memTable = min(t.memTable, leanFile)
	}
	return t
}

// hasLogs reports whether there are logs of changes, as the last run was cut off or goes on.
func (s *Store) hasLogs() bool {
	logs, err := filepath.Glob(filepath.Join(s.databaseDir(), "*.mem"))
	return err != nil || len(logs) > 0
}

// leanFile is the least that Badger takes.
const leanFile = 1 << 20

func (t tuning) options(dir string, log *slog.Logger) badger.Options {
	level0 := 5 // Badger's own
	if !t.roomForMaps {
		level0 = 0 // so that Flatten compacts a single table too, as Badger does when it closes
	}
	return badger.DefaultOptions(dir).
		WithValueThreshold(t.valueThreshold).
		WithValueLogFileSize(t.vlogFile).
		WithMemTableSize(t.memTable).
		WithNumMemtables(3).
		WithBaseTableSize(2 << 20).
		WithBlockCacheSize(t.blockCache).
		WithCompression(t.compression).
		WithSyncWrites(t.syncWrites).
		WithCompactL0OnClose(t.roomForMaps). // else flattenToClose does it, with a look at the room
		WithNumCompactors(0).                // see compactLevel0
		WithNumLevelZeroTables(level0).
		WithNumLevelZeroTablesStall(noStall).
		WithNumGoroutines(2).
		WithMetricsEnabled(false).
		WithBypassLockGuard(true). // the store's own lock is given back even where a child has its file
		WithLogger(badgerLog{log.With("part", "badger")})
}

// badgerLog passes Badger's errors and warnings on as information, and the rest for debugging:
// what it calls an error is often survived, it repeats some each second, and those that are not
// survived come back as errors too.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(f string, a ...any)   { l.log.Info("database message", "text", text(f, a)) }
func (l badgerLog) Warningf(f string, a ...any) { l.log.Info("database message", "text", text(f, a)) }
func (l badgerLog) Infof(f string, a ...any)    { l.log.Debug("database message", "text", text(f, a)) }
func (l badgerLog) Debugf(string, ...any)       {}

func text(f string, a []any) string { return strings.TrimSpace(fmt.Sprintf(f, a...)) }
