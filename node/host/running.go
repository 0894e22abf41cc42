package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// discoverDoublings is how many times the time between two looks for peers doubles while none
	// brings a new one.
	discoverDoublings = 5
	// With enough peers gossip tells of all others: the routing table is looked at enoughDoublings
	// later than at the start.
	enoughPeers, enoughDoublings = 4, 3
	// savesApart is which part of the time between two saves passes at least.
	savesApart = 10
	// smallSwarm is up to how many peers each new one is a reason to look for others.
	smallSwarm = 8
)

// noDial is why streams are opened on connections that stand only: the library would dial
// peers that were expelled a moment ago.
const noDial = "reach dials"

// running is a Host between the start and the end of Run.
type running struct {
	*Host
	ctx       context.Context // of Run
	host      p2phost.Host
	gate      *gate
	tasks     tasks
	dht       *dht.IpfsDHT // nil unless configured
	gossip    *pubsub.PubSub
	topic     *pubsub.Topic // of adverts
	lostTopic *pubsub.Topic
	topics    *topicFilter
	rumours   rumours
	dials     chan struct{} // one entry for each dial under way
	met       chan struct{} // wakes discovery; size 1, as one look finds all
	renews    chan struct{} // wakes the renewal of the membership; size 1, as it asks all
	saves     chan struct{} // wakes housekeeping; size 1, as it saves all
	prober    prober
	catchUp   catchUp
	circuits  asking // relays of connections on which something runs, and those that are asked besides
	formers   formers
	losses    losses
	lookUps   lookUps

	seen        sightings
	relaying    atomic.Bool // carries others' connections
	contradicts atomic.Bool // that it is lost
	taken       int         // the kept port, if another program had it at the start
}

// Run joins the network and blocks until ctx ends, which is no error. It may be called
// once.
func (h *Host) Run(ctx context.Context) (err error) {
	h.mu.Lock()
	if h.started {
		h.mu.Unlock()
		return errors.New("host was run before")
	}
	h.started = true
	h.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &running{Host: h, ctx: ctx, gate: newGate(h.cfg.Times.Hello), dials: make(chan struct{}, dialsAtOnce), met: make(chan struct{}, 1), renews: make(chan struct{}, 1), saves: make(chan struct{}, 1), prober: newProber(h.now), circuits: newAsking(h.now)}
	if r.host, err = r.newLibrary(); err != nil {
		return fmt.Errorf("start host: %w", err)
	}
	defer func() { // streams are reset, handlers return, then their goroutines are gone
		cancel()
		err = errors.Join(err, r.host.Close())
		r.tasks.wait()
	}()
	stop, err := r.start()
	defer stop()
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("start host: %w", err)
	}
	defer h.leave()
	err = r.loops()
	r.noteAddrs() // while the connections still stand
	return errors.Join(err, r.save())
}

// start builds the gate, what works behind it, and then opens the doors. stop undoes it.
func (r *running) start() (stop func(), err error) {
	var stops []func()
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	notifiee := &network.NotifyBundle{
		ConnectedF:    func(_ network.Network, c network.Conn) { r.connected(c) },
		DisconnectedF: func(_ network.Network, c network.Conn) { r.disconnected(c) },
	}
	r.host.Network().Notify(notifiee)
	stops = append(stops, func() { r.host.Network().StopNotify(notifiee) })
	r.host.SetStreamHandler(protocol.Hello, func(ls network.Stream) {
		r.tasks.run(func() { r.handleHello(r.newStream(ls)) })
	})
	r.serve(protocol.Adverts, r.handleAdverts)
	r.serve(protocol.Swap, r.handleSwap)
	r.serveAll(protocol.Bye, r.handleBye)
	r.serveAll(ping.ID, r.answerProbes)
	r.serveAll(protocol.Renew, r.handleRenew)
	r.serveAll(protocol.Revoke, r.handleRevoke)

	stopGossip, err := r.startGossip(&gatedHost{Host: r.host, r: r})
	stops = append(stops, stopGossip)
	if err != nil {
		return stop, err
	}
	stopRouting, err := r.startRouting(&gatedHost{Host: r.host, r: r, dials: true})
	stops = append(stops, stopRouting)
	if err != nil {
		return stop, err
	}
	at, err := r.listenAt()
	if err != nil {
		return stop, fmt.Errorf("listen: %w", err)
	}
	if err := r.host.Network().Listen(addrsOf(at)...); err != nil && len(at) > 0 {
		return stop, fmt.Errorf("listen: %w", err)
	}
	r.listenWide()
	r.enter()
	return stop, nil
}

