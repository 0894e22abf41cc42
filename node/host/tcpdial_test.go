package host

import (
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/covey-network/covey/protocol/wire"
)

// TestDialsFromItsPort dials twice: the first time from the port listened on, and the second
// time, as there is a connection between the two ends, from another one.
func TestDialsFromItsPort(t *testing.T) {
	t.Parallel()
	p := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Listen = []string{"/ip4/0.0.0.0/tcp/0"} })
	r, err := p.running()
	if err != nil {
		t.Fatal(err)
	}
	from := r.dialFrom("tcp4")
	if from == nil || r.dialFrom("tcp6") != nil {
		t.Fatalf("from %s and %s", from, r.dialFrom("tcp6"))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := &wideDialer{from: r.dialFrom}
	for i := range 2 {
		c, err := d.DialContext(t.Context(), "tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if port := c.LocalAddr().(*net.TCPAddr).Port; (port == from.Port) != (i == 0) {
			t.Errorf("dial %d is from port %d; the peer listens on %d", i, port, from.Port)
		}
	}
}

func TestDialerTo(t *testing.T) {
	t.Parallel()
	r := &running{Host: &Host{cfg: Config{Proxy: func(string) (*url.URL, error) { return nil, nil }}}}
	for _, a := range addrsOf([]wire.Addr{"/ip4/192.168.1.2/tcp/1", "/ip4/8.8.8.8/tcp/1", "/ip6/2600::1/tcp/443"}) {
		d, err := r.dialerTo(a)
		_, wide := d.(*wideDialer)
		if _, plain := d.(*net.Dialer); err != nil || wide == plain || wide != !strings.Contains(a.String(), "192.168") {
			t.Errorf("%s: %T, %v", a, d, err)
		}
	}
}
