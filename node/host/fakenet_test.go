package host

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/quic-go/quic-go"
)

const (
	// packetOverhead is what a packet has besides its payload: the headers of UDP, IPv4 and Ethernet.
	packetOverhead = 8 + 20 + 14
	// fakeQueue is how many packets may be on their way to one socket; more are lost.
	fakeQueue = 4096
)

// fakeNet is a network of UDP in memory that works in virtual time: each packet takes delay. It
// counts what each machine sends.
type fakeNet struct {
	delay time.Duration

	mu      sync.Mutex
	sockets map[netip.AddrPort]*fakeSocket
	sent    map[netip.Addr]int64   // bytes with headers
	dead    map[netip.Addr]bool    // machines whose packets are lost, both ways
	cut     map[[2]netip.Addr]bool // pairs of machines between which packets are lost
	port    uint16                 // the last one that was chosen
}

func newFakeNet(delay time.Duration) *fakeNet {
	return &fakeNet{delay: delay, sockets: map[netip.AddrPort]*fakeSocket{}, sent: map[netip.Addr]int64{}, dead: map[netip.Addr]bool{}, cut: map[[2]netip.Addr]bool{}, port: 20000}
}

// machine returns the options of the library for a host at ip, and what closes what it opened.
func (n *fakeNet) machine(ip netip.Addr) (opts []libp2p.Option, closeAll func() error) {
	var manager *quicreuse.ConnManager
	constructor := func(reset quic.StatelessResetKey, token quic.TokenGeneratorKey, opts ...quicreuse.Option) (m *quicreuse.ConnManager, err error) {
		manager, err = quicreuse.NewConnManager(reset, token, opts...)
		return manager, err
	}
	return []libp2p.Option{libp2p.QUICReuse(constructor,
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return fakeSource(ip), nil }),
		quicreuse.OverrideListenUDP(func(_ string, at *net.UDPAddr) (net.PacketConn, error) { return n.listen(ip, uint16(at.Port)), nil }),
	)}, func() error { return manager.Close() }
}

// fakeSource is the only address of a machine.
type fakeSource netip.Addr

// PreferredSourceIPForDestination returns it.
func (f fakeSource) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	return netip.Addr(f).AsSlice(), nil
}

func (n *fakeNet) listen(ip netip.Addr, port uint16) *fakeSocket {
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == 0 {
		n.port++
		port = n.port
	}
	s := &fakeSocket{net: n, at: netip.AddrPortFrom(ip, port), in: make(chan fakePacket, fakeQueue), closed: make(chan struct{}), overdue: make(chan struct{})}
	n.sockets[s.at] = s
	return s
}

// unplug makes a machine silent.
func (n *fakeNet) unplug(ip netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead[ip] = true
}

// plug takes unplug back.
func (n *fakeNet) plug(ip netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.dead, ip)
}

// part loses what two machines send to each other, or no longer.
func (n *fakeNet) part(a, b netip.Addr, parted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[[2]netip.Addr{a, b}], n.cut[[2]netip.Addr{b, a}] = parted, parted
}

// sum returns what all machines have sent.
func (n *fakeNet) sum() (bytes int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range n.sent {
		bytes += b
	}
	return bytes
}

// fakePacket is on its way.
type fakePacket struct {
	from netip.AddrPort
	due  time.Time
	data []byte
}

// fakeSocket is a net.PacketConn.
type fakeSocket struct {
	net    *fakeNet
	at     netip.AddrPort
	in     chan fakePacket
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	overdue chan struct{} // closed while the deadline of reads is over
}

var _ net.PacketConn = (*fakeSocket)(nil)

// WriteTo sends a packet.
func (s *fakeSocket) WriteTo(p []byte, to net.Addr) (int, error) {
	at := to.(*net.UDPAddr).AddrPort()
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	n := s.net
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent[s.at.Addr()] += int64(len(p) + packetOverhead)
	if other := n.sockets[at]; other != nil && !n.dead[at.Addr()] && !n.dead[s.at.Addr()] && !n.cut[[2]netip.Addr{s.at.Addr(), at.Addr()}] {
		select {
		case other.in <- fakePacket{s.at, time.Now().Add(n.delay), append([]byte(nil), p...)}:
		default:
		}
	}
	return len(p), nil
}

// ReadFrom receives one.
func (s *fakeSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	s.mu.Lock()
	overdue := s.overdue
	s.mu.Unlock()
	select {
	case <-s.closed:
		return 0, nil, net.ErrClosed
	case <-overdue:
		return 0, nil, os.ErrDeadlineExceeded
	case got := <-s.in:
		return s.deliver(p, got, overdue)
	}
}

// deliver waits until a packet is due. The end of reads ends that, too: who closes a connection may hold a
// mutex meanwhile, and virtual time stands still while another one waits for that.
func (s *fakeSocket) deliver(p []byte, got fakePacket, overdue <-chan struct{}) (int, net.Addr, error) {
	t := time.NewTimer(time.Until(got.due))
	defer t.Stop()
	select {
	case <-t.C:
		return copy(p, got.data), net.UDPAddrFromAddrPort(got.from), nil
	case <-s.closed:
		return 0, nil, net.ErrClosed
	case <-overdue:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

// SetReadDeadline ends reads at once, or no more; no other deadline is asked for.
func (s *fakeSocket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.overdue:
		s.overdue = make(chan struct{})
	default:
	}
	if !t.IsZero() && !t.After(time.Now()) {
		close(s.overdue)
	}
	return nil
}

// SetDeadline is SetReadDeadline, as writes do not block.
func (s *fakeSocket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetWriteDeadline does nothing, as writes do not block.
func (s *fakeSocket) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr returns the socket's address.
func (s *fakeSocket) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.at) }

// Close ends reads.
func (s *fakeSocket) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.net.mu.Lock()
		defer s.net.mu.Unlock()
		delete(s.net.sockets, s.at)
	})
	return nil
}