func textAddrs(texts []string) []wire.Addr {
	out := make([]wire.Addr, len(texts))
	for i, t := range texts {
		out[i] = wire.Addr(t)
	}
	return out
}

// enter makes the host usable by others.
func (r *running) enter() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run = r
	for proto, f := range r.handlers {
		r.serve(proto, f)
	}
	close(r.ready)
	r.log.Info("host up", "peer", r.ID(), "swarm", r.Swarm(), "addrs", r.host.Addrs())
}

func (h *Host) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.run = nil
}

// loops runs what happens at intervals.
func (r *running) loops() error {
	g, ctx := errgroup.WithContext(r.ctx)
	// A loop runs at once, then after the time that f returns or when woken.
	loop := func(woken <-chan struct{}, f func(ctx context.Context) time.Duration) {
		g.Go(func() error {
			t := time.NewTimer(0)
			defer t.Stop()
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-t.C:
				case <-woken:
				}
				t.Reset(f(ctx))
			}
		})
	}
	sights, err := r.sights() // before the first dial
	if err != nil {
		return err
	}
	times := r.cfg.Times
	loop(r.book.news, func(context.Context) time.Duration { r.dialDue(); return r.book.untilDue(r.now(), times.Dial) })
	loop(nil, func(context.Context) time.Duration { r.probeNext(times.Ping / 2); return times.Ping / 2 })
	loop(nil, func(context.Context) time.Duration { r.catchUpNext(); return catchUpLook })
	loop(nil, func(context.Context) time.Duration { r.tidy(); return tidyEvery })
	if r.cfg.NAT { // else there are no relayed connections
		loop(nil, func(context.Context) time.Duration { return r.watchCircuits() })
	}
	loop(r.saves, func(ctx context.Context) time.Duration {
		r.housekeeping()
		sleep(ctx, times.Save/savesApart) // what wakes it meanwhile is done in one
		return times.Save
	})
	loop(r.renews, func(ctx context.Context) time.Duration { r.renewOwn(ctx); return times.Renew })
	g.Go(func() error { return (&local{r: r}).loop(ctx) }) // not before the host listens: it tells others where
	if r.cfg.Relay != RelayOff {
		g.Go(func() error { return r.relayLoop(ctx) })
	}
	g.Go(func() error { return r.watchSightings(ctx, sights) })
	if r.cfg.NAT {
		g.Go(r.wantRelays)
	}
	if r.dht != nil {
		looks := 0
		loop(r.met, func(ctx context.Context) time.Duration {
			before := r.book.size()
			if !r.discover(ctx) {
				return times.Dial // soon again
			}
			if looks++; r.book.size() > before {
				looks = 1
			}
			doublings := looks - 1
			if len(r.gate.members()) >= enoughPeers {
				doublings = max(doublings, enoughDoublings)
			}
			return times.Discover << min(doublings, discoverDoublings)
		})
	}
	return g.Wait()
}

// wake wakes the loop that listens on c, of size 1; one that is awake looks once more.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sleep waits for a time and reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// newStream wraps a stream of the library.
func (r *running) newStream(ls network.Stream) *stream {
	proto := string(ls.Protocol())
	s := newStream(ls, func() { r.metrics.resets.WithLabelValues(proto).Inc() })
	s.why = r.ofRelayed
	return s
}

// serve hands streams of a protocol to f once their peer is verified and may use this one.
func (r *running) serve(proto string, f Handler) { r.serveScope(proto, wire.ScopeUse, f) }

