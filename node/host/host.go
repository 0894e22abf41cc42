package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	cid "github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// ErrNotRunning is returned by what needs Run before it, or after it has returned.
var ErrNotRunning = errors.New("host is not running")

// Handler serves one stream. It closes or resets it, and returns soon after ctx ends: Run
// waits for it.
type Handler func(ctx context.Context, s Stream)

// Host is a peer of one swarm.
type Host struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	book    *book
	table   *table
	leavers leavers
	events  *events
	ready   chan struct{}

	saving sync.Mutex // held while the list of revocations or that of invitations is read or written

	mu       sync.Mutex
	handlers map[string]Handler
	revoke   revocations  // of the swarm
	seq      uint64       // of the last advert of this peer
	last     *wire.Advert // what PublishAdvert was given for it; nil before
	own      renewal      // of this peer's membership
	run      *running     // nil unless Run is past its start
	started  bool
}

// New checks cfg and reads the peers book. It starts nothing.
func New(cfg Config) (*Host, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("make host: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("make host: %w", err)
	}
	h := &Host{
		cfg: cfg, log: cfg.Log.With("part", "host"), metrics: m, now: cfg.Now,
		book: newBook(cfg.Credentials.ID, cfg.Times.Backoff), events: newEvents(),
		ready: make(chan struct{}), handlers: make(map[string]Handler),
		own: renewal{membership: cfg.Credentials.Membership, grant: cfg.Credentials.Grant, accepted: cfg.Credentials.Accepted},
	}
	h.table = newTable(h.worth)
	if cfg.Registerer != nil {
		heard := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "host_adverts", Help: "Other peers whose advert counts."}, func() float64 { return float64(len(h.Adverts())) })
		if err := cfg.Registerer.Register(heard); err != nil {
			return nil, fmt.Errorf("make host: %w", err)
		}
		if err := cfg.Registerer.Register(newPathCollector(h)); err != nil {
			return nil, fmt.Errorf("make host: %w", err)
		}
	}
	if err := h.load(); err != nil {
		return nil, fmt.Errorf("make host: %w", err)
	}
	return h, nil
}

// load reads what an earlier run left. A damaged peers book is no reason not to start.
func (h *Host) load() error {
	if h.cfg.Dir != "" {
		if err := h.book.load(filepath.Join(h.cfg.Dir, peersFile)); err != nil {
			h.log.Warn("peers book not read, starting with an empty one", "err", err)
		}
		if err := h.loadRevocation(); err != nil {
			return err
		}
	}
	for _, a := range slices.Concat(h.cfg.Credentials.Bootstrap, h.cfg.Bootstrap) {
		if id, ok := a.Peer(); ok && id != h.ID() {
			h.book.add(id, []wire.Addr{a}, true)
		}
	}
	return nil
}

// worth tells how well a peer has shown that it is one: 2 is connected now, 1 was before, 0
// is only known by adverts.
func (h *Host) worth(id ID) int {
	r, err := h.running()
	switch {
	case id == h.ID(), err == nil && r.gate.get(id) != nil:
		return 2
	case h.book.met(id):
		return 1
	}
	return 0
}

// ID returns this peer's id.
func (h *Host) ID() ID { return h.cfg.Credentials.ID }

// Swarm returns the swarm this peer belongs to.
func (h *Host) Swarm() wire.SwarmID { return h.cfg.Credentials.Swarm }

// Ready is closed once the host listens.
func (h *Host) Ready() <-chan struct{} { return h.ready }

func (h *Host) running() (*running, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run == nil {
		return nil, ErrNotRunning
	}
	return h.run, nil
}

// Handle serves a protocol from now on. Only verified peers whose grant has
// wire.ScopeUse get through to f; others wait for their hello to be decided.
func (h *Host) Handle(protocol string, f Handler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handlers[protocol] = f
	if h.run != nil {
		h.run.serve(protocol, f)
	}
}

// Connect dials a peer by an address that names it, and returns once both sides have
// proved their membership. A refusal by the peer is a *wire.Error; one by this side wraps
// wire.ErrForeign, wire.ErrExpired and so on.
func (h *Host) Connect(ctx context.Context, addr wire.Addr) error {
	id, ok := addr.Peer()
	if !ok {
		return fmt.Errorf("connect to %q: the address names no peer", string(addr))
	}
	h.book.add(id, []wire.Addr{addr}, false)
	r, err := h.running()
	if err == nil {
		_, err = r.reach(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("connect to %q: %w", string(addr), err)
	}
	return nil
}

// Open opens a stream to a peer, dialling it at its known addresses if need be.
func (h *Host) Open(ctx context.Context, id ID, proto string) (Stream, error) {
	r, err := h.running()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, protocol.StreamOpenTimeout)
	defer cancel()
	r.lookUp(ctx, id)
	if _, err := r.reach(ctx, id); err != nil {
		return nil, fmt.Errorf("open %s: %w", proto, err)
	}
	s, err := r.open(ctx, id, proto)
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", proto, id, err)
	}
	return s, nil
}

// AddAddrs notes where a peer may be found, for a later Open.
func (h *Host) AddAddrs(id ID, addrs []wire.Addr) {
	if id != h.ID() && id.Validate() == nil {
		h.book.add(id, addrs, false)
	}
}

// Addrs returns this peer's addresses, each naming it. Loopback ones are left out if there
// are others: they mean something else on every machine.
func (h *Host) Addrs() []wire.Addr {
	r, err := h.running()
	if err != nil {
		return nil
	}
	var out, loopback []wire.Addr
	for _, a := range r.host.Addrs() {
		full := wire.Addr(a.String() + "/p2p/" + h.ID().String())
		if full.Validate() != nil {
			continue
		}
		if manet.IsIPLoopback(a) {
			loopback = append(loopback, full)
		} else {
			out = append(out, full)
		}
	}
	if len(out) == 0 {
		out = loopback
	}
	slices.SortStableFunc(out, func(a, b wire.Addr) int { return cmp.Compare(len(a), len(b)) }) // IPv4 and TCP first: shorter tokens
	return fewAddrs(out)
}

