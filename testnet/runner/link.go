package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	linkChunk = 16 << 10 // bytes that pass a link at once
	linkQueue = 256      // chunks on their way: with linkChunk, what a connection may have in flight
)

// door is a proxy of TCP on loopback in front of a node, whose address is the one that
// others are told. A connection through it takes what the link between the two nodes says.
type door struct {
	node string
	dir  string // the node's data: it keeps its port there
	link func(from, to string) Link
	who  func(c *net.TCPConn) (node string, err error) // that has dialled
	l    net.Listener
	ctx  context.Context // of the door's life
	end  context.CancelFunc
	runs sync.WaitGroup
}

// open listens. Until the node does, connections are closed.
func (d *door) open(ctx context.Context) (err error) {
	if d.l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("open the door of node %s: %w", d.node, err)
	}
	d.ctx, d.end = context.WithCancel(context.WithoutCancel(ctx))
	d.runs.Go(d.accept)
	return nil
}

// addr is what the node announces.
func (d *door) addr() string {
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", d.l.Addr().(*net.TCPAddr).Port)
}

// close breaks what passes and waits until nothing runs.
func (d *door) close() error {
	d.end()
	err := d.l.Close()
	d.runs.Wait()
	return err
}

func (d *door) accept() {
	for {
		near, err := d.l.Accept()
		if err != nil { // closed
			return
		}
		d.runs.Go(func() { d.join(near.(*net.TCPConn)) })
	}
}

// join carries one connection.
func (d *door) join(near *net.TCPConn) {
	defer near.Close()
	from, err := d.who(near)
	if err != nil {
		return // whoever it was is gone
	}
	port, err := os.ReadFile(filepath.Join(d.dir, "port"))
	if err != nil {
		return
	}
	far, err := (&net.Dialer{}).DialContext(d.ctx, "tcp", net.JoinHostPort("127.0.0.1", strings.TrimSpace(string(port))))
	if err != nil { // the node is down: so is the link
		return
	}
	defer far.Close()
	stop := context.AfterFunc(d.ctx, func() { _ = errors.Join(near.Close(), far.Close()) })
	defer stop()
	spec := d.link(from, d.node)
	var both sync.WaitGroup
	both.Go(func() { carry(d.ctx, spec, far, near) })
	both.Go(func() { carry(d.ctx, spec, near, far) })
	both.Wait()
}

// between returns what lies between two nodes: the link that names both, else what lies
// before each of them.
func (m *Manifest) between(a, b string) (out Link) {
	for _, l := range m.Links {
		switch {
		case l.To != "" && (l.Node == a && l.To == b || l.Node == b && l.To == a):
			return l
		case l.To == "" && (l.Node == a || l.Node == b):
			out.Delay.Duration += l.Delay.Duration
			if out.Rate == 0 || l.Rate > 0 && l.Rate < out.Rate {
				out.Rate = l.Rate
			}
		}
	}
	return out
}

type chunk struct {
	due  time.Time
	data []byte
}

// carry moves bytes one way, until either end is closed.
func carry(ctx context.Context, spec Link, dst, src net.Conn) {
	queue := make(chan chunk, linkQueue)
	broken := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(queue)
		for {
			b := make([]byte, linkChunk)
			n, err := src.Read(b)
			if n > 0 {
				select {
				case queue <- chunk{time.Now().Add(spec.Delay.Duration), b[:n]}:
				case <-broken:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for c := range queue {
		wait(ctx, time.Until(c.due))
		if _, err := dst.Write(c.data); err != nil {
			break
		}
		if spec.Rate > 0 {
			wait(ctx, time.Duration(float64(len(c.data))/float64(spec.Rate)*float64(time.Second)))
		}
	}
	close(broken)
	// The other way may go on until its own end.
	if c, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	if c, ok := src.(interface{ CloseRead() error }); ok {
		_ = c.CloseRead()
	}
	reader.Wait()
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
