package catalog_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
)

// readBy is the demo model with something done before its tensors are read.
func readBy(tb testing.TB, before func()) *model.Checkpoint {
	tb.Helper()
	ck := *demoCheckpoint(tb)
	ck.Tensors = slices.Clone(ck.Tensors)
	for i := range ck.Tensors {
		read := ck.Tensors[i].Read
		ck.Tensors[i].Read = func(dst []byte) error {
			before()
			return read(dst)
		}
	}
	return &ck
}

// TestImportsKeepTheirRoom imports two models where one fits: the second is refused before a byte of
// it is read, with what is missing beside the first, which comes to its end.
func TestImportsKeepTheirRoom(t *testing.T) {
	t.Parallel()
	size := demoCheckpoint(t).Bytes()
	s, err := store.Open(store.Config{Dir: t.TempDir(), Links: wire.Links, Limit: 2*size - size/4})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := newCatalog(t, catalog.Config{Store: s})
	begun, goOn, ended := make(chan struct{}, 100), make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := c.Import(t.Context(), readBy(t, func() { begun <- struct{}{}; <-goOn }), "first", nil)
		ended <- err
	}()
	<-begun
	_, err = c.Import(t.Context(), readBy(t, func() { t.Error("a tensor is read") }), "second", nil)
	var full *store.SpaceError
	if !errors.As(err, &full) || full.Claimed < size || full.Need < size || !strings.Contains(err.Error(), "are for what is being stored") {
		t.Errorf("beside one that is imported: %v", err)
	}
	close(goOn)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.CheckModel(size / 4); err != nil { // nothing is kept any more
		t.Error(err)
	}
}

// TestImportOnDiskThatFills fills the disk while a model is imported: the error has what is needed to
// import it again.
func TestImportOnDiskThatFills(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	s, err := store.Open(store.Config{Dir: t.TempDir(), Links: wire.Links, Space: func(string) (int64, int64, error) {
		if full.Load() {
			return 100 << 20, 1 << 40, nil
		}
		return 1 << 40, 1 << 40, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ck := readBy(t, func() { full.Store(true) })
	_, err = newCatalog(t, catalog.Config{Store: s}).Import(t.Context(), ck, "", nil)
	var none *store.SpaceError
	if !errors.As(err, &none) || none.Need < ck.Bytes() || none.Claimed != 0 {
		t.Errorf("got %v", err)
	}
	full.Store(false)
	if st := s.Stat(); st.Blocks != 0 {
		t.Errorf("%d blocks are left", st.Blocks)
	}
}
