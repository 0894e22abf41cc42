package store

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// treeFiles is a tuning with which blocks below the threshold fill a table soon.
func treeFiles() *tuning {
	t := defaultTuning()
	t.vlogFile, t.memTable = 1<<20, 1<<20
	return &t
}

// treeBlocks makes n blocks of 1,000 bytes, which are kept in the tree.
func treeBlocks(tb testing.TB, n int, seed uint32) []Block {
	tb.Helper()
	out := make([]Block, n)
	for i := range out {
		data := make([]byte, 1000)
		for at, v := 0, uint64(seed)<<32|uint64(i); v > 0; at, v = at+1, v>>8 {
			data[at] = byte(v)
		}
		b, err := NewBlock(data)
		if err != nil {
			tb.Fatal(err)
		}
		out[i] = b
	}
	return out
}

// putTree puts blocks bit by bit and returns the most tables that were at level 0 meanwhile.
func putTree(tb testing.TB, s *Store, blocks []Block) (most int) {
	tb.Helper()
	for run := range slices.Chunk(blocks, 500) {
		if _, err := s.PutMany(tb.Context(), run); err != nil {
			tb.Fatal(err)
		}
		most = max(most, s.db.Levels()[0].NumTables)
	}
	return most
}

// atMost is how many tables level 0 has with those that are on their way from memory.
const atMost = 2 * fullLevel0

// TestTreeIsCompacted writes what fills level 0 many times.
func TestTreeIsCompacted(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: t.TempDir(), tuning: treeFiles()}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	blocks := treeBlocks(t, 20_000, 1)
	if most := putTree(t, s, blocks); most > atMost {
		t.Errorf("level 0 has had %d tables", most)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	holdsAll(t, s, blocks)
}

func holdsAll(tb testing.TB, s *Store, blocks []Block) {
	tb.Helper()
	for _, b := range blocks {
		if got, err := s.Get(tb.Context(), b.CID()); err != nil || string(got) != string(b.Data()) {
			tb.Fatalf("block %s: %d bytes, %v", b.CID(), len(got), err)
		}
	}
}

// TestTreeWithoutRoom has too little room to compact the tree: blocks are put and deleted all the
// same, also after a restart with many tables, and it is compacted when there is room.
func TestTreeWithoutRoom(t *testing.T) {
	t.Parallel()
	const little = 10 << 20 // more than must stay free, less than the tree has
	var free atomic.Int64
	free.Store(little)
	files := treeFiles()
	cfg := Config{Dir: t.TempDir(), tuning: files, MarginBytes: 1, MarginPercent: 1e-9}
	cfg.Space = func(string) (int64, int64, error) { return free.Load(), 1 << 40, nil }
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	blocks := treeBlocks(t, 30_000, 1)
	if most := putTree(t, s, blocks); most <= atMost {
		t.Fatalf("level 0 has had %d tables: too few to test anything", most)
	}
	holdsAll(t, s, blocks)
	if err := s.Delete(t.Context(), blocks[0].CID()); err != nil || s.Has(blocks[0].CID()) {
		t.Errorf("a block is not deleted: %v", err)
	}
	free.Store(1 << 30)
	more := treeBlocks(t, 10_000, 2)
	putTree(t, s, more)
	if n := s.db.Levels()[0].NumTables; n > atMost {
		t.Errorf("level 0 has %d tables when there is room", n)
	}
	holdsAll(t, s, slices.Concat(blocks[1:], more))
}

// TestManyTablesOpen opens a database with more tables at level 0 than Badger waits at by itself.
func TestManyTablesOpen(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: t.TempDir(), tuning: treeFiles()}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	opt := cfg.tuning.options(s.databaseDir(), slog.New(slog.DiscardHandler)).WithCompactL0OnClose(false)
	db, err := openBadger(opt)
	if err != nil {
		t.Fatal(err)
	}
	blocks := treeBlocks(t, 30_000, 1)
	for run := range slices.Chunk(blocks, 100) {
		err := db.Update(func(txn *badger.Txn) error {
			for _, b := range run {
				if err := txn.SetEntry(badger.NewEntry(blockKey(b.key), b.data).WithMeta(byte(len(b.data)))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := s.db.Levels()[0].NumTables; n <= 15 {
		t.Fatalf("level 0 has %d tables: too few to test anything", n)
	}
	more := treeBlocks(t, 3000, 2)
	putTree(t, s, more)
	if n := s.db.Levels()[0].NumTables; n > atMost {
		t.Errorf("level 0 has %d tables after writing", n)
	}
	holdsAll(t, s, slices.Concat(blocks, more))
}

// mapsWithoutRoom is treeFiles on a system where files are mapped without room.
func mapsWithoutRoom() *tuning {
	t := treeFiles()
	t.roomForMaps = false
	return t
}

// TestReserveIsNoRoomForMaps has room for the tree once more only with the reserve, which is not
// given back for tables: the tree is not compacted, also when the store closes.
func TestReserveIsNoRoomForMaps(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	free.Store(1 << 30)
	cfg := Config{Dir: t.TempDir(), tuning: mapsWithoutRoom(), MarginBytes: 1, MarginPercent: 1e-9}
	cfg.Space = func(string) (int64, int64, error) { return free.Load(), 1 << 40, nil }
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	blocks := treeBlocks(t, 22_000, 1)
	putTree(t, s, blocks[:5_000]) // too few tables to be compacted
	free.Store(8 << 20)           // less than a tree that is to be compacted has, more than must stay free
	if most := putTree(t, s, blocks[5_000:]); most <= atMost || s.reserveKept() == 0 {
		t.Errorf("level 0 has had %d tables, with a reserve of %d bytes", most, s.reserveKept())
	}
	before := s.db.Levels()[0].NumTables
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	free.Store(1 << 30)
	if s, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if n := s.db.Levels()[0].NumTables; n < before {
		t.Errorf("level 0 had %d tables, and has %d after it was closed without room", before, n)
	}
	holdsAll(t, s, blocks)
	if err := s.Close(); err != nil { // with room
		t.Fatal(err)
	}
	if s, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	if n := s.db.Levels()[0].NumTables; n > 1 {
		t.Errorf("level 0 has %d tables after it was closed with room", n)
	}
	holdsAll(t, s, blocks)
}
