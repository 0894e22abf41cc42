package host

import (
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/x/rate"
	"github.com/multiformats/go-multiaddr"
)

const (
	// connGrace is how long a new connection is safe from being cut off as surplus.
	connGrace = 20 * time.Second
	// maxConns bounds connections of each direction: short peaks above PeersHigh, and strangers.
	maxConns = 768
	// newConnsPerSecond is how fast one address may come back once its first PeersPerIP
	// connections are used up; the library's 0.2 with a burst of 16 locks out a classroom.
	newConnsPerSecond = 5
)

// newLibrary makes the library's host. It does not listen yet, so that no connection
// comes in before the gate stands.
func (r *running) newLibrary() (p2phost.Host, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(r.cfg.Credentials.Key)
	if err != nil {
		return nil, err
	}
	limits, err := newResources(&r.cfg)
	if err != nil {
		return nil, err
	}
	// It knows who is needed; the members that are not are told before, see tidy.
	manager, err := connmgr.NewConnManager(maxConns/2, maxConns, connmgr.WithGracePeriod(connGrace))
	if err != nil {
		return nil, err
	}
	opts := []libp2p.Option{
		libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.UserAgent("covey/" + r.cfg.Version),
		libp2p.Transport(r.newTCP), libp2p.Transport(quic.NewTransport), libp2p.DefaultSecurity, libp2p.Muxer(yamux.ID, quietMuxer()),
		libp2p.Ping(false), // see answerProbes
		libp2p.ResourceManager(limits), libp2p.ConnectionManager(manager), libp2p.ConnectionGater(dialGate{r}),
		libp2p.SwarmOpts(swarm.WithDialRanker(r.rankDials), swarm.WithDialTimeoutLocal(localDialTimeout)),
	}
	if r.wide() {
		opts = append(opts, libp2p.Transport(r.newWebSockets), libp2p.ShareTCPListener(), libp2p.AddrsFactory(noWebSockets))
	}
	if len(r.cfg.Announce) > 0 {
		announced := addrsOf(textAddrs(r.cfg.Announce))
		opts = append(opts, libp2p.AddrsFactory(func([]multiaddr.Multiaddr) []multiaddr.Multiaddr { return slices.Clone(announced) }))
	}
	if r.cfg.Registerer != nil {
		opts = append(opts, libp2p.PrometheusRegisterer(r.cfg.Registerer), libp2p.BandwidthReporter(r.metrics.traffic))
	} else {
		opts = append(opts, libp2p.DisableMetrics())
	}
	if r.cfg.NAT {
		opts = append(opts, libp2p.EnableRelay(), libp2p.EnableHolePunching(),
			libp2p.EnableNATService(), libp2p.EnableAutoNATv2(),
			libp2p.EnableAutoRelayWithPeerSource(r.relays, autorelay.WithMinCandidates(1), autorelay.WithNumRelays(relaysKept),
				autorelay.WithMinInterval(relayLook), autorelay.WithBackoff(relayAgain), autorelay.WithMaxCandidateAge(relayMaxAge)))
		if len(r.cfg.Listen) > 0 { // else there is no port to map
			opts = append(opts, libp2p.NATManager(r.natManager))
		}
	} else {
		opts = append(opts, libp2p.DisableRelay())
	}
	return libp2p.New(append(opts, r.cfg.library...)...)
}

// quietMuxer returns the library's multiplexer of TCP with fewer messages of its own: that the
// other side lives is found out by probes, and the kernel keeps the connection open in routers.
func quietMuxer() *yamux.Transport {
	t := *yamux.DefaultTransport
	t.EnableKeepAlive = false
	t.MeasureRTTInterval = 10 * time.Minute // the first time is at once
	return &t
}

// newResources makes the resource manager: the library's limits, but for the number of
// connections. Its default of 8 from one address turns away a household.
func newResources(cfg *Config) (network.ResourceManager, error) {
	defaults := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&defaults)
	conns := rcmgr.LimitVal(maxConns)
	limits := rcmgr.PartialLimitConfig{
		System:    rcmgr.ResourceLimits{Conns: 2 * conns, ConnsInbound: conns, ConnsOutbound: conns},
		Transient: rcmgr.ResourceLimits{Conns: 2 * conns, ConnsInbound: conns, ConnsOutbound: conns},
	}.Build(defaults.AutoScale())
	loopback := rate.PrefixLimit{Prefix: netip.MustParsePrefix("127.0.0.0/8")}
	loopback6 := rate.PrefixLimit{Prefix: netip.MustParsePrefix("::1/128")}
	slow := rate.Limit{RPS: newConnsPerSecond, Burst: cfg.PeersPerIP}
	opts := []rcmgr.Option{
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: cfg.PeersPerIP}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: cfg.PeersPerIP}}),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: []rate.PrefixLimit{loopback, loopback6},
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: slow}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: slow}},
				GracePeriod:      time.Minute,
			},
		}),
	}
	if cfg.Registerer != nil {
		reporter, err := rcmgr.NewStatsTraceReporter()
		if err != nil {
			return nil, err
		}
		rcmgr.MustRegisterWith(cfg.Registerer)
		opts = append(opts, rcmgr.WithTraceReporter(reporter))
	}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits), opts...)
}
