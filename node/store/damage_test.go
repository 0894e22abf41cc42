package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/covey-network/covey/node/store"
)

// rewrite replaces the content of a file in dir.
func rewrite(tb testing.TB, dir, name string, edit func([]byte) []byte) {
	tb.Helper()
	p := filepath.Join(dir, name)
	b, err := os.ReadFile(p)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(p, edit(b), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// events collects what a store quarantines.
type events struct {
	mu  sync.Mutex
	all []store.Quarantined
}

func (e *events) add(q store.Quarantined) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, q)
}

func (e *events) reasons() map[store.Reason]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[store.Reason]int{}
	for _, q := range e.all {
		out[q.Reason]++
	}
	return out
}

// filled makes a closed store with blocks of many sizes in several files, a pin and a name.
func filled(tb testing.TB, blocks []store.Block) (dir string) {
	tb.Helper()
	dir = tb.TempDir()
	third := len(blocks) / 3
	for _, part := range [][]store.Block{blocks[:third], blocks[third : 2*third], blocks[2*third:]} {
		s := open(tb, store.Config{Dir: dir})
		put(tb, s, part...)
		closed(tb, s)
	}
	s := open(tb, store.Config{Dir: dir})
	if err := errors.Join(s.Pin(blocks[0].CID()), s.SetName("model", blocks[0].CID())); err != nil {
		tb.Fatal(err)
	}
	closed(tb, s)
	return dir
}

// readable reads all blocks of a store that may be damaged: each is right, or the error
// tells that it must be fetched. It returns how many are right.
func readable(tb testing.TB, s *store.Store, blocks []store.Block) (right int) {
	tb.Helper()
	for _, b := range blocks {
		for range 2 { // the second time it is quarantined
			got, err := s.Get(tb.Context(), b.CID())
			switch {
			case err == nil && bytes.Equal(got, b.Data()):
				right++
			case err == nil:
				tb.Fatalf("wrong bytes of block %s", b.CID())
			case !errors.Is(err, store.ErrNotFound) || got != nil:
				tb.Fatalf("block %s: %d bytes, %v", b.CID(), len(got), err)
			}
		}
	}
	return right / 2
}

// damages are ways in which a disk fails.
func damages() map[string]func(rng *rand.Rand, b []byte) []byte {
	return map[string]func(*rand.Rand, []byte) []byte{
		"bit":      func(r *rand.Rand, b []byte) []byte { b[r.IntN(len(b))] ^= 1 << r.IntN(8); return b },
		"zeroed":   func(r *rand.Rand, b []byte) []byte { at := r.IntN(len(b)); clear(b[at:min(at+4096, len(b))]); return b },
		"cut":      func(r *rand.Rand, b []byte) []byte { return b[:r.IntN(len(b))] },
		"empty":    func(*rand.Rand, []byte) []byte { return nil },
		"shuffled": func(r *rand.Rand, b []byte) []byte { n := len(b) / 2; return append(b[n:len(b):len(b)], b[:n]...) },
	}
}

// TestDamagedFiles damages every file of a closed store in every way. The store opens, no
// read gives a wrong byte, and once the blocks are put again all is as before, pins and
// names included.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	blocks := randomBlocks(t, 1, 60, 40, 3000, 5000, 70_000, 200_000)
	master := filled(t, blocks)
	files, err := filepath.Glob(filepath.Join(master, "blocks", "*"))
	if err != nil || len(files) < 6 {
		t.Fatalf("files %v, %v", files, err)
	}
	for how, f := range damages() {
		for _, file := range files {
			name := filepath.Base(file)
			t.Run(how+"/"+name, func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(2) {
					dir := t.TempDir()
					if err := os.CopyFS(dir, os.DirFS(master)); err != nil {
						t.Fatal(err)
					}
					info, err := os.Stat(filepath.Join(dir, "blocks", name))
					if err != nil || info.Size() == 0 {
						return
					}
					rng := rand.New(rand.NewPCG(seed, 7))
					rewrite(t, dir, filepath.Join("blocks", name), func(b []byte) []byte { return f(rng, b) })
					heals(t, dir, blocks, fmt.Sprintf("seed %d", seed))
					if how == "empty" { // the same for every seed
						return
					}
				}
			})
		}
	}
}

