package exchange

import (
	"context"
	"errors"
	"fmt"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// Measure asks a peer for blocks, which may be here already, throws them away and returns how many
// bytes of them came in what time, from the first byte asked to the last one got. It ends at the limit.
func (e *Exchange) Measure(ctx context.Context, from host.ID, blocks []cid.Cid, limit time.Duration) (n int64, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := e.cfg.Open(ctx, from, protocol.Blocks)
	if err != nil {
		return 0, 0, fmt.Errorf("measure %s: %w", from, err)
	}
	defer func() { _ = s.Reset() }() // what still comes is not wanted
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	body, err := wire.Encode(&wire.BlocksRequest{ID: 1, CIDs: blocks})
	if err != nil {
		return 0, 0, fmt.Errorf("measure %s: %w", from, err)
	}
	start := e.cfg.Now()
	w := frame.NewWriter(s)
	if err := errors.Join(w.Write(wire.TypeBlocksRequest, body), w.Flush()); err != nil {
		return 0, 0, fmt.Errorf("measure %s: %w", from, err)
	}
	r := frame.NewReader(s, wire.BlocksClientLimits())
	for left := len(blocks); left > 0; {
		typ, payload, err := r.Next()
		if err != nil && n > 0 {
			break // as much as came in the time
		}
		if err != nil {
			return 0, 0, fmt.Errorf("measure %s: %w", from, err)
		}
		switch typ {
		case wire.TypeBlock:
			n, took, left = n+int64(max(0, len(payload)-wire.BlockHeadSize)), e.cfg.Now().Sub(start), left-1
		case wire.TypeBlocksMissing:
			var m wire.BlocksMissing
			if err := wire.Decode(payload, &m); err != nil {
				return 0, 0, fmt.Errorf("measure %s: %w", from, err)
			}
			left -= len(m.CIDs)
		default:
			return 0, 0, fmt.Errorf("measure %s: it answers with a message of type %d", from, typ)
		}
	}
	return n, took, nil
}
