package host

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	// proxyDelay is how long a direct connection may take before the proxy is tried beside it.
	proxyDelay = 750 * time.Millisecond
	// maxProxyAnswer bounds the head of what a proxy answers.
	maxProxyAnswer = 16 << 10
)

// throughProxy returns options of the TCP transport for dials that may go through a proxy.
func throughProxy(proxy func(target string) (*url.URL, error)) []any {
	if proxy == nil {
		return nil
	}
	return []any{tcp.WithDialerForAddr(func(to multiaddr.Multiaddr) (tcp.ContextDialer, error) {
		if !manet.IsPublicAddr(to) {
			return &net.Dialer{}, nil
		}
		return &proxyDialer{proxy}, nil
	})}
}

// proxyDialer connects directly or, where that does not work, through an HTTP proxy by CONNECT
// (RFC 9110, section 9.3.6).
type proxyDialer struct {
	proxy func(target string) (*url.URL, error)
}

// DialContext returns the first connection that stands.
func (d *proxyDialer) DialContext(ctx context.Context, network, target string) (net.Conn, error) {
	proxy, err := d.proxy(target)
	if err != nil {
		return nil, fmt.Errorf("find a proxy to %s: %w", target, err)
	}
	var direct net.Dialer
	if proxy == nil {
		return direct.DialContext(ctx, network, target)
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
		c, err := direct.DialContext(ctx, network, target)
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
	var errs []error
	for range 2 {
		got := <-results
		if got.err == nil {
			if len(errs) == 0 {
				cancel() // the other one, which may have won, too
				if other := <-results; other.err == nil {
					_ = other.conn.Close()
				}
			}
			return got.conn, nil
		}
		errs = append(errs, got.err)
	}
	return nil, errors.Join(errs...)
}

// connectThrough opens a connection to target through a proxy.
func connectThrough(ctx context.Context, proxy *url.URL, target string) (_ net.Conn, err error) {
	port := proxy.Port()
	if port == "" {
		port = "80"
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(proxy.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("reach the proxy %s: %w", proxy.Redacted(), err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			_ = c.Close()
			err = fmt.Errorf("connect to %s through the proxy %s: %w", target, proxy.Redacted(), err)
		}
	}()
	q := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{}}
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		q.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := q.Write(c); err != nil {
		return nil, err
	}
	// One byte at a time: what follows the answer is the other side's.
	answer, err := http.ReadResponse(bufio.NewReaderSize(&oneByOne{io.LimitReader(c, maxProxyAnswer)}, 16), q)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", answer.Status)
	}
	to, err := net.ResolveTCPAddr("tcp", target) // it is an address already
	if err != nil {
		return nil, err
	}
	return &proxied{c, to}, nil
}

// proxied is a connection through a proxy. Its far end is the peer's address, not the proxy's.
type proxied struct {
	net.Conn
	remote net.Addr
}

func (p *proxied) RemoteAddr() net.Addr { return p.remote }

// oneByOne reads no byte more than it is asked for one at a time.
type oneByOne struct{ r io.Reader }

func (o *oneByOne) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }
