package host

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	libprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// TestAdvertTravelsThreeHops has a chain of four peers, each of which only talks to its
// neighbours: PeersLow keeps them from dialling those that they hear of.
func TestAdvertTravelsThreeHops(t *testing.T) {
	t.Parallel()
	few := func(c *Config) { c.PeersLow, c.PeersHigh = 1, 8 }
	chain := []*peerOf{startPeer(t, foundSwarm(t, t.TempDir()), few)}
	for i := range 3 {
		c := invited(t, chain[0], t.TempDir(), Invitation{})
		c.Bootstrap = chain[i].Addrs()
		chain = append(chain, startPeer(t, c, few))
		until(t, "joined", knows(chain[i], chain[i+1]))
		until(t, "joined", knows(chain[i+1], chain[i]))
	}
	first, last := chain[0], chain[3]
	until(t, "the advert arrives", func() bool { // nothing depends on one message: nodes publish again and again
		if err := last.PublishAdvert(t.Context(), capacity()); err != nil {
			t.Fatal(err)
		}
		return first.hasAdvert(last.ID())
	})
	if p := first.Peers(); len(p) != 1 || p[0].ID != chain[1].ID() {
		t.Errorf("the first peer talks to %v, not to its neighbour only", p)
	}
	for _, a := range first.Adverts() {
		if a.Peer == last.ID() && (a.Cores != capacity().Cores || a.Version != "test" || len(a.Addrs) == 0) {
			t.Errorf("got %+v", a)
		}
	}
}

// forger makes adverts of a peer.
type forger struct {
	creds *Credentials
	now   time.Time
}

