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
	p := runVirtual(s.t, s.net, netip.AddrFrom4([4]byte{10, 77, 0, byte(len(s.all) + 1)}), c, edit, func(ctx context.Context, h *Host) error {
		<-h.Ready()
		a := capacity()
		a.TTLSec = 600
		return h.PublishAdvert(ctx, a)
	})
	<-p.Ready()
	s.all = append(s.all, p)
	return p
}

// join starts a peer that joins the founder.
func (s *virtualSwarm) join(edit func(*Config)) *virtualPeer {
	s.t.Helper()
	token, err := s.all[0].cfg.Credentials.Invite(Invitation{Addrs: s.all[0].Addrs()}, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := OpenCredentials(s.t.TempDir(), token, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.run(c, edit)
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
			took := virtually(t, "it is forgotten", func() bool {
				return !slices.ContainsFunc(hub.Adverts(), func(a *wire.Advert) bool { return a.Peer == next.ID() })
			})
			if took > 4*time.Second {
				t.Errorf("forgotten after %v", took)
			}
			virtually(t, "its connection has ended", func() bool { return !hub.meets(next) })
		}
	})
}

// TestCutOffPeerDropsNobody cuts off a peer for some seconds: it does not take all others for dead.
func TestCutOffPeerDropsNobody(t *testing.T) {
	inVirtualTime(t, nil, func(t *testing.T, s *virtualSwarm) {
		const n = 7
		for range n {
			s.join(nil)
		}
		p := s.all[n]
		virtually(t, "it knows all", func() bool { return len(p.Peers()) == n && len(p.Adverts()) == n })
		time.Sleep(time.Minute)
		events, stop := p.Subscribe()
		defer stop()
		s.net.unplug(p.ip)
		time.Sleep(3500 * time.Millisecond)
		dropped := 0
		for len(events) > 0 {
			if _, ok := (<-events).(EvtAdvertExpired); ok {
				dropped++
			}
		}
		t.Logf("%d dropped", dropped)
		if dropped > 2 { // that were asked before the others
			t.Errorf("%d of %d are taken for dead", dropped, n)
		}
		s.net.plug(p.ip)
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
