package lab

import (
	"fmt"
	"slices"
	"strings"
)

// coreName is the host that carries the public segment and stands for the internet's routers.
const coreName = "core"

// firstHost is the number of the first host in its addresses; the core is 1.
const firstHost = 10

// step is a command; input goes to its standard input.
type step struct {
	args  []string
	input string
}

func (s step) String() string {
	return strings.TrimSuffix(strings.Join(s.args, " ")+"\n"+s.input, "\n")
}

// plan collects the steps that build a lab.
type plan struct {
	prefix string
	far    map[string]Wire
	steps  []step
}

func (p *plan) space(name string) string { return p.prefix + name }

func (p *plan) do(line string, args ...any) {
	p.steps = append(p.steps, step{args: strings.Fields(fmt.Sprintf(line, args...))})
}

// in runs ip(8) in a namespace.
func (p *plan) in(name, line string, args ...any) {
	p.do("ip -n "+p.space(name)+" "+line, args...)
}

// sysctl sets a variable of a namespace.
func (p *plan) sysctl(name, variable string) {
	p.do("ip netns exec %s sysctl -qw %s", p.space(name), variable)
}

func (p *plan) rules(name, text string) {
	p.steps = append(p.steps, step{args: []string{"ip", "netns", "exec", p.space(name), "nft", "-f", "-"}, input: text})
}

func (p *plan) addSpace(name string) {
	p.do("ip netns add %s", p.space(name))
	p.in(name, "link set lo up")
}

// bridge adds a switch to a namespace.
func (p *plan) bridge(name, dev string) {
	p.in(name, "link add %s type bridge", dev)
	p.in(name, "link set %s up", dev)
}

// plug connects a namespace to a bridge of the core, or of a router.
func (p *plan) plug(name, dev, at, bridge string) {
	port := corePort(name)
	p.in(at, "link add %s type veth peer name %s netns %s", port, dev, p.space(name))
	p.in(at, "link set %s master %s", port, bridge)
	// One packet is one packet: the kernel must not hand over many as one, which rules that look
	// at lengths would take for a large one.
	p.in(at, "link set %s up gso_max_segs 1", port)
	p.in(name, "link set %s up gso_max_segs 1", dev)
}

// stretch puts the two ends of a wire where plug puts those of a cable. What comes out of one goes
// into the other when the lab does that; see [Wire].
func (p *plan) stretch(name string) {
	for _, end := range [][2]string{{coreName, corePort(name)}, {name, wireEnd}} {
		p.in(end[0], "tuntap add dev %s mode tap", end[1])
		p.in(end[0], "link set %s up", end[1])
	}
	p.in(coreName, "link set %s master net", corePort(name))
}

// corePort is the port of a namespace on the bridge that it is plugged into, and wireEnd that namespace's own.
func corePort(name string) string { return "p-" + name }

const wireEnd = "wan"

// steps returns the commands that build the lab of s with namespaces of a prefix.
func (s *Spec) steps(prefix string) []step {
	p := &plan{prefix: prefix, far: s.Far}
	p.addSpace(coreName)
	p.bridge(coreName, "net")
	p.in(coreName, "addr add %s1/24 dev net", public4)
	p.in(coreName, "addr add %s1/64 dev net nodad", public6)
	p.sysctl(coreName, "net.ipv4.ip_forward=1")
	p.sysctl(coreName, "net.ipv6.conf.all.forwarding=1")
	for i, h := range s.Hosts {
		switch {
		case h.Kind == Public:
			p.addPublic(h.Name, h.Name, i)
			p.in(h.Name, "route add default via %s1", public4)
		case h.Home == "":
			p.addHome(s, i)
		default:
			home, n := 0, 3
			for j, o := range s.Hosts[:i] {
				if o.Name == h.Home {
					home = j
				} else if o.Home == h.Home {
					n++
				}
			}
			p.addHost(s, h.Name, home, n)
		}
	}
	return p.steps
}

