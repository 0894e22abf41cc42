package host

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// Config is what New needs. Default gives all but Credentials.
type Config struct {
	Credentials *Credentials // required
	Dir         string       // keeps the peers book, revocations and the port; "" keeps them in memory
	Listen      []string     // multiaddrs; none: only dials; port 0: one that is chosen once and kept in Dir
	Announce    []string     // multiaddrs told to others instead of those listened at; none: the latter
	Bootstrap   []wire.Addr  // besides those of the credentials; each names its peer
	Version     string       // of the program, told to peers
	Roles       []string     // sorted; told to peers
	MDNS        bool         // find and be found on the local network
	DHT         bool         // find peers and holders of models in the swarm's routing table
	NAT         bool         // port mapping, reachability checks, use of relays, hole punching
	Relay       string       // RelayOn, RelayOff or RelayAuto; without NAT the latter goes by this machine's addresses
	RelayRate   int64        // bytes a second that others' connections pass through this peer
	RelayBytes  int64        // the same in a day
	RelayPeers  int          // that others reach through this peer
	// Proxy returns the HTTP proxy to try when HOST:PORT is not reached directly; nil: none.
	Proxy      func(target string) (*url.URL, error)
	PeersLow   int // known peers are dialled while there are fewer connections
	PeersHigh  int // above it, connections are cut down to half way between the two
	PeersPerIP int // connections from one IPv4 address or one IPv6 /56
	Times      Times
	widePort   int // 443; tests take another

	Log        *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: no metrics
	Now        func() time.Time      // nil: time.Now

	// Tests take others: options of the library for a network of their own, and this machine's addresses.
	library  []libp2p.Option
	ownAddrs func() []net.IP
}

// Times are the intervals of the host's loops.
type Times struct {
	Hello    time.Duration // a new connection may stay without a verified hello
	Dial     time.Duration // looks for peers to dial
	Backoff  time.Duration // first wait after a failed dial; doubles to MaxBackoff
	Ping     time.Duration // asks the next neighbour for an answer: measures round trips, and finds dead connections
	Save     time.Duration // writes the peers book, checks expiries
	Renew    time.Duration // looks whether the membership is to be renewed; first wait after a failure
	Discover time.Duration // asks the DHT for peers of the swarm and announces this one; longer while it brings nobody
}

// MaxBackoff is the longest wait between two dials of a peer that does not answer.
const MaxBackoff = 5 * time.Minute

// Default returns the configuration of an ordinary node.
func Default() Config {
	return Config{
		Listen: []string{"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1", "/ip6/::/tcp/0", "/ip6/::/udp/0/quic-v1"},
		MDNS:   true, DHT: true, NAT: true,
		Relay: RelayAuto, RelayRate: DefaultRelayRate, RelayBytes: DefaultRelayBytes, RelayPeers: DefaultRelayPeers,
		PeersLow: 12, PeersHigh: 40, // a random graph of as many holds together; others are dialled when needed
		PeersPerIP: 256, // a lecture hall behind one address
		widePort:   widePort, ownAddrs: ownAddrs,
		Times: Times{
			Hello: protocol.HelloTimeout,
			Dial:  2 * time.Second, Backoff: time.Second, Ping: 2 * time.Second,
			Save: 30 * time.Second, Renew: time.Minute, Discover: time.Minute,
		},
	}
}

// Validate returns all that is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Credentials == nil {
		bad("credentials are missing")
	}
	for _, a := range c.Listen {
		if err := CheckAddr(a); err != nil {
			bad("listen address %q: %w", a, err)
		}
	}
	for _, a := range c.Announce {
		if err := CheckAddr(a); err != nil {
			bad("announced address %q: %w", a, err)
		}
	}
	for _, a := range c.Bootstrap {
		if _, ok := a.Peer(); !ok {
			bad("bootstrap address %q names no peer", a)
		}
	}
	if c.PeersLow <= 0 || c.PeersHigh < c.PeersLow {
		bad("peers low %d, high %d", c.PeersLow, c.PeersHigh)
	}
	if c.Relay != RelayAuto && c.Relay != RelayOn && c.Relay != RelayOff {
		bad("relay is %q, want %s, %s or %s", c.Relay, RelayAuto, RelayOn, RelayOff)
	}
	if min(c.RelayRate, c.RelayBytes, int64(c.RelayPeers)) <= 0 {
		bad("relays %d bytes a second and %d a day for %d peers", c.RelayRate, c.RelayBytes, c.RelayPeers)
	}
	if c.PeersPerIP <= 0 {
		bad("peers per address %d", c.PeersPerIP)
	}
	t := c.Times
	if min(t.Hello, t.Dial, t.Backoff, t.Ping, t.Save, t.Renew, t.Discover) <= 0 {
		bad("an interval is not positive: %+v", t)
	}
	if c.Credentials != nil {
		h := c.hello()
		if err := h.Validate(); err != nil {
			bad("hello: %w", err)
		}
	}
	return errors.Join(errs...)
}

// CheckAddr returns an error with an example if a text is no multiaddr.
func CheckAddr(text string) error {
	if _, err := multiaddr.NewMultiaddr(text); err != nil {
		return fmt.Errorf("%w; want a multiaddr such as /ip4/203.0.113.7/tcp/24001, or /ip4/0.0.0.0/tcp/24001 to listen on all addresses", err)
	}
	return nil
}
