package lab

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Kind is how a host is connected.
type Kind string

// The kinds of hosts.
const (
	// Public is a host on the public segment, with a public IPv4 and IPv6 address.
	Public Kind = "public"
	// Endpoint is a home behind a NAT that keeps ports, so that all the world sees a socket at
	// one address, and lets in answers only: an ordinary router.
	Endpoint Kind = "endpoint"
	// Symmetric is a home behind a NAT that takes another random port for each destination.
	Symmetric Kind = "symmetric"
	// Firewall6 is an Endpoint home that has public IPv6 addresses, too, behind a firewall that
	// lets in answers only.
	Firewall6 Kind = "firewall6"
	// NoUDP is an Endpoint home whose router drops UDP.
	NoUDP Kind = "noudp"
	// Only443 is an Endpoint home whose router lets out TCP to port 443 only.
	Only443 Kind = "only443"
	// TLS443 is an Only443 home whose router looks into connections and swallows what they send unless
	// they begin as TLS does.
	TLS443 Kind = "tls443"
	// Proxy is a home that reaches the world through an HTTP proxy on its router alone, which
	// connects to port 443 only.
	Proxy Kind = "proxy"
	// SmallMTU is an Endpoint home whose router drops packets of more than 1,280 bytes and does not
	// say so.
	SmallMTU Kind = "smallmtu"
	// Offline is a home that nothing leads out of: a switch, and no default route.
	Offline Kind = "offline"
)

// Kinds returns the kinds that reach the public segment.
func Kinds() []Kind {
	return []Kind{Public, Endpoint, Symmetric, Firewall6, NoUDP, Only443, TLS443, Proxy, SmallMTU}
}

// Spec is what a lab consists of: 1 to maxHosts hosts, each with a home of its own unless it
// is public or shares that of another one.
type Spec struct {
	Hosts []Host
	Far   map[string]Wire // hosts, or the routers of homes, that a wire connects to the public segment
}

// Host is a machine of the lab.
type Host struct {
	Name string // lower-case letters and digits, at most 8, as it goes into names of interfaces
	Kind Kind
	Home string // the host before it, of the same kind, whose home it shares; "": its own
	Net  int    // the number of the home's private network, as others may have; 0: one of its own
}

const maxHosts = 100

// The public segment. The addresses look public to libraries, which give those that are set
// aside for tests no chance; as the lab has no way out, nobody else is met there.
const (
	public4 = "11.77.0."
	public6 = "2a0e:77:0:1::"
)

// Validate reports all problems.
func (s *Spec) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(s.Hosts) == 0 || len(s.Hosts) > maxHosts {
		bad("a lab has 1 to %d hosts, not %d", maxHosts, len(s.Hosts))
	}
	seen := map[string]bool{coreName: true}
	for i, h := range s.Hosts {
		if h.Name == "" || len(h.Name) > 8 || strings.Trim(h.Name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || seen[h.Name] {
			bad("host %d: name %q is taken, or no 1 to 8 lower-case letters and digits", i, h.Name)
		}
		seen[h.Name] = true
		if !slices.Contains(append(Kinds(), Offline), h.Kind) {
			bad("host %s: kind %q is none of %v", h.Name, h.Kind, append(Kinds(), Offline))
		}
		if h.Home != "" && (h.Net != 0 || !slices.ContainsFunc(s.Hosts[:i], func(o Host) bool { return o.Name == h.Home && o.Kind == h.Kind && o.Home == "" && o.Kind != Public })) {
			bad("host %s: home %q is none of a host before it of the same kind", h.Name, h.Home)
		}
		if h.Net < 0 || h.Net > 255 {
			bad("host %s: private network %d, not 0 to 255", h.Name, h.Net)
		}
	}
	for name, w := range s.Far {
		if !seen[name] || name == coreName {
			bad("a wire leads to %q, which is no host", name)
		}
		errs = append(errs, w.Validate())
	}
	return errors.Join(errs...)
}

// publicHost is the address of the i-th host, or of its router.
func publicHost(i int) net.IP { return net.ParseIP(fmt.Sprintf("%s%d", public4, i+firstHost)) }

// home4 is the private network of the home of host i, and home6 its public one.
func (s *Spec) home4(i int) string {
	return fmt.Sprintf("192.168.%d.", cmp.Or(s.Hosts[i].Net, i+firstHost))
}

func home6(i int) string { return fmt.Sprintf("2a0e:77:0:%x::", i+firstHost+0x100) }
