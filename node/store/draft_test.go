package store_test

import (
	"testing"

	"github.com/covey-network/covey/node/store"
)

// TestDraft discards what was put under a draft, but not what was there before, is pinned by
// now or is held by another one, and keeps a draft that is kept.
func TestDraft(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{})
	b := randomBlocks(t, 1, 5, 10_000)
	before, pinned, shared, gone, kept := b[0], b[1], b[2], b[3], b[4]
	put(t, s, before)
	draft := func(blocks ...store.Block) *store.Draft {
		d, err := s.Draft()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Add(cidsOf(blocks)...); err != nil {
			t.Fatal(err)
		}
		put(t, s, blocks...)
		return d
	}
	first := draft(before, pinned, shared, gone)
	second := draft(shared, kept)
	if err := s.Pin(pinned.CID()); err != nil {
		t.Fatal(err)
	}
	if err := first.Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, s, before, pinned, shared, kept)
	if s.Has(gone.CID()) {
		t.Error("a discarded block is there")
	}
	if err := second.Keep(); err != nil {
		t.Fatal(err)
	}
	holds(t, s, shared, kept)
}

// TestDraftCutOff ends the program before a draft: the next start discards it.
func TestDraftCutOff(t *testing.T) {
	t.Parallel()
	cfg := store.Config{Dir: t.TempDir()}
	s := open(t, cfg)
	b := randomBlocks(t, 1, 3, 10_000)
	put(t, s, b[0])
	d, err := s.Draft()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Add(cidsOf(b)...); err != nil {
		t.Fatal(err)
	}
	put(t, s, b...)
	if err := s.Pin(b[1].CID()); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	s = open(t, cfg)
	holds(t, s, b[:2]...)
	if s.Has(b[2].CID()) {
		t.Error("a block of an unfinished draft is there")
	}
	put(t, s, b[2]) // of no draft now
	closed(t, s)
	holds(t, open(t, cfg), b...)
}
