package host

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// When a peer carries the connections of members that cannot reach each other.
const (
	RelayAuto = "auto" // while others can reach it
	RelayOn   = "on"   // always
	RelayOff  = "off"
)

// relayPatience is how long a wish waits for the hello of its peer: some round trips.
const relayPatience = 2 * time.Second

// Defaults of what a peer lends to others' connections: sessions of a model of width 4,096
// take 16 KiB a token, and a model of 4 GiB passes in nine minutes.
const (
	DefaultRelayRate  = 8 << 20  // bytes a second
	DefaultRelayBytes = 16 << 30 // a day
	DefaultRelayPeers = 256      // reached through this one at a time
)

// Limits of the relay service that owners need not know of.
const (
	relayReservationsPerIP = 64 // a lecture hall behind one address
	relayCircuits          = 64 // connections of one peer
	relayBuffer            = 16 << 10
	reservationTTL         = 6 * time.Minute // renewed at half of it: for so long a peer may be told to be reached here after the service has stopped
	relayDay               = 24 * time.Hour  // for which RelayBytes are; a connection lasts no longer
)

// How relays are looked for. The library's own times, half a minute and an hour, are those of
// an open network with thousands of relays.
const (
	relaysKept  = 2 // reservations, on different relays
	relayLook   = 2 * time.Second
	relayAgain  = 10 * time.Second // after a refusal: the other side may not have read the hello yet
	relayMaxAge = 5 * time.Minute
)

