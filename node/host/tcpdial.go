package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/tcpreuse"
	"github.com/libp2p/go-reuseport"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// proxyDelay is how long a direct connection may take before the proxy is tried beside it.
	proxyDelay = 750 * time.Millisecond
	// maxSegment is what a TCP packet between houses carries at most. With the headers it is the
	// 1,280 bytes that every path of IPv6 must let through. Some paths drop larger packets
	// without a word: then a connection stands, and stalls with the first long message.
	maxSegment = 1280 - 60
)

// newTCP makes the TCP transport. The library makes some more, of other identities, to find out
// whether others reach a peer that asks: these must dial as a stranger would.
func (r *running) newTCP(u transport.Upgrader, m network.ResourceManager, shared *tcpreuse.ConnMgr, self peer.ID) (_ *tcpTransport, err error) {
	if ID(self) != r.ID() {
		t, err := tcp.NewTCPTransport(u, m, nil)
		return &tcpTransport{TcpTransport: t}, err
	}
	t := &tcpTransport{r: r, upgrader: u, resources: m}
	if t.TcpTransport, err = tcp.NewTCPTransport(u, m, nil, tcp.WithDialerForAddr(r.dialerTo)); err == nil && shared != nil {
		t.beside, err = tcp.NewTCPTransport(u, m, shared)
	}
	return t, err
}

// tcpTransport is the library's, but for port 443: there it may listen beside WebSockets, and it
// falls back on them where a connection stands and nothing comes of it.
type tcpTransport struct {
	*tcp.TcpTransport
	beside    *tcp.TcpTransport // listens beside WebSockets; nil: nothing does
	r         *running          // nil: it dials as a stranger would
	upgrader  transport.Upgrader
	resources network.ResourceManager
}

var _ transport.DialUpdater = (*tcpTransport)(nil)

// Listen listens for TCP. Only port 443 is shared, as those who are silent there hold up others.
func (t *tcpTransport) Listen(at multiaddr.Multiaddr) (transport.Listener, error) {
	if t.beside != nil && t.isWide(at) {
		return t.beside.Listen(at)
	}
	return t.TcpTransport.Listen(at)
}

func (t *tcpTransport) isWide(a multiaddr.Multiaddr) bool {
	port, err := a.ValueForProtocol(multiaddr.P_TCP)
	return err == nil && t.r != nil && port == strconv.Itoa(t.r.cfg.widePort)
}

// Dial connects to a peer.
func (t *tcpTransport) Dial(ctx context.Context, to multiaddr.Multiaddr, id peer.ID) (transport.CapableConn, error) {
	return t.DialWithUpdates(ctx, to, id, nil)
}

// DialWithUpdates connects to a peer and tells when the connection stands.
func (t *tcpTransport) DialWithUpdates(ctx context.Context, to multiaddr.Multiaddr, id peer.ID, updates chan<- transport.DialUpdate) (transport.CapableConn, error) {
	if !t.isWide(to) {
		c, err := t.TcpTransport.DialWithUpdates(ctx, to, id, updates)
		if t.r != nil && isErrno(err, refusedErrnos) {
			t.r.losses.refused(ID(id), to)
		}
		return c, err
	}
	limit := plainLimit
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/2)
	}
	plain, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := t.TcpTransport.DialWithUpdates(plain, to, id, updates)
	if err == nil || ctx.Err() != nil || neverStood(err) {
		return c, err
	}
	socket, failed := t.dialWebSocket(ctx, to, id)
	if failed != nil {
		return nil, fmt.Errorf("%w; as a WebSocket: %w", err, failed)
	}
	return socket, nil
}

