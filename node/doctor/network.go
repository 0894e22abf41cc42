package doctor

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/covey-network/covey/node/api"
)

// Kinds of NATs.
const (
	natUnknown   = "unknown"
	natNone      = "none"
	natEndpoint  = "endpoint-independent" // one address outside for each socket inside
	natSymmetric = "symmetric"            // another port for each destination
)

// natKind compares what peers see of this machine's sockets. behind reports whether there is a
// NAT at all.
func (n *Network) natKind() (kind string, behind bool, why string) {
	kind = natUnknown
	type socket struct{ proto, local string }
	seen := map[socket][]Seen{}
	for _, s := range n.Seen {
		host, port, err := net.SplitHostPort(s.As)
		_, localPort, err2 := net.SplitHostPort(s.Local)
		if err != nil || err2 != nil || !strings.Contains(s.As, ".") { // IPv6 has no NAT
			continue
		}
		if slices.Contains(n.Addrs4, host) || net.ParseIP(host).IsLoopback() {
			if port == localPort && kind == natUnknown && s.Public {
				kind, why = natNone, s.As+" as this machine and "+s.Peer+" see it"
			}
			continue // on this network
		}
		behind = true
		k := socket{s.Proto, s.Local}
		seen[k] = append(seen[k], s)
	}
	for _, all := range seen {
		for _, s := range all[1:] {
			if s.At == all[0].At {
				continue
			}
			if s.As != all[0].As {
				return natSymmetric, true, fmt.Sprintf("the %s socket %s is %s to %s and %s to %s", strings.ToUpper(s.Proto), s.Local, all[0].As, all[0].Peer, s.As, s.Peer)
			}
			kind, why = natEndpoint, fmt.Sprintf("the %s socket %s is %s to %s and to %s", strings.ToUpper(s.Proto), s.Local, s.As, all[0].Peer, s.Peer)
		}
	}
	if behind && kind != natEndpoint {
		kind = natUnknown
		for _, all := range seen {
			why = fmt.Sprintf("%s is %s to %s, and a second public peer to compare with is missing", all[0].Local, all[0].As, all[0].Peer)
		}
	}
	return kind, behind, why
}

func checkNAT(f *Facts) []api.Finding {
	const check = "nat"
	kind, behind, why := f.Network.natKind()
	switch {
	case kind == natNone:
		return ok(check, "none: %s", why)
	case kind == natEndpoint:
		return ok(check, "endpoint-independent, one address for all destinations: %s; holes can be punched", why)
	case kind == natSymmetric:
		return one(check, api.FindingWarn, "symmetric, another port for each destination: "+why+"; holes to other such routers cannot be punched",
			"forward a port in the router and start this node with --announce ADDRESS, or turn on UPnP there; else this machine needs a relay")
	case behind:
		return unknown(check, "a router translates addresses, of which kind is not known: %s", why)
	case len(f.Network.Seen) == 0:
		return unknown(check, "whether a router is before this machine is not known: %s", unseen(f))
	}
	return ok(check, "none between this machine and its peers")
}

// unseen tells why it is not known whether a router is before this machine.
func unseen(f *Facts) string {
	switch {
	case !f.Running:
		return "peers tell that to a node that runs"
	case connected(f) == 0:
		return "no peer is connected that tells how it sees this machine"
	}
	return "the other side made all connections, and only peers that this node connects to tell how they see it"
}

// connected counts the connected peers.
func connected(f *Facts) (n int) {
	for i := range f.Peers {
		if f.Peers[i].Connected() {
			n++
		}
	}
	return n
}

func checkMapping(f *Facts) []api.Finding {
	const check = "mapping"
	_, behind, _ := f.Network.natKind()
	switch n := &f.Network; {
	case !f.Running:
		return unknown(check, "not looked for without a node")
	case !n.NAT:
		return unknown(check, "off, as are hole punching and relays: the node runs with --nat=false")
	case len(n.Mapped) > 0:
		return ok(check, "the router maps %s here (UPnP or NAT-PMP)", list(n.Mapped))
	case n.Gateway:
		return one(check, api.FindingWarn, "a router that maps ports (UPnP or NAT-PMP) was found, and maps none to this node", "look in the router whether it lets machines map ports")
	case len(n.Seen) == 0:
		return unknown(check, "no router that maps ports (UPnP or NAT-PMP) answers; whether one is there is not known, see nat")
	case !behind:
		return ok(check, "no router that maps ports (UPnP or NAT-PMP) was found; none is needed as far as peers tell")
	}
	return unknown(check, "no router that maps ports (UPnP or NAT-PMP) answers: turned on there, it spares hole punching")
}

