package node

import (
	"context"
	"net"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// localStream is a stream of this peer to itself: a chain may begin or go on here.
type localStream struct {
	net.Conn
	id host.ID
}

var _ host.Stream = (*localStream)(nil)

// CloseWrite does nothing: the protocols that are spoken here end with a message.
func (s *localStream) CloseWrite() error { return nil }

// Reset closes the stream.
func (s *localStream) Reset() error { return s.Close() }

// Peer returns this peer.
func (s *localStream) Peer() host.ID { return s.id }

// Relayed is false.
func (s *localStream) Relayed() bool { return false }

// dialer opens infer streams, over the network or within the process.
type dialer struct{ n *running }

// Dial opens a stream to the peer of a hop.
func (d dialer) Dial(ctx context.Context, h wire.Hop) (host.Stream, error) {
	if h.Peer == d.n.host.ID() {
		here, there := net.Pipe()
		d.n.tasks.Go(func() { d.n.worker.Serve(d.n.ctx, &localStream{there, h.Peer}) })
		return &localStream{here, h.Peer}, nil
	}
	if len(h.Addrs) > 0 {
		d.n.host.AddAddrs(h.Peer, h.Addrs)
	}
	return d.n.host.Open(ctx, h.Peer, protocol.Infer)
}
