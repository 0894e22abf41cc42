package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/covey-network/covey/node/api"
)

// cause is why a peer is not reached, as far as probes tell.
type cause int

const (
	causeUnknown  cause = iota // not tried, or for another reason than the network
	causeNoRoute               // this machine has no way there
	causeSilent                // nothing comes back
	causeFirewall              // its machine is there, and its port is silent
	causeDead                  // its machine refuses
	causeOther                 // another program answers
	causeTurned                // a node answers, and turns this one away or is another
)

// known returns the probes of addresses that the peer is known by: those of TCP, as all nodes
// listen there unless told otherwise.
func (p *Peer) known() []Probe {
	var tcp, all []Probe
	for _, r := range p.Probes {
		if r.Guess {
			continue
		}
		if all = append(all, r); r.Proto == "tcp" {
			tcp = append(tcp, r)
		}
	}
	if len(tcp) > 0 {
		return tcp
	}
	return all
}

// cause finds out why a peer is not reached, and by which probe. What answers tells more than
// what does not.
func (p *Peer) cause() (cause, *Probe) {
	known := p.known()
	first := func(r Result) *Probe {
		if i := slices.IndexFunc(known, func(p Probe) bool { return p.Result == r }); i >= 0 {
			return &known[i]
		}
		return nil
	}
	for _, c := range []struct {
		result Result
		cause  cause
	}{{Answers, causeTurned}, {Other, causeOther}, {Refused, causeDead}, {Silent, causeSilent}, {NoRoute, causeNoRoute}, {Broken, causeUnknown}} {
		found := first(c.result)
		if found == nil {
			continue
		}
		if c.cause == causeSilent {
			for i := range p.Probes {
				if r := &p.Probes[i]; r.Guess && r.came() && r.Host == found.Host {
					return causeFirewall, found
				}
			}
		}
		return c.cause, found
	}
	return causeUnknown, nil
}

// checkReach says which peers are not reached, and why.
func checkReach(f *Facts) (out []api.Finding) {
	const check = "reach"
	if f.Network.Off {
		return unknown(check, "this node has no network")
	}
	if len(f.Peers) == 0 {
		return nobody(f)
	}
	var direct, relayed int
	var away []*Peer
	came := false
	for i := range f.Peers {
		p := &f.Peers[i]
		switch p.State {
		case Direct:
			direct++
		case Relayed:
			relayed++
		default:
			away = append(away, p)
		}
		came = came || p.Connected() || slices.ContainsFunc(p.Probes, func(r Probe) bool { return r.came() })
	}
	if !came {
		if found := nothing(f, away); found != nil {
			return found
		}
	}
	for _, p := range away {
		out = append(out, unreached(f, p)...)
	}
	n := direct + relayed
	text := fmt.Sprintf("%d of %s connected: %d direct, %d over a relay", n, count(len(f.Peers), "known peer"), direct, relayed)
	switch {
	case n > 0:
		out = append(out, ok(check, "%s", text)...)
	case len(out) == 0:
		out = unknown(check, "%s", text)
	}
	return out
}

// nobody is the finding of a node that knows no other.
func nobody(f *Facts) []api.Finding {
	const check = "reach"
	m := f.Membership
	switch {
	case m != nil && m.State == "founder":
		return ok(check, "no other peer has joined yet: covey invite%s makes a token, covey up --join TOKEN joins with it on another machine", f.Data.Flag)
	case f.Token != nil && f.Token.Addrs == 0, m != nil:
		return one(check, api.FindingFail, "no address of any peer is known: the token has none", "have a token made with covey invite --addr, and start with covey up"+f.Data.Flag+" --join TOKEN; or name a peer with --bootstrap ADDRESS")
	}
	return unknown(check, "no peer is known yet")
}

// nothing is the finding of a machine to which nothing comes back, nil if that is not so.
func nothing(f *Facts, away []*Peer) []api.Finding {
	const check = "reach"
	machines, silent, guessed, noRoute := 0, 0, 0, 0
	for _, p := range away {
		before := silent
		for _, r := range p.Probes {
			switch {
			case r.Result == NoRoute:
				noRoute++
			case r.Result != Silent:
				return nil
			case r.Guess:
				guessed++
			default:
				silent++
			}
		}
		if silent > before {
			machines++
		}
	}
	switch {
	case silent > 0:
	case noRoute > 0:
		return one(check, api.FindingFail, fmt.Sprintf("this machine is offline: it has no route to any of %s of %s", count(noRoute, "address"), count(len(away), "peer")), "connect it to a network: look at the cable, Wi-Fi or VPN")
	default:
		return nil
	}
	tried := fmt.Sprintf("%s of %s tried for %s each, and not one answers or refuses", count(silent, "address"), count(machines, "peer"), span(dialLimit))
	if guessed > 0 {
		tried += ", nor do the ports " + strings.Trim(fmt.Sprint(guesses), "[]") + " there"
	}
	if machines == 1 {
		return one(check, api.FindingFail, "no packet comes back: "+tried+"; with one machine known it cannot be told whether that machine is off, or a firewall or black hole swallows all that this one sends",
			"see whether other sites answer from here (then that machine is off, or a firewall is before it); if none does, look at this machine's router, VPN and firewall")
	}
	return one(check, api.FindingFail, "black hole: no packet comes back from anywhere: "+tried, "look at this machine's router, VPN and firewall: what it sends vanishes; see whether any site answers from here")
}

