package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	cid "github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	libprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/discovery/routing"

	"github.com/covey-network/covey/protocol"
)

const (
	// maxFound bounds how many peers one look-up of the swarm brings in.
	maxFound = 64
	// routingBucket and routingAtOnce are the k and alpha of Kademlia: an answer and a look-up take
	// as much traffic as there are peers in a bucket, and the library's 20 are those of a
	// network of strangers that come and go. A bucket must hold more than the ten peers up to which
	// the library takes the table for too empty: else it may be full then, and each peer that it takes in
	// pushes out another, which is a reason to take in one.
	routingBucket, routingAtOnce = 12, 3
	// routingRefresh is how often all buckets are looked after; those that are nearly empty every
	// two minutes.
	routingRefresh = time.Hour
	// lookUpTime bounds a look-up of one peer, lookUpAgain is the least time between two of the same one, and
	// maxLookUps bounds the peers of which that is kept.
	lookUpTime  = 5 * time.Second
	lookUpAgain = 30 * time.Second
	maxLookUps  = 256
)

// ErrNoDHT is returned by what needs the routing table when it is off.
var ErrNoDHT = errors.New("the routing table is off in the configuration")

// startRouting starts the routing table, which finds peers besides bootstrap, book and
// local discovery.
func (r *running) startRouting(gated p2phost.Host) (stop func(), err error) {
	stop = func() {}
	if !r.cfg.DHT {
		return stop, nil
	}
	// The default mode would serve nobody on a LAN or behind NAT.
	r.dht, err = dht.New(gated, dht.Mode(dht.ModeAutoServer), dht.ProtocolPrefix(libprotocol.ID(protocol.DHTPrefix)),
		dht.BootstrapPeersFunc(r.routingPeers), dht.DisableValues(),
		dht.BucketSize(routingBucket), dht.Concurrency(routingAtOnce), dht.RoutingTableRefreshPeriod(routingRefresh))
	if err != nil {
		return stop, fmt.Errorf("start routing table: %w", err)
	}
	return func() { _ = r.dht.Close() }, nil
}

// found notes a peer; the dial loop takes it up.
func (r *running) found(info peer.AddrInfo) {
	id := ID(info.ID)
	if id != r.ID() && id.Validate() == nil {
		r.book.add(id, fromLibrary(info), false)
	}
}

// routingPeers are where the routing table starts from.
func (r *running) routingPeers() []peer.AddrInfo {
	var out []peer.AddrInfo
	for id := range r.gate.members() {
		out = append(out, r.host.Peerstore().PeerInfo(native(id)))
	}
	return out
}

// discover announces this peer under the swarm's name and looks for others. It reports
// whether there was anybody to ask.
func (r *running) discover(ctx context.Context) bool {
	if r.dht.RoutingTable().Size() == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Times.Discover)
	defer cancel()
	d := routing.NewRoutingDiscovery(r.dht)
	name := "covey/" + r.Swarm().String()
	if _, err := d.Advertise(ctx, name); err != nil {
		r.log.Debug("swarm not announced", "err", err)
	}
	peers, err := d.FindPeers(ctx, name)
	if err != nil {
		r.log.Debug("swarm not looked up", "err", err)
		return true
	}
	n := 0
	for info := range peers {
		if n++; n <= maxFound && len(info.Addrs) > 0 {
			r.found(info)
		}
	}
	return true
}

// lookUps are when peers were looked up.
type lookUps struct {
	mu sync.Mutex
	at map[ID]time.Time
}

// due reports whether a peer may be looked up now, and notes that it is.
func (l *lookUps) due(id ID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.at, func(_ ID, at time.Time) bool { return now.Sub(at).Abs() >= lookUpAgain })
	if _, known := l.at[id]; known || len(l.at) >= maxLookUps {
		return false
	}
	if l.at == nil {
		l.at = map[ID]time.Time{}
	}
	l.at[id] = now
	return true
}

// lookUp asks the routing table where a peer is that is not connected and of which no address is known. What
// it says is for the dial that follows, and for later ones if that works.
func (r *running) lookUp(ctx context.Context, id ID) {
	if r.dht == nil || r.isConnected(id) || len(r.book.addrs(id)) > 0 || len(r.host.Peerstore().Addrs(native(id))) > 0 ||
		r.dht.RoutingTable().Size() == 0 || id.Validate() != nil || !r.lookUps.due(id, r.now()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpTime)
	defer cancel()
	info, err := r.dht.FindPeer(ctx, native(id))
	if err != nil {
		r.log.Debug("peer not looked up", "peer", id, "err", err)
		return
	}
	r.found(info)
}

func (r *running) provide(ctx context.Context, c cid.Cid) error {
	if r.dht == nil {
		return ErrNoDHT
	}
	return r.dht.Provide(ctx, c, true)
}

func (r *running) findProviders(ctx context.Context, c cid.Cid, n int) ([]ID, error) {
	if r.dht == nil {
		return nil, ErrNoDHT
	}
	var out []ID
	for info := range r.dht.FindProvidersAsync(ctx, c, n) {
		id := ID(info.ID)
		if id == r.ID() || id.Validate() != nil {
			continue
		}
		r.book.add(id, fromLibrary(info), false)
		out = append(out, id)
	}
	return out, nil
}
