package catalog

import (
	"context"
	"errors"
	"fmt"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
)

// Fetch brings the blocks of a range into the store, from Providers, and with the embedding
// the tokenizer. Once here they are safe from GC only if the model is pinned. Stats count
// what was here before as skipped.
func (c *Catalog) Fetch(ctx context.Context, m *Model, r wire.Range, o exchange.Options) (exchange.Stats, error) {
	blocks := blocksOf(m.Manifest, r)
	want := make([]cid.Cid, len(blocks))
	var here exchange.Stats
	whole := true
	for i, b := range blocks {
		want[i] = b.id
		here.Skipped += int64(b.size)
		whole = whole && c.store.Has(b.id)
	}
	if whole { // there need not be a provider
		if o.Progress != nil {
			o.Progress(here)
		}
		return here, ctx.Err()
	}
	missing := c.Missing(m, r)
	claim, err := c.store.Claim(m.CID.String(), missing)
	if err != nil {
		return exchange.Stats{}, fmt.Errorf("fetch %s (%s): %w", m.Name, Short(m.CID), err)
	}
	told := o.Progress
	o.Progress = func(s exchange.Stats) {
		claim.Left(missing - s.Bytes)
		if told != nil {
			told(s)
		}
	}
	st, err := c.fetch(ctx, m.CID, want, nil, o)
	claim.Release()
	if full := new(store.SpaceError); errors.As(err, &full) && !full.Owed {
		err = c.store.Refused(c.Missing(m, r)) // what was fetched stays
	}
	if err != nil {
		return st, fmt.Errorf("fetch %s (%s): %w", m.Name, Short(m.CID), err)
	}
	return st, nil
}

// fetch brings blocks of a model from the given peers, or else from its providers.
func (c *Catalog) fetch(ctx context.Context, id cid.Cid, want []cid.Cid, from []host.ID, o exchange.Options) (exchange.Stats, error) {
	if c.fetcher == nil {
		return exchange.Stats{}, fmt.Errorf("%w: %d blocks, and this catalog is offline", ErrNotHere, len(want))
	}
	if len(from) == 0 {
		from = c.providers(ctx, id)
	}
	if len(from) == 0 {
		if err := ctx.Err(); err != nil {
			return exchange.Stats{}, err
		}
		why := ""
		if c.nobody != nil {
			why = c.nobody(id)
		}
		return exchange.Stats{}, fmt.Errorf("%w: %d blocks, and no peer that is reached has them%s", ErrNotHere, len(want), why)
	}
	return c.fetcher.Fetch(ctx, want, from, o)
}

// sized is a block and its length.
type sized struct {
	id   cid.Cid
	size int
}

// blocksOf lists the blocks of a range, each once, in the order in which they are needed.
func blocksOf(m *wire.Manifest, r wire.Range) []sized {
	var out []sized
	seen := map[cid.Cid]struct{}{}
	add := func(size int64, d wire.Digests) {
		for i := range d.Len() {
			id := d.At(i)
			if _, twice := seen[id]; twice {
				continue
			}
			seen[id] = struct{}{}
			out = append(out, sized{id, wire.BlockLen(size, i)})
		}
	}
	if r.Embed {
		add(m.Tokenizer.Bytes, m.Tokenizer.Blocks)
	}
	for _, p := range m.PartsOf(r) {
		for i := range p.Tensors {
			add(p.Tensors[i].Bytes, p.Tensors[i].Blocks)
		}
	}
	return out
}

// PartBytes returns how much Fetch of a range brings if nothing is here: every block is
// counted once, also if two tensors have it.
func (c *Catalog) PartBytes(m *Model, r wire.Range) int64 { return rangeBytes(m.Manifest, r) }

// Missing returns how much of a range Fetch would bring now.
func (c *Catalog) Missing(m *Model, r wire.Range) (n int64) {
	for _, b := range blocksOf(m.Manifest, r) {
		if !c.store.Has(b.id) {
			n += int64(b.size)
		}
	}
	return n
}

func rangeBytes(m *wire.Manifest, r wire.Range) int64 {
	var n int64
	for _, b := range blocksOf(m, r) {
		n += int64(b.size)
	}
	return n
}

// Held returns the longest ranges of a model whose tensors are here whole, in order.
func (c *Catalog) Held(m *Model) (ranges []wire.Range) {
	blocks := uint32(m.Manifest.Blocks())
	var open *wire.Range
	extend := func(r wire.Range) {
		if open != nil && open.Last == r.First && !open.Head {
			open.Last, open.Head = r.Last, r.Head
			return
		}
		ranges = append(ranges, r)
		open = &ranges[len(ranges)-1]
	}
	for i := range m.Manifest.Parts {
		p := &m.Manifest.Parts[i]
		whole := c.whole(p)
		if len(p.Tensors) == 0 { // costs nothing, and is worth nothing alone
			whole = open != nil && open.Last == blocks
			if i == 0 && len(m.Manifest.Parts) > 1 {
				whole = c.whole(&m.Manifest.Parts[1])
			}
		}
		switch {
		case !whole:
			open = nil
		case p.Kind == wire.PartEmbedding:
			extend(wire.Range{Embed: true})
		case p.Kind == wire.PartBlock:
			extend(wire.Range{First: p.Index, Last: p.Index + 1})
		case p.Kind == wire.PartHead:
			extend(wire.Range{First: blocks, Last: blocks, Head: true})
		}
	}
	return ranges
}

// whole reports whether all tensors of a part are here.
func (c *Catalog) whole(p *wire.Part) bool {
	for i := range p.Tensors {
		d := p.Tensors[i].Blocks
		for j := range d.Len() {
			if !c.store.Has(d.At(j)) {
				return false
			}
		}
	}
	return true
}
