package host

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// maxProxyAnswer bounds the head of what a proxy answers.
const maxProxyAnswer = 16 << 10

// connectThrough opens a connection to target through an HTTP proxy by CONNECT (RFC 9110, section
// 9.3.6).
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
