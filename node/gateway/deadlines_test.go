package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/covey-network/covey/node/gateway"
)

// pipes is a listener whose connections are pipes, so that time can be the test's.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.conns <- far
	return near
}

// served runs a test in virtual time against a gateway.
func served(t *testing.T, m gateway.Models, control http.HandlerFunc, f func(t *testing.T, dial func() net.Conn, c *http.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		g := newGateway(t, m, control)
		ended := make(chan error, 1)
		go func() { ended <- g.Serve(p) }()
		tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil }}
		f(t, p.dial, &http.Client{Transport: tr})
		tr.CloseIdleConnections()
		close(p.done)
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute) // what is left ends by its own limits
	})
}

// TestLongRequests has work that takes longer than a body may: nobody cuts it off.
func TestLongRequests(t *testing.T) {
	t.Parallel()
	work := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" { // only these have one to read
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
		}
		select {
		case <-time.After(10 * time.Minute):
			fmt.Fprint(w, "done")
		case <-r.Context().Done():
			t.Errorf("%s was cut off: %v", r.Method, context.Cause(r.Context()))
		}
	}
	served(t, models{}, work, func(t *testing.T, _ func() net.Conn, c *http.Client) {
		for _, method := range []string{"GET", "DELETE", "POST"} {
			var body io.Reader
			if method == "POST" {
				body = strings.NewReader("{}")
			}
			req, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1/covey/v1/work", body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+ownerKey)
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(res.Body); err != nil || string(b) != "done" {
				t.Errorf("%s answered %q, %v", method, b, err)
			}
			res.Body.Close()
		}
	})
}

// TestSlowClients has clients that stop in the middle of a request or of an answer.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	many := models{}
	for i := range 1000 {
		many[strings.Repeat("x", 100)+fmt.Sprint(i)] = nil
	}
	served(t, many, func(http.ResponseWriter, *http.Request) {}, func(t *testing.T, dial func() net.Conn, _ *http.Client) {
		start := time.Now()
		sends := dial()
		fmt.Fprint(sends, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		line, err := bufio.NewReader(sends).ReadString('\n')
		if err != nil || !strings.Contains(line, "408") || time.Since(start) > time.Minute {
			t.Errorf("half a request: %q, %v after %s", line, err, time.Since(start))
		}
		sends.Close()
		reads := dial()
		fmt.Fprint(reads, "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
		time.Sleep(5 * time.Minute)
		if b, err := io.ReadAll(reads); err != nil || len(b) > 64<<10 {
			t.Errorf("after minutes without a read there are %d bytes, %v", len(b), err)
		}
		reads.Close()
	})
}

// TestDeadlinesEndWithTheirAnswer asks again on a connection that has been quiet for longer
// than the write of its last answer could take.
func TestDeadlinesEndWithTheirAnswer(t *testing.T) {
	t.Parallel()
	control := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }
	served(t, models{}, control, func(t *testing.T, dial func() net.Conn, _ *http.Client) {
		conn := dial()
		defer conn.Close()
		in := bufio.NewReader(conn)
		for _, path := range []string{"/v1/models", "/covey/v1/x"} {
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n", path, ownerKey)
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
				t.Errorf("%s: %d, %v", path, res.StatusCode, err)
			}
			time.Sleep(45 * time.Second)
		}
	})
}

// TestLocalAddress checks where a node's own commands ask, which listening on all addresses
// does not say.
func TestLocalAddress(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"127.0.0.1:8420": "127.0.0.1:8420", "0.0.0.0:8420": "127.0.0.1:8420", "[::]:8420": "127.0.0.1:8420", "[::1]:8420": "[::1]:8420", "192.0.2.7:1": "192.0.2.7:1",
	} {
		a, err := net.ResolveTCPAddr("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		if got := gateway.Local(a).String(); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

func TestCheckAddr(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		addr     string
		keys     int
		insecure bool
		want     string
	}{
		{"127.0.0.1:0", 0, false, ""},
		{"localhost:8420", 0, false, ""},
		{"0.0.0.0:8420", 0, false, "sha256sum"},
		{":8420", 0, true, "sha256sum"},
		{":8420", 1, false, "TLS"},
		{":8420", 1, true, ""},
		{"8420", 0, false, "host:port"},
		{"127.0.0.1:84200", 0, false, "65535"},
		{"127.0.0.1:http", 0, false, "65535"},
	} {
		err := gateway.CheckAddr(tc.addr, tc.keys, tc.insecure)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}
