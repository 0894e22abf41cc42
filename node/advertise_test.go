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

// door is the only way to a node. While it is shut who comes hears nothing, and passes when it is open again.
type door struct {
	net.Listener
	to   string // HOST:PORT
	side sync.WaitGroup

	mu    sync.Mutex
	open  chan struct{} // closed while it is
	conns []net.Conn    // that pass
}

// newDoor opens one that leads nowhere yet.
func newDoor(t *testing.T) *door {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: l, open: make(chan struct{})}
	close(d.open)
	t.Cleanup(func() {
		l.Close()
		d.shut()() // ends what passes
		d.side.Wait()
	})
	return d
}

// lead lets others pass to HOST:PORT from now on.
func (d *door) lead(to string) {
	d.to = to
	d.side.Go(func() {
		for {
			c, err := d.Accept()
			if err != nil {
				return
			}
			d.side.Go(func() { d.pass(c) })
		}
	})
}

// addr is where others find the node.
func (d *door) addr() string {
	return "/ip4/127.0.0.1/tcp/" + strconv.Itoa(d.Addr().(*net.TCPAddr).Port)
}

// shut ends all connections that pass and lets no others, until what it returns is called.
func (d *door) shut() (open func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		c.Close()
	}
	d.open, d.conns = make(chan struct{}), nil
	return sync.OnceFunc(func() { close(d.open) })
}

// enter waits until the door is open and notes who passes.
func (d *door) enter(conns ...net.Conn) {
	for {
		d.mu.Lock()
		select {
		case <-d.open:
			d.conns = append(d.conns, conns...)
			d.mu.Unlock()
			return
		default:
		}
		open := d.open
		d.mu.Unlock()
		<-open
	}
}

func (d *door) pass(near net.Conn) {
	d.enter(near)
	far, err := net.Dial("tcp", d.to)
	if err != nil {
		near.Close()
		return
	}
	d.enter(far)
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
	way.lead("127.0.0.1:" + strings.TrimSpace(string(port)))
	importAs(t, owner, "demo", "q8_0")
	id := known(t, owner)["demo"].CID
	other := start(t, t.TempDir(), func(c *node.Config) {
		online(invite(t, owner))(c)
		c.Network.Listen, c.Builtin = nil, nil
	})
	until(t, "the model is heard of", func() bool { return known(t, other)["demo"].CID == id })
	open := way.shut()
	defer open()
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
	open()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
