package host

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/multiformats/go-multiaddr"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// cable is the only way to a peer's QUIC port. It can be cut: nothing passes then, and nobody is
// told.
type cable struct {
	in  *net.UDPConn
	to  netip.AddrPort
	cut atomic.Bool
}

func newCable(t *testing.T) *cable {
	t.Helper()
	in, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return &cable{in: in}
}

// addr is where the peer seems to listen.
func (c *cable) addr() string {
	return "/ip4/127.0.0.1/udp/" + strings.Split(c.in.LocalAddr().String(), ":")[1] + "/quic-v1"
}

// plug leads the cable to a peer until the test ends.
func (c *cable) plug(t *testing.T, p *peerOf) {
	t.Helper()
	r, err := p.running()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range r.host.Network().ListenAddresses() {
		if proto, at, ok := hostPort(a); ok && proto == "udp" {
			c.to = netip.MustParseAddrPort(at)
		}
	}
	var sides sync.WaitGroup
	back := map[netip.AddrPort]*net.UDPConn{} // of clients
	sides.Go(func() {
		buf := make([]byte, 2<<10)
		for {
			n, from, err := c.in.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			out := back[from]
			if out == nil {
				if out, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(c.to)); err != nil {
					t.Error(err)
					return
				}
				back[from] = out
				sides.Go(func() { c.answers(out, from) })
			}
			if !c.cut.Load() {
				_, _ = out.Write(buf[:n]) // what is lost is lost
			}
		}
	})
	t.Cleanup(func() {
		c.in.Close()
		for _, out := range back {
			out.Close()
		}
		sides.Wait()
	})
}

func (c *cable) answers(from *net.UDPConn, to netip.AddrPort) {
	buf := make([]byte, 2<<10)
	for {
		n, err := from.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && !c.cut.Load() {
			_, _ = c.in.WriteToUDPAddrPort(buf[:n], to)
		}
	}
}

// relayedPair are two peers that reach each other over two relays only.
type relayedPair struct {
	a, b   *peerOf
	cables map[ID]*cable // of the relays
}

func newRelayedPair(t *testing.T) *relayedPair {
	t.Helper()
	p := &relayedPair{cables: map[ID]*cable{}}
	relay := func(c *Credentials) *peerOf {
		way := newCable(t)
		r := startPeer(t, c, func(cfg *Config) {
			cfg.Relay, cfg.Listen, cfg.Announce = RelayOn, []string{listenQUIC}, []string{way.addr()}
		})
		way.plug(t, r)
		p.cables[r.ID()] = way
		return r
	}
	first := relay(foundSwarm(t, t.TempDir()))
	second := relay(invited(t, first, t.TempDir(), Invitation{}))
	home := func() *peerOf {
		h := startPeer(t, invited(t, first, t.TempDir(), Invitation{}), onlyDials)
		if err := h.Connect(t.Context(), second.Addrs()[0]); err != nil {
			t.Fatal(err)
		}
		return h
	}
	p.a, p.b = home(), home()
	p.b.Handle(echoProto, echo)
	of, err := p.b.running()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*peerOf{first, second} {
		until(t, "the relay knows them", func() bool { return r.isMember(p.a.ID()) && r.isMember(p.b.ID()) })
		until(t, "a reservation", func() bool { // as b gets by itself, sooner or later
			_, err := client.Reserve(t.Context(), of.host, peer.AddrInfo{ID: native(r.ID())})
			return err == nil
		})
		p.a.AddAddrs(p.b.ID(), []wire.Addr{wire.Addr(string(r.Addrs()[0]) + "/p2p-circuit/p2p/" + p.b.ID().String())})
	}
	return p
}

// talk says something to b over a stream and hears it back.
func talk(s Stream) error {
	text := []byte("a token")
	if _, err := s.Write(text); err != nil {
		return err
	}
	_, err := io.ReadFull(s, text)
	return err
}

// punctual watches a peer from now on. What it returns tells whether the peer has been in time with what it
// does: one that is not blames nobody for some seconds.
func punctual(t *testing.T, p *peerOf) func() bool {
	t.Helper()
	r, err := p.running()
	if err != nil {
		t.Fatal(err)
	}
	var late atomic.Bool
	var watch sync.WaitGroup
	over := make(chan struct{})
	watch.Go(func() {
		tick := time.NewTicker(probeLate / 5)
		defer tick.Stop()
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-tick.C:
			case <-over:
				return
			}
			if now := time.Now(); now.Sub(last) > probeLate || !r.prober.judges(now) {
				late.Store(true)
			}
		}
	})
	t.Cleanup(func() { close(over); watch.Wait() })
	return func() bool { return !late.Load() }
}

// sceneTries is how often a scene is tried on a machine that is late.
const sceneTries = 5