// serveAll hands streams of a protocol to f once their peer is verified.
func (r *running) serveAll(proto string, f Handler) { r.serveScope(proto, "", f) }

func (r *running) serveScope(proto, scope string, f Handler) {
	r.host.SetStreamHandler(libprotocol.ID(proto), func(ls network.Stream) {
		served := r.tasks.run(func() {
			s := r.newStream(ls)
			m, err := r.gate.waitStream(r.ctx, s.Peer())
			if err != nil {
				_ = s.Reset()
				return
			}
			if scope != "" && !m.grant.Allows(scope) {
				w := frame.NewWriter(s)
				_ = errors.Join(writeMessage(w, wire.TypeError, wire.Errorf(wire.CodeForbidden, "the grant lacks %q", scope)), w.Flush(), s.Close())
				return
			}
			f(r.ctx, s)
		})
		if !served {
			_ = ls.Reset()
		}
	})
}

// reach returns a verified peer, dialling it if need be.
func (r *running) reach(ctx context.Context, id ID) (*member, error) {
	if id == r.ID() {
		return nil, errors.New("peer is this one")
	}
	if err := id.Validate(); err != nil {
		return nil, err
	}
	var m *member
	var err error
	// A connection that ends while we use it is dialled again: the other side may have
	// restarted, or is about to tell why it does not want us.
	for try := range dialTries {
		if m, err = r.meet(ctx, id); !errors.Is(err, errGone) && !errors.Is(err, swarm.ErrDialBackoff) {
			break
		}
		if why := r.gate.refusal(id, r.now()); why != nil {
			return nil, why
		}
		if !sleep(ctx, dialPause<<try) { // until the library has noticed the end, too
			return nil, err
		}
	}
	return m, err
}

// meet is a try of reach. The error is of the library's backoff if the library itself has dialled
// the peer in vain since the try began: that tells nothing of the peer.
func (r *running) meet(ctx context.Context, id ID) (*member, error) {
	if s, ok := r.host.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		s.Backoff().Clear(native(id)) // the book has its own
	}
	if err := r.host.Connect(ctx, peer.AddrInfo{ID: native(id), Addrs: addrsOf(r.book.addrs(id))}); err != nil {
		return nil, &unreachableError{id, r.finding(id, err), err}
	}
	return r.gate.wait(ctx, id)
}

// open opens a stream to a peer that reach has returned, over a relay if there is no other
// way: Stream.Relayed tells.
func (r *running) open(ctx context.Context, id ID, proto string) (Stream, error) {
	ls, err := r.host.NewStream(network.WithNoDial(network.WithAllowLimitedConn(ctx, proto), noDial), native(id), libprotocol.ID(proto))
	if err != nil {
		return nil, err
	}
	return r.newStream(ls), nil
}

// joined is called once a peer is verified.
func (r *running) joined(id ID, h *wire.Hello) {
	r.host.ConnManager().TagPeer(native(id), "covey", r.keep(id)) // strangers are cut off first
	r.metrics.peers.Inc()
	r.noteAccepted()
	r.log.Info("peer joined", "peer", id, "version", h.Version)
	if len(r.gate.members()) == 1 { // this peer was away, and not those that it did not reach
		r.book.revive("", r.now())
	}
	r.events.emit(EvtPeerJoined{Peer: id, Hello: h})
	r.tasks.start(func() { _ = r.ping(r.ctx, id, rttSamples) }) // check sees to failures
	r.tasks.start(func() { r.tellRevoked(id) })
	wake(r.renews) // it may be one that renews
	if len(r.gate.members()) <= smallSwarm {
		wake(r.met)
	}
	r.identified(id) // it may have told where it listens before
}

// keep is how much a connection to a member is worth when there are too many: less, the more
// came with the same invitation before.
func (r *running) keep(id ID) int {
	const most = 100
	n, invitation := 0, r.Grant(id)
	for _, m := range r.gate.members() {
		if string(m.grant.Invitation()) == invitation {
			n++
		}
	}
	return max(1, most-n)
}

