package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/covey-network/covey/node/store"
)

// disk is a disk whose free space a test sets.
type disk struct{ free, total atomic.Int64 }

func (d *disk) space(string) (free, total int64, err error) {
	return d.free.Load(), d.total.Load(), nil
}

func TestSpaceGuard(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for name, c := range map[string]struct {
		total, free int64
		cfg         store.Config
		fits        bool
	}{
		"plenty":             {100 * gib, 50 * gib, store.Config{}, true},
		"below 5 %":          {100 * gib, 5*gib - 1, store.Config{}, false},
		"above 5 %":          {100 * gib, 5*gib + 20<<20, store.Config{}, true},
		"below 512 MiB":      {4 * gib, 512 << 20, store.Config{}, false},
		"above 512 MiB":      {4 * gib, 532 << 20, store.Config{}, true},
		"owner's margin":     {100 * gib, 50 * gib, store.Config{MarginBytes: 50 * gib}, false},
		"owner's percentage": {100 * gib, 50 * gib, store.Config{MarginPercent: 51}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d disk
			d.total.Store(100 * gib)
			d.free.Store(90 * gib)
			cfg := c.cfg
			cfg.Space = d.space
			s := open(t, cfg)
			b := randomBlocks(t, 1, 2, 1<<20)
			put(t, s, b[0])
			d.total.Store(c.total)
			d.free.Store(c.free)
			_, err := s.PutMany(t.Context(), b[1:])
			var full *store.SpaceError
			if c.fits != (err == nil) || !c.fits && (!errors.As(err, &full) || full.Need != 1<<20 || full.Margin == 0) {
				t.Fatalf("put: %v", err)
			}
			if s.Has(b[1].CID()) != c.fits || (s.Stat().Free == 0) == c.fits {
				t.Errorf("has %v, %d bytes free", s.Has(b[1].CID()), s.Stat().Free)
			}
			holds(t, s, b[0])
			put(t, s, b[0]) // what is there needs no room
			d.free.Store(90 * gib)
			put(t, s, b[1])
		})
	}
}

// TestReadOnlyWithoutRoom starts without room even for the database's own files, as the
// system has it: reads go on, removing works, and so does everything once there is room.
func TestReadOnlyWithoutRoom(t *testing.T) {
	t.Parallel()
	var d disk
	d.total.Store(100 << 30)
	d.free.Store(90 << 30)
	dir := t.TempDir()
	s := open(t, store.Config{Dir: dir, Space: d.space})
	b := randomBlocks(t, 1, 3, 100_000)
	put(t, s, b...)
	closed(t, s)
	d.free.Store(1 << 20)
	s = open(t, store.Config{Dir: dir, Space: d.space})
	holds(t, s, b...)
	if st := s.Stat(); st.Full == "" || st.Free != 0 {
		t.Errorf("%+v on a full disk", st)
	}
	if err := s.Pin(b[1].CID()); err != nil {
		t.Error(err)
	}
	var full *store.SpaceError
	if _, err := s.PutMany(t.Context(), randomBlocks(t, 2, 1, 1000)); !errors.As(err, &full) {
		t.Errorf("put: %v", err)
	}
	put(t, s, b...) // what is there needs no room
	if err := s.Delete(t.Context(), b[0].CID()); err != nil {
		t.Error(err)
	}
	if st, err := s.GC(t.Context()); err != nil || st.Removed != 1 {
		t.Errorf("gc: %+v, %v", st, err)
	}
	holds(t, s, b[1])
	d.free.Store(90 << 30)
	put(t, s, b...)
	if st := s.Stat(); st.Full != "" {
		t.Errorf("%+v with room", st)
	}
}

// TestDatabaseThatDoesNotOpen cannot open the database again to remove a block: the error is no
// lack of blocks. GC opens it when it can be, and so does the watch with less room than is
// needed to put.
func TestDatabaseThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	for name, mend := range map[string]func(*store.Store, *disk) error{
		"gc": func(s *store.Store, _ *disk) error {
			_, err := s.GC(t.Context())
			return err
		},
		"watch": func(s *store.Store, d *disk) error {
			d.free.Store(200 << 20)
			s.Watch()
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d disk
			d.total.Store(100 << 30)
			d.free.Store(90 << 30)
			cfg := store.Config{Dir: t.TempDir(), Space: d.space, Links: links}
			s := open(t, cfg)
			root := node(t, nil, nil)
			put(t, s, root)
			if err := s.Pin(root.CID()); err != nil {
				t.Fatal(err)
			}
			closed(t, s)
			d.free.Store(1 << 20)
			s = open(t, cfg)
			keys := filepath.Join(cfg.Dir, "blocks", "KEYREGISTRY")
			if err := errors.Join(os.Rename(keys, keys+".away"), os.Mkdir(keys, 0o700)); err != nil {
				t.Fatal(err)
			}
			if err := s.Delete(t.Context(), root.CID()); err == nil {
				t.Fatal("no error")
			}
			if _, err := s.Get(t.Context(), root.CID()); err == nil || errors.Is(err, store.ErrNotFound) {
				t.Errorf("get: %v", err)
			}
			if err := errors.Join(os.Remove(keys), os.Rename(keys+".away", keys)); err != nil {
				t.Fatal(err)
			}
			if err := mend(s, &d); err != nil {
				t.Fatal(err)
			}
			holds(t, s, root)
		})
	}
}