// addPublic adds a namespace on the public segment, which is that of a host or of its router.
func (p *plan) addPublic(name, host string, i int) {
	p.addSpace(name)
	if _, far := p.far[host]; far {
		p.stretch(name)
	} else {
		p.plug(name, wireEnd, coreName, "net")
	}
	p.in(name, "addr add %s%d/24 dev wan", public4, i+firstHost)
	p.in(name, "addr add %s%x/64 dev wan nodad", public6, i+firstHost)
	p.in(name, "-6 route add default via %s1", public6)
}

// routerOf is the name of the router of a home.
func routerOf(host string) string { return host + "-r" }

// addHome adds a router and a host behind it.
func (p *plan) addHome(s *Spec, i int) {
	h := s.Hosts[i]
	router := routerOf(h.Name)
	if h.Kind == Offline {
		p.addSpace(router)
		p.bridge(router, "home")
		p.addHost(s, h.Name, i, 2)
		return
	}
	p.addPublic(router, h.Name, i)
	p.in(router, "route add default via %s1", public4)
	p.bridge(router, "home")
	p.in(router, "addr add %s1/24 dev home", s.home4(i))
	p.sysctl(router, "net.ipv4.ip_forward=1")
	if h.Kind == Firewall6 {
		p.sysctl(router, "net.ipv6.conf.all.forwarding=1")
		p.in(router, "addr add %s1/64 dev home nodad", home6(i))
		p.in(coreName, "-6 route add %s/64 via %s%x", home6(i), public6, i+firstHost)
	}
	p.addHost(s, h.Name, i, 2)
	p.rules(router, h.Kind.rules())
}

// addHost adds a namespace to the home of host i, with a number in its networks.
func (p *plan) addHost(s *Spec, name string, i, number int) {
	p.addSpace(name)
	p.plug(name, "lan", routerOf(s.Hosts[i].Name), "home")
	p.in(name, "addr add %s%d/24 dev lan", s.home4(i), number)
	if s.Hosts[i].Kind == Offline {
		return
	}
	p.in(name, "route add default via %s1", s.home4(i))
	if s.Hosts[i].Kind == Firewall6 {
		p.in(name, "addr add %s%d/64 dev lan nodad", home6(i), number)
		p.in(name, "-6 route add default via %s1", home6(i))
	}
}

// rules returns the nft rules of a home's router. The router itself answers nothing from
// outside: what comes before a home has sent anything is dropped before conntrack keeps it,
// else it would take the port from the home's own connection.
func (k Kind) rules() string {
	masquerade := "masquerade"
	if k == Symmetric {
		masquerade = "masquerade fully-random"
	}
	forward := []string{"ct state established,related accept", `iifname "wan" drop`}
	switch k {
	case NoUDP:
		forward = slices.Insert(forward, 0, "meta l4proto udp drop")
	case Only443:
		forward = append(forward, "tcp dport 443 accept", "drop")
	case TLS443: // a packet without data has up to 60 bytes; 0x16 and 0x03 begin a handshake (RFC 8446, section 5.1)
		forward = []string{
			`iifname "wan" ct state established,related accept`, `iifname "wan" drop`, "ct mark 1 accept",
			"tcp dport 443 @ih,0,16 0x1603 ct mark set 1 accept", "tcp dport 443 meta length <= 60 accept", "drop",
		}
	case SmallMTU:
		forward = slices.Insert(forward, 0, "meta length > 1280 drop")
	case Proxy:
		forward = []string{"drop"}
	}
	return `table ip nat {
	chain post {
		type nat hook postrouting priority srcnat;
		oifname "wan" ` + masquerade + `
	}
}
table inet filter {
	chain input {
		type filter hook input priority filter;
		ct state established,related accept
		meta l4proto ipv6-icmp accept
		iifname "wan" drop
	}
	chain forward {
		type filter hook forward priority filter;
		` + strings.Join(forward, "\n\t\t") + `
	}
}
`
}
