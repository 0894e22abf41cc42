package store

import (
	"sync/atomic"
	"testing"
)

// largeFiles puts a number of blocks of 100,000 bytes, which are kept outside of the tree.
func largeFiles(t *testing.T, s *Store, n int, seed byte) []Block {
	t.Helper()
	out := make([]Block, n)
	for i := range out {
		data := make([]byte, 100_000)
		data[0], data[1] = seed, byte(i)
		b, err := NewBlock(data)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = b
	}
	if _, err := s.PutMany(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestGarbageGoesWithoutRoomForTree has no room to compact the tree: the database stays open, and
// the log files that were known to be garbage before are given back all the same.
func TestGarbageGoesWithoutRoomForTree(t *testing.T) {
	t.Parallel()
	var free atomic.Int64
	free.Store(1 << 30)
	cfg := Config{Dir: t.TempDir(), tuning: treeFiles(), MarginBytes: 1, MarginPercent: 1e-9}
	cfg.Space = func(string) (int64, int64, error) { return free.Load(), 1 << 40, nil }
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	gone := largeFiles(t, s, 100, 1)
	tree := treeBlocks(t, 40_000, 1)
	putTree(t, s, tree)
	for _, b := range gone {
		if err := s.Delete(t.Context(), b.CID()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.compact(); err != nil { // which counts their garbage
		t.Fatal(err)
	}
	hold := s.Hold()
	defer hold.Release()
	for _, b := range tree[1:] {
		if err := hold.Add(b.CID()); err != nil {
			t.Fatal(err)
		}
	}
	open := s.db
	free.Store(8 << 20) // with the reserve less than the tree has
	st, err := s.GC(t.Context())
	if !isSpace(err) || st.Removed != 1 || st.Reclaimed == 0 || s.db != open {
		t.Errorf("gc: %+v, %v, opened again: %t", st, err, s.db != open)
	}
	holdsAll(t, s, tree[1:])
}

// TestGarbageGoesAfterRestart deletes blocks and closes the store, on a system where Badger may not
// compact then: a GC gives their space back after the restart.
func TestGarbageGoesAfterRestart(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: t.TempDir(), tuning: mapsWithoutRoom()}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range largeFiles(t, s, 100, 1) {
		if err := s.Delete(t.Context(), b.CID()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if st, err := s.GC(t.Context()); err != nil || st.Reclaimed == 0 || st.Freed < 5_000_000 {
		t.Errorf("gc: %+v, %v", st, err)
	}
}
