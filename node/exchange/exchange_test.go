package exchange_test

import (
	"errors"
	"slices"
	"testing"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

func TestFetch(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	a, b := s.add(nil), s.add(nil)
	big, small := randomBlocks(t, 1, 40, 1<<20), randomBlocks(t, 2, 500, 300)
	all := slices.Concat(big, small)
	a.put(t, all)
	want := cidsOf(all)
	var last exchange.Stats
	st, err := b.ex.Fetch(t.Context(), append(want, want...), []host.ID{a.ID(), a.ID()}, exchange.Options{
		Priority: wire.PriorityLoad,
		Progress: func(s exchange.Stats) { last = s },
	})
	size := int64(40<<20 + 500*300)
	if err != nil || st.Blocks != 540 || st.Bytes != size || st.Skipped != 0 || st.From[a.ID()] != size {
		t.Fatalf("got %+v, %v", st, err)
	}
	if last.Bytes != size || last.From[a.ID()] != size {
		t.Errorf("last progress %+v", last)
	}
	b.holds(t, all)
	if st, err := b.ex.Fetch(t.Context(), want, []host.ID{a.ID()}, exchange.Options{}); err != nil || st.Blocks != 0 || st.Skipped != size {
		t.Errorf("again: %+v, %v", st, err)
	}
}

// TestOneOfTwoHasIt asks for one block at a time: when the provider that lacks it says so,
// the other one, which waits for work, must get the question.
func TestOneOfTwoHasIt(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	a, b, c := s.add(nil), s.add(nil), s.add(nil)
	blocks := randomBlocks(t, 5, 200, 100)
	b.put(t, blocks)
	for i, want := range cidsOf(blocks) {
		if _, err := c.ex.Fetch(t.Context(), []cid.Cid{want}, []host.ID{a.ID(), b.ID()}, exchange.Options{}); err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
	}
	c.holds(t, blocks)
}

func TestMissing(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	a, b, c := s.add(nil), s.add(nil), s.add(nil)
	blocks := randomBlocks(t, 3, 300, 1000)
	a.put(t, blocks[:100])
	b.put(t, blocks[100:200])
	st, err := c.ex.Fetch(t.Context(), cidsOf(blocks), []host.ID{a.ID(), b.ID()}, exchange.Options{})
	var missing *exchange.MissingError
	if !errors.As(err, &missing) || !slices.Equal(missing.CIDs, cidsOf(blocks[200:])) || missing.Err != nil {
		t.Fatalf("got %v", err)
	}
	if st.Blocks != 200 || st.From[a.ID()] != 100_000 || st.From[b.ID()] != 100_000 {
		t.Errorf("got %+v", st)
	}
	c.holds(t, blocks[:200])
	for _, from := range [][]host.ID{nil, {c.ID()}, {"nobody"}} {
		if _, err := c.ex.Fetch(t.Context(), cidsOf(blocks), from, exchange.Options{}); !errors.As(err, &missing) || len(missing.CIDs) != 100 {
			t.Errorf("from %v: %v", from, err)
		}
	}
	if _, err := c.ex.Fetch(t.Context(), []cid.Cid{cid.Undef}, []host.ID{a.ID()}, exchange.Options{}); !errors.Is(err, wire.ErrInvalid) {
		t.Errorf("no identifier: %v", err)
	}
}
