package gateway

import (
	"net"
	"net/netip"
	"testing"
)

// end is one end of a connection from an address.
type end struct {
	net.Conn
	from string
}

func (e *end) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(e.from)) }
func (e *end) Close() error         { return nil }

// TestWhoIsClosed counts connections of several addresses: those of the crowd go first, those
// that are worked for never, and all are let go.
func TestWhoIsClosed(t *testing.T) {
	t.Parallel()
	s := &conns{groups: map[string]*group{}}
	honest := s.add(&end{from: "10.0.0.1:1"})
	var all []*conn
	for range 3 * maxConnsPerAddr {
		all = append(all, s.add(&end{from: "10.0.0.2:1"}))
	}
	for range 3 * maxConnsPerAddr { // addresses of one network
		all = append(all, s.add(&end{from: "[2001:db8::2]:1"}), s.add(&end{from: "[2001:db8::3]:1"}))
	}
	if honest.gone || s.total > maxConns || len(s.groups) != 3 {
		t.Errorf("gone: %t, %d connections of %d addresses", honest.gone, s.total, len(s.groups))
	}
	for _, c := range all {
		c.busy()
	}
	if got := s.add(&end{from: "10.0.0.2:1"}); got != nil && s.groups["10.0.0.2"].total > maxConnsPerAddr {
		t.Error("more than may be, while all are worked for")
	}
	for _, c := range append(all, honest) {
		if c != nil {
			c.quiet()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for _, g := range s.groups {
		for g.quiet.Len() > 0 {
			g.quiet.Front().Value.(*conn).Close()
		}
	}
	if s.total != 0 || len(s.groups) != 0 {
		t.Errorf("%d connections of %d addresses are left", s.total, len(s.groups))
	}
}
