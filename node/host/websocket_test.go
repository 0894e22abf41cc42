package host

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/covey-network/covey/protocol/wire"
)

// wall is a middle box before a peer: it looks at how a connection begins and cuts it off if that
// does not suit it.
type wall struct {
	net.Listener
	behind string // HOST:PORT of the peer
	open   func(near, far net.Conn) (io.ReadWriter, io.ReadWriter, error)
	runs   sync.WaitGroup
}

func buildWall(t *testing.T, behind string, open func(near, far net.Conn) (io.ReadWriter, io.ReadWriter, error)) *wall {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wall{Listener: l, behind: behind, open: open}
	w.runs.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			w.runs.Go(func() { w.pass(near) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); w.runs.Wait() })
	return w
}

func (w *wall) port() int { return w.Addr().(*net.TCPAddr).Port }

func (w *wall) pass(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", w.behind)
	if err != nil {
		return
	}
	defer far.Close()
	in, out, err := w.open(near, far)
	if err != nil {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]io.ReadWriter{{in, out}, {out, in}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = near.Close(), far.Close()
		})
	}
	both.Wait()
}

// begins passes on what begins with a text.
func begins(near io.ReadWriter, far io.ReadWriter, text string) error {
	got := make([]byte, len(text))
	if _, err := io.ReadFull(near, got); err != nil {
		return err
	}
	if string(got) != text {
		return fmt.Errorf("it begins with %q", got)
	}
	_, err := far.Write(got)
	return err
}

// TestWalls lets a peer join that only a middle box leads to, which lets TCP pass that is TLS or, where
// it looks into that, HTTP, and cuts off or swallows the rest.
func TestWalls(t *testing.T) {
	t.Parallel()
	cert, err := unsigned()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		open func(near, far net.Conn) (io.ReadWriter, io.ReadWriter, error)
	}{
		{"knows TLS when it sees it", func(near, far net.Conn) (io.ReadWriter, io.ReadWriter, error) {
			return near, far, begins(near, far, "\x16\x03")
		}},
		{"swallows what is not TLS", func(near, far net.Conn) (io.ReadWriter, io.ReadWriter, error) {
			err := begins(near, far, "\x16\x03")
			if err != nil {
				_, _ = io.Copy(io.Discard, near)
			}
			return near, far, err
		}},
		{"looks into TLS", func(near, far net.Conn) (io.ReadWriter, io.ReadWriter, error) {
			in := tls.Server(near, &tls.Config{Certificates: []tls.Certificate{cert}})
			out := tls.Client(far, &tls.Config{InsecureSkipVerify: true})
			return in, out, begins(in, out, "GET / HTTP/1.1\r\n")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			w := buildWall(t, fmt.Sprintf("127.0.0.1:%d", port), c.open)
			owner := startPeer(t, foundSwarm(t, t.TempDir()), func(cfg *Config) {
				cfg.Listen, cfg.Relay, cfg.widePort = []string{"/ip4/0.0.0.0/tcp/0"}, RelayOn, port
			})
			owner.Handle(echoProto, echo)
			for _, a := range owner.Addrs() {
				if strings.Contains(string(a), "/ws") {
					t.Errorf("it tells others of %s, which they find by themselves", a)
				}
			}
			told := wire.Addr(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", w.port(), owner.ID()))
			token, err := owner.creds.Invite(Invitation{Addrs: []wire.Addr{told}}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			creds, err := OpenCredentials(t.TempDir(), token, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			p := startPeer(t, creds, func(cfg *Config) { cfg.Listen, cfg.widePort = nil, w.port() })
			until(t, "the peer joins", func() bool { return len(p.Peers()) == 1 })
			checkEcho(t, p, owner.ID())
		})
	}
}

// freePort returns a port that nothing listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// checkEcho sends more than fits into one message of a WebSocket and its buffers.
func checkEcho(t *testing.T, p *peerOf, to ID) {
	t.Helper()
	s, err := p.Open(t.Context(), to, echoProto)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	text := strings.Repeat("what passes walls ", 40<<10)
	wrote := make(chan error, 1)
	go func() {
		_, err := io.WriteString(s, text)
		_ = s.CloseWrite()
		wrote <- err
	}()
	if got, err := io.ReadAll(s); err != nil || string(got) != text {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(text), err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}
