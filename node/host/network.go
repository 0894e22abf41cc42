package host

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/covey-network/covey/protocol/wire"
)

// Network is what a running host knows of its way to the world.
type Network struct {
	Listen      []string // PROTOCOL HOST:PORT, as are the other addresses
	Taken       int      // the port kept from earlier runs, if another program had it at the start
	Reachable   []string // own addresses that others have reached
	Unreachable []string // that they have tried in vain
	Private     bool     // peers tell that they do not reach this one
	Gateway     bool     // a router that maps ports was found
	Mapped      []string // addresses that it maps here
	Relays      []ID     // that hold a reservation for this peer
	Relaying    bool     // carries others' connections
	Offered     int      // connected members that relay
	Seen        []Seen
	QUIC        map[ID]bool // directly connected peers: over QUIC
}

// Seen is an address of this peer as another one sees it, on a connection that this one made.
type Seen struct {
	Proto     string // tcp, udp
	Local, As string // HOST:PORT
	Peer      ID
	At        string // its host
}

// sightings are what others see of this peer, by connection.
type sightings struct {
	mu    sync.Mutex
	conns map[network.Conn]multiaddr.Multiaddr
	nat   basichost.NATManager // nil: none
}

// sights subscribes to what watchSightings is to be given.
func (r *running) sights() (event.Subscription, error) {
	return r.host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.Name("covey sightings"))
}

// watchSightings notes what the others see, until ctx ends.
func (r *running) watchSightings(ctx context.Context, news event.Subscription) error {
	defer news.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-news.Out():
			if e, ok := e.(event.EvtPeerIdentificationCompleted); ok {
				if e.Conn != nil && e.ObservedAddr != nil {
					r.seen.note(e.Conn, e.ObservedAddr)
				}
				r.identified(ID(e.Peer))
			}
		}
	}
}

// identified is called once a peer has told where it listens, and again when it tells so anew. While
// there are few, one that is not written down yet is so soon: after a power cut there may be nobody else
// to dial.
func (r *running) identified(id ID) {
	if r.gate.get(id) != nil && len(r.gate.members()) <= smallSwarm && r.book.unwritten(id, r.listenAddrs(id)) {
		wake(r.saves)
	}
}

func (s *sightings) note(c network.Conn, as multiaddr.Multiaddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = map[network.Conn]multiaddr.Multiaddr{}
	}
	for old := range s.conns {
		if old.IsClosed() {
			delete(s.conns, old)
		}
	}
	s.conns[c] = as
}

// list returns what is seen on the connections that stand and that this peer made directly.
func (s *sightings) list(member func(ID) bool) (out []Seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, as := range s.conns {
		id := ID(c.RemotePeer())
		if c.IsClosed() || c.Stat().Direction != network.DirOutbound || isRelayed(c.RemoteMultiaddr()) || !member(id) {
			continue
		}
		proto, local, ok := hostPort(c.LocalMultiaddr())
		_, seenAs, ok2 := hostPort(as)
		_, remote, ok3 := hostPort(c.RemoteMultiaddr())
		if at, _, err := net.SplitHostPort(remote); ok && ok2 && ok3 && err == nil {
			out = append(out, Seen{Proto: proto, Local: local, As: seenAs, Peer: id, At: at})
		}
	}
	slices.SortFunc(out, func(a, b Seen) int { return strings.Compare(a.Local+string(a.Peer), b.Local+string(b.Peer)) })
	return out
}

// hostPort returns the protocol, and host and port, of an address.
func hostPort(a multiaddr.Multiaddr) (proto, text string, ok bool) {
	na, err := manet.ToNetAddr(a)
	if err == nil && !isWebSocket(a) { // of these the library makes URLs
		return na.Network(), na.String(), true
	}
	var ip, port string // with more after the port
	multiaddr.ForEach(a, func(c multiaddr.Component) bool {
		switch c.Protocol().Code {
		case multiaddr.P_IP4, multiaddr.P_IP6:
			ip = c.Value()
		case multiaddr.P_TCP, multiaddr.P_UDP:
			proto, port = c.Protocol().Name, c.Value()
		case multiaddr.P_CIRCUIT:
			ip = ""
			return false
		}
		return true
	})
	return proto, net.JoinHostPort(ip, port), ip != "" && port != ""
}

func textsOf(addrs []multiaddr.Multiaddr) (out []string) {
	for _, a := range addrs {
		if proto, at, ok := hostPort(a); ok && !slices.Contains(out, proto+" "+at) {
			out = append(out, proto+" "+at)
		}
	}
	slices.Sort(out)
	return out
}