// relayLoop offers the relay service while this peer can be reached, until ctx ends.
func (r *running) relayLoop(ctx context.Context) error {
	changes, err := r.host.EventBus().Subscribe([]any{
		new(event.EvtHostReachableAddrsChanged), new(event.EvtLocalReachabilityChanged), new(event.EvtLocalAddressesUpdated),
	}, eventbus.Name("covey relay"))
	if err != nil {
		return err
	}
	defer changes.Close()
	meter := newRelayMeter(ctx, &r.cfg)
	var service *relay.Relay
	stop := func() {
		if service != nil {
			_ = service.Close() // it has no error
			service = nil
		}
		r.relaying.Store(false)
	}
	defer stop()
	var known reachability
	for {
		open := r.cfg.Relay == RelayOn || known.public(r.host.Network().InterfaceListenAddresses)
		pause := meter.pause()
		switch {
		case open && pause == 0 && service == nil:
			if service, err = r.newRelay(meter); err != nil {
				return err
			}
			r.relaying.Store(true)
			r.log.Info("relays for members that cannot reach each other")
		case service != nil && (!open || pause > 0):
			stop()
			if open {
				r.log.Warn("relays no longer today, as it has carried what its owner lends", "bytes", r.cfg.RelayBytes, "again_in", pause.Round(time.Minute))
			} else {
				r.log.Info("relays no longer, as others cannot reach this peer")
			}
		}
		if pause > 0 {
			r.endCircuits() // those that were being made when the service stopped come to the meter with their first byte
		}
		timer := time.NewTimer(max(pause, time.Millisecond))
		if pause == 0 {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case e := <-changes.Out():
			known.note(e)
		case <-meter.spent:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// endCircuits ends the connections that this peer carries for others.
func (r *running) endCircuits() {
	for _, c := range r.host.Network().Conns() {
		for _, s := range c.GetStreams() {
			if in := s.Stat().Direction == network.DirInbound; in && s.Protocol() == proto.ProtoIDv2Hop || !in && s.Protocol() == proto.ProtoIDv2Stop {
				_ = s.Reset()
			}
		}
	}
}

// reachability is what the others have told of whether they reach this peer.
type reachability struct {
	confirmed int                   // addresses, by AutoNAT v2
	denied    []multiaddr.Multiaddr // by AutoNAT v2
	overall   network.Reachability  // by AutoNAT v1
}

func (k *reachability) note(e any) {
	switch e := e.(type) {
	case event.EvtHostReachableAddrsChanged:
		k.confirmed, k.denied = len(e.Reachable), e.Unreachable
	case event.EvtLocalReachabilityChanged:
		k.overall = e.Reachability
	}
}

// public reports whether others reach this peer. Until one has tried, and the only public
// peer of a swarm may wait for that for ever, it counts that a network interface has a public
// IPv4 address at which nobody was refused. A public IPv6 address says little: routers have firewalls.
func (k *reachability) public(interfaces func() ([]multiaddr.Multiaddr, error)) bool {
	switch {
	case k.confirmed > 0 || k.overall == network.ReachabilityPublic:
		return true
	case k.overall == network.ReachabilityPrivate:
		return false
	}
	addrs, err := interfaces()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		ip, err := a.ValueForProtocol(multiaddr.P_IP4)
		refused := slices.ContainsFunc(k.denied, func(d multiaddr.Multiaddr) bool {
			at, err := d.ValueForProtocol(multiaddr.P_IP4)
			return err == nil && at == ip
		})
		if err == nil && !refused && manet.IsPublicAddr(a) {
			return true
		}
	}
	return false
}

func (r *running) newRelay(m *relayMeter) (*relay.Relay, error) {
	res := relay.DefaultResources()
	// Some limit there must be: by this both ends know that their connection is relayed.
	res.Limit = &relay.RelayLimit{Duration: relayDay, Data: r.cfg.RelayBytes}
	res.MaxReservations, res.MaxReservationsPerIP, res.MaxReservationsPerASN = r.cfg.RelayPeers, min(relayReservationsPerIP, r.cfg.RelayPeers), r.cfg.RelayPeers
	res.ReservationTTL = reservationTTL
	res.MaxCircuits, res.BufferSize = relayCircuits, relayBuffer
	return relay.New(r.host, relay.WithResources(res), relay.WithACL(relayFor{r}), relay.WithMetricsTracer(m))
}

// relayFor lets members alone use the relay.
type relayFor struct{ r *running }

var _ relay.ACLFilter = relayFor{}

// AllowReserve reports whether a peer may be reached through this one. The library asks in the goroutine of
// the peer's stream.
func (f relayFor) AllowReserve(p peer.ID, _ multiaddr.Multiaddr) bool {
	return f.member(ID(p))
}

// AllowConnect reports whether src may reach dest through this peer.
func (f relayFor) AllowConnect(src peer.ID, _ multiaddr.Multiaddr, dest peer.ID) bool {
	return f.r.gate.get(ID(dest)) != nil && f.member(ID(src))
}

// member reports whether a peer is one. If its hello is under way, which may come after its first wish, it waits.
func (f relayFor) member(id ID) bool {
	ctx, cancel := context.WithTimeout(f.r.ctx, relayPatience)
	defer cancel()
	_, err := f.r.gate.waitStream(ctx, id)
	return err == nil
}

// relays proposes verified peers that relay: a stranger's would see who talks to whom.
func (r *running) relays(_ context.Context, n int) <-chan peer.AddrInfo {
	members := r.gate.members()
	out := make(chan peer.AddrInfo, len(members))
	defer close(out)
	for id := range members {
		// The library does not come back for an hour to one that it has asked in vain.
		if can, err := r.host.Peerstore().SupportsProtocols(native(id), proto.ProtoIDv2Hop); err == nil && len(can) > 0 && len(out) < n {
			out <- r.host.Peerstore().PeerInfo(native(id))
		}
	}
	return out
}

// wantRelays lets the library look for relays now. It does so by itself once AutoNAT finds
// that this peer is not reachable, which takes a quarter of a minute or, with few public
// peers, for ever. If the peer turns out to be reachable it stops.
func (r *running) wantRelays() error {
	var none reachability
	if none.public(r.host.Network().InterfaceListenAddresses) {
		return nil
	}
	emitter, err := r.host.EventBus().Emitter(new(event.EvtLocalReachabilityChanged), eventbus.Stateful)
	if err != nil {
		return err
	}
	defer emitter.Close()
	return emitter.Emit(event.EvtLocalReachabilityChanged{Reachability: network.ReachabilityUnknown})
}
