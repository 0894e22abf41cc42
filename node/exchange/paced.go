package exchange

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
)

// paced writes to a stream at the owner's rate, and renews the stream's deadline with
// every piece: a client that takes nothing for protocol.StreamIdleTimeout is gone.
type paced struct {
	ctx   context.Context // of the stream
	s     host.Stream
	limit *rate.Limiter // nil: no limit
}

// Write writes p in pieces.
func (w *paced) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		piece := p[done:]
		if w.limit != nil {
			piece = piece[:min(sliceBytes, len(piece))]
		}
		if err := w.turn(len(piece)); err != nil {
			return done, err
		}
		n, err := w.s.Write(piece)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Turns returns what waits until n more bytes may be sent to others, by the owner's limit that Serve
// keeps too; nil if there is none.
func (e *Exchange) Turns() func(ctx context.Context, n int) error {
	if e.upload == nil {
		return nil
	}
	return func(ctx context.Context, n int) error {
		for ; n > 0; n -= sliceBytes {
			if delay := e.upload.ReserveN(time.Now(), min(sliceBytes, n)).Delay(); delay > 0 && !wait(ctx, delay, nil) {
				return context.Cause(ctx)
			}
		}
		return nil
	}
}

// turn waits until n bytes may be sent.
func (w *paced) turn(n int) error {
	now, delay := time.Now(), time.Duration(0)
	if w.limit != nil {
		delay = w.limit.ReserveN(now, n).DelayFrom(now)
	}
	if err := w.s.SetDeadline(now.Add(delay + protocol.StreamIdleTimeout)); err != nil {
		return err
	}
	if delay > 0 && !wait(w.ctx, delay, nil) {
		return w.ctx.Err()
	}
	return nil
}
