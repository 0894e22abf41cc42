package host

import (
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/covey-network/covey/protocol/wire"
)

// serving is the advert of a peer that others hand over to.
func serving() wire.Advert {
	a := capacity()
	all := wire.Range{First: 0, Last: 1, Embed: true, Head: true}
	a.Models = []wire.ModelAdvert{{Model: wire.CIDOf([]byte("model")), Served: []wire.Served{{Range: all, StepNs: 1, FreeSessions: 1}}}}
	return a
}

// advertOf returns what a peer has heard of another one, nil if nothing.
func (p *peerOf) advertOf(id ID) *wire.Advert {
	for _, a := range p.Adverts() {
		if a.Peer == id {
			return a
		}
	}
	return nil
}

// TestPathFollowsThePeer has a peer that is there, ends and comes back.
func TestPathFollowsThePeer(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	a := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Registerer = reg })
	c := invited(t, a, t.TempDir(), Invitation{})
	if p := a.Path(c.ID); p.State != PathUntried {
		t.Errorf("before it came: %+v", p)
	}
	for range 2 {
		b := startPeer(t, c, nil)
		until(t, "direct", func() bool { p := a.Path(c.ID); return p.State == PathDirect && p.RTT > 0 && !p.Since.IsZero() })
		until(t, "direct from the other side", func() bool { return b.Path(a.ID()).State == PathDirect })
		until(t, "told where it listens", func() bool { return len(a.book.addrs(c.ID)) > 0 })
		b.stop()
		until(t, "unreachable", func() bool { p := a.Path(c.ID); return p.State == PathUnreachable && p.Reason == ReasonRefused })
		if p := a.Path(c.ID); p.Since.IsZero() || p.Via != "" {
			t.Errorf("after its end: %+v", p)
		}
		if p, ok := a.Paths()[c.ID]; !ok || p.State != PathUnreachable {
			t.Errorf("in the list: %+v", p)
		}
	}
	want := map[string]float64{"direct": 0, "relayed": 0, "unreachable": 1, "untried": 0}
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != "covey_peers" {
			continue
		}
		for _, m := range f.GetMetric() {
			name := m.GetLabel()[0].GetValue()
			if got := m.GetGauge().GetValue(); got != want[name] {
				t.Errorf("%s: %v, want %v", name, got, want[name])
			}
			delete(want, name)
		}
	}
	if len(want) > 0 {
		t.Errorf("not counted: %v", want)
	}
}

// TestPathOfBootstrap starts a peer whose founder is away.
func TestPathOfBootstrap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := startPeer(t, foundSwarm(t, dir), keepsPort(dir))
	c := invited(t, a, t.TempDir(), Invitation{})
	a.stop()
	b := startPeer(t, c, nil)
	until(t, "unreachable", func() bool { return b.Paths()[a.ID()].State == PathUnreachable })
	startPeer(t, a.creds, keepsPort(dir))
	until(t, "direct", func() bool { return b.Path(a.ID()).State == PathDirect })
}

// TestPathOverRelay has two peers that nobody can dial, with a relay: each knows that it
// reaches the other over it, and tells others. When the relay is gone, both are unreachable.
func TestPathOverRelay(t *testing.T) {
	t.Parallel()
	founder := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Relay = RelayOn })
	a := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), onlyDials)
	b := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), onlyDials)
	through := wire.Addr(string(founder.Addrs()[0]) + "/p2p-circuit/p2p/" + b.ID().String())
	until(t, "they meet", func() bool { return a.Connect(t.Context(), through) == nil })
	for _, way := range []struct{ from, to *peerOf }{{a, b}, {b, a}} {
		until(t, "relayed", func() bool { p := way.from.Path(way.to.ID()); return p.State == PathRelayed && p.RTT > 0 })
		if p := way.from.Path(way.to.ID()); p.Via != founder.ID() || p.Since.IsZero() {
			t.Errorf("got %+v", p)
		}
		if p := way.from.Path(founder.ID()); p.State != PathDirect {
			t.Errorf("to the relay: %+v", p)
		}
		for _, p := range way.from.Peers() {
			if want := p.ID != founder.ID(); (p.Path.State == PathRelayed) != want {
				t.Errorf("listed as %+v", p)
			}
		}
	}
	tells := func() []wire.PeerRTT {
		for _, p := range []*peerOf{founder, b, a} {
			if err := p.PublishAdvert(t.Context(), serving()); err != nil {
				t.Fatal(err)
			}
		}
		if advert := founder.advertOf(a.ID()); advert != nil {
			return advert.RTTs
		}
		return nil
	}
	until(t, "the founder hears which way is relayed", func() bool {
		got := tells()
		return len(got) == 2 && slices.ContainsFunc(got, func(r wire.PeerRTT) bool { return r.Peer == b.ID() && r.Relayed && r.Micros > 0 }) &&
			slices.ContainsFunc(got, func(r wire.PeerRTT) bool { return r.Peer == founder.ID() && !r.Relayed })
	})
	founder.stop()
	for _, way := range []struct{ from, to *peerOf }{{a, b}, {b, a}} {
		until(t, "unreachable", func() bool { return way.from.Path(way.to.ID()).State == PathUnreachable })
	}
}

