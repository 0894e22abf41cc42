package host

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSegments has both ends of a connection keep to what every path lets through.
func TestSegments(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := &wideDialer{from: func(string) *net.TCPAddr { return nil }}
	near, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	for name, c := range map[string]net.Conn{"near": near, "far": far} {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		failed := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) })
		if failed != nil || err != nil || got > maxSegment {
			t.Errorf("the %s end sends segments of %d bytes, %v %v", name, got, failed, err)
		}
	}
}