// checkUDP says whether QUIC passes, by the peers that answer over TCP.
func checkUDP(f *Facts) []api.Finding {
	const check = "udp"
	var works, blocked, narrow, tried, untold []string // names
	var ports []int                                    // of those that are blocked
	for i := range f.Peers {
		p := &f.Peers[i]
		tcp, udp, silent, away := p.State == Direct && !p.QUIC, p.State == Direct && p.QUIC, 0, 0
		small := p.narrow() != nil
		var mute []int
		for _, r := range p.Probes {
			switch {
			case r.Guess:
			case r.Proto == "tcp":
				tcp = tcp || r.Result == Answers
			case r.Result == Answers:
				udp = true
			case r.Result == Silent:
				silent++
				mute = append(mute, r.Port)
			default:
				away++
			}
		}
		switch {
		case udp:
			works = append(works, p.Name)
		case small && silent > 0:
			narrow = append(narrow, p.Name)
		case tcp && silent > 0:
			blocked, ports = append(blocked, p.Name), append(ports, mute...)
		case silent+away > 0:
			tried = append(tried, p.Name)
		default:
			untold = append(untold, p.Name)
		}
	}
	slices.Sort(ports)
	to, verb := portsText(slices.Compact(ports)), "answer"
	if len(blocked) == 1 {
		verb = "answers"
	}
	switch {
	case len(works) > 0 && len(blocked) > 0:
		return one(check, api.FindingWarn, fmt.Sprintf("UDP (QUIC) passes to %s, but not to %s, which %s over TCP: a firewall there drops it", list(works), list(blocked), verb), "let UDP pass to "+to+" on those machines, where covey up listens")
	case len(works) > 0:
		return ok(check, "UDP passes: %s over QUIC", list(answer(works)))
	case len(blocked) > 0:
		return one(check, api.FindingFail, fmt.Sprintf("UDP is blocked: no answer over QUIC from %s, which %s over TCP: a firewall or router drops UDP", list(blocked), verb),
			"let UDP to "+to+" out (and answers in) in the firewall of this machine and its router; without it TCP is used, holes are punched less often, and a relay is needed more often")
	case len(narrow) > 0:
		return unknown(check, "no answer over UDP from %s, where large packets vanish over TCP too: see mtu", list(narrow))
	case len(tried) > 0:
		return unknown(check, "no answer over UDP from %s: see reach", list(tried))
	case len(untold) > 0:
		return unknown(check, "no UDP address of %s is known to try", list(untold))
	}
	return unknown(check, "no other peer is known to try it with")
}

// portsText is "port 1" or "ports 1, 2".
func portsText(ports []int) string {
	texts := make([]string, len(ports))
	for i, p := range ports {
		texts[i] = fmt.Sprint(p)
	}
	if len(ports) == 1 {
		return "port " + texts[0]
	}
	return "ports " + list(texts)
}

func answer(names []string) []string {
	out := slices.Clone(names)
	verb := " answer"
	if len(out) == 1 {
		verb = " answers"
	}
	if len(out) <= shown {
		out[len(out)-1] += verb
	}
	return out
}

func checkIPv4(f *Facts) []api.Finding { return checkFamily(f, "ipv4", f.Network.Addrs4, ".") }

func checkIPv6(f *Facts) []api.Finding { return checkFamily(f, "ipv6", f.Network.Addrs6, ":") }

// checkFamily tells the addresses of this machine and whether others reach it there.
func checkFamily(f *Facts, check string, own []string, mark string) []api.Finding {
	n := &f.Network
	of := func(all []string) (out []string) {
		for _, a := range all {
			if host, _, err := net.SplitHostPort(a[strings.LastIndex(a, " ")+1:]); err == nil && strings.Contains(host, mark) {
				out = append(out, a)
			}
		}
		return out
	}
	reached, vain := of(n.Reachable), of(n.Unreachable)
	var seen []string
	for _, s := range n.Seen {
		host, _, err := net.SplitHostPort(s.As)
		if err == nil && s.Public && strings.Contains(host, mark) && !slices.Contains(own, host) && !slices.Contains(seen, host) {
			seen = append(seen, host)
		}
	}
	switch {
	case len(own) == 0 && mark == ":":
		return ok(check, "no public address: IPv4 alone is used")
	case len(own) == 0:
		return one(check, api.FindingWarn, "no address but loopback", "connect this machine to a network")
	}
	text := list(own)
	switch {
	case mark == ":":
	case n.Public4 == "":
		text += " (of the local network)"
	default:
		text += " (" + n.Public4 + " is public)"
	}
	if len(seen) > 0 {
		text += ", " + list(seen) + " to peers outside"
	}
	switch {
	case len(reached) > 0:
		text += "; others reach " + list(reached)
	case len(vain) > 0:
		text += "; others have tried in vain to reach " + list(vain)
	case n.Private:
		text += "; others do not reach this machine from outside"
	case connected(f) == 0:
		text += "; no peer is connected that could tell whether others reach this machine from outside"
	default:
		text += "; no peer has told yet whether others reach this machine from outside"
	}
	return ok(check, "%s", text)
}

// narrow returns the probe of a node that answers over TCP, but no large packets; nil: there is none,
// or some other address lets them pass.
func (p *Peer) narrow() (found *Probe) {
	for i := range p.Probes {
		switch r := &p.Probes[i]; {
		case r.Narrow:
			found = r
		case r.Result == Answers && (r.Proto == "tcp" || r.MTU >= wideBytes):
			return nil
		}
	}
	return found
}