func (f *forger) advert(t *testing.T, edit func(*wire.Advert)) []byte {
	t.Helper()
	a := capacity()
	a.Swarm, a.Peer, a.Membership = f.creds.Swarm, f.creds.ID, f.creds.Membership
	a.Seq, a.Issued, a.Capability, a.Version = 5, f.now.UnixMilli(), protocol.Capability, "test"
	if edit != nil {
		edit(&a)
	}
	b, err := wire.SignAdvert(f.creds.Key, &a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAdvertVerdicts(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	other := invited(t, a, t.TempDir(), Invitation{})
	member := invited(t, a, t.TempDir(), Invitation{})
	foreign := foundSwarm(t, t.TempDir())
	now := time.Now()
	good := &forger{member, now}
	broken := good.advert(t, nil)
	broken[len(broken)-1] ^= 1
	foreign.Swarm = a.Swarm() // claims the swarm, with a membership of its own
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct { // in this order: sequences count
		name, want string
		data       []byte
	}{
		{"nothing", verdictReject, nil},
		{"oversize", verdictReject, make([]byte, protocol.MaxAdvert+1)},
		{"signature broken", verdictReject, broken},
		{"of another swarm", verdictReject, (&forger{foundSwarm(t, t.TempDir()), now}).advert(t, nil)},
		{"without a membership", verdictReject, (&forger{foreign, now}).advert(t, nil)},
		{"with another's membership", verdictReject, good.advert(t, func(a *wire.Advert) { a.Membership = other.Membership })},
		{"from the future", verdictIgnore, good.advert(t, func(a *wire.Advert) { a.Issued = now.Add(2 * protocol.MaxClockSkew).UnixMilli() })},
		{"from the past", verdictIgnore, good.advert(t, func(a *wire.Advert) { a.Issued = now.Add(-time.Hour).UnixMilli() })},
		{"good", verdictAccept, good.advert(t, nil)},
		{"again", verdictIgnore, good.advert(t, nil)},
		{"older", verdictIgnore, good.advert(t, func(a *wire.Advert) { a.Seq = 4 })},
		{"newer", verdictAccept, good.advert(t, func(a *wire.Advert) { a.Seq = 6 })},
	} {
		if got := r.receive(other.ID, c.data); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if !a.hasAdvert(member.ID) || a.hasAdvert(foreign.ID) {
		t.Error("the table has the wrong adverts")
	}
}

// TestAdvertOfAUserServesNothing is about peers whose grant lacks the right to serve.
func TestAdvertOfAUserServesNothing(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	all := wire.Range{Last: 4, Embed: true, Head: true}
	for scope, serves := range map[string]bool{wire.ScopeUse: false, wire.ScopeServe: true} {
		c := invited(t, a, t.TempDir(), Invitation{Scopes: []string{scope}})
		data := (&forger{c, time.Now()}).advert(t, func(a *wire.Advert) {
			a.Models = []wire.ModelAdvert{{Model: wire.CIDOf(nil), Name: "demo", Held: []wire.Range{all}, Served: []wire.Served{{Range: all, StepNs: 1, FreeSessions: 1}}}}
		})
		if got := r.receive(c.ID, data); got != verdictAccept {
			t.Errorf("scope %s: %s", scope, got)
		}
		for _, ad := range a.Adverts() {
			if ad.Peer == c.ID && len(ad.Models) > 0 != serves {
				t.Errorf("scope %s: counts as %+v", scope, ad.Models)
			}
		}
	}
}

func TestInviteRefusesUnknownScopes(t *testing.T) {
	t.Parallel()
	if _, err := foundSwarm(t, t.TempDir()).Invite(Invitation{Scopes: []string{wire.ScopeUse, "foo"}}, time.Now()); !errors.Is(err, ErrScope) {
		t.Errorf("got %v", err)
	}
}

// TestForgedAdvertIsNotTaken sends a forged advert over the network.
func TestForgedAdvertIsNotTaken(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	until(t, "joined", knows(a, b))
	until(t, "joined", knows(b, a))
	victim := invited(t, a, t.TempDir(), Invitation{})
	forged := (&forger{victim, time.Now()}).advert(t, nil)
	forged[len(forged)-1] ^= 1
	s, err := b.Open(t.Context(), a.ID(), protocol.Adverts)
	if err != nil {
		t.Fatal(err)
	}
	w := frame.NewWriter(s)
	sent := errors.Join(w.Write(wire.TypeAdvert, forged), w.Flush(), s.CloseWrite())
	if _, err := io.ReadAll(s); sent == nil && err == nil {
		t.Error("the stream is not reset")
	}
	if a.hasAdvert(victim.ID) {
		t.Error("a forged advert is in the table")
	}
	// Neither does the gossip of an honest peer carry it: its own validator is in the way.
	r, err := b.running()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.topic.Publish(t.Context(), forged); err == nil {
		t.Error("a forged advert is published")
	}
}

// TestOversizeFrameResets announces frames over the limit of their type.
func TestOversizeFrameResets(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	a := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Registerer = reg })
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	until(t, "joined", knows(a, b))
	until(t, "joined", knows(b, a))
	r, err := b.running()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		proto string
		typ   frame.Type
		size  uint64
	}{
		{protocol.Adverts, wire.TypeAdvert, protocol.MaxAdvert + 1},
		{protocol.Hello, wire.TypeHello, protocol.MaxHello + 1},
		{protocol.Adverts, wire.TypeAdvert, protocol.MaxFrame + 1},
	} {
		before := resets(t, reg, c.proto)
		ls, err := r.host.NewStream(t.Context(), native(a.ID()), libprotocol.ID(c.proto))
		if err != nil {
			t.Fatal(err)
		}
		s := r.newStream(ls)
		if _, err := s.Write(append(binary.AppendUvarint(nil, c.size+1), byte(c.typ))); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(s); err == nil {
			t.Errorf("%s: a frame of %d bytes does not reset the stream", c.proto, c.size)
		}
		if after := resets(t, reg, c.proto); after != before+1 {
			t.Errorf("%s: %g resets counted, want one more than %g", c.proto, after, before)
		}
		_ = s.Reset()
	}
}

// resets returns how many streams of a protocol have been reset.
func resets(t *testing.T, reg *prometheus.Registry, proto string) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "host_stream_resets_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == proto {
				n = m.GetCounter().GetValue()
			}
		}
	}
	return n
}
