package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/covey-network/covey/protocol"
)

const (
	// dialsAtOnce bounds the dials of known peers in parallel; some wait out a timeout.
	dialsAtOnce = 16
	// dialTries is how often reach dials a peer whose connection ends before its hello.
	dialTries = 3
	// dialPause is how long it waits after the first of these tries; it doubles.
	dialPause = 50 * time.Millisecond
	// localDialTimeout bounds a dial within a house: two tries of TCP, one second apart.
	localDialTimeout = 3 * time.Second
	// localQUICDelay is how much later than TCP a local address is dialled over QUIC.
	localQUICDelay = 300 * time.Millisecond
	// fartherDelay is how much later than over the nearest relays others are dialled over: the
	// library tries the relays of a peer one after another, each for seconds.
	fartherDelay = time.Second
)

// How near a relay is.
const (
	relayNear = iota // connected, and it answers
	relayFar         // to be dialled first
	relayAway        // dialled in vain, or it owes an answer
)

// rankDials prefers TCP within a house and leaves the rest to the library, which prefers
// QUIC. Between near machines TCP moves twice as much at half the work, and it tells at
// once when a peer's process has died; across NATs QUIC gets through more often. Addresses
// within other houses come last, and before them those over relays that are farther than others.
func (r *running) rankDials(addrs []multiaddr.Multiaddr) []network.AddrDelay {
	return rank(addrs, subnets(), r.relayDistance)
}

// relayDistance returns how near a relay is.
func (r *running) relayDistance(id ID) int {
	switch p, ok := r.connection(id); {
	case ok && p.State == PathDirect && r.circuits.doubted(id) == nil:
		return relayNear
	case ok || r.book.path(id, r.now()).State == PathUnreachable:
		return relayAway
	}
	return relayFar
}

func rank(addrs []multiaddr.Multiaddr, own []netip.Prefix, distance func(relay ID) int) []network.AddrDelay {
	var first, rest, last []multiaddr.Multiaddr
	var relayed [relayAway + 1][]multiaddr.Multiaddr
	for _, a := range addrs {
		if isRelayed(a) {
			d := distance(relayOf(a))
			relayed[d] = append(relayed[d], a)
		} else if foreign(a, own) {
			last = append(last, a)
		} else if _, err := a.ValueForProtocol(multiaddr.P_TCP); err == nil && manet.IsPrivateAddr(a) {
			first = append(first, a)
		} else {
			rest = append(rest, a)
		}
	}
	farther := slices.DeleteFunc(relayed[:], func(over []multiaddr.Multiaddr) bool { return len(over) == 0 })
	if len(farther) > 0 {
		rest, farther = append(rest, farther[0]...), farther[1:]
	}
	out := swarm.DefaultDialRanker(first)
	for _, d := range swarm.DefaultDialRanker(rest) {
		if len(first) > 0 {
			d.Delay += localQUICDelay
		}
		out = append(out, d)
	}
	for _, over := range farther {
		out = later(out, fartherDelay, over)
	}
	return later(out, foreignDelay, last)
}

// later appends addresses that are dialled so long after all others.
func later(out []network.AddrDelay, wait time.Duration, addrs []multiaddr.Multiaddr) []network.AddrDelay {
	var after time.Duration
	for _, d := range out {
		after = max(after, d.Delay+wait)
	}
	for _, d := range swarm.DefaultDialRanker(addrs) {
		d.Delay += after
		out = append(out, d)
	}
	return out
}

func isRelayed(a multiaddr.Multiaddr) bool {
	_, err := a.ValueForProtocol(multiaddr.P_CIRCUIT)
	return err == nil
}