// inTime runs a scene with a new pair, whose stream is in use: what it says must hold. Where it does not
// and the pair was late, which blames nobody then, the scene is tried anew: it must hold once.
func inTime(t *testing.T, scene func(p *relayedPair, s Stream) error) {
	t.Helper()
	var err error
	for range sceneTries {
		p := newRelayedPair(t)
		s, failed := p.a.Open(t.Context(), p.b.ID(), echoProto)
		if failed != nil {
			t.Fatal(failed)
		}
		if err := talk(s); err != nil {
			t.Fatal(err)
		}
		a, b := punctual(t, p.a), punctual(t, p.b)
		err = scene(p, s)
		_ = s.Reset()
		if err == nil || a() && b() {
			break
		}
		t.Logf("this machine was late: %v", err)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestStreamOfDeadRelay cuts off the relay of a stream that is in use: within seconds the stream
// says so, and another leads over the other relay.
func TestStreamOfDeadRelay(t *testing.T) {
	t.Parallel()
	inTime(t, func(p *relayedPair, s Stream) error {
		dead := p.a.Path(p.b.ID()).Via
		p.cables[dead].cut.Store(true)
		// Without the watch it takes probes for silentBusy and more.
		const limit = silentBusy * 3 / 4
		since := time.Now()
		err := talk(s)
		if took := time.Since(since); !errors.Is(err, ErrPathLost) || took > limit {
			return fmt.Errorf("the stream ended with %v after %v", err, took)
		}
		again, err := p.a.Open(t.Context(), p.b.ID(), echoProto)
		if err != nil {
			return fmt.Errorf("after %v: %w", time.Since(since), err)
		}
		defer again.Reset()
		err = talk(again)
		if took := time.Since(since); err != nil || took > limit {
			return fmt.Errorf("a stream over the other relay: %v after %v", err, took)
		}
		if via := p.a.Path(p.b.ID()).Via; via == dead || p.cables[via] == nil {
			return fmt.Errorf("it goes over %s, the dead one is %s", via, dead)
		}
		return nil
	})
}

// TestSilenceOfAllIsNoRelays cuts off a peer from everybody for a moment: that is no reason to
// give up connections.
func TestSilenceOfAllIsNoRelays(t *testing.T) {
	t.Parallel()
	inTime(t, func(p *relayedPair, s Stream) error {
		cut := func(on bool) {
			for _, c := range p.cables {
				c.cut.Store(on)
			}
		}
		cut(true)
		time.AfterFunc(2*relaySilence, func() { cut(false) })
		if err := talk(s); err != nil {
			return fmt.Errorf("the stream ended: %w", err)
		}
		return nil
	})
}

// TestDeadlineWhileRelayIsDoubted has a read deadline pass while the relay is doubted.
func TestDeadlineWhileRelayIsDoubted(t *testing.T) {
	t.Parallel()
	p := newRelayedPair(t)
	s, err := p.a.Open(t.Context(), p.b.ID(), echoProto)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	if err := talk(s); err != nil {
		t.Fatal(err)
	}
	r, err := p.a.running()
	if err != nil {
		t.Fatal(err)
	}
	dead := p.a.Path(p.b.ID()).Via
	p.cables[dead].cut.Store(true)
	until(t, "the relay is doubted", func() bool { return r.circuits.doubted(dead) != nil })
	if err := s.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, ErrPathLost) {
		t.Errorf("the read ended with %v", err)
	}
}

// TestDeadlineOverAll lets a deadline pass over each transport.
func TestDeadlineOverAll(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{listenTCP, listenQUIC} {
		t.Run(listen, func(t *testing.T) {
			t.Parallel()
			a := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Listen = []string{listen} })
			b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
			a.Handle(echoProto, echo)
			s, err := b.Open(t.Context(), a.ID(), echoProto)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Reset()
			if err := errors.Join(talk(s), s.SetReadDeadline(time.Now())); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the read ended with %v", err)
			}
		})
	}
}