// TestPathOfTwoHomesWithoutRelay has two peers that nobody can dial, and no relay: the third
// one hears from both that they do not reach each other.
func TestPathOfTwoHomesWithoutRelay(t *testing.T) {
	t.Parallel()
	founder := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	home := func(c *Config) { c.Listen, c.Announce = nil, []string{"/ip4/127.0.0.1/tcp/1"} }
	a := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), home)
	b := startPeer(t, invited(t, founder, t.TempDir(), Invitation{}), home)
	for _, way := range []struct{ from, to *peerOf }{{a, b}, {b, a}} {
		until(t, "the founder hears that they do not reach each other", func() bool {
			for _, p := range []*peerOf{founder, a, b} {
				if err := p.PublishAdvert(t.Context(), serving()); err != nil {
					t.Fatal(err)
				}
			}
			advert := founder.advertOf(way.from.ID())
			return advert != nil && slices.Equal(advert.Unreached, []ID{way.to.ID()}) && len(advert.RTTs) == 1 && advert.RTTs[0].Peer == founder.ID()
		})
		if p := way.from.Path(way.to.ID()); p.State != PathUnreachable || p.Reason != ReasonRefused {
			t.Errorf("got %+v", p)
		}
	}
}

// TestFindings dials what does not answer as a member does, and says what it is.
func TestFindings(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	other := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	nobody := foundSwarm(t, t.TempDir()).ID
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	short, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { short.Close() })
	go func() {
		for {
			c, err := short.Accept()
			if err != nil {
				return
			}
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	tcp := func(l net.Listener) string { return "/ip4/127.0.0.1/tcp/" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port) }
	base := func(p *peerOf) string { text, _, _ := strings.Cut(string(p.Addrs()[0]), "/p2p/"); return text }
	for _, c := range []struct {
		name string
		id   ID
		addr string
		want string
	}{
		{"a port that is closed", nobody, tcp(free), "peer " + nobody.String() + " is unreachable: " + ReasonRefused},
		{"a port that says nothing", nobody, tcp(mute), ReasonNoAnswer},
		{"a port that ends each connection", nobody, tcp(short), ReasonEnded},
		{"another peer's port", nobody, base(a), reasonIdentity},
		{"another swarm's peer under another name", nobody, base(other), reasonIdentity},
		{"another swarm's peer", other.ID(), base(other), "another swarm"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
			err := h.Connect(t.Context(), wire.Addr(c.addr+"/p2p/"+c.id.String()))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %s", err, c.want)
			}
			until(t, "the path says so", func() bool {
				p := h.Path(c.id)
				return p.State == PathUnreachable && (strings.Contains(c.want, p.Reason) || strings.Contains(p.Reason, c.want))
			})
		})
	}
}

// TestPathOfTheBook follows a peer that is not connected through time.
func TestPathOfTheBook(t *testing.T) {
	t.Parallel()
	now := time.Now()
	self, id := foundSwarm(t, t.TempDir()).ID, foundSwarm(t, t.TempDir()).ID
	b := newBook(self, time.Second)
	want := func(what string, at time.Time, state PathState, reason string) {
		t.Helper()
		if p := b.path(id, at); p.State != state || p.Reason != reason {
			t.Errorf("%s: %+v, want %s %s", what, p, state, reason)
		}
	}
	want("never heard of", now, PathUntried, "")
	b.add(id, nil, false)
	want("heard of, but not where", now, PathUnreachable, reasonNoAddress)
	b.add(id, []wire.Addr{"/ip4/127.0.0.1/tcp/1"}, false)
	want("not dialled", now, PathUntried, "")
	b.failed(id, "", true, now)
	want("a dial that was cut short", now, PathUnreachable, ReasonNoAnswer)
	b.failed(id, ReasonRefused, true, now.Add(time.Second))
	want("a dial", now, PathUnreachable, ReasonRefused)
	b.failed(id, "", true, now.Add(2*time.Second))
	want("another that was cut short", now, PathUnreachable, ReasonRefused)
	if p := b.path(id, now); !p.Since.Equal(now) {
		t.Errorf("since %v, want %v", p.Since, now)
	}
	want("no dial any more", now.Add(2*time.Second+4*time.Second+retryTime), PathUntried, "")
	if !b.begin(id) {
		t.Fatal("no dial begins")
	}
	want("a dial that is under way", now.Add(time.Hour), PathUnreachable, ReasonRefused)
	b.end(id)
	b.add(id, []wire.Addr{"/ip4/127.0.0.1/tcp/2"}, false)
	want("a new address, long after", now.Add(retryTime+time.Second), PathUntried, "")
	b.failed(id, reasonNoRoute, true, now)
	b.verified(id, nil, now)
	want("met", now, PathUntried, "")
	b = newBook(self, time.Second)
	b.add(id, []wire.Addr{"/ip4/127.0.0.1/tcp/1"}, false)
	for range 20 {
		b.failed(id, ReasonRefused, true, now)
	}
	want("never met, but others hear of it", now, PathUnreachable, ReasonRefused)
	if due := b.due(now.Add(aliveBackoff), byID); len(due) != 1 {
		t.Error("a peer that is alive is not dialled again within a minute")
	}
}