// dialDue starts to dial known peers that are not connected, while there is room for more.
func (r *running) dialDue() {
	room := r.cfg.PeersLow - len(r.gate.members()) - r.book.underWay()
	due := r.book.due(r.now(), r.order)
	if room == r.cfg.PeersLow && len(due) == 0 { // there is nobody
		r.book.unpart()
		due = r.book.due(r.now(), r.order)
	}
	for _, t := range due {
		p, _ := r.connection(t.id)
		upgrade := t.near && p.State == PathRelayed // no relay is needed any more
		if t.id == r.ID() || !r.losses.since(t.id).IsZero() || !upgrade && (r.isConnected(t.id) || room <= 0 && !t.sticky) {
			continue
		}
		ctx := r.ctx
		if upgrade { // the peer has its place already
			ctx = network.WithForceDirectDial(ctx, "heard on the local network")
		} else {
			room--
		}
		if !r.book.begin(t.id) {
			continue
		}
		r.tasks.start(func() {
			defer r.book.end(t.id)
			select {
			case r.dials <- struct{}{}:
				defer func() { <-r.dials }()
				if !upgrade && !t.sticky && len(r.gate.members()) >= r.cfg.PeersLow {
					return // enough have come meanwhile
				}
				_ = r.dial(ctx, t.id, protocol.StreamOpenTimeout+r.cfg.Times.Hello) // the book knows when to try again
			case <-r.ctx.Done():
			}
		})
	}
}

// dial reaches a known peer and notes in the book whether that worked.
func (r *running) dial(ctx context.Context, id ID, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if _, err := r.reach(ctx, id); err != nil {
		r.metrics.dials.WithLabelValues("error").Inc()
		why := r.finding(id, err)
		if d := new(swarm.DialError); ctx.Err() != nil && !errors.As(err, &d) {
			why = "" // what was found until then is not told
		}
		if errors.Is(context.Cause(ctx), errRefused) {
			why = ReasonRefused
		}
		if r.gate.get(id) == nil { // else it has come by itself
			alive := r.table.of(id, r.now()) != nil
			r.book.failed(id, why, alive, r.now())
			if ahead, _ := ClocksApart(err); why != "" {
				r.book.clocks(id, ahead)
			}
			if n := len(r.gate.members()); n >= r.cfg.PeersLow && !alive {
				r.book.share(id, MaxBackoff*time.Duration(n)/time.Duration(r.cfg.PeersLow), r.now())
			}
			r.hasten(id)
		}
		r.log.Debug("peer not reached", "peer", id, "err", detail(err))
		return err
	}
	r.metrics.dials.WithLabelValues("ok").Inc()
	return nil
}

// hasten makes the next dial of a peer due soon if others may be found over it while there are few; of all
// such peers if none is given.
func (r *running) hasten(id ID) {
	switch n := len(r.gate.members()); {
	case n == 0:
		r.book.hasten(id, aloneBackoff, r.now())
	case n < r.cfg.PeersLow:
		r.book.hasten(id, firstBackoff, r.now())
	}
}

// gone takes a peer that does not answer to be dead: nothing is planned with it. Others may have
// died with it.
func (r *running) gone(id ID) {
	if r.ctx.Err() != nil || !r.forsake(id) {
		return
	}
	r.log.Info("peer unreachable, its advert is dropped", "peer", id)
	r.events.emit(EvtAdvertExpired{Peer: id})
	if !r.prober.alone(len(r.gate.members())) {
		r.tasks.start(func() { r.tellLost(id, r.table.seq(id)) })
	}
	r.probeAll()
}

// readmit asks a peer that answers again for what it has, if that was dropped.
func (r *running) readmit(id ID) {
	if r.table.of(id, r.now()) != nil {
		return
	}
	if err := r.swap(id); err != nil {
		r.log.Debug("adverts not swapped", "peer", id, "err", err)
	}
}

// unreachableError is a dial that failed. The library's own text has a line for each address.
type unreachableError struct {
	id  ID
	why string
	err error
}

// Error tells which peer it is and what was found, in one line.
func (e *unreachableError) Error() string {
	return fmt.Sprintf("peer %s is unreachable: %s", e.id, e.why)
}

// Unwrap returns the library's error.
func (e *unreachableError) Unwrap() error { return e.err }

// Unreachable returns why a peer could not be dialled, for people, and whether an error is of that.
func Unreachable(err error) (why string, ok bool) {
	var e *unreachableError
	if errors.As(err, &e) {
		return e.why, true
	}
	return "", false
}

// detail is an error for who debugs.
func detail(err error) error {
	var e *unreachableError
	if errors.As(err, &e) {
		return e.err
	}
	return err
}
