package host

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/covey-network/covey/protocol"
)

const (
	// localEvery is how often the addresses of this machine's interfaces are looked at. The
	// library looks once a minute.
	localEvery = time.Second
	// asleepAfter is how late such a look must be for the machine to have slept meanwhile.
	asleepAfter = 8 * time.Second
	// beaconAgain is how soon a discovery that did not start, or went deaf, is started anew.
	beaconAgain = time.Minute
)

// local looks after this machine's place in the network: it notices other addresses, after a move
// to another network or with a VPN, and sleep. Then connections that cannot work any more are
// ended, peers are dialled again, and the discovery on the local network starts anew, as what it
// tells of this peer is fixed when it starts.
type local struct {
	r      *running
	addrs  []string // listened at, when last looked
	looked time.Time
	beacon *beacon   // nil: discovery is off
	began  time.Time // when it was started, or tried to
	warned bool
}

// loop looks at intervals until ctx ends.
func (l *local) loop(ctx context.Context) error {
	changes, err := l.r.host.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated), eventbus.Name("covey local discovery"))
	if err != nil {
		return err
	}
	defer changes.Close()
	defer l.stop()
	t := time.NewTicker(localEvery)
	defer t.Stop()
	for {
		l.look()
		select {
		case <-ctx.Done():
			return nil
		case <-changes.Out():
		case <-t.C:
		}
	}
}

// look does what is to be done if the addresses are others, or the machine has slept.
func (l *local) look() {
	addrs, now := l.r.interfaceAddrs(), l.r.now().Round(0) // the wall clock goes on in sleep
	var texts []string
	for _, a := range addrs {
		if !manet.IsIP6LinkLocal(a) { // these come and go with each container
			texts = append(texts, a.String())
		}
	}
	slices.Sort(texts)
	first, slept := l.looked.IsZero(), now.Sub(l.looked) > localEvery+asleepAfter
	l.looked = now
	if !first && !slept && slices.Equal(texts, l.addrs) {
		l.mend(addrs)
		return
	}
	l.addrs = texts
	if !first {
		l.r.log.Info("this machine has other addresses or has slept: looks for its peers again", "addrs", texts)
		l.r.endStranded(l.r.cfg.ownAddrs())
		l.r.book.retry()
		l.r.probeAll()
	}
	if l.r.cfg.MDNS {
		l.restart(addrs)
	}
}

// mend starts a discovery anew that is to be on and is not, some time after the last start.
func (l *local) mend(addrs []multiaddr.Multiaddr) {
	if !l.r.cfg.MDNS || time.Since(l.began) < beaconAgain {
		return
	}
	if l.beacon != nil {
		err := l.beacon.deaf()
		if err == nil {
			return
		}
		l.r.log.Debug("local discovery does not listen", "err", err)
	}
	l.restart(addrs)
}

// restart starts the discovery anew.
func (l *local) restart(addrs []multiaddr.Multiaddr) {
	l.stop()
	l.began = time.Now()
	var err error
	l.beacon, err = startBeacon(l.r.ctx, protocol.MDNSService(l.r.Swarm().String()), l.r.ID(), addrs, l.r.heard)
	if err == nil {
		l.warned = false
		l.r.log.Debug("local discovery is on", "addrs", l.addrs)
		return
	}
	level := slog.LevelWarn // no multicast here, as in many containers, or no network yet
	if l.warned {
		level = slog.LevelDebug
	}
	l.r.log.Log(l.r.ctx, level, "local discovery is off until this machine is on a network with multicast", "err", err)
	l.warned = true
}

func (l *local) stop() {
	if l.beacon != nil {
		l.beacon.stop()
	}
	l.beacon = nil
}

// interfaceAddrs returns where this peer listens, with the addresses that this machine's
// interfaces have now.
func (r *running) interfaceAddrs() []multiaddr.Multiaddr {
	addrs, err := manet.ResolveUnspecifiedAddresses(r.host.Network().ListenAddresses(), nil)
	if err != nil {
		return nil // it listens nowhere
	}
	return noWebSockets(addrs)
}

// endStranded ends the connections from addresses that this machine has no more: they cannot
// work, and nothing else would tell for a while.
func (r *running) endStranded(own []net.IP) {
	for _, c := range r.stranded(own) {
		r.log.Debug("connection from an address that is gone", "peer", c.RemotePeer(), "addr", c.LocalMultiaddr())
		r.tasks.start(func() { _ = c.Close() }) // it may have ended by itself
	}
}

// stranded returns the connections from addresses that are none of own.
func (r *running) stranded(own []net.IP) []network.Conn {
	if len(own) == 0 {
		return nil // the system did not tell
	}
	return slices.DeleteFunc(r.host.Network().Conns(), func(c network.Conn) bool {
		ip, err := manet.ToIP(c.LocalMultiaddr())
		return err != nil || ip.IsUnspecified() || ip.IsLinkLocalUnicast() || slices.ContainsFunc(own, ip.Equal)
	})
}

// heard notes a peer that is heard on the local network; the dial loop takes it up.
func (r *running) heard(info peer.AddrInfo) {
	id := ID(info.ID)
	if id != r.ID() && id.Validate() == nil {
		r.log.Debug("peer heard on the local network", "peer", id, "addrs", info.Addrs)
		r.book.heard(id, fromLibrary(info))
		r.probeFormer(id, r.elsewhere(info))
	}
}

// elsewhere returns the connections within this house to a peer that has told of other addresses
// alone.
func (r *running) elsewhere(info peer.AddrInfo) []network.Conn {
	own := subnets()
	return slices.DeleteFunc(r.host.Network().ConnsToPeer(info.ID), func(c network.Conn) bool {
		ip, err := manet.ToIP(c.RemoteMultiaddr())
		if err != nil || isRelayed(c.RemoteMultiaddr()) || manet.IsIPLoopback(c.RemoteMultiaddr()) || !inside(ip, own) {
			return true
		}
		return slices.ContainsFunc(info.Addrs, func(a multiaddr.Multiaddr) bool {
			told, err := manet.ToIP(a)
			return err == nil && told.Equal(ip)
		})
	})
}

// outdated returns the connections that a peer seems to have lost, as it has made a new one.
func (r *running) outdated(conn network.Conn) []network.Conn {
	return slices.DeleteFunc(r.host.Network().ConnsToPeer(conn.RemotePeer()), func(c network.Conn) bool { return !outdated(c.Stat(), conn.Stat()) })
}
