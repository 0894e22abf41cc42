package store_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/store"
)

// TestGC keeps what pins reach over several levels and what is held, and removes the rest.
func TestGC(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{Links: links})
	leaves, loose, held, later := randomBlocks(t, 1, 30, 2000), randomBlocks(t, 2, 30, 2000), randomBlocks(t, 3, 5, 2000), randomBlocks(t, 4, 1, 2000)
	list := node(t, nil, leaves[10:])
	root := node(t, []store.Block{list, list}, append(leaves[:10:10], later...))
	put(t, s, slices.Concat(leaves, loose, held, []store.Block{list, root})...)
	if err := s.Pin(root.CID()); err != nil {
		t.Fatal(err)
	}
	hold := s.Hold()
	if err := hold.Add(cidsOf(append(held, later...))...); err != nil {
		t.Fatal(err)
	}
	st, err := s.GC(t.Context())
	if err != nil || st.Removed != len(loose) || st.RemovedBytes != 2000*int64(len(loose)) || st.Kept != len(leaves)+len(held)+2 {
		t.Fatalf("got %+v, %v", st, err)
	}
	holds(t, s, slices.Concat(leaves, held, []store.Block{list, root})...)
	put(t, s, later...)
	hold.Release()
	if st, err = s.GC(t.Context()); err != nil || st.Removed != len(held) {
		t.Fatalf("after the hold: %+v, %v", st, err)
	}
	holds(t, s, later...)
	if err := s.Unpin(root.CID()); err != nil {
		t.Fatal(err)
	}
	if st, err = s.GC(t.Context()); err != nil || st.Kept != 0 || s.Stat().Bytes != 0 {
		t.Errorf("after the pin: %+v, %v", st, err)
	}
}

// TestGCStopsAtDamagedRoot removes nothing when it cannot know what a pin reaches.
func TestGCStopsAtDamagedRoot(t *testing.T) {
	t.Parallel()
	leaves, loose := randomBlocks(t, 1, 4, 2000), randomBlocks(t, 2, 4, 2000)
	list := node(t, nil, leaves)
	root := node(t, []store.Block{list}, nil)
	other, err := store.NewBlock([]byte("this is no node"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		pin, bad store.Block
		lost     []store.Block
	}{
		"root gone":       {root, root, []store.Block{root}},
		"list gone":       {root, list, []store.Block{list}},
		"root unreadable": {other, other, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, store.Config{Links: links})
			put(t, s, slices.Concat(leaves, loose, []store.Block{list, root, other})...)
			if err := s.Pin(c.pin.CID()); err != nil {
				t.Fatal(err)
			}
			if err := s.Delete(t.Context(), cidsOf(c.lost)...); err != nil {
				t.Fatal(err)
			}
			before := s.Stat().Blocks
			var bad *store.RootError
			st, err := s.GC(t.Context())
			if !errors.As(err, &bad) || bad.Root != c.pin.CID() || bad.Block != c.bad.CID() || st.Removed != 0 || s.Stat().Blocks != before {
				t.Fatalf("got %+v, %v", st, err)
			}
			holds(t, s, slices.Concat(leaves, loose)...)
			put(t, s, c.lost...)
			if len(c.lost) > 0 {
				if st, err := s.GC(t.Context()); err != nil || st.Removed != len(loose)+1 {
					t.Errorf("after healing: %+v, %v", st, err)
				}
			}
		})
	}
}

// TestGCSparesWhatIsPutMeanwhile puts blocks while GC walks the pins, among them one that
// is already there and that nothing else protects.
func TestGCSparesWhatIsPutMeanwhile(t *testing.T) {
	t.Parallel()
	fresh, again, loose := randomBlocks(t, 1, 3, 2000), randomBlocks(t, 2, 3, 2000), randomBlocks(t, 3, 3, 2000)
	var s *store.Store
	root := node(t, nil, nil)
	s = open(t, store.Config{Links: func(data []byte) ([]cid.Cid, []cid.Cid, error) {
		put(t, s, slices.Concat(fresh, again)...)
		return links(data)
	}})
	put(t, s, slices.Concat(again, loose, []store.Block{root})...)
	if err := s.Pin(root.CID()); err != nil {
		t.Fatal(err)
	}
	if st, err := s.GC(t.Context()); err != nil || st.Removed != len(loose) {
		t.Errorf("got %+v, %v", st, err)
	}
	holds(t, s, slices.Concat(fresh, again)...)
}

// TestGCSparesWhatComesIntoUse begins to use blocks, which nobody puts again, after GC has walked what was in use.
func TestGCSparesWhatComesIntoUse(t *testing.T) {
	t.Parallel()
	leaves, loose := randomBlocks(t, 1, 3, 2000), randomBlocks(t, 2, 3, 2000)
	root := node(t, nil, leaves)
	asked := 0
	s := open(t, store.Config{Links: links, InUse: func() []cid.Cid {
		if asked++; asked == 1 {
			return nil
		}
		return []cid.Cid{root.CID()}
	}})
	put(t, s, slices.Concat(leaves, loose, []store.Block{root})...)
	if st, err := s.GC(t.Context()); err != nil || st.Removed != len(loose) {
		t.Errorf("got %+v, %v", st, err)
	}
	holds(t, s, append(leaves, root)...)
}

