package exchange_test

import (
	"testing"
	"time"
)

// TestMeasure measures a peer that has some of the blocks: nothing is stored here, and what is
// missing there is not waited for.
func TestMeasure(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	a, b := s.add(nil), s.add(nil)
	blocks := randomBlocks(t, 1, 4, 1<<20)
	a.put(t, blocks[:3])
	n, took, err := b.ex.Measure(t.Context(), a.ID(), cidsOf(blocks), patience)
	if err != nil || n != 3<<20 || took <= 0 || took > 10*time.Second {
		t.Errorf("%d bytes in %v: %v", n, took, err)
	}
	if b.store.Has(blocks[0].CID()) {
		t.Error("it was stored")
	}
	if _, _, err := b.ex.Measure(t.Context(), b.ID(), cidsOf(blocks), patience); err == nil {
		t.Error("measured itself")
	}
}
