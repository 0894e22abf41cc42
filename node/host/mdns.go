package host

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/zeroconf/v2"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	mdnsDomain = "local"
	mdnsPort   = 4001 // told as there must be one; the texts name the real ones
	// mdnsText starts the texts of an announcement, a multiaddr each, as those of other programs
	// with this network library do.
	mdnsText = "dnsaddr="
	// maxMDNSTexts bounds them: an announcement is one packet.
	maxMDNSTexts = 16
	// maxMDNSFound is how many announcements may wait to be read: those of a lecture hall.
	maxMDNSFound = 1000
)

// beacon tells the local network of this peer, and listens for others, by multicast DNS. The
// library's own tells of addresses from a list that it keeps for a minute, and where there is no
// IPv6 it hears nothing and does not end.
type beacon struct {
	server *zeroconf.Server
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing listens any more
	err    error         // why; valid after done is closed, nil if that was to be
}

// startBeacon tells of a peer at addrs and calls found for each announcement of another.
func startBeacon(ctx context.Context, service string, id ID, addrs []multiaddr.Multiaddr, found func(peer.AddrInfo)) (*beacon, error) {
	texts, ips := announcement(id, addrs)
	if len(texts) == 0 {
		return nil, errors.New("this machine has no address to tell of")
	}
	name := make([]byte, 32) // a new one each time: who has heard the last one listens
	for i := range name {
		name[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[rand.IntN(36)]
	}
	server, err := zeroconf.RegisterProxy(string(name), service, mdnsDomain, mdnsPort, string(name), ips, texts, nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	b := &beacon{server: server, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		for _, over := range []zeroconf.IPType{zeroconf.IPv4AndIPv6, zeroconf.IPv4, zeroconf.IPv6} {
			if b.err = browse(ctx, service, over, found); b.err == nil || ctx.Err() != nil {
				return
			}
		}
	}()
	return b, nil
}

// deaf returns why the beacon does not listen any more, nil while it does.
func (b *beacon) deaf() error {
	select {
	case <-b.done:
		return b.err
	default:
		return nil
	}
}

// stop tells the network that this peer is gone, and waits until nothing listens any more.
func (b *beacon) stop() {
	b.cancel()
	b.server.Shutdown()
	<-b.done
}

// browse asks for announcements and listens until ctx ends. An error is that it cannot listen.
func browse(ctx context.Context, service string, over zeroconf.IPType, found func(peer.AddrInfo)) error {
	entries, ended := make(chan *zeroconf.ServiceEntry, maxMDNSFound), make(chan error, 1) // one result
	go func() { ended <- zeroconf.Browse(ctx, service, mdnsDomain, entries, zeroconf.SelectIPTraffic(over)) }()
	for {
		select {
		case e := <-entries:
			if e != nil { // nil: it is about to end
				foundIn(e.Text, found)
			} else {
				return <-ended
			}
		case err := <-ended:
			return err
		}
	}
}

// announcement returns what is told of a peer: its addresses as texts, and an IP of each version,
// which there must be. This machine's own loopback is told if there is nothing else.
func announcement(id ID, addrs []multiaddr.Multiaddr) (texts, ips []string) {
	seen := map[int]bool{} // by version
	for _, loopback := range []bool{false, true} {
		for _, a := range addrs {
			ip, err := manet.ToIP(a)
			if err != nil || manet.IsIPLoopback(a) != loopback || len(texts) == maxMDNSTexts {
				continue
			}
			texts = append(texts, mdnsText+a.String()+"/p2p/"+id.String())
			if version := a[0].Protocol().Code; !seen[version] {
				seen[version] = true
				ips = append(ips, ip.String())
			}
		}
		if len(texts) > 0 {
			break
		}
	}
	return texts, ips
}

// foundIn calls found for the peers that an announcement tells of.
func foundIn(texts []string, found func(peer.AddrInfo)) {
	var addrs []multiaddr.Multiaddr
	for _, t := range texts[:min(len(texts), maxMDNSTexts)] {
		if text, ok := strings.CutPrefix(t, mdnsText); ok {
			if a, err := multiaddr.NewMultiaddr(text); err == nil && !isRelayed(a) {
				addrs = append(addrs, a)
			}
		}
	}
	infos, err := peer.AddrInfosFromP2pAddrs(addrs...)
	if err != nil {
		return // one names no peer
	}
	for _, info := range infos {
		found(info)
	}
}