// TestNoNetworkForgetsNobody starts on a machine that was off for long, before it has a network.
func TestNoNetworkForgetsNobody(t *testing.T) {
	t.Parallel()
	now := time.Now()
	id := foundSwarm(t, t.TempDir()).ID
	b := newBook(foundSwarm(t, t.TempDir()).ID, time.Second)
	b.add(id, []wire.Addr{"/ip4/127.0.0.1/tcp/1"}, false)
	b.verified(id, nil, now)
	now = now.Add(forgetAfter + time.Hour)
	for range 10 {
		b.failed(id, reasonNoRoute, false, now)
		now = now.Add(time.Minute)
	}
	if !b.has(id) {
		t.Error("a peer was forgotten within minutes")
	}
	b.failed(id, reasonNoRoute, false, now.Add(forgetFailing))
	if b.has(id) {
		t.Error("a peer that is away for long is not forgotten")
	}
}

// TestDialsOfAwayPeers has peers away for long: those over which others are found are dialled again
// soon, and the others once they are heard of.
func TestDialsOfAwayPeers(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBook(foundSwarm(t, t.TempDir()).ID, time.Second)
	type peer struct {
		name string
		addr wire.Addr
		soon bool
		id   ID
	}
	peers := []peer{
		{"of the token", "/ip4/192.168.2.1/tcp/1", true, ""},
		{"with a public address", "/ip4/8.8.8.8/tcp/1", true, ""},
		{"at home", "/ip4/192.168.2.1/tcp/1", false, ""},
		{"behind a relay", "/ip4/8.8.8.8/tcp/1/p2p/12D3KooWNdEakZdCJ2VjWPAkmyBPR1uASTnoPfDHseBm6xZHD5Li/p2p-circuit", false, ""},
	}
	for i := range peers {
		p := &peers[i]
		p.id = foundSwarm(t, t.TempDir()).ID
		b.add(p.id, []wire.Addr{p.addr}, i == 0)
		if i > 0 {
			b.verified(p.id, nil, now)
		}
		for range 20 {
			b.failed(p.id, ReasonNoAnswer, false, now)
		}
		b.hasten(p.id, firstBackoff, now)
	}
	is := func(p *peer, at time.Time) bool {
		return slices.ContainsFunc(b.due(at, byID), func(d target) bool { return d.id == p.id })
	}
	for i := range peers {
		p := &peers[i]
		if is(p, now) || is(p, now.Add(firstBackoff)) != p.soon {
			t.Errorf("a peer %s is dialled at once, or not when it should be", p.name)
		}
	}
	for _, away := range []struct{ gone, least time.Duration }{{time.Hour, time.Minute}, {24 * time.Hour, MaxBackoff / 2}} {
		at := now.Add(away.gone)
		b.failed(peers[0].id, ReasonNoAnswer, false, at)
		b.hasten(peers[0].id, firstBackoff, at)
		if is(&peers[0], at.Add(away.least)) || !is(&peers[0], at.Add(MaxBackoff)) {
			t.Errorf("a peer that has been away for %v is not dialled between %v and %v later", away.gone, away.least, MaxBackoff)
		}
	}
	b.revive(peers[2].id, now)
	if !is(&peers[2], now.Add(heardSpread)) || is(&peers[3], now.Add(heardSpread)) {
		t.Error("not the one peer that was heard of is dialled")
	}
	b.revive("", now)
	if !is(&peers[3], now.Add(heardSpread)) {
		t.Error("the others are not dialled when this peer is back")
	}
}

// TestOnlyThoseThatServeTellRoundTrips has one peer that serves nothing beside two that do.
func TestOnlyThoseThatServeTellRoundTrips(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	idle := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	told := func(p, at *peerOf, what wire.Advert) *wire.Advert {
		if err := p.PublishAdvert(t.Context(), what); err != nil {
			t.Fatal(err)
		}
		return at.advertOf(p.ID())
	}
	until(t, "one round trip is told", func() bool {
		told(b, a, serving())
		told(idle, a, capacity())
		got := told(a, b, serving())
		return idle.Path(a.ID()).RTT > 0 && a.hasAdvert(idle.ID()) && got != nil && len(got.RTTs) > 0
	})
	if got := told(a, b, serving()); len(got.RTTs) != 1 || got.RTTs[0].Peer != b.ID() {
		t.Errorf("round trips %v", got.RTTs)
	}
	if got := a.advertOf(idle.ID()); len(got.RTTs) != 0 {
		t.Errorf("a peer that serves nothing tells round trips %v", got.RTTs)
	}
}
