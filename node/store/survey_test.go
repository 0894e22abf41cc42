package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/node/store"
)

// TestLook looks at a store that is not there, is open, and is closed on a disk that is full.
func TestLook(t *testing.T) {
	t.Parallel()
	var d disk
	d.total.Store(100 << 30)
	d.free.Store(50 << 30)
	cfg := store.Config{Dir: filepath.Join(t.TempDir(), "a", "store"), Space: d.space}
	look := func() *store.Survey {
		t.Helper()
		v, err := store.Look(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := look(); v.Held || v.Used != 0 || v.Models != 0 || v.Full != "" || v.Free != 50<<30 || v.Total != 100<<30 || v.Margin != 5<<30 {
		t.Errorf("nothing there: %+v", v)
	}
	if _, err := os.Stat(cfg.Dir); err == nil {
		t.Error("a look made the directory")
	}
	if _, err := store.Look(store.Config{Dir: cfg.Dir}); err != nil { // of the disk above it
		t.Error(err)
	}
	s, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := randomBlocks(t, 1, 8, 1<<20)
	put(t, s, b...)
	if err := errors.Join(s.Pin(b[0].CID()), s.Pin(b[1].CID()), s.SetName("one", b[1].CID()), s.SetName("two", b[2].CID())); err != nil {
		t.Fatal(err)
	}
	if v := look(); !v.Held || v.Models != 3 {
		t.Errorf("open: %+v", v)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d.free.Store(4 << 30)
	if v := look(); v.Held || v.Used < 8<<20 || !strings.Contains(v.Full, "the disk has 4096 MiB free, and 5120 MiB must stay free") {
		t.Errorf("on a full disk: %+v", v)
	}
	d.free.Store(50 << 30)
	cfg.Limit = 1 << 20
	if v := look(); !strings.Contains(v.Full, "the disk limit of 1 MiB is used up") {
		t.Errorf("beyond the limit: %+v", v)
	}
}