// neverStood reports whether a dial failed before there was a connection.
func neverStood(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// dialWebSocket connects to a peer at a port that takes WebSockets, too.
func (t *tcpTransport) dialWebSocket(ctx context.Context, to multiaddr.Multiaddr, id peer.ID) (_ transport.CapableConn, err error) {
	scope, err := t.resources.OpenConnection(network.DirOutbound, true, to)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			scope.Done()
		}
	}()
	if err := scope.SetPeer(id); err != nil {
		return nil, err
	}
	dialer, err := t.r.dialerTo(to)
	if err != nil {
		return nil, err
	}
	c, err := dialWebSocket(ctx, dialer, to)
	if err != nil {
		return nil, err
	}
	return t.upgrader.Upgrade(ctx, t, c, network.DirOutbound, id, scope)
}

// dialerTo is how the TCP transport gets its dialers.
func (r *running) dialerTo(to multiaddr.Multiaddr) (tcp.ContextDialer, error) {
	if !manet.IsPublicAddr(to) {
		return &net.Dialer{}, nil
	}
	return &wideDialer{from: r.dialFrom, proxy: r.cfg.Proxy}, nil
}

// dialFrom returns what is listened at for a network, tcp4 or tcp6, that connections to the world
// may leave from: on all addresses if there is such, else on one that is not loopback; nil: none.
func (r *running) dialFrom(network string) (from *net.TCPAddr) {
	for _, a := range r.host.Network().ListenAddresses() {
		l, ok := parseListen(a.String())
		if !ok || l.network() != network || l.port() == r.cfg.widePort {
			continue
		}
		switch ip := net.ParseIP(l.host()); {
		case ip.IsUnspecified():
			return &net.TCPAddr{Port: l.port()}
		case ip != nil && !ip.IsLoopback() && from == nil:
			from = &net.TCPAddr{IP: ip, Port: l.port()}
		}
	}
	return from
}

// wideDialer dials addresses beyond the house: from the port listened on, as the router keeps
// open for others what it has let out; or, where that does not work, through an HTTP proxy.
type wideDialer struct {
	from  func(network string) *net.TCPAddr     // nil: any port
	proxy func(target string) (*url.URL, error) // as Config.Proxy
}

// DialContext returns the first connection that stands.
func (d *wideDialer) DialContext(ctx context.Context, network, target string) (net.Conn, error) {
	var proxy *url.URL
	if d.proxy != nil {
		var err error
		if proxy, err = d.proxy(target); err != nil {
			return nil, err
		}
	}
	if proxy == nil {
		return d.direct(ctx, network, target)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, 2)
	failed := make(chan struct{})
	go func() {
		c, err := d.direct(ctx, network, target)
		if err != nil {
			close(failed)
		}
		results <- result{c, err}
	}()
	go func() {
		t := time.NewTimer(proxyDelay)
		defer t.Stop()
		select {
		case <-failed:
		case <-t.C:
		case <-ctx.Done():
			results <- result{nil, ctx.Err()}
			return
		}
		c, err := connectThrough(ctx, proxy, target)
		results <- result{c, err}
	}()
	first := <-results
	if first.err == nil {
		cancel()
		if other := <-results; other.err == nil { // it has won, too
			_ = other.conn.Close()
		}
		return first.conn, nil
	}
	second := <-results
	if second.err == nil {
		return second.conn, nil
	}
	return nil, errors.Join(first.err, second.err)
}

// direct dials without a proxy.
func (d *wideDialer) direct(ctx context.Context, network, target string) (net.Conn, error) {
	if from := d.from(network); from != nil {
		reuse := net.Dialer{LocalAddr: from, Control: func(network, addr string, c syscall.RawConn) error {
			return errors.Join(reuseport.Control(network, addr, c), limitSegments(network, addr, c))
		}}
		c, err := reuse.DialContext(ctx, network, target)
		if err == nil || ctx.Err() != nil || !portTaken(err) {
			return c, err
		}
	}
	plain := net.Dialer{Control: limitSegments}
	return plain.DialContext(ctx, network, target)
}

// portTaken reports whether a dial failed because of the port that it came from: there is or
// was a connection between the two ends.
func portTaken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) || strings.Contains(err.Error(), "Only one usage of each socket address")
}
