package host

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"

	gorilla "github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/tcpreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// overTLS ends the address at which WebSockets within TLS are listened for, beside TCP.
	overTLS = "/tls/ws"
	// plainLimit is how long a connection to port 443 may take to become one between peers before it
	// is made anew as a WebSocket: walls that look into connections may swallow what they do not know.
	plainLimit = 3 * time.Second
	// upgradeLimit bounds TLS and the upgrade from HTTP, on both sides.
	upgradeLimit = 5 * time.Second
	// maxUpgrade bounds what the far end may say until the upgrade is done: certificates and headers.
	maxUpgrade = 64 << 10
)

func isWebSocket(a multiaddr.Multiaddr) bool {
	return slices.ContainsFunc(a, func(c multiaddr.Component) bool { return c.Protocol().Code == multiaddr.P_WS })
}

// noWebSockets leaves out the addresses of WebSockets: who dials the port without them knows how.
func noWebSockets(addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	return slices.DeleteFunc(slices.Clone(addrs), isWebSocket)
}

// webSockets is the library's transport, to listen alone: the library would never dial it beside TCP
// at the same port.
type webSockets struct{ *websocket.WebsocketTransport }

// CanDial reports false.
func (webSockets) CanDial(multiaddr.Multiaddr) bool { return false }

// newWebSockets makes the transport that takes WebSockets at ports shared with TCP.
func (r *running) newWebSockets(u transport.Upgrader, m network.ResourceManager, shared *tcpreuse.ConnMgr) (webSockets, error) {
	cert, err := unsigned()
	if err != nil {
		return webSockets{}, err
	}
	t, err := websocket.New(u, m, shared, websocket.WithHandshakeTimeout(upgradeLimit),
		websocket.WithTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}))
	return webSockets{t}, err
}

// unsigned returns a certificate that proves nothing, for clients that do not ask.
func unsigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)} // none, RFC 5280 section 4.1.2.5
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// dialWebSocket opens a WebSocket within TLS to HOST:PORT. Who is at the far end the peers settle
// within, so it takes any certificate.
func dialWebSocket(ctx context.Context, dialer tcp.ContextDialer, to multiaddr.Multiaddr) (_ manet.Conn, err error) {
	_, at, err := manet.DialArgs(to)
	if err != nil {
		return nil, err
	}
	var first *limited
	d := gorilla.Dialer{
		HandshakeTimeout: upgradeLimit,
		TLSClientConfig:  &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}},
		NetDialContext: func(ctx context.Context, network, at string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, at)
			if err != nil {
				return nil, err
			}
			first = &limited{Conn: c, left: maxUpgrade}
			return first, nil
		},
	}
	c, answer, err := d.DialContext(ctx, "wss://"+at, nil)
	if err != nil && answer != nil {
		err = fmt.Errorf("%w: it answers with HTTP status %d", err, answer.StatusCode)
	}
	if err != nil {
		return nil, err
	}
	first.left = -1
	from, err := manet.FromNetAddr(c.LocalAddr())
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return &socket{Conn: c, from: from, to: to}, nil
}

// limited ends reading after so many bytes; -1: it does not.
type limited struct {
	net.Conn
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return l.Conn.Read(p)
	}
	if l.left == 0 {
		return 0, errors.New("it says more than an upgrade needs")
	}
	n, err := l.Conn.Read(p[:min(l.left, len(p))])
	l.left -= n
	return n, err
}

// socket is a stream of bytes over a WebSocket. One goroutine may read while others write.
type socket struct {
	*gorilla.Conn
	from, to multiaddr.Multiaddr

	message io.Reader // being read; nil: none
	writes  sync.Mutex
}

var _ manet.Conn = (*socket)(nil)

// Read reads what came in binary messages.
func (s *socket) Read(p []byte) (int, error) {
	for {
		if s.message == nil {
			kind, r, err := s.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != gorilla.BinaryMessage {
				return 0, fmt.Errorf("a WebSocket message of type %d", kind)
			}
			s.message = r
		}
		n, err := s.message.Read(p)
		if errors.Is(err, io.EOF) {
			s.message, err = nil, nil
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// Write sends a message.
func (s *socket) Write(p []byte) (int, error) {
	s.writes.Lock()
	defer s.writes.Unlock()
	if err := s.WriteMessage(gorilla.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetDeadline sets both deadlines.
func (s *socket) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetWriteDeadline sets that of the next message.
func (s *socket) SetWriteDeadline(t time.Time) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	return s.Conn.SetWriteDeadline(t)
}

// LocalMultiaddr is where it left.
func (s *socket) LocalMultiaddr() multiaddr.Multiaddr { return s.from }

// RemoteMultiaddr is what was dialled, without a word of WebSockets.
func (s *socket) RemoteMultiaddr() multiaddr.Multiaddr { return s.to }
