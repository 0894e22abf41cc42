package gateway_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestIdleConnectionsDelayNobody opens more connections than there may be: some say nothing,
// some begin a request, some have asked before. Others are answered at once, and so is who
// was at work for.
func TestIdleConnectionsDelayNobody(t *testing.T) {
	t.Parallel()
	began, end := make(chan struct{}), make(chan struct{})
	work := func(w http.ResponseWriter, _ *http.Request) {
		began <- struct{}{}
		<-end
		fmt.Fprint(w, "done")
	}
	served(t, models{}, work, func(t *testing.T, dial func() net.Conn, _ *http.Client) {
		ask := func(c net.Conn, what string) *bufio.Reader {
			fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n", what, ownerKey)
			return bufio.NewReader(c)
		}
		status := func(r *bufio.Reader) string {
			t.Helper()
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return res.Status
		}
		working := dial()
		defer working.Close()
		answer := ask(working, "GET /covey/v1/work")
		<-began
		start := time.Now()
		var idle []net.Conn
		for i := range 3000 {
			c := dial()
			idle = append(idle, c)
			switch i % 3 {
			case 1:
				fmt.Fprint(c, "GET /v1/mod")
			case 2:
				if got := status(ask(c, "GET /healthz")); got != "200 OK" {
					t.Errorf("connection %d: %s", i, got)
				}
			}
		}
		c := dial()
		defer c.Close()
		if got := status(ask(c, "GET /v1/models")); got != "200 OK" || time.Since(start) != 0 {
			t.Errorf("others are answered %s after %s", got, time.Since(start))
		}
		close(end)
		if got := status(answer); got != "200 OK" {
			t.Errorf("who was at work for is answered %s", got)
		}
		for _, c := range idle {
			c.Close()
		}
	})
}

// TestConnectionsAreCounted opens and ends connections in all ways, many times over: none is
// counted for ever.
func TestConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	served(t, models{}, nil, func(t *testing.T, dial func() net.Conn, c *http.Client) {
		for range 3 {
			var open []net.Conn
			for i := range 600 {
				conn := dial()
				if i%2 == 0 {
					post(conn, "/v1/completions", 10)
				}
				open = append(open, conn)
			}
			for _, conn := range open {
				conn.Close()
			}
			time.Sleep(time.Minute)
		}
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	})
}