// left is called once a verified peer is gone or expelled.
func (r *running) left(id ID) {
	r.table.untell(id)
	r.tasks.start(func() { r.prober.forget(id); r.circuits.forget(id) })
	r.metrics.peers.Dec()
	r.hasten("")
	r.log.Info("peer left", "peer", id)
	r.events.emit(EvtPeerLeft{Peer: id})
}

// listenAddrs returns where a peer says it listens.
func (r *running) listenAddrs(id ID) []wire.Addr {
	return fewAddrs(fromLibrary(r.host.Peerstore().PeerInfo(native(id))))
}

// housekeeping ends memberships that are over, forgets old adverts, saves the book.
func (r *running) housekeeping() {
	now := r.now()
	for id, m := range r.gate.members() {
		switch {
		case now.Unix() >= m.grant.Expires:
			if g := r.renewed(id, m, now); g != nil { // it has said so by its adverts
				r.gate.renew(id, *g)
				continue
			}
			r.expel(id, wire.ErrExpired)
		case r.revoked(&m.grant, id):
			r.expel(id, wire.ErrRevoked)
		}
	}
	r.noteAddrs()
	for _, id := range r.table.sweep(now) {
		r.events.emit(EvtAdvertExpired{Peer: id})
	}
	if err := r.save(); err != nil {
		r.log.Warn("peers book not saved", "err", err)
	}
}

// noteAddrs writes down where the members listen: they tell some time after their hello.
func (r *running) noteAddrs() {
	for id := range r.gate.members() {
		if r.isConnected(id) && r.book.has(id) { // one that was expelled meanwhile is not
			r.book.verified(id, r.listenAddrs(id), r.now())
		}
	}
}

// expel cuts off a verified peer.
func (r *running) expel(id ID, why error) {
	if r.gate.expel(id, why) == nil {
		return
	}
	r.log.Info("peer expelled", "peer", id, "err", why)
	r.book.remove(id)
	r.table.drop(id)
	r.left(id)
	_ = r.host.Network().ClosePeer(native(id))
}

func (r *running) save() error {
	if r.cfg.Dir == "" {
		return nil
	}
	return r.book.save(filepath.Join(r.cfg.Dir, peersFile))
}

// gatedHost is the host that gossip and DHT see: their streams, too, wait until the peer is
// verified.
type gatedHost struct {
	p2phost.Host
	r     *running
	dials bool // peers that are not connected; gossip only talks to those that are
}

// NewStream opens a stream to a verified peer.
func (g *gatedHost) NewStream(ctx context.Context, id peer.ID, protos ...libprotocol.ID) (network.Stream, error) {
	var err error
	if g.dials {
		if err = g.r.gate.refusal(ID(id), g.r.now()); err == nil {
			_, err = g.r.reach(ctx, ID(id))
		}
	} else {
		ctx = network.WithNoDial(ctx, noDial)
		_, err = g.r.gate.wait(ctx, ID(id))
	}
	if err != nil {
		return nil, err
	}
	return g.Host.NewStream(ctx, id, protos...)
}

// SetStreamHandler serves a protocol to verified peers.
func (g *gatedHost) SetStreamHandler(proto libprotocol.ID, f network.StreamHandler) {
	g.Host.SetStreamHandler(proto, g.gate(f))
}

// SetStreamHandlerMatch serves protocols to verified peers.
func (g *gatedHost) SetStreamHandlerMatch(proto libprotocol.ID, match func(libprotocol.ID) bool, f network.StreamHandler) {
	g.Host.SetStreamHandlerMatch(proto, match, g.gate(f))
}

func (g *gatedHost) gate(f network.StreamHandler) network.StreamHandler {
	return func(s network.Stream) {
		served := g.r.tasks.run(func() {
			if _, err := g.r.gate.waitStream(g.r.ctx, ID(s.Conn().RemotePeer())); err != nil {
				_ = s.Reset()
				return
			}
			f(s)
		})
		if !served {
			_ = s.Reset()
		}
	}
}
