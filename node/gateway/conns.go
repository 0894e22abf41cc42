package gateway

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limits of connections. Those that the gateway waits for, because a request has not begun or
// is not here whole, make room for new ones, the oldest first: who opens connections and says
// nothing costs others nothing.
const (
	maxConns        = 1024
	maxConnsPerAddr = 512
)

// conns is the connections that are open.
type conns struct {
	mu     sync.Mutex
	total  int
	groups map[string]*group // by where they come from
}

// group is the connections from one address.
type group struct {
	total int
	quiet list.List // of *conn, those that the gateway waits for; longest first
}

// conn is a connection that counts.
type conn struct {
	net.Conn
	of    *conns
	from  string
	place *list.Element // in its group's quiet; nil while the gateway works for it
	gone  bool
}

// limitedListener counts the connections that it accepts.
type limitedListener struct {
	net.Listener
	conns *conns
}

// Accept returns the next connection that there is room for.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if counted := l.conns.add(c); counted != nil {
			return counted, nil
		}
		_ = c.Close() // nothing was sent yet
	}
}

// add counts a connection, and closes others if there are too many. It returns nil if the
// gateway is at work for all of them.
func (s *conns) add(c net.Conn) *conn {
	added := &conn{Conn: c, of: s, from: source(c.RemoteAddr())}
	victim, ok := s.place(added)
	if victim != nil {
		_ = victim.Conn.Close() // its client said nothing
	}
	if !ok {
		return nil
	}
	return added
}

func (s *conns) place(added *conn) (victim *conn, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[added.from]
	if g == nil {
		g = &group{}
	}
	var crowd *group
	switch {
	case g.total >= maxConnsPerAddr:
		crowd = g
	case s.total >= maxConns:
		crowd = s.largest()
	}
	if crowd != nil {
		oldest := crowd.quiet.Front()
		if oldest == nil {
			return nil, false
		}
		victim = oldest.Value.(*conn)
		s.remove(victim)
	}
	s.groups[added.from] = g
	s.total++
	g.total++
	added.place = g.quiet.PushBack(added)
	return victim, true
}

// largest returns the group with the most connections that the gateway waits for.
func (s *conns) largest() *group {
	most := &group{}
	for _, g := range s.groups {
		if g.quiet.Len() > most.quiet.Len() {
			most = g
		}
	}
	return most
}

// remove stops counting a connection.
func (s *conns) remove(c *conn) {
	if c.gone {
		return
	}
	c.gone = true
	g := s.groups[c.from]
	if c.place != nil {
		g.quiet.Remove(c.place)
		c.place = nil
	}
	s.total--
	if g.total--; g.total == 0 {
		delete(s.groups, c.from)
	}
}

// source returns what connections are counted by: an IPv4 address, or the network of an IPv6
// address, as one machine may have all of that.
func source(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	ip := at.Addr().Unmap()
	if net64, err := ip.WithZone("").Prefix(64); err == nil && ip.Is6() {
		return net64.String()
	}
	return ip.String()
}

// Close closes the connection.
func (c *conn) Close() error {
	c.of.mu.Lock()
	c.of.remove(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends what is sent: net/http does so before it closes a connection on which
// something may still come, so that the answer is read and not reset.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// busy says that the gateway works for the connection.
func (c *conn) busy() {
	if c == nil {
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.place != nil {
		c.of.groups[c.from].quiet.Remove(c.place)
		c.place = nil
	}
}

// quiet says that the gateway waits for the client again.
func (c *conn) quiet() {
	if c == nil {
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.place == nil && !c.gone {
		c.place = c.of.groups[c.from].quiet.PushBack(c)
	}
}

type connKey struct{}

// withConn lets handlers find the connection of a request.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf returns the connection of a request; nil if it is not counted.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// freshEvery is how often a gateway that ends looks for connections that have come just then.
const freshEvery = 100 * time.Millisecond

// freshConns are the connections on which no byte has come yet.
type freshConns struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// note is told of each change of a connection.
func (f *freshConns) note(c net.Conn, state http.ConnState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if state != http.StateNew {
		delete(f.open, c)
		return
	}
	if f.open == nil {
		f.open = make(map[net.Conn]struct{})
	}
	f.open[c] = struct{}{}
}

// close closes them.
func (f *freshConns) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.open {
		_ = c.Close() // its client said nothing
	}
}