// heals opens a damaged store, reads it, puts all blocks again and opens it once more.
func heals(t *testing.T, dir string, blocks []store.Block, what string) {
	t.Helper()
	var seen events
	s := open(t, store.Config{Dir: dir, OnQuarantine: seen.add})
	right := readable(t, s, blocks)
	if n := len(seen.all); s.Moved() == "" && right+n > len(blocks) {
		t.Errorf("%s: %d blocks right, %d quarantined, of %d", what, right, n, len(blocks))
	}
	put(t, s, blocks...)
	holds(t, s, blocks...)
	if q, err := s.Quarantined(); err != nil || len(q) != 0 {
		t.Errorf("%s: quarantine after healing: %v, %v", what, q, err)
	}
	closed(t, s)
	s = open(t, store.Config{Dir: dir})
	if s.Moved() != "" {
		t.Errorf("%s: moved aside again", what)
	}
	holds(t, s, blocks...)
	if c, ok := s.Name("model"); !ok || c != blocks[0].CID() || !s.Pinned(c) {
		t.Errorf("%s: pin and name are gone", what)
	}
	closed(t, s)
}

// TestQuarantine flips a byte of one block, and looks at all that tells about it.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	blocks := randomBlocks(t, 1, 9, 100_000)
	dir := filled(t, blocks) // three value logs: only the last one is cut at damage
	flip(t, dir, blocks[1].Data())
	var seen events
	cfg := store.Config{Dir: dir, OnQuarantine: seen.add}
	s := open(t, cfg)
	bad := blocks[1].CID()
	if !s.Has(bad) {
		t.Fatal("the block is known to be bad before it is read")
	}
	var damaged *store.CorruptError
	if _, err := s.Get(t.Context(), bad); !errors.As(err, &damaged) || damaged.CID != bad || damaged.Reason != store.Mismatch || !strings.Contains(err.Error(), bad.String()) {
		t.Fatalf("got %v", err)
	}
	if got := seen.reasons(); len(got) != 1 || got[store.Mismatch] != 1 {
		t.Errorf("events %v", got)
	}
	check := func(s *store.Store) {
		t.Helper()
		q, err := s.Quarantined()
		if err != nil || len(q) != 1 || q[0].CID != bad || q[0].Reason != store.Mismatch || q[0].Bytes != 100_000 || q[0].At.IsZero() {
			t.Errorf("quarantine %+v, %v", q, err)
		}
		if s.Has(bad) || s.Stat().Quarantined != 1 || s.Stat().Blocks != 8 {
			t.Errorf("has %v, %+v", s.Has(bad), s.Stat())
		}
		if _, err := s.Get(t.Context(), bad); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
	check(s)
	closed(t, s)
	s = open(t, cfg)
	check(s)
	put(t, s, blocks[1])
	holds(t, s, blocks...)
	if q, err := s.Quarantined(); err != nil || len(q) != 0 || s.Stat().Quarantined != 0 {
		t.Errorf("after healing: %v, %v", q, err)
	}
	if len(seen.all) != 1 {
		t.Errorf("events %v", seen.all)
	}
}

// TestDamagedNodeStopsGC flips a byte of a pinned block of structure.
func TestDamagedNodeStopsGC(t *testing.T) {
	t.Parallel()
	leaves := randomBlocks(t, 1, 200, 5000)
	root := node(t, nil, leaves)
	loose := randomBlocks(t, 2, 5, 5000)
	dir := filled(t, slices.Concat([]store.Block{root}, leaves, loose))
	flip(t, dir, root.Data())
	s := open(t, store.Config{Dir: dir, Links: links})
	var stop *store.RootError
	var damaged *store.CorruptError
	if st, err := s.GC(t.Context()); !errors.As(err, &stop) || !errors.As(err, &damaged) || st.Removed != 0 {
		t.Fatalf("got %+v, %v", st, err)
	}
	holds(t, s, append(leaves, loose...)...)
	put(t, s, root)
	if st, err := s.GC(t.Context()); err != nil || st.Removed != len(loose) {
		t.Errorf("after healing: %+v, %v", st, err)
	}
	holds(t, s, append(leaves, root)...)
}

