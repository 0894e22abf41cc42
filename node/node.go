package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/gateway"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/hosting"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/node/trainer"
	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// patience is how long an answer waits for another chain after a peer of its own is lost.
const patience = 5 * time.Second

// settleTime is how long a node that starts waits to hear of other peers before it says
// that it is ready.
const settleTime = 3 * time.Second

// settleAgain is how often it looks whether its models are loaded.
const settleAgain = 20 * time.Millisecond

// Node is a peer.
type Node struct {
	cfg      Config
	ready    chan struct{}
	endpoint Endpoint // set before ready is closed
	hurry    chan struct{}
	hurried  sync.Once
}

// New checks the configuration. It starts and opens nothing.
func New(cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check settings: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Node{cfg: cfg, ready: make(chan struct{}), hurry: make(chan struct{})}, nil
}

// Ready is closed when the node answers on its API.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Hurry lets the end of Run not wait for running answers: they end with an error.
func (n *Node) Hurry() { n.hurried.Do(func() { close(n.hurry) }) }

// Endpoint returns where the node answers, once it is ready.
func (n *Node) Endpoint() *Endpoint { return &n.endpoint }

// running is a node between the start and the end of Run.
type running struct {
	cfg     *Config
	hurry   <-chan struct{} // closed: answers are not waited for at the end
	log     *slog.Logger
	ctx     context.Context // of Run
	started time.Time
	key     string // of the owner: what the control API takes

	creds    *host.Credentials
	store    *store.Store
	host     *host.Host
	exchange *exchange.Exchange
	catalog  *catalog.Catalog
	worker   *worker.Worker
	router   *router.Router
	hosting  *hosting.Manager
	trainer  *trainer.Trainer
	gateway  *gateway.Gateway
	registry *prometheus.Registry
	speeds   atomic.Pointer[wire.Speeds] // measured; nil before that
	damaged  atomic.Int64                // blocks found damaged since the start
	memory   int64                       // lent
	total    int64                       // of the machine

	second atomic.Pointer[second] // the last other node that was started on the data directory; nil: none

	tasks     sync.WaitGroup // local streams
	changed   chan struct{}  // 1: something to advertise has changed
	unpacking chan struct{}  // 1: the model in the program is imported once at a time

	mu       sync.Mutex
	awaiting []chan struct{} // closed when the next advert is out
}

// Run opens the node and serves until ctx ends or a part fails. Then the parts end in the
// order in which they need each other: the gateway drains, then what answers it, then the
// store.
func (n *Node) Run(ctx context.Context) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var front, inner, base layer
	front.begin(ctx, stop)
	inner.begin(ctx, stop)
	base.begin(ctx, stop)
	defer func() { // if it does not come to their ends below
		front.cancel()
		inner.cancel()
		base.cancel()
	}()
	r := &running{cfg: &n.cfg, hurry: n.hurry, log: n.cfg.Log, ctx: inner.ctx, started: time.Now(), changed: make(chan struct{}, 1), unpacking: make(chan struct{}, 1)}
	defer func() {
		err = errors.Join(err, r.close())
		if r.store != nil && !n.cfg.Offline { // else the directory may be another's
			err = errors.Join(err, removeEndpoint(n.cfg.DataDir))
		}
	}()
	if err := r.open(); err != nil {
		return noRoom(n.cfg.DataDir, err)
	}
	if !n.cfg.Offline {
		if err := removeEndpoint(n.cfg.DataDir); err != nil { // of a node that was killed
			return err
		}
	}
	base.run(r.store.Run)
	if !n.cfg.Offline {
		inner.run(r.host.Run)
		inner.run(r.advertise)
		inner.run(r.measure)
		inner.run(r.watchProblems)
	}
	inner.run(r.worker.Run)
	inner.run(r.router.Run)
	inner.run(r.hosting.Run)
	front.run(r.trainer.Run)
	front.run(r.gateway.Run)
	front.run(func(ctx context.Context) error { return n.announce(ctx, r) })
	<-ctx.Done()
	err = errors.Join(front.end(), inner.end())
	r.tasks.Wait()
	return errors.Join(err, base.end())
}

// layer is a group of parts that end together, some time after the context that the node
// runs in.
type layer struct {
	ctx    context.Context
	cancel context.CancelFunc
	group  errgroup.Group
	failed context.CancelFunc
}

// begin makes the layer ready. failed is called when a part of it fails.
func (l *layer) begin(ctx context.Context, failed context.CancelFunc) {
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.failed = failed
}

func (l *layer) run(part func(context.Context) error) {
	l.group.Go(func() error {
		err := part(l.ctx)
		if err != nil {
			l.failed()
		}
		return err
	})
}

// end stops the parts and waits for them.
func (l *layer) end() error {
	l.cancel()
	return l.group.Wait()
}