// fewAddrs returns protocol.MaxAddrs addresses of a peer, in their order: the first over each relay, and of the
// others as many of each IP address and each relay. One that dies must not be the only one that is told.
func fewAddrs(addrs []wire.Addr) []wire.Addr {
	if len(addrs) <= protocol.MaxAddrs {
		return addrs
	}
	of := map[string]int{}
	turn := make(map[wire.Addr]int, len(addrs))
	for _, a := range addrs {
		way, _, relayed := strings.Cut(string(a), "/p2p-circuit")
		if relayed {
			way = way[strings.LastIndex(way, "/")+1:]
		} else if parts := strings.SplitN(way, "/", 4); len(parts) > 2 { // "", "ip4", the address
			way = parts[2]
		}
		if of[way]++; !relayed || of[way] > 1 {
			turn[a] = of[way]
		}
	}
	chosen := slices.Clone(addrs)
	slices.SortStableFunc(chosen, func(a, b wire.Addr) int { return cmp.Compare(turn[a], turn[b]) })
	chosen = chosen[:protocol.MaxAddrs]
	return slices.DeleteFunc(addrs, func(a wire.Addr) bool { return !slices.Contains(chosen, a) })
}

// Peer is a connected, verified peer.
type Peer struct {
	ID         ID
	Addrs      []wire.Addr // it listens at
	Version    string
	Capability uint32 // common to both sides
	Roles      []string
	Scopes     []string
	Invitation []byte // ID of the invitation that its grant goes back to
	Path       Path   // direct or relayed
	Since      time.Time
	Expires    time.Time     // of its grant
	Clock      time.Duration // how far its clock is ahead of this one's, by its hello or adverts
}

// Peers returns the connected, verified peers, ordered by id.
func (h *Host) Peers() []Peer {
	r, err := h.running()
	if err != nil {
		return nil
	}
	var out []Peer
	for id, m := range r.gate.members() {
		capability, _ := m.hello.Common()
		path := h.Path(id)
		if !path.Connected() { // it has just ended
			continue
		}
		out = append(out, Peer{
			ID: id, Addrs: r.listenAddrs(id), Version: m.hello.Version, Capability: capability, Roles: m.hello.Roles,
			Scopes: m.grant.Scopes, Invitation: m.grant.Invitation(), Path: path, Since: m.since, Expires: m.grant.ExpiresAt(), Clock: m.clock.by,
		})
	}
	slices.SortFunc(out, func(a, b Peer) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out
}

// Grant names the invitation that the grant of a peer goes back to, if the peer is verified and
// connected or its advert is known: what one token let in shares a name. Other peers have the
// name "".
func (h *Host) Grant(id ID) string {
	if r, err := h.running(); err == nil {
		if m := r.gate.get(id); m != nil {
			return string(m.grant.Invitation())
		}
	}
	return h.table.grantOf(id)
}

// Name returns the name that a peer tells of its machine, also if it is gone; "" if it is not
// known.
func (h *Host) Name(id ID) string { return h.book.name(id) }

// Protect keeps the connection to a peer when there are too many, until Unprotect with the
// same tag: for the peers of a running session.
func (h *Host) Protect(id ID, tag string) {
	if r, err := h.running(); err == nil {
		r.host.ConnManager().Protect(native(id), tag)
	}
}

// Unprotect takes Protect back.
func (h *Host) Unprotect(id ID, tag string) {
	if r, err := h.running(); err == nil {
		r.host.ConnManager().Unprotect(native(id), tag)
	}
}

// Subscribe returns a channel of events and a function that ends the subscription. A
// subscriber that falls far behind loses events.
func (h *Host) Subscribe() (<-chan Event, func()) { return h.events.subscribe() }

// Adverts returns the latest advert of each other peer, ordered by peer. They are read-only.
func (h *Host) Adverts() []*wire.Advert {
	return slices.DeleteFunc(h.table.live(h.now()), func(a *wire.Advert) bool { return a.Peer == h.ID() })
}

// Provide announces in the routing table that this peer has a manifest.
func (h *Host) Provide(ctx context.Context, c cid.Cid) error {
	r, err := h.running()
	if err == nil {
		err = r.provide(ctx, c)
	}
	if err != nil {
		return fmt.Errorf("provide %s: %w", c, err)
	}
	return nil
}

// FindProviders asks the routing table for up to n peers that have a manifest, and notes
// their addresses for Open.
func (h *Host) FindProviders(ctx context.Context, c cid.Cid, n int) ([]ID, error) {
	r, err := h.running()
	if err != nil {
		return nil, err
	}
	return r.findProviders(ctx, c, n)
}

// addrsOf returns the library's form of addresses; bad ones are left out.
func addrsOf(addrs []wire.Addr) []multiaddr.Multiaddr {
	out := make([]multiaddr.Multiaddr, 0, len(addrs))
	for _, a := range addrs {
		if m, err := multiaddr.NewMultiaddr(string(a)); err == nil {
			out = append(out, m)
		}
	}
	return out
}

// fromLibrary returns our form of a peer's addresses.
func fromLibrary(info peer.AddrInfo) []wire.Addr {
	out := make([]wire.Addr, 0, len(info.Addrs))
	for _, m := range info.Addrs {
		if a := wire.Addr(m.String()); len(a) <= protocol.MaxTextAddr {
			out = append(out, a)
		}
	}
	return out
}