// TestSalvage loses the list of tables, and a byte of one block: the others of 4 KiB and
// more are taken over, also those behind it in its file.
func TestSalvage(t *testing.T) {
	t.Parallel()
	blocks := randomBlocks(t, 1, 120, 40, 5000, 1<<20, 300_000, 4096) // files longer than a window
	dir := filled(t, blocks)
	flip(t, dir, blocks[2].Data())
	rewrite(t, dir, filepath.Join("blocks", "MANIFEST"), func([]byte) []byte { return []byte("x") })
	s := open(t, store.Config{Dir: dir})
	if s.Moved() == "" {
		t.Fatal("the database was not moved aside")
	}
	for i, b := range blocks {
		if want := len(b.Data()) >= 4096 && i != 2; s.Has(b.CID()) != want {
			t.Errorf("has block %d of %d bytes: %v", i, len(b.Data()), !want)
		}
	}
	if n := readable(t, s, blocks); n != 95 {
		t.Errorf("%d blocks taken over, want 95", n)
	}
	closed(t, s)
	if left, err := filepath.Glob(filepath.Join(s.Moved(), "*.vlog")); err != nil || len(left) > 0 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

// TestSalvageWithoutRoom has no room for what a damaged database held: the rest is taken
// over at a later start.
func TestSalvageWithoutRoom(t *testing.T) {
	t.Parallel()
	blocks := randomBlocks(t, 1, 60, 500_000)
	dir := filled(t, blocks)
	rewrite(t, dir, filepath.Join("blocks", "MANIFEST"), func([]byte) []byte { return nil })
	s := open(t, store.Config{Dir: dir, Limit: 15_000_000})
	n := s.Stat().Blocks
	if s.Moved() == "" || n == 0 || n >= 30 {
		t.Fatalf("%d blocks, moved to %q", n, s.Moved())
	}
	closed(t, s)
	holds(t, open(t, store.Config{Dir: dir}), blocks...)
}

// TestDiesWhileOpening has a program that died several times while it opened the database:
// Badger panics on some damage where nobody can recover. At last an empty one is started.
func TestDiesWhileOpening(t *testing.T) {
	t.Parallel()
	blocks := randomBlocks(t, 1, 3, 100)
	for times, moved := range map[string]bool{"1": false, "2": false, "3": true, "": false} {
		dir := filled(t, blocks)
		if err := os.WriteFile(filepath.Join(dir, "blocks.opening"), []byte(times), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			s := open(t, store.Config{Dir: dir})
			if (s.Moved() != "") != moved || s.Has(blocks[0].CID()) == moved {
				t.Errorf("after %q: moved to %q", times, s.Moved())
			}
			put(t, s, blocks...)
			moved = false // the count began anew
			closed(t, s)
		}
	}
}

// TestUnfinishedTable has a table that was being written when the program died, and is not
// in the list of tables: it is no damage.
func TestUnfinishedTable(t *testing.T) {
	t.Parallel()
	blocks := randomBlocks(t, 1, 3, 100)
	dir := filled(t, blocks)
	if err := os.WriteFile(filepath.Join(dir, "blocks", "009999.sst"), []byte("half a table"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, store.Config{Dir: dir})
	if s.Moved() != "" {
		t.Error("the database was moved aside")
	}
	holds(t, s, blocks...)
}

// TestLayout refuses data of another version and leaves it alone.
func TestLayout(t *testing.T) {
	t.Parallel()
	blocks := randomBlocks(t, 1, 3, 100)
	dir := filled(t, blocks)
	store.SetLayout(t, dir, 99)
	var other *store.LayoutError
	if _, err := store.Open(store.Config{Dir: dir}); !errors.As(err, &other) || other.Got != 99 || other.Want != 1 {
		t.Fatalf("got %v", err)
	}
	store.SetLayout(t, dir, 1)
	holds(t, open(t, store.Config{Dir: dir}), blocks...)
}

// TestLostLayout has lost the record of the layout, as with a table that Badger dropped: what is left is salvaged.
func TestLostLayout(t *testing.T) {
	t.Parallel()
	blocks := randomBlocks(t, 1, 3, 5000)
	dir := filled(t, blocks)
	store.LoseLayout(t, dir)
	s := open(t, store.Config{Dir: dir})
	if s.Moved() == "" {
		t.Error("the database was not moved aside")
	}
	holds(t, s, blocks...)
}

// flip changes a byte in the middle of content in the files of a closed store.
func flip(t *testing.T, dir string, content []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "blocks", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, content); at >= 0 {
			b[at+len(content)/2] ^= 1
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("content not found")
}