// announce tells the world, by Ready and the endpoint file, when all parts are up.
func (n *Node) announce(ctx context.Context, r *running) error {
	waits := []<-chan struct{}{r.gateway.Ready()}
	if !n.cfg.Offline {
		waits = append(waits, r.host.Ready())
	}
	for _, w := range waits {
		select {
		case <-w:
		case <-ctx.Done():
			return nil
		}
	}
	r.settle(ctx)
	n.endpoint = Endpoint{URL: "http://" + r.gateway.Addr().String(), Key: r.key, PID: pid(), DataDir: n.cfg.DataDir}
	if !n.cfg.Offline {
		if err := n.endpoint.write(); err != nil {
			return err
		}
	}
	close(n.ready)
	<-ctx.Done()
	if !n.cfg.Offline {
		at := n.endpoint
		at.Stopping = true
		if err := at.write(); err != nil { // commands do without it, and the disk may be full
			r.log.Debug("the end is not told", "err", err)
		}
	}
	return nil
}

// settle waits for a while until another peer has told what it has, if there are peers to
// find, and what this one served before its last end is loaded again: the first question to
// this node is then about the swarm as it is.
func (r *running) settle(ctx context.Context) {
	if r.cfg.Offline {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if len(r.creds.Bootstrap)+len(r.cfg.Network.Bootstrap) > 0 {
		r.hear(ctx)
	}
	for r.restoring() && sleep(ctx, settleAgain) {
	}
}

// hear waits until another peer has told what it has.
func (r *running) hear(ctx context.Context) {
	news, stop := r.host.Subscribe()
	defer stop()
	for len(r.host.Adverts()) == 0 {
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// restoring reports whether something that is to be served is on its way into memory.
func (r *running) restoring() bool {
	return slices.ContainsFunc(r.hosting.Hosted(), func(h hosting.Hosted) bool { return h.State == hosting.Fetching || h.State == hosting.Loading })
}

// open makes the parts in order of dependence.
func (r *running) open() (err error) {
	if err := r.openCredentials(); err != nil {
		return err
	}
	r.registry = prometheus.NewRegistry()
	r.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.store, err = store.Open(store.Config{
		Dir: filepath.Join(r.cfg.DataDir, "store"), Limit: int64(r.cfg.Limits.Disk), Links: wire.Links, InUse: r.hosted,
		OnQuarantine: func(store.Quarantined) {
			r.damaged.Add(1)
			r.changes()
		}, Log: r.part("store"), Registry: r.registry,
	})
	if err != nil {
		return err
	}
	if err := r.openNetwork(); err != nil {
		return err
	}
	return r.openServing()
}

// openCredentials finds out who this peer is. Without a network it is nobody: the data
// directory stays free to join a swarm later.
func (r *running) openCredentials() (err error) {
	if r.cfg.Offline {
		r.creds, err = host.EphemeralCredentials(time.Now())
		return err
	}
	var token *wire.Token
	if r.cfg.Join != "" {
		if token, err = wire.ParseToken(r.cfg.Join); err != nil {
			return fmt.Errorf("read join token: %w", err)
		}
	}
	r.creds, err = host.OpenCredentials(r.cfg.DataDir, token, time.Now())
	if errors.Is(err, host.ErrOtherSwarm) {
		return fmt.Errorf("%w: %s belongs to another swarm than the token; join with another --data, or remove the directory %s to start anew, which deletes this machine's identity, the swarm's key if it founded one, and all models", err, r.cfg.DataDir, r.cfg.DataDir)
	}
	if errors.Is(err, wire.ErrExpired) {
		return ErrTokenOver
	}
	if errors.Is(err, wire.ErrNotYet) {
		return fmt.Errorf("%w: look at the clocks, this machine's says %s", err, time.Now().Format(time.DateTime))
	}
	return err
}

// forbidden returns why this peer may not serve, nil if it may.
func (r *running) forbidden() error {
	if r.creds.Grant.Allows(wire.ScopeServe) {
		return nil
	}
	return fmt.Errorf("this peer may not serve: it joined with a token that lacks the scope %s", wire.ScopeServe)
}

func (r *running) part(name string) *slog.Logger { return r.log.With("part", name) }

// openNetwork makes what talks to peers.
func (r *running) openNetwork() (err error) {
	cfg := host.Default()
	cfg.Credentials, cfg.Dir, cfg.Version, cfg.Roles = r.creds, r.cfg.DataDir, r.cfg.Version, []string{wire.RoleGateway, wire.RoleServe, wire.RoleStore}
	cfg.Listen, cfg.MDNS, cfg.DHT, cfg.NAT = r.cfg.Network.Listen, r.cfg.Network.MDNS, r.cfg.Network.DHT, r.cfg.Network.NAT
	cfg.Log, cfg.Registerer, cfg.Announce = r.log, r.registry, r.cfg.Network.Announce
	cfg.Relay = r.cfg.Network.Relay
	if cfg.Proxy, err = r.cfg.proxy(); err != nil {
		return err
	}
	if r.cfg.proxyIgnored() { // the text may hold a password
		r.log.Warn("HTTPS_PROXY is not of the form http://HOST:PORT and is not used; network.proxy names another, or is off")
	}
	if n := r.cfg.Limits.Relay; n > 0 {
		cfg.RelayRate = int64(n)
	}
	if n := r.cfg.Limits.RelayDaily; n > 0 {
		cfg.RelayBytes = int64(n)
	}
	if n := r.cfg.Limits.RelayPeers; n > 0 {
		cfg.RelayPeers = n
	}
	if r.cfg.Offline {
		cfg.Dir = "" // what lies there is of peers and revocations
	}
	if r.forbidden() != nil {
		cfg.Roles = []string{wire.RoleGateway}
	}
	for _, b := range r.cfg.Network.Bootstrap {
		cfg.Bootstrap = append(cfg.Bootstrap, wire.Addr(b))
	}
	if r.host, err = host.New(cfg); err != nil {
		return err
	}
	r.exchange, err = exchange.New(exchange.Config{
		Store: r.store, Open: r.host.Open, UploadBytesPerSec: int64(r.cfg.Limits.Upload), Log: r.part("exchange"), Now: time.Now, Registerer: r.registry,
	})
	if err != nil {
		return err
	}
	if r.forbidden() == nil {
		r.host.Handle(protocol.Blocks, r.exchange.Serve)
	}
	r.catalog, err = catalog.New(catalog.Config{Store: r.store, Fetcher: r.exchange, Providers: r.providers, Nobody: r.nobody, Log: r.part("catalog")})
	return err
}

// openServing makes what runs models and answers clients.
func (r *running) openServing() (err error) {
	if r.memory, r.total, err = lentMemory(int64(r.cfg.Limits.Memory)); err != nil {
		return err
	}
	r.worker, err = worker.New(worker.Config{
		Self: r.creds.ID, Models: r.catalog, Dialer: dialer{r}, Threads: r.cfg.Limits.Cores, MemoryBytes: r.memory,
		Draw: worker.SampleDraw, Log: r.part("worker"), Now: time.Now, Registry: r.registry, Grant: r.host.Grant,
	})
	if err != nil {
		return err
	}
	if r.forbidden() == nil {
		r.host.Handle(protocol.Infer, r.worker.Serve)
	}
	r.router, err = router.New(router.Config{Self: r.creds.ID, Adverts: r.adverts, Path: r.host.Path, Dial: dialer{r}.Dial, Patience: patience, Alone: r.alone, Log: r.part("router"), Now: time.Now})
	if err != nil {
		return err
	}
	r.hosting, err = hosting.New(hosting.Config{
		Catalog: r.catalog, Worker: r.worker, Adverts: r.host.Adverts, Path: filepath.Join(r.cfg.DataDir, "hosting.json"), Changed: r.changes, Write: r.store.WriteFile, Log: r.part("hosting"), Forbidden: r.forbidden(),
	})
	if err != nil {
		return err
	}
	training := trainer.Config{Threads: r.cfg.Limits.Cores, Memory: r.memory, Busy: func() bool { return r.worker.Sessions() > 0 }, Publish: r.publish, Retract: r.retract, Log: r.part("trainer"), Now: time.Now}
	if !r.cfg.Offline {
		training.Net = &trainer.Network{Host: r.host, Exchange: r.exchange, Store: r.store, Key: r.creds.Key, Name: r.host.Name}
	}
	if r.trainer, err = trainer.New(training); err != nil {
		return err
	}
	if training.Net != nil {
		r.host.Handle(protocol.Train, r.trainer.Serve)
		r.host.Handle(protocol.Agree, r.trainer.Talk)
	}
	keys, err := r.cfg.keys()
	if err != nil {
		return err
	}
	r.key = newKey()
	r.gateway, err = gateway.New(gateway.Config{
		Addr: r.cfg.API.Addr, Hosts: r.cfg.API.Hosts, Keys: keys, Owner: sha256.Sum256([]byte(r.key)), Origins: r.cfg.API.Origins, Insecure: r.cfg.API.Insecure, Models: models{r}, Router: r.router, Version: r.cfg.Version,
		Control: r.control(), Metrics: promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}), Log: r.part("gateway"), Now: time.Now, Registry: r.registry, Hurry: r.hurry,
	})
	return err
}

// close undoes open, after everything that ran has ended.
func (r *running) close() error {
	var errs []error
	if r.worker != nil {
		r.worker.Close()
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	return errors.Join(errs...)
}
