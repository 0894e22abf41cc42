package store_test

import (
	"testing"

	"github.com/covey-network/covey/node/store"
)

// TestSizesAfterReopen checks that lengths are exact after a restart, for values of all
// sizes and wherever Badger keeps them.
func TestSizesAfterReopen(t *testing.T) {
	t.Parallel()
	cfg := store.Config{Dir: t.TempDir()}
	s, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []store.Block
	for _, n := range []int{1, 2, 127, 128, 255, 256, 257, 16383, 16384, 32767, 32768, 32769, 105236, 1<<20 - 1, 1 << 20} {
		b, err := store.NewBlock(make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	if _, err := s.PutMany(t.Context(), blocks); err != nil {
		t.Fatal(err)
	}
	before := s.Stat()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, b := range blocks {
		if got, ok := s.Size(b.CID()); !ok || got != len(b.Data()) {
			t.Errorf("block of %d bytes has size %d, %t after a restart", len(b.Data()), got, ok)
		}
	}
	if after := s.Stat(); after.Bytes != before.Bytes {
		t.Errorf("%d bytes after a restart, %d before", after.Bytes, before.Bytes)
	}
}