// unreached are the findings of a peer that is not connected.
func unreached(f *Facts, p *Peer) []api.Finding {
	const check = "reach"
	why, probe := p.cause()
	state, who := api.FindingWarn, p.Name
	if p.First {
		state, who = api.FindingFail, p.Name+" (that the token or the owner names)"
		if p.Name == "" {
			who = "the peer that the token names"
		}
	}
	others := "while nothing else was tried"
	if n := working(f, p); n > 0 {
		others = fmt.Sprintf("while %s", count(n, "other peer")) + " answer"
		if n == 1 {
			others += "s"
		}
	}
	var what, do string
	switch why {
	case causeTurned:
		if !p.First && p.State == Untried {
			return nil
		}
		if p.narrow() != nil {
			what, do = fmt.Sprintf("%s: a covey node answers at %s, but only what fits into small packets", who, probe), "see mtu"
			break
		}
		what = fmt.Sprintf("%s: a covey node answers at %s, but no connection stands", who, probe)
		if p.Reason != "" {
			what += ": " + p.Reason
		}
		do = "see membership and clock; if another peer answers there, make a new token on the right machine"
		if p.Refused != 0 {
			do = "see clock"
		}
		if m := f.Membership; m != nil && m.Ended() {
			state, do = api.FindingWarn, "see membership"
		}
	case causeOther:
		says := "it accepts connections and does not speak as a node does"
		if probe.Says != "" {
			says = fmt.Sprintf("it says %q", probe.Says)
		}
		what = fmt.Sprintf("%s: wrong port: another program than covey answers at %s: %s", who, probe, says)
		do = "see on that machine where covey up listens (covey status), or whether that program took its port, and make a new token there"
	case causeDead:
		what = fmt.Sprintf("%s: dead: its machine refuses the connection to %s within %s: nothing listens at that port, or a firewall there rejects it", who, probe, span(probe.After))
		do = fmt.Sprintf("start covey up on that machine; if it runs there, let port %d, TCP and UDP, pass in its firewall", probe.Port)
		if m := f.Membership; m == nil || m.State == "joining" {
			do += "; if that does not help, the port is wrong: make a new token"
		}
		if n := openElsewhere(p); n != nil {
			what = fmt.Sprintf("%s: wrong port: a covey node answers at %s, and nothing listens at %s", who, n, probe)
			do = "make a new token on that machine"
		}
	case causeFirewall:
		state = api.FindingFail
		what = fmt.Sprintf("%s: a firewall drops connections to %s: no answer in %s, while its machine answers at other ports (%s)", who, probe, span(dialLimit), list(passing(p)))
		do = fmt.Sprintf("let port %d, TCP and UDP, pass in the firewalls of that machine and of this network; or covey up --relay on there, which listens on port 443 too", probe.Port)
	case causeSilent, causeNoRoute:
		if p.Inside {
			return one(check, state, fmt.Sprintf("%s: it is behind a router: it tells addresses within its own network alone, as %s, and no relay leads to it", who, probe.Host), "let a machine that all can reach run covey up --relay on, or forward a port in that router (docs/reach.md)")
		}
		if why == causeNoRoute {
			what, do = fmt.Sprintf("%s: this machine has no route to %s", who, probe.Host), "connect it to that network"
			break
		}
		what = fmt.Sprintf("%s: no packet comes back from %s in %s, %s: a firewall drops the connections, or its machine is off", who, probe, span(dialLimit), others)
		do = fmt.Sprintf("see whether that machine is on; if so, let port %d, TCP and UDP, pass in its firewall and in this network's", probe.Port)
	default:
		switch {
		case probe != nil:
			what = fmt.Sprintf("%s: %s: %s", who, probe, probe.Says)
		case p.Reason != "":
			what = fmt.Sprintf("%s: %s", who, p.Reason)
		default:
			return nil // not tried yet, which is no trouble
		}
	}
	return one(check, state, what, do)
}

// working counts the other peers that answer.
func working(f *Facts, but *Peer) (n int) {
	for i := range f.Peers {
		p := &f.Peers[i]
		if p != but && (p.Connected() || slices.ContainsFunc(p.Probes, func(r Probe) bool { return r.Result == Answers })) {
			n++
		}
	}
	return n
}

// openElsewhere returns another port of a peer's machine where a node answers.
func openElsewhere(p *Peer) *Probe {
	for i := range p.Probes {
		if r := &p.Probes[i]; r.Result == Answers {
			return r
		}
	}
	return nil
}

// passing lists the ports of a machine that something came back from.
func passing(p *Peer) (out []string) {
	for _, r := range p.Probes {
		if r.Guess && r.came() {
			out = append(out, fmt.Sprintf("%s %s", r.Target, r.Result))
		}
	}
	return out
}

// maxPaths bounds the peers whose paths are told one by one.
const maxPaths = 32

func checkPaths(f *Facts) (out []api.Finding) {
	more := 0
	for _, p := range f.Peers {
		if !p.Connected() {
			continue
		}
		if len(out) == maxPaths {
			more++
			continue
		}
		rate := ""
		if p.Rate > 0 {
			rate = fmt.Sprintf(", %.1f MB/s from there", p.Rate/1e6)
		} else if p.Rated != "" {
			rate = ", speed not measured: " + p.Rated
		}
		rtt := "round trip not measured yet"
		if p.RTT > 0 {
			rtt = span(p.RTT) + " there and back"
		}
		over := "TCP"
		if p.QUIC {
			over = "QUIC"
		}
		if p.State == Direct {
			out = append(out, ok("path", "%s: direct over %s, %s%s", p.Name, over, rtt, rate)...)
			continue
		}
		out = append(out, one("path", api.FindingWarn, fmt.Sprintf("%s: over the relay %s, %s%s", p.Name, p.Via, rtt, rate),
			"a port that the router of either machine forwards makes it direct (docs/reach.md)")...)
	}
	if more > 0 {
		out = append(out, ok("path", "and %d more connected", more)...)
	}
	return out
}
