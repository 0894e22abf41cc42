package node_test

import (
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
)

// door is the only way to a node. While it is shut nothing passes, and who comes hears nothing.
type door struct {
	net.Listener
	to   string // HOST:PORT
	side sync.WaitGroup

	mu    sync.Mutex
	shut  bool
	conns []net.Conn
}

// newDoor opens one that leads nowhere yet.
func newDoor(t *testing.T) *door {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: l}
	d.side.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.side.Go(func() { d.pass(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		d.turn(true)
		d.side.Wait()
	})
	return d
}

// addr is where others find the node.
func (d *door) addr() string {
	return "/ip4/127.0.0.1/tcp/" + strconv.Itoa(d.Addr().(*net.TCPAddr).Port)
}

// turn shuts the door or opens it. All connections end.
func (d *door) turn(shut bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		c.Close()
	}
	d.shut, d.conns = shut, nil
}

// enter reports whether a connection may pass.
func (d *door) enter(conns ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = append(d.conns, conns...)
	return !d.shut
}

func (d *door) pass(near net.Conn) {
	if !d.enter(near) {
		return // turn ends it
	}
	far, err := net.Dial("tcp", d.to)
	if err != nil || !d.enter(far) {
		return
	}
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		d.side.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = near.Close(), far.Close()
		})
	}
}

// TestPullAwaitsALostPeer pulls a model while the only peer that has it was lost a moment ago, which then
// comes back.
func TestPullAwaitsALostPeer(t *testing.T) {
	t.Parallel()
	way := newDoor(t)
	dir := t.TempDir()
	owner := start(t, dir, func(c *node.Config) {
		online("")(c)
		c.Network.Announce = []string{way.addr()}
	})
	port, err := os.ReadFile(filepath.Join(dir, "port"))
	if err != nil {
		t.Fatal(err)
	}
	way.to = "127.0.0.1:" + strings.TrimSpace(string(port))
	importAs(t, owner, "demo", "q8_0")
	id := known(t, owner)["demo"].CID
	other := start(t, t.TempDir(), func(c *node.Config) {
		online(invite(t, owner))(c)
		c.Network.Listen, c.Builtin = nil, nil
	})
	until(t, "the model is heard of", func() bool { return known(t, other)["demo"].CID == id })
	way.turn(true)
	until(t, "the peer is lost", func() bool {
		p := peersOf(t, other, url.Values{"all": {"true"}})
		return len(p) == 1 && p[0].Path.State == "lost"
	})
	done := make(chan error, 1)
	go func() {
		_, err := other.Watch(t.Context(), "/covey/v1/models/pull", api.PullRequest{Model: id}, func(api.Event) {})
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("ended while the peer was lost: %v", err)
	case <-time.After(500 * time.Millisecond): // of the four seconds for which it is looked for
	}
	way.turn(false)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
