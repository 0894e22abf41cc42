package host

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// lingerTimeout is how long a refused peer may take to read why, before it is cut off.
const lingerTimeout = 2 * time.Second

// hello returns what this peer says first, with the membership that it started with.
func (c *Config) hello() *wire.Hello {
	return &wire.Hello{
		Capability: protocol.Capability, MinCapability: protocol.MinCapability, Version: c.Version,
		Swarm: c.Credentials.Swarm, Membership: c.Credentials.Membership, Roles: c.Roles,
	}
}

// hello returns what this peer says first, now.
func (h *Host) hello() *wire.Hello {
	out := h.cfg.hello()
	out.Time = h.now().UnixMilli()
	h.mu.Lock()
	defer h.mu.Unlock()
	out.Membership = h.own.membership
	return out
}

// connected is called for each new connection. The side that dialled says hello; the
// other gives it Times.Hello to do so.
func (r *running) connected(conn network.Conn) {
	id := ID(conn.RemotePeer())
	r.gate.begin(id)
	r.probeFormer(id, r.outdated(conn))
	if conn.Stat().Direction == network.DirOutbound {
		r.tasks.start(func() { r.sayHello(conn) })
		return
	}
	oldest := r.gate.stranger(conn)
	r.tasks.start(func() {
		defer r.gate.noStranger(conn)
		if oldest != nil {
			r.turnAway(oldest, ErrUnverified)
		}
		ctx, cancel := context.WithTimeout(r.ctx, r.cfg.Times.Hello)
		defer cancel()
		if _, err := r.gate.wait(ctx, id); err == nil {
			return
		}
		// There was none so far, or one on another connection was refused: one that comes or
		// is being answered on this connection must not be cut off before its time.
		<-ctx.Done()
		if r.ctx.Err() == nil && !conn.IsClosed() { // else a newer connection may be saying hello
			r.turnAway(conn, ErrUnverified)
		}
	})
}

// disconnected is called for each connection that has ended.
func (r *running) disconnected(conn network.Conn) {
	id := ID(conn.RemotePeer())
	mayBeLost := r.gate.get(id) != nil && !r.book.hasParted(id, r.now())
	if mayBeLost { // begun before the gate drops it, so that its path is lost all the while
		r.losses.begin(id, conn, r.now())
	}
	m := r.gate.drop(id, func() bool { return r.isConnected(id) })
	if !r.isConnected(id) {
		r.topics.forget(id)
	}
	if m != nil {
		r.book.add(id, r.listenAddrs(id), false) // it may have told them a moment ago
		r.left(id)
		if r.prober.buried(id) {
			r.gone(id) // unless the dial below finds it
		}
	}
	switch {
	case !mayBeLost:
	case m == nil:
		r.losses.end(id)
	default:
		r.tasks.start(func() { r.lost(id) })
	}
}

func (r *running) isConnected(id ID) bool {
	switch r.host.Network().Connectedness(native(id)) {
	case network.Connected, network.Limited:
		return true
	}
	return false
}

// sayHello speaks the dialling side's part.
func (r *running) sayHello(conn network.Conn) {
	id := ID(conn.RemotePeer())
	h, at, err := r.exchangeHello(id)
	if err == nil {
		err = r.verify(id, h, at)
	}
	var refused *wire.Error
	if err != nil && conn.IsClosed() && !errors.As(err, &refused) {
		err = errGone
	}
	if err != nil {
		r.turnAway(conn, err)
	}
}

// exchangeHello says hello and returns the answer, and the time here when it was given.
func (r *running) exchangeHello(id ID) (h *wire.Hello, at time.Time, err error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.Times.Hello)
	defer cancel()
	ls, err := r.host.NewStream(network.WithNoDial(network.WithAllowLimitedConn(ctx, "hello"), noDial), native(id), protocol.Hello)
	if err != nil {
		return nil, at, err
	}
	s, asked := r.newStream(ls), r.now()
	h, err = r.askHello(s)
	at = asked.Add(r.now().Sub(asked) / 2)
	var refused *wire.Error
	if err != nil && !errors.As(err, &refused) {
		return nil, at, errors.Join(err, s.Reset())
	}
	if err != nil { // noted now, as the peer may close the connection from here on
		r.refuse(id, err)
	}
	r.noteRefusal(refused)
	// Closing tells a peer that refuses that we have read why. It may have closed its side
	// by now, and over QUIC that makes our own close an error.
	_ = s.Close()
	return h, at, err
}

func (r *running) askHello(s *stream) (*wire.Hello, error) {
	if err := s.SetDeadline(time.Now().Add(r.cfg.Times.Hello)); err != nil {
		return nil, err
	}
	w := frame.NewWriter(s)
	if err := errors.Join(writeMessage(w, wire.TypeHello, r.hello()), w.Flush()); err != nil {
		return nil, err
	}
	return readHello(s)
}

