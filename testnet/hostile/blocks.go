package hostile

import (
	"context"
	"errors"
	"io"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// wrongBlocks answers every request for blocks at once, with bytes that do not hash to
// what was asked for.
func (p *Peer) wrongBlocks(ctx context.Context, s host.Stream) {
	p.asked.Add(1)
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	r, w := frame.NewReader(s, wire.BlocksServerLimits()), frame.NewWriter(s)
	data := make([]byte, 64<<10)
	for {
		t, payload, err := r.Next()
		var req wire.BlocksRequest
		if err != nil || t != wire.TypeBlocksRequest || wire.Decode(payload, &req) != nil {
			_ = s.Reset()
			return
		}
		for _, c := range req.CIDs {
			p.harm.Add(1)
			err = errors.Join(err, w.Write(wire.TypeBlock, wire.BlockHead(c), data))
		}
		if errors.Join(err, w.Flush()) != nil {
			_ = s.Reset()
			return
		}
	}
}

// discard reads until the other side has ended.
func discard(s io.Reader) { _, _ = io.Copy(io.Discard, s) }
