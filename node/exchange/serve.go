package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// Serve answers requests on a stream of protocol.Blocks until the client ends it, is
// silent for protocol.StreamIdleTimeout with nothing left to send, or ctx ends. It closes
// or resets the stream.
func (e *Exchange) Serve(ctx context.Context, s host.Stream) {
	err := e.serve(ctx, s)
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		_ = s.Reset()
		e.cfg.Log.Debug("serving of blocks ended", "peer", s.Peer(), "err", err)
	}
}

func (e *Exchange) serve(ctx context.Context, s host.Stream) error {
	if !e.enter(s.Peer()) {
		busy := wire.Errorf(wire.CodeBusy, "too many streams")
		busy.RetryAfterMs = 1000
		return refuseStream(s, busy)
	}
	defer e.leave(s.Peer())
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	v := &server{e: e, s: s, queue: newQueue(), loaded: make(chan loaded, 1)}
	defer v.discard()
	g.Go(func() error { return v.read() })
	g.Go(func() error { return v.load(ctx) })
	g.Go(func() error {
		err := v.write(ctx)
		if err == nil {
			stop() // all is answered: the end of the group is no reason to reset
		}
		return err
	})
	return g.Wait()
}

// refuseStream sends an error as the only answer.
func refuseStream(s host.Stream, e *wire.Error) error {
	body, err := wire.Encode(e)
	if err != nil {
		return err
	}
	w := frame.NewWriter(s)
	return errors.Join(w.Write(wire.TypeError, body), w.Flush())
}

// enter counts a stream in, if there is room for it.
func (e *Exchange) enter(id host.ID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.serves[id]
	if e.total >= maxStreams || p != nil && p.streams >= maxPeerStreams {
		return false
	}
	if p == nil {
		p = &served{}
		e.serves[id] = p
	}
	p.streams++
	e.total++
	e.metrics.streams.Inc()
	return true
}

func (e *Exchange) leave(id host.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.total--
	e.metrics.streams.Dec()
	if p := e.serves[id]; p.streams > 1 {
		p.streams--
	} else {
		delete(e.serves, id)
	}
}

// admit counts up to n blocks in that a peer asks for, and returns how many there is room
// for.
func (e *Exchange) admit(id host.ID, n int) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.serves[id]
	n = min(n, maxPeerQueue-p.queued)
	p.queued += n
	return n
}

// answered counts blocks out.
func (e *Exchange) answered(id host.ID, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.serves[id].queued -= n
}

// server is one stream being served: read takes requests in, load gets blocks from the
// store, one ahead of write, which sends them.
type server struct {
	e        *Exchange
	s        host.Stream
	queue    *queue
	loaded   chan loaded
	refused  atomic.Int64 // blocks refused over maxPeerQueue and not answered yet
	admitted int          // blocks counted in; belongs to read
	done     int          // of them counted out; belongs to write
	last     *wire.Error  // to be sent after the answers, if any; read sets it before it closes the queue
}

// loaded is an answer on its way: a block, or a refusal.
type loaded struct {
	item
	buf  *[]byte // recycled after data was sent
	data []byte
}

// discard counts out what was asked for and not answered. All parts have ended.
func (v *server) discard() {
	for l := range v.loaded {
		v.e.recycle(l.buf)
	}
	v.e.answered(v.s.Peer(), v.admitted-v.done)
}

// read puts what the client asks for into the queue. A client that breaks the protocol
// gets its answers up to there, then an error.
func (v *server) read() error {
	defer v.queue.close()
	r := frame.NewReader(v.s, wire.BlocksServerLimits())
	for {
		// Of reads alone: requests must not buy time to a client that takes no answers.
		if err := v.s.SetReadDeadline(time.Now().Add(protocol.StreamIdleTimeout)); err != nil {
			return err
		}
		t, body, err := r.Next()
		var unknown *frame.TypeError
		var size *frame.SizeError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &unknown):
			v.last = wire.Errorf(wire.CodeUnsupported, "frame type %d", unknown.Type)
			return nil
		case errors.As(err, &size), errors.Is(err, frame.ErrMalformed):
			v.last = wire.Errorf(wire.CodeBadRequest, "%v", err)
			return nil
		case err != nil:
			return fmt.Errorf("read request: %w", err)
		case t == wire.TypeError:
			return errors.New("client gave up")
		}
		var q wire.BlocksRequest
		if err := wire.Decode(body, &q); err != nil {
			v.last = wire.Errorf(wire.CodeBadRequest, "%v", err)
			return nil
		}
		if err := v.enqueue(&q); err != nil {
			return err
		}
	}
}