// TestNewDatabaseOnFullDisk starts with a database that a first start left without anything,
// not even its layout: it opens without room, takes blocks with some, and opens again.
func TestNewDatabaseOnFullDisk(t *testing.T) {
	t.Parallel()
	var d disk
	d.total.Store(100 << 30)
	d.free.Store(1 << 20)
	cfg := store.Config{Dir: t.TempDir(), Space: d.space}
	store.EmptyDatabase(t, cfg.Dir)
	s := open(t, cfg)
	if s.Stat().Full == "" {
		t.Error("there is room")
	}
	d.free.Store(90 << 30)
	b := randomBlocks(t, 1, 3, 100_000)
	put(t, s, b...)
	closed(t, s)
	holds(t, open(t, cfg), b...)
}

func TestOwnersLimit(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{Limit: 20 << 20})
	b := randomBlocks(t, 1, 40, 1<<20)
	n := 0
	var full *store.SpaceError
	for ; n < len(b); n++ {
		if _, err := s.PutMany(t.Context(), b[n:n+1]); err != nil {
			if !errors.As(err, &full) || full.Margin != 0 {
				t.Fatal(err)
			}
			break
		}
	}
	if n == 0 || n > 20 {
		t.Fatalf("%d MiB fit into 20", n)
	}
	holds(t, s, b[:n]...)
	if err := s.Delete(t.Context(), cidsOf(b)...); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, s, b[n])
}

// TestFreeIsWhatFits asks for what a model may take, on disks with more and less room.
func TestFreeIsWhatFits(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	var d disk
	d.total.Store(4 * gib)
	d.free.Store(3 * gib)
	s := open(t, store.Config{Space: d.space})
	put(t, s, randomBlocks(t, 1, 1, 1<<20)[0])
	for _, free := range []int64{3 * gib, 512<<20 + 200<<20, 512<<20 + 62<<20, 512<<20 + 20<<20} {
		d.free.Store(free)
		fits := s.Stat().Free
		if err := s.CheckModel(fits); err != nil || fits == 0 {
			t.Errorf("of a disk with %d bytes free %d are said to be: %v", free, fits, err)
		}
		var full *store.SpaceError
		if err := s.CheckModel(fits + 1); !errors.As(err, &full) || full.Margin != 512<<20 {
			t.Errorf("of a disk with %d bytes free one more than %d: %v", free, fits, err)
		}
	}
}

// TestRoomIsSeenAtOnce starts without room: what is refused is refused by the figures that are
// told, and when room is made nobody waits until the store looks again.
func TestRoomIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	var d disk
	d.total.Store(4 << 30)
	d.free.Store(3 << 30)
	cfg := store.Config{Dir: t.TempDir(), Space: d.space}
	s := open(t, cfg)
	put(t, s, randomBlocks(t, 1, 1, 1000)...)
	closed(t, s)
	for _, free := range []int64{1 << 20, 200 << 20, 512<<20 + 60<<20} { // the last would do but for files of the store
		d.free.Store(1 << 20)
		s = open(t, cfg)
		d.free.Store(free)
		var full *store.SpaceError
		if err := s.CheckModel(40 << 20); !errors.As(err, &full) || full.Free != free || full.Need+full.Margin+full.Extra <= full.Free {
			t.Errorf("with %d bytes free: %v", free, err)
		}
		closed(t, s)
	}
	d.free.Store(1 << 20)
	s = open(t, cfg)
	d.free.Store(512<<20 + 300<<20)
	st := s.Stat()
	if st.Full != "" || st.Free == 0 {
		t.Errorf("%+v with room", st)
	}
	if err := s.CheckModel(st.Free); err != nil {
		t.Error(err)
	}
	put(t, s, randomBlocks(t, 2, 1, 1000)...)
}