// checkMTU tells the largest packets that peers answer.
func checkMTU(f *Facts) []api.Finding {
	const check = "mtu"
	least, to, quic := 0, "", false
	for i := range f.Peers {
		p := &f.Peers[i]
		if r := p.narrow(); r != nil && !p.Connected() {
			return one(check, api.FindingFail, fmt.Sprintf("black hole for large packets: %s answers small ones at %s, and none of %d bytes: a tunnel, VPN or router on the way is narrow, and swallows what is larger without a word", p.Name, r, wideBytes),
				"lower the MTU of this machine's interface, or of its router: to 1280, and if that does not help, less; or mend that tunnel or VPN")
		}
		best := 0
		for _, r := range p.Probes {
			best = max(best, r.MTU)
		}
		if best > 0 && (least == 0 || best < least) {
			least, to, quic = best, p.Name, p.QUIC
		}
	}
	switch top := packetSizes[len(packetSizes)-1]; {
	case least == 0:
		return unknown(check, "no peer has answered packets of known sizes")
	case least >= top:
		return ok(check, "packets of %d bytes pass to all peers tried", least)
	case least <= 1280:
		do := fmt.Sprintf("if TCP stalls, lower the MTU of this machine's interface to %d", least)
		if quic {
			do = "covey copes with it over QUIC, which is in use; " + do
		}
		return one(check, api.FindingWarn, fmt.Sprintf("packets of %d bytes pass to %s, larger ones of those tried (%s) vanish: a tunnel or VPN on the way is narrow", least, to, sizes(least)), do)
	}
	return ok(check, "packets of %d bytes pass to %s, larger ones of those tried (%s) do not: a tunnel or PPPoE on the way", least, to, sizes(least))
}

func sizes(above int) string {
	var out []string
	for _, s := range packetSizes {
		if s > above {
			out = append(out, fmt.Sprint(s))
		}
	}
	return strings.Join(out, ", ")
}

// natName names a kind for people.
func natName(kind string) string {
	if kind == natUnknown {
		return "a NAT of unknown kind"
	}
	return kind + " NAT"
}

func checkRelay(f *Facts) []api.Finding {
	const check = "relay"
	n := &f.Network
	kind, behind, why := n.natKind()
	serves := "; it relays for no others"
	if n.Relaying {
		serves = "; it relays for others"
	}
	connected, away := connected(f), 0
	for i := range f.Peers {
		if p := &f.Peers[i]; p.State == Unreachable && p.Inside {
			away++
		}
	}
	offered := "none relays"
	if n.RelayOffered > 0 {
		offered = fmt.Sprintf("%d relay, where this one has no place yet", n.RelayOffered)
	}
	const do = "let a machine that all can reach run covey up --relay on (see docs/reach.md), or forward a port in this router and start this node with --announce ADDRESS"
	switch {
	case !f.Running:
		return unknown(check, "not looked for without a node")
	case len(n.Relays) > 0:
		return ok(check, "reserved at %s: others reach this machine through it%s", list(n.Relays), serves)
	case len(n.Reachable) > 0:
		return ok(check, "none needed: others reach this machine at %s%s", n.Reachable[0], serves)
	case len(n.Mapped) > 0:
		return ok(check, "none needed: the router maps %s here%s", n.Mapped[0], serves)
	case n.Public4 != "" && !n.Private:
		return ok(check, "none needed: %s of this machine is a public address%s", n.Public4, serves)
	case connected > 0 && !behind:
		return ok(check, "none needed for the connected peers: no router between them and this machine is known of%s", serves)
	case connected == 0:
		return unknown(check, "no peer is connected that could relay")
	case !n.NAT:
		return one(check, api.FindingWarn, "the node runs with --nat=false, and uses no relay although a router is before it", "start it without --nat=false")
	case kind == natSymmetric:
		return one(check, api.FindingFail, fmt.Sprintf("symmetric NAT without any relay: %s, and of %s connected %s: machines behind other routers cannot reach this one, nor it them (now %s)", why, count(connected, "peer"), offered, count(away, "peer")), do)
	case n.RelayOffered > 0:
		return one(check, api.FindingWarn, fmt.Sprintf("a router is before this machine, and no relay holds a reservation for it yet; %s relay", count(n.RelayOffered, "connected peer")), "wait half a minute after the start; if it stays so, look at their limits (limits.relay)")
	case away > 0:
		return one(check, api.FindingFail, fmt.Sprintf("a router is before this machine (%s), and of %s connected none relays: machines behind other routers cannot reach this one, nor it them (now %s)", natName(kind), count(connected, "peer"), count(away, "peer")), do)
	}
	return one(check, api.FindingWarn, fmt.Sprintf("a router is before this machine (%s), and of %s connected none relays: a machine behind another router could not reach this one", natName(kind), count(connected, "peer")), do)
}
