package host

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/covey-network/covey/protocol/wire"
)

// TestEachPeerHasOneThatAsksIt goes around the ring of identities.
func TestEachPeerHasOneThatAsksIt(t *testing.T) {
	t.Parallel()
	all := []ID{"b", "d", "a", "c"}
	asked := map[ID]int{}
	for _, self := range all {
		members := map[ID]*member{}
		for _, id := range all {
			if id != self {
				members[id] = &member{}
			}
		}
		asked[successor(self, members)]++
	}
	for _, id := range all {
		if asked[id] != 1 {
			t.Errorf("asked %v", asked)
		}
	}
	if id := successor("a", nil); id != "" {
		t.Errorf("%q of nobody", id)
	}
}

// TestPeerThatHearsNobodyBlamesNobody has most neighbours not answer.
func TestPeerThatHearsNobodyBlamesNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		silent  []ID
		members int
		want    bool
	}{
		{nil, 0, false},
		{[]ID{"a"}, 1, false},
		{[]ID{"a", "b"}, 3, true},
		{[]ID{"a", "b"}, 7, false},
		{[]ID{"a", "b", "c"}, 7, false},
		{[]ID{"a", "b", "c", "d"}, 7, true},
	} {
		p := newProber(time.Now)
		for _, id := range append(c.silent, "answers") {
			if !p.ask(id) || p.ask(id) {
				t.Fatal("asked twice at once")
			}
		}
		for _, id := range c.silent {
			p.doubt(id)
		}
		if got := p.alone(c.members); got != c.want {
			t.Errorf("%d of %d silent: got %v", len(c.silent), c.members, got)
		}
		for _, id := range c.silent {
			p.done(id)
		}
		if p.alone(c.members) {
			t.Error("alone when all have answered")
		}
	}
}

// TestBusyMachineBlamesNobody has looks that come late.
func TestBusyMachineBlamesNobody(t *testing.T) {
	t.Parallel()
	p, now := newProber(time.Now), time.Now()
	for range 3 {
		if p.onTime(now, time.Second); !p.judges(now) {
			t.Fatal("a look in time is late")
		}
		now = now.Add(time.Second + probeLate/2)
	}
	now = now.Add(probeLate)
	if p.onTime(now, time.Second); p.judges(now) || p.judges(now.Add(time.Second)) {
		t.Error("judges after a late look")
	}
	if !p.judges(now.Add(probeMost)) {
		t.Error("judges no more")
	}
}

// TestProbeTimesOut asks a peer that does not answer. Over each transport the error is that of a
// deadline, and not of a connection that has ended.
func TestProbeTimesOut(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{listenTCP, listenQUIC} {
		t.Run(listen, func(t *testing.T) {
			t.Parallel()
			a := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Listen = []string{listen}; c.Times.Ping = time.Hour })
			b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), func(c *Config) { c.Listen = []string{listen}; c.Times.Ping = time.Hour })
			until(t, "they meet", knows(b, a))
			asks, err := b.running()
			if err != nil {
				t.Fatal(err)
			}
			mute, err := a.running()
			if err != nil {
				t.Fatal(err)
			}
			mute.host.SetStreamHandler(ping.ID, func(s network.Stream) { _, _ = io.Copy(io.Discard, s); _ = s.Reset() })
			asks.prober.forget(a.ID())
			for range 4 { // of two deadlines either may be the first
				if err := asks.ping(t.Context(), a.ID(), 1); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a peer that does not answer: %v", err)
				}
			}
		})
	}
}

