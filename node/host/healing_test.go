//go:build !race

// The race detector's run time crashes now and then in bubbles of synctest that switch between very many
// goroutines ("CHECK failed: tsan_rtl.cpp", or SIGSEGV within it, go1.26.8).

package host

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/covey-network/covey/protocol/wire"
)

// virtualSwarm are peers in virtual time that advertise once. The first has founded the swarm.
type virtualSwarm struct {
	t   *testing.T
	net *fakeNet
	all []*virtualPeer
}

// inVirtualTime runs a test with a swarm of one founder.
func inVirtualTime(t *testing.T, founder func(*Config), f func(*testing.T, *virtualSwarm)) {
	t.Helper()
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") // so not parallel
	synctest.Test(t, func(t *testing.T) {
		s := &virtualSwarm{t: t, net: newFakeNet(10 * time.Millisecond)}
		defer func() {
			for _, p := range s.all {
				p.stop()
			}
		}()
		s.run(foundSwarm(t, t.TempDir()), founder)
		f(t, s)
	})
}

// run starts a peer in the swarm. Its address is one of a private network.
func (s *virtualSwarm) run(c *Credentials, edit func(*Config)) *virtualPeer {
	s.t.Helper()
	p := s.runAt(netip.AddrFrom4([4]byte{10, 77, 0, byte(len(s.all) + 1)}), c, edit)
	s.all = append(s.all, p)
	return p
}

// runAt starts a peer at an address.
func (s *virtualSwarm) runAt(ip netip.Addr, c *Credentials, edit func(*Config)) *virtualPeer {
	s.t.Helper()
	p := runVirtual(s.t, s.net, ip, c, edit, func(ctx context.Context, h *Host) error {
		<-h.Ready()
		a := capacity()
		a.TTLSec = 600
		return h.PublishAdvert(ctx, a)
	})
	<-p.Ready()
	return p
}

// join starts a peer that joins the founder.
func (s *virtualSwarm) join(edit func(*Config)) *virtualPeer {
	s.t.Helper()
	return s.joinAt(s.all[0], edit)
}

