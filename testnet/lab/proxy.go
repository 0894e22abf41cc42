package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// proxyPort is where the routers of [Proxy] homes serve theirs.
const proxyPort = "3128"

// proxyAddr is where the proxy of the i-th home listens.
func (s *Spec) proxyAddr(i int) string { return s.home4(i) + "1:" + proxyPort }

// ServeProxy serves an HTTP proxy that connects to port 443 and does nothing else, as many
// offices have, until ctx ends.
func ServeProxy(ctx context.Context, addr string) error {
	s := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(connect)}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve proxy: %w", err)
	}
	return nil
}

func connect(w http.ResponseWriter, q *http.Request) {
	if q.Method != http.MethodConnect || !strings.HasSuffix(q.Host, ":443") {
		http.Error(w, "CONNECT to port 443 is all there is", http.StatusForbidden)
		return
	}
	var d net.Dialer
	far, err := d.DialContext(q.Context(), "tcp", q.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	if _, err := io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{far, near}, {near, far}} {
		go func() {
			_, _ = io.Copy(way[0], way[1]) // ends with either side, or when the other way closes both
			done <- struct{}{}
		}()
	}
	<-done
	_, _ = far.Close(), near.Close()
	<-done
}
