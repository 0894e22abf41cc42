package catalog

import (
	"context"
	"errors"
	"slices"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// Size returns what the weights and the tokenizer of a model take, and how much of that is
// here. A block that tensors share counts once. A tokenizer without any weights counts as
// nothing: whoever asks peers for answers has one.
func (c *Catalog) Size(m *Model) (bytes, here int64) {
	tokenizer := map[cid.Cid]bool{}
	for _, id := range m.Manifest.Tokenizer.Blocks.CIDs() {
		tokenizer[id] = true
	}
	weights := false
	for _, b := range blocksOf(m.Manifest, m.Manifest.Whole()) {
		bytes += int64(b.size)
		if c.store.Has(b.id) {
			here += int64(b.size)
			weights = weights || !tokenizer[b.id]
		}
	}
	if !weights {
		here = 0
	}
	return bytes, here
}

// claimRoom keeps the room that a model takes until it is here, or says at once that there is
// none. If a model of the same form is here, which may have its blocks, the files are read through
// first to find out how many.
func (im *importer) claimRoom(ctx context.Context, jobs []*job, m *wire.Manifest) (err error) {
	im.needs = im.total
	im.claim, err = im.c.store.Claim(im.draft.Name(), im.needs)
	if err == nil || !slices.ContainsFunc(im.c.List(), func(known *Model) bool { return alike(known.Manifest, m) }) {
		return err
	}
	if im.needs, err = im.missing(ctx, jobs); err != nil {
		return err
	}
	im.claim, err = im.c.store.Claim(im.draft.Name(), im.needs)
	return err
}

// refused replaces an error of a disk that was filled while a model was imported by what is needed
// to import it again, after nothing of it was left. Others stay as they are.
func (im *importer) refused(err error) error {
	if full := new(store.SpaceError); im.claim == nil || !errors.As(err, &full) || full.Owed {
		return err
	}
	return im.c.store.Refused(im.needs)
}

// missing counts the bytes of jobs that are not in the store.
func (im *importer) missing(ctx context.Context, jobs []*job) (bytes int64, err error) {
	var buf []byte
	seen := map[cid.Cid]bool{}
	for _, j := range jobs {
		buf = slices.Grow(buf[:0], int(j.size))[:j.size]
		if err := j.read(buf); err != nil {
			return 0, err
		}
		for chunk := range slices.Chunk(buf, protocol.MaxBlock) {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			b, err := store.NewBlock(chunk)
			if err != nil {
				return 0, err
			}
			if id := b.CID(); !seen[id] && !im.c.store.Has(id) {
				seen[id] = true
				bytes += int64(len(chunk))
			}
		}
	}
	return bytes, nil
}

// alike reports whether two models may have the same blocks, from what is known of them
// before their tensors are read.
func alike(a, b *wire.Manifest) bool {
	return a.Bytes == b.Bytes && a.Quantization == b.Quantization && a.Arch == b.Arch && len(a.Parts) == len(b.Parts)
}

// Sharing returns the names of the other models that have blocks of a model.
func (c *Catalog) Sharing(m *Model) (names []string) {
	own := map[cid.Cid]bool{}
	for _, b := range blocksOf(m.Manifest, m.Manifest.Whole()) {
		own[b.id] = true
	}
	for _, other := range c.List() {
		shares := func(b sized) bool { return own[b.id] }
		if other.CID != m.CID && slices.ContainsFunc(blocksOf(other.Manifest, other.Manifest.Whole()), shares) {
			names = append(names, other.Name)
		}
	}
	return names
}

// PartSizes returns what each part of a model takes, in their order: blocks of its own, and
// those that parts before it have too.
func PartSizes(m *wire.Manifest) (own, shared []int64) {
	seen := map[cid.Cid]int{}
	own, shared = make([]int64, len(m.Parts)), make([]int64, len(m.Parts))
	for i := range m.Parts {
		for j := range m.Parts[i].Tensors {
			t := &m.Parts[i].Tensors[j]
			for k := range t.Blocks.Len() {
				id := t.Blocks.At(k)
				first, twice := seen[id]
				switch {
				case !twice:
					seen[id] = i
					own[i] += int64(wire.BlockLen(t.Bytes, k))
				case first != i:
					shared[i] += int64(wire.BlockLen(t.Bytes, k))
				}
			}
		}
	}
	return own, shared
}
