package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/covey-network/covey/node/api"
)

// Meeting is how two nodes found each other.
type Meeting struct {
	What  string
	Took  time.Duration // until each listed the other with the path
	Limit time.Duration
	Path  string // as the first of them says
	Err   error  // why they have not in time
}

// MeetingHead is the first lines of a table of meetings, in Markdown.
const MeetingHead = "| what | path | found after | limit |\n|---|---|---|---|"

// String returns the meeting as a line of that table.
func (m *Meeting) String() string {
	return fmt.Sprintf("| %s | %s | %s | %.0f s |", m.What, m.Path, took(m.Took, m.Err), m.Limit.Seconds())
}

// How long two nodes may take to find each other.
const (
	meetLimit   = 2 * time.Second  // on a local network, since the second was started
	moveLimit   = 10 * time.Second // after an address has changed
	wakeLimit   = 5 * time.Second  // after a sleep
	natLimit    = 10 * time.Second // of different homes
	settleTime  = 12 * time.Second // until the dials at the join are over, and connections are not new
	sleepTime   = 20 * time.Second
	vpnTime     = 3 * time.Second // for which a new default route is watched to do no harm
	patience    = 4               // how many times its limit a meeting is waited for
	waitForMeet = 100 * time.Millisecond
)

// The local network of the hosts a and b, and another one that they move to.
const (
	homeNet  = "192.168.1."
	otherNet = "10.20.30."
)

// local is what a path is to be: to an address of a network, and not older than since.
func local(network string, since time.Time) func(*api.Peer) error {
	return func(p *api.Peer) error {
		at := addrOf(p)
		if p.Path.State != "direct" || !strings.HasPrefix(at, network) || p.Path.Since.Before(since) {
			return fmt.Errorf("%s is reached %s at %q since %s", p.Name, p.Path.State, at, p.Path.Since.Format("15:04:05.0"))
		}
		return nil
	}
}

// addrOf returns the IP at which a peer is connected, "" if it is not or over a relay.
func addrOf(p *api.Peer) string {
	f := strings.Split(string(p.Path.Addr), "/")
	if len(f) < 3 {
		return ""
	}
	return f[2]
}

// LAN looks whether nodes on one local network find each other there, first without internet and
// then in two homes that have the same private network. It tells each meeting.
func (r *Reach) LAN(ctx context.Context, tell func(*Meeting)) error {
	if err := r.offline(ctx, tell); err != nil {
		return err
	}
	return r.alike(ctx, tell)
}

// offline lets a, which founds, and b, which joins, meet on a switch.
func (r *Reach) offline(ctx context.Context, tell func(*Meeting)) (err error) {
	n, err := r.build(ctx, Spec{Hosts: []Host{{Name: "a", Kind: Offline, Net: 1}, {Name: "b", Kind: Offline, Home: "a"}}}, "offline")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	ctx = n.ctx
	if err := n.start("a"); err != nil {
		return err
	}
	var in api.Invite
	if err := n.ask(ctx, startLimit, "a", &in, "invite"); err != nil {
		return err
	}
	// The token's addresses are over when b joins by it.
	if err := n.restartAt(ctx, homeNet+"77", "a"); err != nil {
		return err
	}
	since := time.Now()
	if err := n.start("b", "--join", in.Token); err != nil {
		return err
	}
	tell(n.meet(ctx, "join by a token whose addresses are over", since, meetLimit, "a", "b", local(homeNet, since)))
	if err := sleepFor(ctx, settleTime); err != nil {
		return err
	}
	for _, s := range []struct {
		what  string
		limit time.Duration
		do    func() (since time.Time, net string, err error)
	}{
		{"one has another address", moveLimit, func() (time.Time, string, error) { return time.Now(), homeNet, n.moves(ctx, "b", homeNet+"88") }},
		{"both move to another network", moveLimit, func() (time.Time, string, error) {
			return time.Now(), otherNet, errors.Join(n.moves(ctx, "a", otherNet+"2"), n.moves(ctx, "b", otherNet+"3"))
		}},
		{fmt.Sprintf("one slept for %.0f s", sleepTime.Seconds()), wakeLimit, func() (time.Time, string, error) {
			err := n.sleep(ctx, "b")
			return time.Now(), otherNet, err
		}},
		{"a VPN takes the default route, one starts again", meetLimit, func() (time.Time, string, error) {
			if err := errors.Join(n.vpn(ctx, "b"), n.kill("b")); err != nil {
				return time.Time{}, "", err
			}
			return time.Now(), otherNet, n.start("b")
		}},
		{"no IPv6, both start again at other addresses", meetLimit, func() (time.Time, string, error) {
			if err := errors.Join(n.kill("b"), n.command(ctx, "a", "sysctl -qw net.ipv6.conf.all.disable_ipv6=1"), n.command(ctx, "b", "sysctl -qw net.ipv6.conf.all.disable_ipv6=1"),
				n.moves(ctx, "b", homeNet+"6"), n.restartAt(ctx, homeNet+"5", "a")); err != nil {
				return time.Time{}, "", err
			}
			return time.Now(), homeNet, n.start("b")
		}},
	} {
		since, network, err := s.do()
		if err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		m := n.meet(ctx, s.what, since, s.limit, "a", "b", local(network, since))
		tell(m)
	}
	return nil
}