func readHello(s *stream) (*wire.Hello, error) {
	h := new(wire.Hello)
	return h, readAnswer(s, wire.HelloLimits(), h)
}

// readAnswer reads the one message that a stream brings, or the error that comes instead of
// it, a *wire.Error.
func readAnswer(s Stream, limits frame.Limits, m wire.Message) error {
	typ, payload, err := frame.NewReader(s, limits).Next()
	if err != nil {
		return err
	}
	if typ == wire.TypeError {
		e := new(wire.Error)
		if err := wire.Decode(payload, e); err != nil {
			return err
		}
		return e
	}
	return wire.Decode(payload, m)
}

// handleHello speaks the listening side's part: it checks before it answers, so that a
// stranger learns nothing but the reason.
func (r *running) handleHello(s *stream) {
	id := s.Peer()
	if err := s.SetDeadline(time.Now().Add(r.cfg.Times.Hello)); err != nil {
		_ = s.Reset()
		return
	}
	h, err := readHello(s)
	if err != nil {
		_ = s.Reset()
		r.turnAway(s.Conn(), err)
		return
	}
	w := frame.NewWriter(s)
	if err := r.verify(id, h, r.now()); err != nil {
		r.refuse(id, err) // before the peer knows, who will end the connection
		err = errors.Join(err, writeMessage(w, wire.TypeError, refusal(err)), w.Flush(), s.CloseWrite())
		_ = s.SetDeadline(time.Now().Add(lingerTimeout))
		_, _ = io.Copy(io.Discard, io.LimitReader(s, protocol.MaxHello)) // until it has read and closed
		_ = s.Close()
		r.turnAway(s.Conn(), err)
		return
	}
	if err := errors.Join(writeMessage(w, wire.TypeHello, r.hello()), w.Flush()); err != nil {
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

// verify decides on a hello, which was made when it was so late here, and lets the peer in.
func (r *running) verify(id ID, h *wire.Hello, at time.Time) error {
	clock := offsetOf(h.Time, at)
	if _, ok := h.Common(); !ok {
		return wire.Errorf(wire.CodeVersion, "capability %d to %d here, %d to %d there",
			protocol.MinCapability, protocol.Capability, h.MinCapability, h.Capability)
	}
	if h.Swarm != r.cfg.Credentials.Swarm {
		return wire.ErrForeign
	}
	g, err := h.Membership.Verify(r.cfg.Credentials.Swarm, id, r.now())
	if err != nil {
		return clock.explain(err)
	}
	if err := r.checkRevoked(g, id); err != nil {
		return err
	}
	fresh, err := r.gate.admit(id, &member{hello: *h, grant: *g, since: r.now(), clock: clock}, func() bool { return r.isConnected(id) })
	if err != nil {
		return err
	}
	r.metrics.hellos.WithLabelValues("ok").Inc()
	r.table.untell(id) // it may have restarted
	r.book.verified(id, r.listenAddrs(id), r.now())
	if fresh {
		r.joined(id, h)
	}
	return nil
}

// noteRefusal keeps why a peer turned this one away, or with nil that one did not.
func (h *Host) noteRefusal(why *wire.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.own.refused = nil
	if why != nil {
		h.own.refused = why
	}
}

// refusal makes the message that tells a peer why it does not get in.
func refusal(err error) *wire.Error {
	var e *wire.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, wire.ErrForeign):
		return wire.Errorf(wire.CodeForeign, "%v", wire.ErrForeign)
	case errors.Is(err, wire.ErrExpired), errors.Is(err, wire.ErrNotYet):
		return wire.Errorf(wire.CodeExpired, "%v", err)
	case errors.Is(err, wire.ErrIssuer):
		return wire.Errorf(wire.CodeForbidden, "%v", err)
	case errors.Is(err, wire.ErrInvalid):
		return wire.Errorf(wire.CodeBadRequest, "malformed hello")
	}
	return wire.Errorf(wire.CodeRefused, "%v", err)
}

// turnAway records that a peer is no member and closes the connection, unless it is one by
// now, or the connection has ended by itself. Its other connections have hellos of their own.
func (r *running) turnAway(conn network.Conn, err error) {
	id := ID(conn.RemotePeer())
	if r.ctx.Err() != nil || r.gate.get(id) != nil {
		return
	}
	r.refuse(id, err)
	_ = conn.Close() // it may be gone already
}

// refuse records that a peer is no member, unless all that is known is that it has gone.
func (r *running) refuse(id ID, err error) {
	if !errors.Is(err, errGone) && r.gate.refuse(id, err, r.now()) {
		r.metrics.hellos.WithLabelValues(refusal(err).Code.String()).Inc()
		r.log.Debug("peer turned away", "peer", id, "err", err)
	}
}

func writeMessage(w *frame.Writer, t frame.Type, m wire.Message) error {
	b, err := wire.Encode(m)
	if err != nil {
		return err
	}
	return w.Write(t, b)
}
