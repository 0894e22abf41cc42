package host

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestProxy has an address that leads nowhere but through a proxy.
func TestProxy(t *testing.T) {
	t.Parallel()
	const target = "192.0.2.1:443" // of documentation: no route, or no answer
	for _, c := range []struct {
		name, answer, wants string // wants: part of the error
		body                string // sent by the far end at once
	}{
		{"connects", "HTTP/1.1 200 Connection established\r\n\r\n", "", "hello"},
		{"refuses", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "it answers 403 Forbidden", ""},
		{"is none", "SSH-2.0-OpenSSH_9.6\r\n", "malformed HTTP", ""},
		{"talks without end", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxProxyAnswer), "through the proxy", ""},
		{"hangs up", "", "EOF", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan *http.Request, 1)
			l := listenOnce(t, func(conn net.Conn) {
				q, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				asked <- q
				fmt.Fprint(conn, c.answer, c.body)
			})
			proxy := &url.URL{Scheme: "http", Host: l.String(), User: url.UserPassword("me", "secret")}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			conn, err := connectThrough(ctx, proxy, target)
			q := <-asked
			if user, password, _ := basicAuth(q); q.Method != http.MethodConnect || q.RequestURI != target || user != "me" || password != "secret" {
				t.Errorf("the proxy is asked %s %s by %s %s", q.Method, q.RequestURI, user, password)
			}
			if c.wants != "" {
				if err == nil || !strings.Contains(err.Error(), c.wants) || strings.Contains(err.Error(), "secret") {
					t.Errorf("got %v, want %q and no password", err, c.wants)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got, err := io.ReadAll(conn); err != nil || string(got) != c.body || conn.RemoteAddr().String() != target {
				t.Errorf("%q from %s, %v", got, conn.RemoteAddr(), err)
			}
		})
	}
}

// TestProxyComesSecond has a far end that answers directly: the proxy, which would refuse, is
// not needed. And one that does not: the proxy leads there.
func TestProxyComesSecond(t *testing.T) {
	t.Parallel()
	open := listenOnce(t, func(conn net.Conn) { fmt.Fprint(conn, "direct") })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close() // its port refuses from now on
	for _, c := range []struct{ target, answer, want string }{
		{open.String(), "HTTP/1.1 403 Forbidden\r\n\r\n", "direct"},
		{closed.Addr().String(), "HTTP/1.1 200 OK\r\n\r\nproxied", "proxied"},
	} {
		l := listenOnce(t, func(conn net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				fmt.Fprint(conn, c.answer)
			}
		})
		d := wideDialer{func(string) *net.TCPAddr { return nil }, func(string) (*url.URL, error) { return &url.URL{Scheme: "http", Host: l.String()}, nil }}
		conn, err := d.DialContext(t.Context(), "tcp", c.target)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || string(got) != c.want {
			t.Errorf("got %q, %v; want %q", got, err, c.want)
		}
		_ = conn.Close()
	}
}

// listenOnce serves one connection and ends it.
func listenOnce(t *testing.T, serve func(net.Conn)) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		serve(conn)
		_ = conn.Close()
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr()
}

// basicAuth returns what a request says to a proxy.
func basicAuth(q *http.Request) (user, password string, ok bool) {
	q.Header.Set("Authorization", q.Header.Get("Proxy-Authorization"))
	return q.BasicAuth()
}
