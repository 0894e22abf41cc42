package exchange

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// Why a provider is given up at once.
var (
	errLied    = errors.New("it sent a block with other bytes than it named")
	errBroke   = errors.New("it broke the protocol")
	errStalled = errors.New("it owes blocks and is silent")
)

// errLookAgain ends a session over a relay: there may be a direct path by now.
var errLookAgain = errors.New("looks for a direct path")

// relayedBlocks is how many blocks come over a relay before a direct path is looked for.
const relayedBlocks = 32

// ask gets blocks from one provider until the fetch is over or the provider is given up.
// asking ends with the fetch, ctx when it is to be abandoned.
func (f *fetch) ask(ctx, asking context.Context, p *provider) {
	defer f.work.drop(p)
	failures, refusals := 0, 0
	for {
		got, err := f.session(ctx, asking, p)
		if asking.Err() != nil || err == nil {
			return
		}
		if got > 0 {
			failures, refusals = 0, 0
		}
		if errors.Is(err, errLookAgain) {
			continue
		}
		var said *wire.Error
		delay := f.e.times.backoff
		switch {
		case errors.Is(err, errLied):
			f.e.metrics.wrong.Inc()
			f.e.ban(p.id)
			f.failed(p.id, err)
			return
		case errors.As(err, &said) && said.Code == wire.CodeBusy:
			if refusals++; refusals > maxRefusals {
				f.failed(p.id, err)
				return
			}
			delay = max(delay<<min(refusals-1, 4), min(said.RetryAfter(), 10*time.Second))
		case errors.Is(err, errBroke), errors.Is(err, errStalled), said != nil:
			f.failed(p.id, err)
			return
		default:
			if failures++; failures >= maxFailures {
				f.failed(p.id, err)
				return
			}
			delay <<= failures - 1
		}
		f.work.release(p)
		if !wait(asking, delay, nil) {
			return
		}
	}
}

// session asks on one stream. It returns how many blocks came, and nil at the end of the
// fetch.
func (f *fetch) session(ctx, asking context.Context, p *provider) (got int, err error) {
	s, err := f.e.cfg.Open(asking, p.id, protocol.Blocks)
	if err != nil {
		f.work.reached(p, away)
		return 0, err
	}
	unhook := context.AfterFunc(asking, func() {
		if ctx.Err() != nil || !f.work.quiet(p) {
			_ = s.Reset() // the provider stops sending what nobody waits for
		}
	})
	defer func() {
		unhook()
		switch {
		case err == nil:
			err = s.Close()
		case errors.Is(err, errLookAgain):
			_ = s.Close() // all is answered
		default:
			_ = s.Reset()
		}
	}()
	by := direct
	if s.Relayed() {
		by = relayed
	}
	f.work.reached(p, by)
	c := &client{f: f, p: p, s: s, r: frame.NewReader(s, wire.BlocksClientLimits()), w: frame.NewWriter(s)}
	for {
		if s.Relayed() && got >= relayedBlocks && f.work.quiet(p) {
			return got, errLookAgain
		}
		ask, changed, over := f.work.take(p, time.Now())
		switch {
		case over:
			return got, nil
		case changed != nil:
			if !wait(asking, f.e.times.steal, changed) {
				return got, asking.Err()
			}
			continue
		}
		if err := c.request(ask); err != nil {
			return got, c.explain(err)
		}
		n, err := c.answer(ctx)
		got += n
		if err != nil {
			return got, c.explain(err)
		}
	}
}

// client is one stream to a provider.
type client struct {
	f  *fetch
	p  *provider
	s  host.Stream
	r  *frame.Reader
	w  *frame.Writer
	id uint64 // of the last request
}

// explain turns errors of the stream into what they say about the provider.
func (c *client) explain(err error) error {
	var size *frame.SizeError
	var unknown *frame.TypeError
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: %w", errStalled, err)
	case errors.As(err, &size), errors.As(err, &unknown), errors.Is(err, frame.ErrMalformed), errors.Is(err, wire.ErrInvalid):
		return fmt.Errorf("%w: %w", errBroke, err)
	}
	return err
}

// progress renews the deadline: every so often something must come.
func (c *client) progress() error { return c.s.SetDeadline(time.Now().Add(c.f.e.times.stall)) }

// request sends a request for blocks, if there are any.
func (c *client) request(ask []cid.Cid) error {
	if len(ask) == 0 {
		return nil
	}
	c.id++
	body, err := wire.Encode(&wire.BlocksRequest{ID: c.id, CIDs: ask, Priority: c.f.o.Priority})
	if err != nil {
		return err
	}
	if err := c.progress(); err != nil {
		return err
	}
	if err := c.w.Write(wire.TypeBlocksRequest, body); err != nil {
		return err
	}
	return c.w.Flush()
}

// answer reads one frame. It returns the number of blocks that came in it.
func (c *client) answer(ctx context.Context) (int, error) {
	if err := c.progress(); err != nil {
		return 0, err
	}
	t, n, err := c.r.Header()
	if err != nil {
		return 0, err
	}
	if t == wire.TypeBlock {
		return c.block(ctx, n)
	}
	body := make([]byte, n)
	if err := c.r.Payload(body); err != nil {
		return 0, err
	}
	if t == wire.TypeError {
		var said wire.Error
		if err := wire.Decode(body, &said); err != nil {
			return 0, err
		}
		return 0, &said
	}
	var m wire.BlocksMissing
	if err := wire.Decode(body, &m); err != nil {
		return 0, err
	}
	if err := c.f.work.refuse(c.p, &m, time.Now()); err != nil {
		return 0, fmt.Errorf("%w: %w", errBroke, err)
	}
	if m.Code == wire.CodeBusy {
		return 0, wire.Errorf(wire.CodeBusy, "it has too much to do")
	}
	return 0, nil
}

// block reads a block of n bytes, head included, and passes it on to the store if its hash
// is right.
func (c *client) block(ctx context.Context, n int) (int, error) {
	var head [wire.BlockHeadSize]byte
	if n <= len(head) {
		return 0, fmt.Errorf("%w: block frame of %d bytes", errBroke, n)
	}
	if err := c.r.Payload(head[:]); err != nil {
		return 0, err
	}
	id, err := wire.BlockCID(head[:])
	if err != nil {
		return 0, err
	}
	owed, _ := c.f.work.owes(c.p, id)
	if !owed {
		return 0, fmt.Errorf("%w: it sent block %s, which it was not asked for", errBroke, id)
	}
	buf := c.f.e.buffer()
	kept := false
	defer func() {
		if !kept {
			c.f.e.recycle(buf)
		}
	}()
	data := (*buf)[:n-len(head)]
	for at := 0; at < len(data); at += sliceBytes {
		if err := c.progress(); err != nil {
			return 0, err
		}
		if err := c.r.Payload(data[at:min(at+sliceBytes, len(data))]); err != nil {
			return 0, err
		}
	}
	b, err := store.Check(id, data)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errLied, err)
	}
	if !c.f.work.deliver(c.p, id, time.Now()) {
		c.f.e.metrics.duplicate.Add(float64(len(data)))
		return 1, nil
	}
	select {
	case c.f.got <- arrival{block: b, buf: buf, from: c.p.id}:
		kept = true
		return 1, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
