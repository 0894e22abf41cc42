package catalog_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/protocol/wire"
)

func TestFetch(t *testing.T) {
	t.Parallel()
	_, m, empty, f := pair(t)
	if _, err := empty.Get(t.Context(), m.CID, nil); err != nil {
		t.Fatal(err)
	}
	middle := wire.Range{First: 1, Last: 3}
	var last exchange.Stats
	st, err := empty.Fetch(t.Context(), m, middle, exchange.Options{Progress: func(s exchange.Stats) { last = s }})
	if err != nil {
		t.Fatal(err)
	}
	if want := empty.PartBytes(m, middle); st.Bytes != want || st.Skipped != 0 || last.Bytes != want || st.From[peer] != want {
		t.Errorf("got %+v, want %d bytes", st, want)
	}
	if held := empty.Held(m); !slices.Equal(held, []wire.Range{middle}) {
		t.Errorf("holds %v", held)
	}
	calls := f.calls
	st, err = empty.Fetch(t.Context(), m, middle, exchange.Options{Progress: func(s exchange.Stats) { last = s }})
	if want := empty.PartBytes(m, middle); err != nil || st.Bytes != 0 || st.Skipped != want || last.Skipped != want || f.calls != calls {
		t.Errorf("again: %+v, %v", st, err)
	}
	st, err = empty.Fetch(t.Context(), m, m.Manifest.Whole(), exchange.Options{})
	if want := empty.PartBytes(m, m.Manifest.Whole()); err != nil || st.Bytes+st.Skipped != want {
		t.Errorf("whole: %+v, %v, want %d", st, err, want)
	}
	if held := empty.Held(m); !slices.Equal(held, []wire.Range{m.Manifest.Whole()}) {
		t.Errorf("holds %v", held)
	}
	for _, id := range m.Manifest.Tokenizer.Blocks.CIDs() {
		if !f.to.Has(id) {
			t.Error("the tokenizer is not here")
		}
	}
	offline := newCatalog(t, catalog.Config{Store: f.to})
	if _, err := offline.Fetch(t.Context(), m, m.Manifest.Whole(), exchange.Options{}); err != nil {
		t.Errorf("offline, all here: %v", err)
	}
	if err := f.to.Delete(t.Context(), m.Manifest.Tokenizer.Blocks.At(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := offline.Fetch(t.Context(), m, m.Manifest.Whole(), exchange.Options{}); !errors.Is(err, catalog.ErrNotHere) {
		t.Errorf("offline, not all here: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := empty.Fetch(ctx, m, middle, exchange.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestPartBytes(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Config{Store: openStore(t)})
	m := imported(t, c)
	sum := func(kind wire.PartKind, index uint32) (n int64) {
		for _, x := range m.Manifest.Part(kind, index).Tensors {
			n += x.Bytes
		}
		return n
	}
	embedding, block, head := sum(wire.PartEmbedding, 0)+m.Manifest.Tokenizer.Bytes, sum(wire.PartBlock, 0), sum(wire.PartHead, 0)
	norm := m.Manifest.Part(wire.PartHead, 0).Tensor("norm.weight").Bytes
	tests := []struct {
		name string
		r    wire.Range
		want int64
	}{
		{"embedding", wire.Range{Embed: true}, embedding},
		{"one block", wire.Range{First: 2, Last: 3}, block},
		{"two blocks", wire.Range{First: 2, Last: 4}, 2 * block},
		{"head", wire.Range{First: 4, Last: 4, Head: true}, head},
		{"whole, the tied matrix once", m.Manifest.Whole(), embedding + 4*block + norm},
		{"nothing", wire.Range{First: 3, Last: 3}, 0},
		{"beyond", wire.Range{First: 3, Last: 4000}, block},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := c.PartBytes(m, tt.r)
			// Tensors of zeros or ones may share blocks: the norms of the demo do not.
			if got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestHeld(t *testing.T) {
	t.Parallel()
	full := openStore(t)
	m := imported(t, newCatalog(t, catalog.Config{Store: full}))
	ids := func(r wire.Range) (out []cid.Cid) {
		for _, p := range m.Manifest.PartsOf(r) {
			for i := range p.Tensors {
				out = append(out, p.Tensors[i].Blocks.CIDs()...)
			}
		}
		return out
	}
	tests := []struct {
		name string
		have []wire.Range
		less []wire.Range // of these the last block is absent
		want []wire.Range
	}{
		{"nothing", nil, nil, nil},
		{"all", []wire.Range{{Last: 4, Embed: true, Head: true}}, nil, []wire.Range{{Last: 4, Embed: true, Head: true}}},
		{"middle", []wire.Range{{First: 1, Last: 3}}, nil, []wire.Range{{First: 1, Last: 3}}},
		{"two", []wire.Range{{First: 0, Last: 1}, {First: 2, Last: 4}}, nil, []wire.Range{{First: 0, Last: 1}, {First: 2, Last: 4}}},
		{"embedding alone", []wire.Range{{Embed: true}}, nil, []wire.Range{{Embed: true}}},
		{"embedding apart", []wire.Range{{Embed: true}, {First: 1, Last: 2}}, nil, []wire.Range{{Embed: true}, {First: 1, Last: 2}}},
		{"start", []wire.Range{{Last: 2, Embed: true}}, nil, []wire.Range{{Last: 2, Embed: true}}},
		{"head", []wire.Range{{First: 4, Last: 4, Head: true}}, nil, []wire.Range{{Embed: true}, {First: 4, Last: 4, Head: true}}}, // they are tied
		{"part of a block", []wire.Range{{First: 1, Last: 2}}, []wire.Range{{First: 2, Last: 3}}, []wire.Range{{First: 1, Last: 2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t)
			c := newCatalog(t, catalog.Config{Store: s})
			copyTo := func(ids []cid.Cid) {
				for _, id := range ids {
					data, err := full.Get(t.Context(), id)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := s.Put(t.Context(), data); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, r := range tt.have {
				copyTo(ids(r))
			}
			for _, r := range tt.less {
				some := ids(r)
				copyTo(some[:len(some)-1])
			}
			held := c.Held(m)
			if !slices.Equal(held, tt.want) {
				t.Errorf("got %v, want %v", held, tt.want)
			}
			for _, r := range held {
				if err := r.Validate(); err != nil {
					t.Error(err)
				}
			}
			var want int64
			seen := map[cid.Cid]bool{}
			for _, p := range m.Manifest.Parts {
				for _, x := range p.Tensors {
					for i, id := range x.Blocks.CIDs() {
						if s.Has(id) && !seen[id] {
							want += int64(wire.BlockLen(x.Bytes, i))
						}
						seen[id] = true
					}
				}
			}
			if _, n := c.Size(m); n != want {
				t.Errorf("got %d bytes, want %d", n, want)
			}
		})
	}
}

// TestSize has a model whose head is its embedding, here in all, in part and not at all.
func TestSize(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	c := newCatalog(t, catalog.Config{Store: s})
	var imported int64
	m, err := c.Import(t.Context(), demoCheckpoint(t), "", func(_, total int64) { imported = total })
	if err != nil {
		t.Fatal(err)
	}
	bytes, here := c.Size(m)
	if bytes != imported || here != bytes || bytes >= m.Manifest.Bytes {
		t.Errorf("%d bytes, %d here, %d were imported, the manifest lists %d", bytes, here, imported, m.Manifest.Bytes)
	}
	own, shared := catalog.PartSizes(m.Manifest)
	sum := m.Manifest.Tokenizer.Bytes
	for _, n := range own {
		sum += n
	}
	if head := len(own) - 1; sum != bytes || shared[head] != own[0] || own[head] >= own[0] {
		t.Errorf("parts take %v and share %v, together %d of %d", own, shared, sum, bytes)
	}
	empty := openStore(t)
	peerless := newCatalog(t, catalog.Config{Store: empty})
	for _, id := range m.Manifest.Tokenizer.Blocks.CIDs() {
		data, err := s.Get(t.Context(), id)
		if err == nil {
			_, err = empty.Put(t.Context(), data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n, here := peerless.Size(m); n != bytes || here != 0 {
		t.Errorf("with the tokenizer alone %d of %d bytes are here", here, n)
	}
}

// TestHeldEmptyPart checks that a head without tensors, as of an encoder that makes
// embeddings, is held by whoever has the last block.
func TestHeldEmptyPart(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	c := newCatalog(t, catalog.Config{Store: s})
	cfg := tinyBert(t)
	full := bare(t, cfg)
	last := full.Part(wire.PartBlock, 1)
	for i := range last.Tensors {
		zero := make([]byte, last.Tensors[i].Bytes)
		if _, err := s.Put(t.Context(), zero); err != nil {
			t.Fatal(err)
		}
		last.Tensors[i].Blocks = wire.DigestsOf(wire.CIDOf(zero))
	}
	m, err := c.Get(t.Context(), put(t, s, full), nil)
	if err != nil {
		t.Fatal(err)
	}
	if held := c.Held(m); !slices.Equal(held, []wire.Range{{First: 1, Last: 2, Head: true}}) {
		t.Errorf("got %v", held)
	}
	none, err := c.Get(t.Context(), put(t, s, bare(t, cfg)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if held := c.Held(none); len(held) != 0 {
		t.Errorf("got %v of nothing", held)
	}
}