// natManager makes what maps ports, and keeps it to be asked.
func (r *running) natManager(n network.Network) basichost.NATManager {
	r.seen.mu.Lock()
	defer r.seen.mu.Unlock()
	r.seen.nat = basichost.NewNATManager(n)
	return r.seen.nat
}

// Network returns what is known of the way to the world; the zero value if the host does not run.
func (h *Host) Network() (n Network) {
	r, err := h.running()
	if err != nil {
		return n
	}
	listen := r.host.Network().ListenAddresses()
	n.Listen, n.Taken, n.Relaying = textsOf(listen), r.taken, r.relaying.Load()
	if c, ok := r.host.(interface {
		ConfirmedAddrs() (reachable, unreachable, unknown []multiaddr.Multiaddr)
	}); ok {
		reachable, unreachable, _ := c.ConfirmedAddrs()
		n.Reachable, n.Unreachable = textsOf(reachable), textsOf(unreachable)
	}
	if c, ok := r.host.(interface{ Reachability() network.Reachability }); ok {
		n.Private = c.Reachability() == network.ReachabilityPrivate
	}
	r.seen.mu.Lock()
	nat := r.seen.nat
	r.seen.mu.Unlock()
	if nat != nil {
		n.Gateway = nat.HasDiscoveredNAT()
		var mapped []multiaddr.Multiaddr
		for _, a := range listen {
			if m := nat.GetMapping(a); m != nil {
				mapped = append(mapped, m)
			}
		}
		n.Mapped = textsOf(mapped)
	}
	for _, a := range r.host.Addrs() {
		if id := relayOf(a); isRelayed(a) && id != "" && !slices.Contains(n.Relays, id) {
			n.Relays = append(n.Relays, id)
		}
	}
	n.QUIC = map[ID]bool{}
	for id := range r.gate.members() {
		if can, err := r.host.Peerstore().SupportsProtocols(native(id), proto.ProtoIDv2Hop); err == nil && len(can) > 0 {
			n.Offered++
		}
		for _, c := range r.host.Network().ConnsToPeer(native(id)) {
			if p, _, ok := hostPort(c.RemoteMultiaddr()); ok && !isRelayed(c.RemoteMultiaddr()) {
				n.QUIC[id] = n.QUIC[id] || p == "udp"
			}
		}
	}
	n.Seen = r.seen.list(func(id ID) bool { return r.gate.get(id) != nil })
	return n
}

// Contact is where a peer may be found.
type Contact struct {
	ID     ID
	Addrs  []wire.Addr // that may lead there from this machine
	First  bool        // the owner, or a token, named it
	Inside bool        // it tells addresses within other houses alone
}

// contactsMet is how many of the peers that were met Contacts lists, the latest first.
const contactsMet = 16

// Contacts lists the peers that Paths knows, and some that were met before, with their addresses:
// those within other houses only if there are no others, and those of this machine if there are
// neither.
func (h *Host) Contacts() (out []Contact) {
	own, mine := subnets(), ownAddrs()
	ids := slices.Collect(maps.Keys(h.Paths()))
	for _, id := range h.book.lastMet(contactsMet) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		c := Contact{ID: id, First: h.book.first(id)}
		var last, here []wire.Addr
		inside := false
		known := addrsOf(h.book.addrs(id))
		if r, err := h.running(); err == nil {
			known = append(known, r.host.Peerstore().Addrs(native(id))...)
		}
		for _, a := range known {
			text := wire.Addr(a.String())
			if slices.Contains(c.Addrs, text) || slices.Contains(last, text) || slices.Contains(here, text) {
				continue
			}
			ip, err := manet.ToIP(a)
			switch {
			case isRelayed(a) || foreign(a, own):
				last = append(last, text)
				inside = inside || foreign(a, own)
			case err == nil && slices.ContainsFunc(mine, ip.Equal):
				here = append(here, text)
			default:
				c.Addrs = append(c.Addrs, text)
			}
		}
		if len(c.Addrs) == 0 {
			if c.Addrs, c.Inside = last, inside; !inside { // it may run on this machine
				c.Addrs = append(c.Addrs, here...)
			}
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Contact) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out
}

// IsPublic reports whether an address can be reached from the whole internet, as far as its number
// tells: it is none of a local network, of a provider's shared ones, or of those that examples use.
func IsPublic(ip net.IP) bool {
	a, err := manet.FromIP(ip)
	return err == nil && manet.IsPublicAddr(a)
}

// ownAddrs returns the addresses of this machine's interfaces.
func ownAddrs() (out []net.IP) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			out = append(out, n.IP)
		}
	}
	return out
}

// first reports whether the owner, or a token, named a peer.
func (b *book) first(id ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.peers[id]
	return k != nil && k.sticky
}