// vpn gives a host a default route to nowhere, and fails if that ends the path to a.
func (n *nodes) vpn(ctx context.Context, host string) error {
	before, err := n.peer(ctx, host, "a")
	if err != nil {
		return err
	}
	began := time.Now()
	for _, c := range []string{
		"ip link add vpn type veth peer name far", "ip link set far up", "ip link set vpn up", "ip addr add 10.8.0.2/24 dev vpn", "ip route add default via 10.8.0.1",
	} {
		if err := n.command(ctx, host, c); err != nil {
			return err
		}
	}
	if err := sleepFor(ctx, vpnTime); err != nil {
		return err
	}
	after, err := n.peer(ctx, host, "a")
	if err == nil && (after.Path.Since.After(began) || addrOf(after) != addrOf(before)) {
		err = fmt.Errorf("the path from before the VPN, to %s since %s, is another one, %s to %s since %s", before.Path.Addr, before.Path.Since, after.Path.State, after.Path.Addr, after.Path.Since)
	}
	return err
}

// alike has four nodes in two homes with the same private network, where a and b have the same address,
// and so have x and y, and a public one. Who is at home with whom is to be reached there, and never
// over a relay; the others are not to be mistaken for neighbours.
func (r *Reach) alike(ctx context.Context, tell func(*Meeting)) (err error) {
	n, err := r.build(ctx, Spec{Hosts: []Host{
		{Name: "pub", Kind: Public},
		{Name: "a", Kind: Endpoint, Net: 1},
		{Name: "b", Kind: Endpoint, Net: 1},
		{Name: "x", Kind: Endpoint, Home: "a"},
		{Name: "y", Kind: Endpoint, Home: "b"},
	}}, "alike")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	ctx = n.ctx
	if err := n.startPublic("pub"); err != nil {
		return err
	}
	var in api.Invite
	if err := n.ask(ctx, startLimit, "pub", &in, "invite"); err != nil {
		return err
	}
	var first time.Time
	for _, h := range []string{"a", "b", "x", "y"} {
		since := time.Now()
		if err := n.start(h, "--join", in.Token); err != nil {
			return err
		}
		if h == "b" {
			first = since
		}
		if mate := map[string]string{"x": "a", "y": "b"}[h]; mate != "" {
			relayed, at := false, local(homeNet, since)
			m := n.meet(ctx, "behind one router, a relay is near", since, meetLimit, mate, h, func(p *api.Peer) error {
				relayed = relayed || p.Path.State == "relayed"
				return at(p)
			})
			if m.Err == nil && relayed {
				m.Err = errors.New("they were relayed before")
			}
			tell(m)
		}
	}
	tell(n.meet(ctx, "two homes with the same addresses", first, natLimit, "a", "b", func(p *api.Peer) error {
		ip, err := netip.ParseAddr(addrOf(p))
		if !p.Path.Connected() || err == nil && ip.IsPrivate() {
			return fmt.Errorf("%s is reached %s at %s", p.Name, p.Path.State, p.Path.Addr)
		}
		return nil
	}))
	return nil
}

// meet waits until two hosts each list the other as good says.
func (n *nodes) meet(ctx context.Context, what string, since time.Time, limit time.Duration, a, b string, good func(*api.Peer) error) *Meeting {
	m := &Meeting{What: what, Limit: limit, Path: "none"}
	m.Err = waitEvery(ctx, waitForMeet, limit*patience, "both to list each other", func(ctx context.Context) error {
		for _, of := range [][2]string{{b, a}, {a, b}} {
			p, err := n.peer(ctx, of[0], of[1])
			if err != nil {
				return err
			}
			if err := good(p); err != nil {
				return fmt.Errorf("on %s: %w", of[0], err)
			}
			m.Path = p.Path.State
		}
		return nil
	})
	m.Took = time.Since(since)
	if m.Err == nil && m.Took > limit {
		m.Err = fmt.Errorf("it took %.1f s", m.Took.Seconds())
	}
	return m
}

// moves gives a host another address instead of those that it has.
func (n *nodes) moves(ctx context.Context, host, addr string) error {
	return errors.Join(n.command(ctx, host, "ip -4 addr flush dev lan"), n.command(ctx, host, "ip addr add "+addr+"/24 dev lan"))
}

// restartAt ends a node, gives its host another address and starts it.
func (n *nodes) restartAt(ctx context.Context, addr, host string) error {
	if err := errors.Join(n.kill(host), n.moves(ctx, host, addr)); err != nil {
		return err
	}
	return n.start(host)
}

// sleep stops a node for a while, as a machine that sleeps does.
func (n *nodes) sleep(ctx context.Context, host string) error {
	p := n.running[host].Process
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return errors.Join(sleepFor(ctx, sleepTime), p.Signal(syscall.SIGCONT))
}

func sleepFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// command runs a program on a host.
func (n *nodes) command(ctx context.Context, host, line string) error {
	if out, err := n.lab.Exec(ctx, host, strings.Fields(line)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s on %s: %w: %s", line, host, err, out)
	}
	return nil
}