// TestRankOfRelays checks over which relay a peer is dialled first.
func TestRankOfRelays(t *testing.T) {
	t.Parallel()
	ids := []ID{foundSwarm(t, t.TempDir()).ID, foundSwarm(t, t.TempDir()).ID, foundSwarm(t, t.TempDir()).ID}
	over := func(id ID) multiaddr.Multiaddr {
		return addrsOf([]wire.Addr{wire.Addr("/ip4/8.8.8.8/udp/1/quic-v1/p2p/" + id.String() + "/p2p-circuit")})[0]
	}
	for _, c := range []struct {
		name     string
		distance map[ID]int
		late     []time.Duration // at least, of each
	}{
		{"one is connected", map[ID]int{ids[0]: relayAway, ids[1]: relayNear, ids[2]: relayFar}, []time.Duration{2 * fartherDelay, 0, fartherDelay}},
		{"none is", map[ID]int{ids[0]: relayAway, ids[1]: relayFar, ids[2]: relayAway}, []time.Duration{fartherDelay, 0, fartherDelay}},
		{"none seems to be there", map[ID]int{ids[0]: relayAway}, []time.Duration{0}},
	} {
		var addrs []multiaddr.Multiaddr
		for _, id := range ids[:len(c.distance)] {
			addrs = append(addrs, over(id))
		}
		delays := map[ID]time.Duration{}
		for _, d := range rank(addrs, nil, func(id ID) int { return c.distance[id] }) {
			delays[relayOf(d.Addr)] = d.Delay
		}
		for i, least := range c.late {
			if got := delays[ids[i]]; len(delays) != len(addrs) || got < least || least == 0 && got > 0 {
				t.Errorf("%s: %v", c.name, delays)
			}
		}
	}
}

// TestFewAddrs has a peer with more addresses than it may tell.
func TestFewAddrs(t *testing.T) {
	t.Parallel()
	var addrs []wire.Addr
	add := func(n int, end string) {
		for range n {
			addrs = append(addrs, wire.Addr("/ip4/8.8.8.8/tcp/"+string(rune('1'+len(addrs)%9))+"00"+end+string(rune('a'+len(addrs)))))
		}
	}
	add(20, "/p2p/one/p2p-circuit/")
	add(3, "/p2p/two/p2p-circuit/")
	add(2, "/")
	got := map[string]int{}
	for _, a := range fewAddrs(addrs) {
		switch {
		case strings.Contains(string(a), "one"):
			got["one"]++
		case strings.Contains(string(a), "two"):
			got["two"]++
		default:
			got["direct"]++
		}
	}
	if got["one"] != 11 || got["two"] != 3 || got["direct"] != 2 {
		t.Errorf("got %v", got)
	}
	addrs = nil
	for i := range 40 { // of many interfaces, and shorter than those over relays
		addrs = append(addrs, wire.Addr(fmt.Sprintf("/ip4/10.0.%d.1/tcp/1", i/2)))
	}
	for _, relay := range []string{"one", "two"} {
		addrs = append(addrs, wire.Addr("/ip4/8.8.8.8/tcp/1/p2p/"+relay+"/p2p-circuit/a"), wire.Addr("/ip4/8.8.8.8/tcp/1/p2p/"+relay+"/p2p-circuit/b"))
	}
	few := fewAddrs(addrs)
	relays := slices.DeleteFunc(slices.Clone(few), func(a wire.Addr) bool { return !strings.Contains(string(a), "p2p-circuit") })
	if len(few) != protocol.MaxAddrs || len(relays) != 2 || relays[0] == relays[1] {
		t.Errorf("%d addresses, relayed %v", len(few), relays)
	}
}

// TestNoRelayedTwin has two peers that met over a relay and then directly: the relayed connection
// ends, as it would keep one from asking the other to relay.
func TestNoRelayedTwin(t *testing.T) {
	t.Parallel()
	founder := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Relay = RelayOn })
	a := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), onlyDials)
	b := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), onlyDials)
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	of, err := b.running()
	if err != nil {
		t.Fatal(err)
	}
	if err := of.host.Network().Listen(addrsOf([]wire.Addr{listenTCP})...); err != nil { // after all
		t.Fatal(err)
	}
	until(t, "a reservation", func() bool {
		_, err := client.Reserve(t.Context(), of.host, peer.AddrInfo{ID: native(founder.ID()), Addrs: addrsOf(founder.Addrs()[:1])})
		return err == nil
	})
	ctx := network.WithForceDirectDial(t.Context(), "test")
	if err := r.host.Connect(ctx, peer.AddrInfo{ID: native(b.ID()), Addrs: of.host.Network().ListenAddresses()}); err != nil {
		t.Fatal(err)
	}
	until(t, "the relay knows both", func() bool { return founder.isMember(a.ID()) && founder.isMember(b.ID()) })
	// The library takes no second way by itself, and neither does it when both sides dial at once.
	way, _ := multiaddr.NewMultiaddr(string(founder.Addrs()[0]) + "/p2p-circuit")
	over := r.host.Network().(interface {
		TransportForDialing(multiaddr.Multiaddr) transport.Transport
	}).TransportForDialing(way)
	c, err := over.Dial(t.Context(), way, native(b.ID()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	relayed := func() bool {
		return slices.ContainsFunc(of.host.Network().ConnsToPeer(native(a.ID())), func(c network.Conn) bool { return c.Stat().Limited })
	}
	until(t, "the relayed connection", relayed)
	until(t, "its end", func() bool { return !relayed() })
	if p := b.Path(a.ID()); p.State != PathDirect {
		t.Errorf("then the path is %+v", p)
	}
}
