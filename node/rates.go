package node

import (
	"context"
	"slices"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/doctor"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// rateBlocks and rateTime bound what a measurement of a peer's speed moves, and how long it
	// lasts.
	rateBlocks = 8
	rateTime   = 4 * time.Second
	// ratedPeers bounds the peers that are measured.
	ratedPeers = 8
)

// rates measures how fast peers send blocks of models that this node knows, one after another.
func (r *running) rates(ctx context.Context, contacts []host.Contact, peers []doctor.Peer) {
	rated := 0
	for i := range peers {
		p := &peers[i]
		if !p.Connected() || rated == ratedPeers || ctx.Err() != nil {
			continue
		}
		rated++
		blocks := r.blocksAt(ctx, contacts[i].ID)
		if len(blocks) == 0 {
			p.Rated = "it holds nothing of a model that this node knows"
			continue
		}
		n, took, err := r.exchange.Measure(ctx, contacts[i].ID, blocks, rateTime)
		if err != nil || n == 0 {
			p.Rated = "it sent nothing"
			continue
		}
		p.Rate = float64(n) / took.Seconds()
	}
}

// blocksAt lists some blocks that a peer says it has, of models whose manifest is here.
func (r *running) blocksAt(ctx context.Context, id host.ID) (out []cid.Cid) {
	for _, a := range r.host.Adverts() {
		if a.Peer != id {
			continue
		}
		for _, m := range a.Models {
			if len(m.Held) == 0 {
				continue
			}
			if out = r.leaves(ctx, m.Model, out); len(out) == rateBlocks {
				return out
			}
		}
	}
	return out
}

// leaves adds the last blocks of plain bytes of a model to out.
func (r *running) leaves(ctx context.Context, root cid.Cid, out []cid.Cid) []cid.Cid {
	data, err := r.store.Get(ctx, root)
	if err != nil {
		return out
	}
	nodes, leaves, err := wire.Links(data)
	if err != nil {
		return out
	}
	for _, n := range nodes[:min(len(nodes), 1)] {
		out = r.leaves(ctx, n, out)
	}
	slices.Reverse(leaves) // those of a tokenizer come first, and are small
	return append(out, leaves[:min(len(leaves), rateBlocks-len(out), protocol.MaxBlockCIDs)]...)
}