// TestFormerConnections asks over connections on their own: over one to a peer that refuses probes, which
// lives, and over one that is cut.
func TestFormerConnections(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		refuses, cut bool
	}{
		{"answers", false, false},
		{"refuses", true, false},
		{"is cut off", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			way := newCable(t)
			a := startPeer(t, foundSwarm(t, t.TempDir()), func(cfg *Config) {
				cfg.Listen, cfg.Announce, cfg.Times.Ping = []string{listenQUIC}, []string{way.addr()}, time.Hour
			})
			way.plug(t, a)
			b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), func(cfg *Config) { onlyDials(cfg); cfg.Times.Ping = time.Hour })
			until(t, "they meet", knows(b, a))
			asks, err := b.running()
			if err != nil {
				t.Fatal(err)
			}
			asked, err := a.running()
			if err != nil {
				t.Fatal(err)
			}
			if c.refuses {
				asked.host.SetStreamHandler(ping.ID, func(s network.Stream) { _ = s.Reset() })
			}
			way.cut.Store(c.cut)
			conn := asks.host.Network().ConnsToPeer(native(a.ID()))[0]
			asks.probeFormer(a.ID(), []network.Conn{conn})
			until(t, "it was asked", func() bool {
				asks.formers.mu.Lock()
				defer asks.formers.mu.Unlock()
				return !asks.formers.asked[conn]
			})
			if conn.IsClosed() != c.cut {
				t.Errorf("the connection has ended: %t, want %t", !c.cut, c.cut)
			}
		})
	}
}

// TestBusyMachineDropsNobody has a machine that is late with its looks while its only neighbour is silent for
// some seconds: the neighbour is not taken for dead.
func TestBusyMachineDropsNobody(t *testing.T) {
	t.Parallel()
	const silence = silentDead * 3 / 4 // long enough for probesSilent failures
	way := newCable(t)
	a := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Listen, c.Announce = []string{listenQUIC}, []string{way.addr()} })
	way.plug(t, a)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), func(c *Config) { c.Listen = nil })
	until(t, "they meet", knows(b, a))
	if err := a.PublishAdvert(t.Context(), capacity()); err != nil {
		t.Fatal(err)
	}
	until(t, "the advert is there", func() bool { return b.hasAdvert(a.ID()) })
	r, err := b.running()
	if err != nil {
		t.Fatal(err)
	}
	events, stop := b.Subscribe()
	defer stop()
	late := func() { // looks wait for this
		r.gate.mu.Lock()
		defer r.gate.mu.Unlock()
		<-time.After(2 * probeLate)
	}
	late()
	way.cut.Store(true)
	for start := time.Now(); time.Since(start) < silence; {
		late()
	}
	way.cut.Store(false)
	until(t, "it answers again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return r.ping(ctx, a.ID(), 1) == nil
	})
	for len(events) > 0 {
		if e, ok := (<-events).(EvtAdvertExpired); ok {
			t.Errorf("the advert was dropped: %v", e)
		}
	}
}

// TestPeerThatHearsOfALossBelievesIt has most neighbours of a peer not answer, of which another one
// tells that one is lost: who hears that is not cut off itself.
func TestPeerThatHearsOfALossBelievesIt(t *testing.T) {
	t.Parallel()
	slow := func(c *Config) { c.Times.Ping = time.Hour }
	all := crowd(t, 3, slow, slow)
	hears, silent, lost, tells := all[0], all[1], all[2], all[3]
	r, err := hears.running()
	if err != nil {
		t.Fatal(err)
	}
	teller, err := tells.running()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peerOf{silent, lost, tells} {
		until(t, "they meet", knows(hears, p))
	}
	for _, p := range []*peerOf{silent, lost} {
		until(t, "nobody else asks it", func() bool { return r.prober.ask(p.ID()) })
		r.prober.doubt(p.ID())
	}
	if !r.prober.alone(3) {
		t.Fatal("not alone")
	}
	lost.mu.Lock()
	lost.last = nil // it does not contradict
	lost.mu.Unlock()
	events, stop := hears.Subscribe()
	defer stop()
	until(t, "gossip is up", func() bool { return slices.Contains(teller.lostTopic.ListPeers(), native(hears.ID())) })
	until(t, "told", func() bool {
		l := &wire.Lost{Swarm: tells.Swarm(), By: tells.ID(), Peer: lost.ID(), Seq: tells.table.seq(lost.ID()), Issued: time.Now().UnixMilli(), Membership: tells.creds.Membership}
		data, err := wire.SignLost(tells.creds.Key, l)
		if err != nil {
			t.Fatal(err)
		}
		return teller.lostTopic.Publish(t.Context(), data) == nil
	})
	until(t, "the advert is dropped", func() bool {
		select {
		case e := <-events:
			return e == (EvtAdvertExpired{Peer: lost.ID()})
		default:
			return false
		}
	})
}
