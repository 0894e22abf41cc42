package doctor_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"

	"github.com/covey-network/covey/node/doctor"
	"github.com/covey-network/covey/protocol/wire"
)

func TestParseTarget(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"/ip4/10.0.0.1/tcp/4001":         "TCP 10.0.0.1:4001",
		"/ip4/10.0.0.1/udp/4001/quic-v1": "UDP 10.0.0.1:4001",
		"/ip6/2001:db8::1/tcp/443":       "TCP [2001:db8::1]:443",
		"/dns4/attic.example/tcp/443":    "TCP attic.example:443",
		"/ip4/10.0.0.1/tcp/4001/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf/p2p-circuit": "",
		"/ip4/10.0.0.1/tcp/70000": "",
		"/unix/x":                 "",
		"":                        "",
	} {
		got, ok := doctor.ParseTarget(wire.Addr(text))
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s: %s, %v; want %q", text, got, ok, want)
		}
	}
}

// listen accepts connections and lets each serve one.
func listen(t *testing.T, each func(net.Conn)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			each(c)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// udpServer answers packets.
func udpServer(t *testing.T, answer func(in []byte) []byte) int {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		in := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(in)
			if err != nil {
				return
			}
			if out := answer(in[:n]); out != nil {
				_, _ = c.WriteTo(out, from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// versions answers a packet of QUIC of a version that there is not, as RFC 9000 section 17.2.1 has it.
func versions(in []byte) []byte {
	if len(in) < 1200 || in[0]&0x80 == 0 {
		return nil
	}
	to, from := in[6:6+in[5]], in[7+in[5]:7+in[5]+in[6+in[5]]]
	out := append([]byte{0x80, 0, 0, 0, 0, byte(len(from))}, from...)
	return append(append(append(out, byte(len(to))), to...), 0, 0, 0, 1)
}

// TestProbe tries servers of several kinds, and ports where nobody listens.
func TestProbe(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	_, text, _ := net.SplitHostPort(web.Listener.Addr().String())
	webPort, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	closed := listen(t, func(c net.Conn) { c.Close() })
	for _, c := range []struct {
		name, proto string
		port        int
		want        doctor.Result
		says        string
		mtu, narrow bool
	}{
		{"a node", "tcp", listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "\x13/multistream/1.0.0\n\x03na\n") }), doctor.Answers, "", false, false},
		{"a node that no large packets reach", "tcp", listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "\x13/multistream/1.0.0\n") }), doctor.Answers, "", false, true},
		{"a web server", "tcp", webPort, doctor.Other, "HTTP/1.1 400 Bad Req", false, false},
		{"who greets", "tcp", listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-Test\r\n"); c.Close() }), doctor.Other, "SSH-2.0-Test", false, false},
		{"who is mute", "tcp", listen(t, func(net.Conn) {}), doctor.Other, "", false, false},
		{"who hangs up", "tcp", closed, doctor.Other, "", false, false},
		{"nobody", "tcp", freePort(t), doctor.Refused, "", false, false},
		{"a node over QUIC", "udp", udpServer(t, versions), doctor.Answers, "", true, false},
		{"another server of UDP", "udp", udpServer(t, func([]byte) []byte { return []byte("what?") }), doctor.Other, "", false, false},
		{"a silent server of UDP", "udp", udpServer(t, func([]byte) []byte { return nil }), doctor.Silent, "", false, false},
		{"nobody over UDP", "udp", freePort(t), doctor.Refused, "", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			found := doctor.Prober{}.Probe(t.Context(), [][]doctor.Target{nil, {{Proto: c.proto, Host: "127.0.0.1", Port: c.port}}})
			if len(found) != 2 || len(found[0]) != 0 || len(found[1]) != 1 {
				t.Fatalf("got %+v", found)
			}
			got := found[1][0]
			if got.Result != c.want || got.Says != c.says || got.Guess || got.Narrow != c.narrow || (got.MTU != 0) != (c.mtu && runtime.GOOS == "linux") {
				t.Errorf("got %+v, want %s, %q", got, c.want, c.says)
			}
		})
	}
}

// freePort returns a port where nobody listened a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