// TestGCGivesSpaceBack fills several value log files, drops most of it and looks at the
// disk.
func TestGCGivesSpaceBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, store.Config{Dir: dir})
	kept := randomBlocks(t, 9, 2, 1<<20)
	put(t, s, kept...)
	for i := range 5 {
		put(t, s, randomBlocks(t, byte(i), 64, 1<<20)...)
	}
	for _, b := range kept {
		if err := s.Pin(b.CID()); err != nil {
			t.Fatal(err)
		}
	}
	before := s.Stat().DiskBytes
	st, err := s.GC(t.Context())
	if err != nil || st.Removed != 320 || st.Reclaimed == 0 {
		t.Fatalf("got %+v, %v", st, err)
	}
	if after := s.Stat().DiskBytes; after > before/2 {
		t.Errorf("%d bytes on disk before, %d after", before, after)
	}
	holds(t, s, kept...)
}

// TestOwedCollectionCompacts has stores that ended, or were killed, after they removed blocks and
// before they gave their space back: the collection that is owed does so after the restart.
func TestOwedCollectionCompacts(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, s *store.Store, dir string) string{
		"ended": func(t *testing.T, s *store.Store, dir string) string {
			closed(t, s)
			return dir
		},
		"killed": func(t *testing.T, _ *store.Store, dir string) string { // what a kill leaves is what the files have now
			left := t.TempDir()
			if err := os.CopyFS(filepath.Join(left, "blocks"), os.DirFS(filepath.Join(dir, "blocks"))); err != nil {
				t.Fatal(err)
			}
			return left
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, store.Config{Dir: dir})
			blocks := randomBlocks(t, 1, 40, 1<<20)
			put(t, s, blocks...)
			if err := s.Delete(t.Context(), cidsOf(blocks)...); err != nil {
				t.Fatal(err)
			}
			dir = end(t, s, dir)
			note := filepath.Join(dir, "collect")
			if err := os.WriteFile(note, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			s = open(t, store.Config{Dir: dir})
			before := s.Stat().DiskBytes
			s.PayOwed(t.Context())
			if after := s.Stat().DiskBytes; after > before/4 {
				t.Errorf("%d bytes on disk before, %d after", before, after)
			}
			if _, err := os.Stat(note); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is still noted as owed: %v", err)
			}
			put(t, s, blocks[0])
			s.PayOwed(t.Context())
			holds(t, s, blocks[0]) // nothing is owed
		})
	}
}

// TestOwedCollectionBacksOff has a collection that is owed fail as more room does not mend: it
// waits longer each time and is told once for each cause, and is done when the cause is mended.
func TestOwedCollectionBacksOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "collect"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	now, tried := time.Unix(1e9, 0), 0
	var told bytes.Buffer
	s := open(t, store.Config{
		Dir: dir, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&told, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Links: func(data []byte) ([]cid.Cid, []cid.Cid, error) { tried++; return links(data) },
	})
	leaves, loose := randomBlocks(t, 1, 1, 2000), randomBlocks(t, 2, 1, 2000)
	list := node(t, nil, leaves)
	root := node(t, []store.Block{list}, nil)
	put(t, s, slices.Concat(leaves, loose, []store.Block{root})...)
	if err := s.Pin(root.CID()); err != nil {
		t.Fatal(err)
	}
	for until := now.Add(24 * time.Hour); now.Before(until); now = now.Add(5 * time.Second) {
		s.PayOwed(t.Context())
	}
	if tried < 24 || tried > 40 || strings.Count(told.String(), "\n") != 1 {
		t.Errorf("tried %d times in 24 hours, told %s", tried, &told)
	}
	if err := s.Delete(t.Context(), root.CID()); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	s.PayOwed(t.Context())
	if strings.Count(told.String(), "\n") != 2 {
		t.Errorf("of two causes told %s", &told)
	}
	put(t, s, list, root)
	now = now.Add(time.Hour)
	s.PayOwed(t.Context())
	holds(t, s, slices.Concat(leaves, []store.Block{list, root})...)
	if s.Has(loose[0].CID()) {
		t.Error("a block that nothing needs is there")
	}
}

// TestReadsSettle reads until Badger has noted the end of all reads. What was deleted after the
// last of them would not count as garbage when the database closes, and its space stay taken.
func TestReadsSettle(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{})
	for i := range 200 {
		if !s.SettleReads(t, []byte{byte(i)}) {
			t.Fatalf("round %d: a read has not ended", i)
		}
	}
}
