package host

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// ID is a peer's identifier. It is comparable; see wire.PeerID.
type ID = wire.PeerID

// ParseID reads the text form of an ID.
func ParseID(text string) (ID, error) { return wire.ParsePeerID(text) }

// Stream is a two-way byte stream to a verified peer. Each Read and Write has a deadline:
// protocol.StreamIdleTimeout from its start, or what SetDeadline said. One goroutine may
// read while another writes. The error of a deadline that passed is os.ErrDeadlineExceeded. Errors
// wrap ErrPathLost if the stream was relayed and its connection has ended.
type Stream interface {
	io.Reader
	io.Writer
	// CloseWrite tells the peer that nothing follows; reading goes on.
	CloseWrite() error
	// Close ends the stream in good order. What was written still arrives.
	Close() error
	// Reset ends it at once, on both sides, and counts as an error.
	Reset() error
	// SetDeadline replaces the deadline of each operation by a fixed time, and the zero
	// time takes that back.
	SetDeadline(t time.Time) error
	// SetReadDeadline is SetDeadline for reads alone.
	SetReadDeadline(t time.Time) error
	// SetWriteDeadline is SetDeadline for writes alone.
	SetWriteDeadline(t time.Time) error
	// Peer returns the peer on the other side.
	Peer() ID
	// Relayed reports whether a third peer carries the stream: move only bulk over it that no
	// other path has.
	Relayed() bool
}

// stream makes a Stream of the library's.
type stream struct {
	network.Stream
	fixedRead, fixedWrite atomic.Bool                     // the user has set a deadline
	onErr                 func()                          // counts resets
	why                   func(network.Conn, error) error // of a relayed connection; nil: nothing is known
}

var _ Stream = (*stream)(nil)

func newStream(s network.Stream, onErr func()) *stream {
	return &stream{Stream: s, onErr: onErr}
}

// Read reads with a deadline.
func (s *stream) Read(p []byte) (int, error) {
	if !s.fixedRead.Load() {
		if err := s.Stream.SetReadDeadline(time.Now().Add(protocol.StreamIdleTimeout)); err != nil {
			return 0, err
		}
	}
	n, err := s.Stream.Read(p)
	return n, s.explain(err)
}

// Write writes with a deadline.
func (s *stream) Write(p []byte) (int, error) {
	if !s.fixedWrite.Load() {
		if err := s.Stream.SetWriteDeadline(time.Now().Add(protocol.StreamIdleTimeout)); err != nil {
			return 0, err
		}
	}
	n, err := s.Stream.Write(p)
	return n, s.explain(err)
}

// explain makes errors say the same over all transports.
func (s *stream) explain(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if timedOut(err) {
		err = os.ErrDeadlineExceeded
	}
	if s.why != nil && s.Relayed() {
		err = s.why(s.Conn(), err)
	}
	return err
}

// timedOut reports whether an error is that of a deadline: the multiplexer of TCP has one of its own. That
// of a connection that has died, as QUIC tells it, is not.
func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, net.ErrClosed)
}

// SetDeadline fixes the deadline.
func (s *stream) SetDeadline(t time.Time) error {
	s.fixedRead.Store(!t.IsZero())
	s.fixedWrite.Store(!t.IsZero())
	return s.Stream.SetDeadline(t)
}

// SetReadDeadline fixes the deadline of reads.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.fixedRead.Store(!t.IsZero())
	return s.Stream.SetReadDeadline(t)
}

// SetWriteDeadline fixes the deadline of writes.
func (s *stream) SetWriteDeadline(t time.Time) error {
	s.fixedWrite.Store(!t.IsZero())
	return s.Stream.SetWriteDeadline(t)
}

// Reset ends the stream on both sides.
func (s *stream) Reset() error {
	s.onErr()
	return s.Stream.Reset()
}

// Peer returns the peer on the other side.
func (s *stream) Peer() ID { return ID(s.Conn().RemotePeer()) }

// Relayed reports whether a third peer carries the stream.
func (s *stream) Relayed() bool { return s.Conn().Stat().Limited }

// native returns the library's form of an ID; both are the same bytes.
func native(id ID) peer.ID { return peer.ID(id) }
