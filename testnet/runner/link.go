package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/covey-network/covey/protocol/wire"
)

const (
	linkChunk = 16 << 10 // bytes that pass a link at once
	linkQueue = 256      // chunks on their way: with linkChunk, what a connection may have in flight
)

// link is a proxy of TCP on loopback that stands between a node and the first one. What
// passes takes a time each way and goes no faster than a rate.
type link struct {
	spec Link
	to   string // host:port
	l    net.Listener
	ctx  context.Context // of the link's life
	end  context.CancelFunc
	runs sync.WaitGroup
}

func openLink(ctx context.Context, spec Link, to string) (*link, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open link of node %s: %w", spec.Node, err)
	}
	k := &link{spec: spec, to: to, l: l}
	k.ctx, k.end = context.WithCancel(context.WithoutCancel(ctx))
	k.runs.Go(k.accept)
	return k, nil
}

// close breaks what passes and waits until nothing runs.
func (k *link) close() error {
	k.end()
	err := k.l.Close()
	k.runs.Wait()
	return err
}

func (k *link) accept() {
	for {
		near, err := k.l.Accept()
		if err != nil { // closed
			return
		}
		k.runs.Go(func() { k.join(near) })
	}
}

// join carries one connection.
func (k *link) join(near net.Conn) {
	defer near.Close()
	far, err := (&net.Dialer{}).DialContext(k.ctx, "tcp", k.to)
	if err != nil { // the first node is down: so is the link
		return
	}
	defer far.Close()
	stop := context.AfterFunc(k.ctx, func() { _ = errors.Join(near.Close(), far.Close()) })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { k.carry(far, near) })
	both.Go(func() { k.carry(near, far) })
	both.Wait()
}

type chunk struct {
	due  time.Time
	data []byte
}

// carry moves bytes one way, until either end is closed.
func (k *link) carry(dst, src net.Conn) {
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
				case queue <- chunk{time.Now().Add(k.spec.Delay.Duration), b[:n]}:
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
		wait(k.ctx, time.Until(c.due))
		if _, err := dst.Write(c.data); err != nil {
			break
		}
		if k.spec.Rate > 0 {
			wait(k.ctx, time.Duration(float64(len(c.data))/float64(k.spec.Rate)*float64(time.Second)))
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

// through returns a join token whose bootstrap address is the link, which it opens to the
// address in the token.
func through(ctx context.Context, spec Link, token string) (*link, string, error) {
	t, err := wire.ParseToken(token)
	if err != nil {
		return nil, "", err
	}
	for _, a := range t.Bootstrap {
		// /ip4/127.0.0.1/tcp/PORT/p2p/ID
		f := strings.Split(string(a), "/")
		if len(f) != 7 || f[1] != "ip4" || f[3] != "tcp" {
			continue
		}
		k, err := openLink(ctx, spec, net.JoinHostPort(f[2], f[4]))
		if err != nil {
			return nil, "", err
		}
		_, f[4], err = net.SplitHostPort(k.l.Addr().String())
		if err == nil {
			f[2] = "127.0.0.1"
			t.Bootstrap = []wire.Addr{wire.Addr(strings.Join(f, "/"))}
			token, err = t.Text()
		}
		if err != nil {
			return nil, "", errors.Join(err, k.close())
		}
		return k, token, nil
	}
	return nil, "", fmt.Errorf("open link of node %s: no address over TCP among %v", spec.Node, t.Bootstrap)
}