// enqueue puts a request into the queue. What is over the limit of the peer is refused, and
// a client that goes on asking without taking the refusals is an error.
func (v *server) enqueue(q *wire.BlocksRequest) error {
	n := v.e.admit(v.s.Peer(), len(q.CIDs))
	v.admitted += n
	if refused := v.refused.Add(int64(len(q.CIDs) - n)); refused > maxRefused {
		return fmt.Errorf("client asks for more while %d refusals wait for it", refused)
	}
	items := make([]item, len(q.CIDs))
	for i, c := range q.CIDs {
		items[i] = item{cid: c, id: q.ID}
		if i >= n {
			items[i].refuse = wire.CodeBusy
		}
	}
	v.queue.push(q.Priority, items[:n]...)
	v.queue.push(wire.PriorityUrgent, items[n:]...) // so that the client can ask elsewhere
	return nil
}

// load reads the blocks asked for.
func (v *server) load(ctx context.Context) error {
	defer close(v.loaded)
	for {
		it, ok := v.queue.pop(ctx)
		if !ok {
			return ctx.Err()
		}
		l := loaded{item: it}
		if it.refuse == 0 {
			if err := v.get(ctx, &l); err != nil {
				return err
			}
		}
		select {
		case v.loaded <- l:
		case <-ctx.Done():
			v.e.recycle(l.buf)
			return ctx.Err()
		}
	}
}

// get reads and verifies a block. One that is not there, or damaged, is refused.
func (v *server) get(ctx context.Context, l *loaded) error {
	l.buf = v.e.buffer()
	data, err := v.e.cfg.Store.GetTo(ctx, *l.buf, l.cid)
	if err == nil {
		l.data = data
		return nil
	}
	v.e.recycle(l.buf)
	l.buf = nil
	if errors.Is(err, store.ErrNotFound) {
		l.refuse = wire.CodeNotHosting
		return nil
	}
	return err
}

// write sends answers. Refusals of one request are gathered.
func (v *server) write(ctx context.Context) error {
	w := frame.NewWriter(&paced{ctx: ctx, s: v.s, limit: v.e.upload})
	var refused wire.BlocksMissing
	flush := func() error {
		if len(refused.CIDs) > 0 {
			body, err := wire.Encode(&refused)
			if err != nil {
				return err
			}
			v.e.metrics.missing.Add(float64(len(refused.CIDs)))
			refused.CIDs = refused.CIDs[:0]
			if err := w.Write(wire.TypeBlocksMissing, body); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		l, ok, idle := v.next()
		if idle {
			if err := errors.Join(flush(), w.Flush()); err != nil {
				return err
			}
			l, ok = <-v.loaded
		}
		if !ok {
			return errors.Join(flush(), v.farewell(w), w.Flush())
		}
		if l.refuse != 0 {
			if len(refused.CIDs) > 0 && (refused.ID != l.id || refused.Code != l.refuse || len(refused.CIDs) == protocol.MaxBlockCIDs) {
				if err := flush(); err != nil {
					return err
				}
			}
			refused.ID, refused.Code, refused.CIDs = l.id, l.refuse, append(refused.CIDs, l.cid)
		} else if err := v.send(w, l); err != nil {
			return err
		}
		if l.refuse == wire.CodeBusy {
			v.refused.Add(-1)
		} else {
			v.e.answered(v.s.Peer(), 1)
			v.done++
		}
	}
}

// farewell writes the error of a client that broke the protocol.
func (v *server) farewell(w *frame.Writer) error {
	if v.last == nil {
		return nil
	}
	body, err := wire.Encode(v.last)
	if err != nil {
		return err
	}
	return w.Write(wire.TypeError, body)
}

// next returns an answer that is there, or idle.
func (v *server) next() (l loaded, ok, idle bool) {
	select {
	case l, ok = <-v.loaded:
		return l, ok, false
	default:
		return l, false, true
	}
}

func (v *server) send(w *frame.Writer, l loaded) error {
	defer v.e.recycle(l.buf)
	if err := w.Write(wire.TypeBlock, wire.BlockHead(l.cid), l.data); err != nil {
		return err
	}
	v.e.metrics.sent.Add(float64(len(l.data)))
	return nil
}