// joinAt starts a peer that the founder invites and that dials another one.
func (s *virtualSwarm) joinAt(at *virtualPeer, edit func(*Config)) *virtualPeer {
	s.t.Helper()
	token, err := s.all[0].cfg.Credentials.Invite(Invitation{Addrs: at.Addrs()}, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := OpenCredentials(s.t.TempDir(), token, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.run(c, edit)
}

// chain starts n more peers, each of which is connected to the one before it and the one after it only,
// and waits until the first has heard of the last and gossip has made its links.
func (s *virtualSwarm) chain(n int) {
	s.t.Helper()
	for range n {
		last := s.all[len(s.all)-1]
		p := s.joinAt(last, oneNeighbour)
		virtually(s.t, "joined", func() bool { return p.meets(last) && last.meets(p) })
	}
	virtually(s.t, "the last is heard of", func() bool { return s.all[0].hears(s.all[n]) })
	time.Sleep(10 * time.Second)
}

// hears reports whether the advert of another peer counts with a peer.
func (p *virtualPeer) hears(other *virtualPeer) bool {
	return slices.ContainsFunc(p.Adverts(), func(a *wire.Advert) bool { return a.Peer == other.ID() })
}

// loses has a peer take another one for lost.
func (p *virtualPeer) loses(other *virtualPeer) {
	if r, err := p.running(); err == nil {
		r.gone(other.ID())
	}
}

// meets reports whether a peer is connected to another one, be that one silent or not.
func (p *virtualPeer) meets(other *virtualPeer) bool {
	r, err := p.running()
	return err == nil && r.gate.get(other.ID()) != nil
}

// vain returns how many dials of another peer have been in vain since the last success.
func (p *virtualPeer) vain(other *virtualPeer) int {
	p.book.mu.Lock()
	defer p.book.mu.Unlock()
	return p.book.peers[other.ID()].failures
}

// nowhere is a peer that nobody can dial, and that looks for others by their adverts alone.
func nowhere(c *Config) { c.Listen, c.DHT = nil, false }

func alone(c *Config) { c.DHT = false }

// oneNeighbour is a peer that is content with the one that it has dialled.
func oneNeighbour(c *Config) { c.DHT, c.PeersLow, c.PeersHigh = false, 1, 8 }

// TestNextOnTheRingIsFoundDeadFirst has a hub with many neighbours that know nobody else. Those that come
// next on the ring of identities die one after another, each found out before its turn among all would be.
func TestNextOnTheRingIsFoundDeadFirst(t *testing.T) {
	inVirtualTime(t, alone, func(t *testing.T, s *virtualSwarm) {
		const n = 16
		hub := s.all[0]
		for range n {
			s.join(func(c *Config) { alone(c); c.PeersLow = 1 })
		}
		virtually(t, "the hub knows all", func() bool { return len(hub.Peers()) == n && len(hub.Adverts()) == n })
		time.Sleep(time.Minute)
		ring := slices.Clone(s.all)
		slices.SortFunc(ring, func(a, b *virtualPeer) int { return byID(a.ID(), b.ID()) })
		at := slices.Index(ring, hub)
		for i := range 3 {
			next := ring[(at+1+i)%len(ring)]
			s.net.unplug(next.ip)
			took := virtually(t, "it is forgotten", func() bool { return !hub.hears(next) })
			if took > 4*time.Second {
				t.Errorf("forgotten after %v", took)
			}
			virtually(t, "its connection has ended", func() bool { return !hub.meets(next) })
		}
	})
}

// TestCutOffPeerDropsFew cuts off a peer for as long as it takes others for dead: it does so with those
// alone that it asks before it finds that most are silent, the next on the ring and the one whose turn it is.
func TestCutOffPeerDropsFew(t *testing.T) {
	inVirtualTime(t, nil, func(t *testing.T, s *virtualSwarm) {
		const n, few = 7, 2
		for range n {
			s.join(nil)
		}
		p := s.all[n]
		virtually(t, "it knows all", func() bool { return len(p.Peers()) == n && len(p.Adverts()) == n })
		time.Sleep(time.Minute)
		events, stop := p.Subscribe()
		defer stop()
		s.net.unplug(p.ip)
		time.Sleep(silentDead - 500*time.Millisecond) // no connection has been closed
		dropped := 0
		for len(events) > 0 {
			if _, ok := (<-events).(EvtAdvertExpired); ok {
				dropped++
			}
		}
		t.Logf("%d of %d are taken for dead", dropped, n)
		if dropped > few {
			t.Errorf("%d of %d are taken for dead, at most %d", dropped, n, few)
		}
		if slices.ContainsFunc(s.all[:n], func(other *virtualPeer) bool { return !p.meets(other) }) {
			t.Error("a connection has ended")
		}
		s.net.plug(p.ip)
	})
}

// TestPeerThatLivesContradicts has a peer take another one wrongly for lost: that one says otherwise before
// others believe it.
func TestPeerThatLivesContradicts(t *testing.T) {
	inVirtualTime(t, oneNeighbour, func(t *testing.T, s *virtualSwarm) {
		s.chain(3)
		errs, last := s.all[0], s.all[3]
		seq := errs.table.seq(last.ID())
		events, stop := s.all[1].Subscribe()
		defer stop()
		errs.loses(last)
		if took := virtually(t, "a newer advert", func() bool { return errs.hears(last) && errs.table.seq(last.ID()) > seq }); took > refuteTime {
			t.Errorf("it says so after %v", took)
		}
		time.Sleep(2 * refuteTime)
		for len(events) > 0 {
			if e, ok := (<-events).(EvtAdvertExpired); ok {
				t.Errorf("advert of %s dropped", e.Peer)
			}
		}
	})
}

// TestLossIsToldAgain has a peer be taken wrongly for lost while it is between two connections, and so
// not hear of it.
func TestLossIsToldAgain(t *testing.T) {
	inVirtualTime(t, oneNeighbour, func(t *testing.T, s *virtualSwarm) {
		s.chain(2)
		errs, between, last := s.all[0], s.all[1], s.all[2]
		s.net.part(errs.ip, last.ip, true) // they never meet
		r, err := between.running()
		if err != nil {
			t.Fatal(err)
		}
		r.part(last.ID())
		virtually(t, "they part", func() bool { return !between.meets(last) && !last.meets(between) })
		errs.loses(last)
		virtually(t, "it is told", func() bool { return r.rumours.told(last.ID(), r.table.seq(last.ID())) })
		if err := last.Connect(t.Context(), between.Addrs()[0]); err != nil {
			t.Fatal(err)
		}
		if took := virtually(t, "it is heard of again", func() bool { return errs.hears(last) }); took > 12*time.Second {
			t.Errorf("it is heard of again after %v", took)
		}
	})
}

// TestWhoIsBackIsHeardOfByAll cuts off a peer until those that are not connected to it have forgotten it, too:
// once it is back they hear of it, without a connection.
func TestWhoIsBackIsHeardOfByAll(t *testing.T) {
	inVirtualTime(t, oneNeighbour, func(t *testing.T, s *virtualSwarm) {
		s.chain(2)
		far, near, away := s.all[0], s.all[1], s.all[2]
		s.net.part(far.ip, away.ip, true) // they never meet
		s.net.part(near.ip, away.ip, true)
		virtually(t, "it is forgotten", func() bool { return !far.hears(away) && !near.meets(away) && !away.meets(near) })
		time.Sleep(20 * time.Second)
		s.net.part(near.ip, away.ip, false)
		virtually(t, "it is back", func() bool { return near.hears(away) })
		if took := virtually(t, "it is heard of by all", func() bool { return far.hears(away) }); took > 12*time.Second {
			t.Errorf("it is heard of by all after %v", took)
		}
	})
}

// TestNeededPeerIsDialledAgainSoon has the only peer that another one knows be away for minutes.
func TestNeededPeerIsDialledAgainSoon(t *testing.T) {
	inVirtualTime(t, alone, func(t *testing.T, s *virtualSwarm) {
		founder, p := s.all[0], s.join(nowhere)
		virtually(t, "they meet", func() bool { return p.meets(founder) })
		s.net.unplug(founder.ip)
		time.Sleep(5 * time.Minute)
		s.net.plug(founder.ip)
		if took := virtually(t, "they meet again", func() bool { return p.meets(founder) }); took > 30*time.Second {
			t.Errorf("they meet again after %v", took)
		}
	})
}

// TestDeadFounderIsDialledSeldom has a founder be away whom nobody needs any more. It comes back without
// the addresses of the others.
func TestDeadFounderIsDialledSeldom(t *testing.T) {
	inVirtualTime(t, alone, func(t *testing.T, s *virtualSwarm) {
		n := Default().PeersLow + 1
		for range n {
			s.join(alone)
		}
		founder, others := s.all[0], s.all[1:]
		all := func(holds func(*virtualPeer) bool) bool {
			return !slices.ContainsFunc(others, func(p *virtualPeer) bool { return !holds(p) })
		}
		for i, p := range others {
			for _, other := range others[:i] {
				if err := p.Connect(t.Context(), other.Addrs()[0]); err != nil {
					t.Fatal(err)
				}
			}
		}
		virtually(t, "all meet all", func() bool { return all(func(p *virtualPeer) bool { return len(p.Peers()) == n }) })
		s.net.unplug(founder.ip)
		virtually(t, "the founder is away", func() bool { return all(func(p *virtualPeer) bool { return !p.meets(founder) }) })
		for _, c := range []struct {
			after time.Duration
			most  int
		}{{75 * time.Second, 3}, {15 * time.Minute, 7}} {
			time.Sleep(c.after)
			dials := 0
			for _, p := range others {
				dials += p.vain(founder)
			}
			t.Logf("%.1f dials of each after %v", float64(dials)/float64(n), c.after)
			if dials > c.most*n {
				t.Errorf("%d dials of %d peers after %v", dials, n, c.after)
			}
		}
		founder.stop()
		s.net.plug(founder.ip)
		back := s.runAt(founder.ip, founder.cfg.Credentials, alone)
		s.all[0] = back
		virtually(t, "the swarm is whole", func() bool { return all(func(p *virtualPeer) bool { return p.meets(back) }) })
	})
}

// TestPeerThatIsHeardOfIsDialled has two peers that lost each other, and a third that reaches both: when
// one advertises anew, the other dials it.
func TestPeerThatIsHeardOfIsDialled(t *testing.T) {
	inVirtualTime(t, alone, func(t *testing.T, s *virtualSwarm) {
		away, p := s.join(alone), s.join(nowhere)
		virtually(t, "they meet", func() bool { return p.meets(away) })
		s.net.part(p.ip, away.ip, true)
		virtually(t, "they lose each other", func() bool { return !p.meets(away) })
		for start := time.Now(); p.vain(away) < 8; time.Sleep(100 * time.Millisecond) { // then half a minute passes until the next
			if time.Since(start) > time.Hour {
				t.Fatal("the peer that is away is not dialled")
			}
		}
		s.net.part(p.ip, away.ip, false)
		if err := away.PublishAdvert(t.Context(), capacity()); err != nil {
			t.Fatal(err)
		}
		if took := virtually(t, "they meet again", func() bool { return p.meets(away) }); took > 10*time.Second {
			t.Errorf("they meet again after %v", took)
		}
	})
}

// TestWhoIsBackDialsAll cuts off a peer for minutes: with the first connection afterwards it dials
// the others, too.
func TestWhoIsBackDialsAll(t *testing.T) {
	inVirtualTime(t, alone, func(t *testing.T, s *virtualSwarm) {
		founder, other, p := s.all[0], s.join(alone), s.join(nowhere)
		virtually(t, "they meet", func() bool { return p.meets(founder) && p.meets(other) })
		s.net.unplug(p.ip)
		time.Sleep(5 * time.Minute)
		s.net.plug(p.ip)
		virtually(t, "it meets the founder", func() bool { return p.meets(founder) })
		if took := virtually(t, "it meets the other", func() bool { return p.meets(other) }); took > 10*time.Second {
			t.Errorf("it meets the other %v later", took)
		}
	})
}
