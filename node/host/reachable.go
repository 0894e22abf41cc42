package host

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/covey-network/covey/protocol/wire"
)

// foreignDelay is how much later than all others an address within somebody else's private
// network is dialled. It may still lead there: companies route between such networks.
const foreignDelay = 2 * time.Second

// dialGate keeps the library from dialling loopback addresses of other machines.
type dialGate struct{ r *running }

var _ connmgr.ConnectionGater = dialGate{}

// InterceptPeerDial lets all pass.
func (dialGate) InterceptPeerDial(peer.ID) bool { return true }

// InterceptAddrDial refuses a loopback address of a peer that has others, unless the owner
// gave it: a peer that has none runs on this machine, or behind something that does.
func (g dialGate) InterceptAddrDial(id peer.ID, a multiaddr.Multiaddr) bool {
	if !manet.IsIPLoopback(a) || isRelayed(a) || g.r.given(ID(id), a) {
		return true
	}
	known := slices.Concat(g.r.host.Peerstore().Addrs(id), addrsOf(g.r.book.addrs(ID(id))))
	return !slices.ContainsFunc(known, func(k multiaddr.Multiaddr) bool { return !manet.IsIPLoopback(k) && !isRelayed(k) })
}

// InterceptAccept lets all pass.
func (dialGate) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured lets all pass.
func (dialGate) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool {
	return true
}

// InterceptUpgraded lets all pass.
func (dialGate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }

// given reports whether the owner named an address of a peer, by a token or as bootstrap.
func (r *running) given(id ID, a multiaddr.Multiaddr) bool {
	full := wire.Addr(a.String() + "/p2p/" + id.String())
	return slices.Contains(r.cfg.Credentials.Bootstrap, full) || slices.Contains(r.cfg.Bootstrap, full)
}

// subnets returns the networks that this machine's interfaces are on.
func subnets() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // then all private addresses are dialled last
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

// foreign reports whether an address lies in a private network that is none of own.
func foreign(a multiaddr.Multiaddr, own []netip.Prefix) bool {
	if isRelayed(a) || !manet.IsPrivateAddr(a) {
		return false
	}
	ip, err := manet.ToIP(a)
	return err == nil && !inside(ip, own)
}

// inside reports whether an address is in one of some networks.
func inside(ip net.IP, networks []netip.Prefix) bool {
	addr, ok := netip.AddrFromSlice(ip)
	return ok && slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}
