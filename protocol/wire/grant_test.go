package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

func TestMembershipVerify(t *testing.T) {
	t.Parallel()
	a, b, swarm := wire.PeerIDOf(public(peerA)), wire.PeerIDOf(public(peerB)), wire.SwarmIDOf(public(swarmKey))
	bearer := signed(t, grant(nil))
	bound := signed(t, grant(func(g *wire.Grant) { g.Holder, g.Peer = nil, a }))
	forged := bearer
	forged.Signature = append([]byte(nil), bearer.Signature...)
	forged.Signature[0] ^= 1
	longer := grant(func(g *wire.Grant) { g.Expires += 3600 })
	payload, err := wire.Encode(longer)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		m     wire.Membership
		peer  wire.PeerID
		swarm wire.SwarmID
		at    time.Time
		want  error
	}{
		{"good", wire.Admit(bearer, key(holderKey), a), a, swarm, start, nil},
		{"good, bound", wire.Membership{Grant: bound}, a, swarm, start, nil},
		{"shown by another", wire.Admit(bearer, key(holderKey), a), b, swarm, start, wire.ErrBound},
		{"bound to another", wire.Membership{Grant: bound}, b, swarm, start, wire.ErrBound},
		{"without proof", wire.Membership{Grant: bearer}, a, swarm, start, wire.ErrBound},
		{"proof by another key", wire.Admit(bearer, key(peerA), a), a, swarm, start, wire.ErrBound},
		{"another swarm", wire.Admit(bearer, key(holderKey), a), a, wire.SwarmIDOf(public(9)), start, wire.ErrForeign},
		{"signature changed", wire.Admit(forged, key(holderKey), a), a, swarm, start, wire.ErrSignature},
		{"payload changed", wire.Admit(wire.Signed{Payload: payload, Signature: bearer.Signature}, key(holderKey), a), a, swarm, start, wire.ErrSignature},
		{"expired", wire.Admit(bearer, key(holderKey), a), a, swarm, start.Add(24 * time.Hour), wire.ErrExpired},
		{"last second", wire.Admit(bearer, key(holderKey), a), a, swarm, start.Add(24*time.Hour - time.Second), nil},
		{"too early", wire.Admit(bearer, key(holderKey), a), a, swarm, start.Add(-protocol.MaxClockSkew - time.Second), wire.ErrNotYet},
		{"early within the skew", wire.Admit(bearer, key(holderKey), a), a, swarm, start.Add(-time.Minute), nil},
		{"nothing", wire.Membership{}, a, swarm, start, wire.ErrInvalid},
	} {
		g, err := c.m.Verify(c.swarm, c.peer, c.at)
		if !errors.Is(err, c.want) || (err == nil) != (g != nil) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := wire.SignGrant(key(peerA), grant(nil)); !errors.Is(err, wire.ErrForeign) {
		t.Errorf("signing with another key: %v", err)
	}
}

// TestDeputies checks what a peer with the scope admit may give, and that a chain has one
// link.
func TestDeputies(t *testing.T) {
	t.Parallel()
	a, b, swarm := wire.PeerIDOf(public(peerA)), wire.PeerIDOf(public(peerB)), wire.SwarmIDOf(public(swarmKey))
	chain := byDeputy(t, deputy(nil), issued(nil))
	second := signed(t, deputy(nil))
	payload, err := wire.Encode(issued(func(g *wire.Grant) { g.Peer = wire.PeerIDOf(public(5)) }))
	if err != nil {
		t.Fatal(err)
	}
	other := signed(t, deputy(func(g *wire.Grant) { g.Peer = b }))
	for _, c := range []struct {
		name string
		m    wire.Membership
		peer wire.PeerID
		at   time.Time
		want error
	}{
		{"good", chain, b, start, nil},
		{"over", chain, b, start.Add(30 * 24 * time.Hour), wire.ErrExpired},
		{"another peer's", chain, a, start, wire.ErrBound},
		{"of a deputy whose time has not come", byDeputy(t, deputy(func(g *wire.Grant) { g.NotBefore += 3600 }), issued(nil)), b, start, wire.ErrNotYet},
		{"of a peer that is no deputy", byDeputy(t, renewed(nil), issued(nil)), b, start, wire.ErrIssuer},
		{"of an invitation to be a deputy", byDeputy(t, grant(func(g *wire.Grant) { g.Scopes = wire.AllScopes() }), issued(nil)), b, start, wire.ErrIssuer},
		{"another deputy", byDeputy(t, deputy(nil), issued(func(g *wire.Grant) { g.Scopes = wire.AllScopes() })), b, start, wire.ErrIssuer},
		{"outlasts its issuer", byDeputy(t, deputy(func(g *wire.Grant) { g.Expires = start.Add(time.Hour).Unix() }), issued(nil)), b, start, wire.ErrIssuer},
		{"longer than renewals may be", byDeputy(t, deputy(nil), issued(func(g *wire.Grant) { g.Expires += 3600 })), b, start, wire.ErrIssuer},
		{"signed by another than its issuer", wire.Membership{Grant: chain.Grant, Issuer: &other}, b, start, wire.ErrSignature},
		{"without its issuer", wire.Membership{Grant: chain.Grant}, b, start, wire.ErrSignature},
		{"a second link", wire.Membership{Grant: wire.Signed{Payload: payload, Signature: chain.Grant.Signature}, Issuer: &chain.Grant}, wire.PeerIDOf(public(5)), start, wire.ErrSignature},
		{"the swarm's grant with an issuer", wire.Membership{Grant: signed(t, issued(nil)), Issuer: &second}, b, start, wire.ErrSignature},
	} {
		g, err := c.m.Verify(swarm, c.peer, c.at)
		if !errors.Is(err, c.want) || (err == nil) != (g != nil) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if err == nil && (g.Issuer == nil || g.Issuer.Peer != a) {
			t.Errorf("%s: issuer %+v", c.name, g.Issuer)
		}
	}
	if _, err := wire.IssueGrant(key(peerA), deputy(nil), issued(nil)); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"too long":    errOf(wire.IssueGrant(key(peerA), deputy(nil), issued(func(g *wire.Grant) { g.Expires += 3600 }))),
		"another key": errOf(wire.IssueGrant(key(peerB), deputy(nil), issued(nil))),
	} {
		if !errors.Is(err, wire.ErrIssuer) {
			t.Errorf("issue, %s: %v", name, err)
		}
	}
}

func errOf(_ wire.Signed, err error) error { return err }

// TestRevocationOfAnInvitation ends what came of an invitation: renewals, and what a deputy
// gave.
func TestRevocationOfAnInvitation(t *testing.T) {
	t.Parallel()
	swarm, a, b := wire.SwarmIDOf(public(swarmKey)), wire.PeerIDOf(public(peerA)), wire.PeerIDOf(public(peerB))
	chain := byDeputy(t, deputy(nil), issued(func(g *wire.Grant) { g.Origin = bytes.Repeat([]byte{5}, wire.GrantIDSize) }))
	of, err := chain.Verify(swarm, b, start)
	if err != nil {
		t.Fatal(err)
	}
	list := func(grants [][]byte, peers ...wire.PeerID) *wire.Revocation {
		return &wire.Revocation{Swarm: swarm, Seq: 1, Grants: grants, Peers: peers}
	}
	for _, c := range []struct {
		name string
		list *wire.Revocation
		want bool
	}{
		{"the invitation of its own", list([][]byte{of.Origin}), true},
		{"itself", list([][]byte{of.ID}), true},
		{"its deputy's invitation", list([][]byte{grant(nil).ID}), true},
		{"its deputy", list(nil, a), true},
		{"another", list([][]byte{bytes.Repeat([]byte{1}, wire.GrantIDSize)}, wire.PeerIDOf(public(5))), false},
	} {
		if got := c.list.Revokes(of, b); got != c.want {
			t.Errorf("%s: revokes %v", c.name, got)
		}
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	tok := token(t)
	text, err := tok.Text()
	if err != nil {
		t.Fatal(err)
	}
	wrapped := " " + text[:40] + "\n  " + strings.ToUpper(text[40:]) + "\n"
	for _, in := range []string{text, wrapped} {
		got, err := wire.ParseToken(in)
		if err != nil {
			t.Fatal(err)
		}
		m := got.Admit(wire.PeerIDOf(public(peerA)))
		if _, err := m.Verify(wire.SwarmIDOf(public(swarmKey)), wire.PeerIDOf(public(peerA)), start); err != nil {
			t.Error(err)
		}
		if got.Bootstrap[0] != tok.Bootstrap[0] || got.Name != tok.Name {
			t.Errorf("got %+v", got)
		}
	}
	for i := range text { // any single wrong character is noticed
		c := byte('a')
		if text[i] == c {
			c = 'b'
		}
		if _, err := wire.ParseToken(text[:i] + string(c) + text[i+1:]); !errors.Is(err, wire.ErrToken) {
			t.Fatalf("character %d changed: %v", i, err)
		}
	}
	for _, bad := range []string{"", "covey1", "covey2" + text[6:], text[:len(text)-1], strings.Repeat("a", 1<<20)} {
		if _, err := wire.ParseToken(bad); !errors.Is(err, wire.ErrToken) {
			t.Errorf("%.10q: %v", bad, err)
		}
	}
	tok.Seed = key(peerA).Seed()
	if _, err := tok.Text(); err == nil {
		t.Error("a token with a seed of another grant is made")
	}
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	swarm, b := wire.SwarmIDOf(public(swarmKey)), wire.PeerIDOf(public(peerB))
	r := examples(t)["revocation"].made.(*wire.Revocation)
	s, err := wire.SignRevocation(key(swarmKey), r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.OpenRevocation(s, swarm)
	if err != nil {
		t.Fatal(err)
	}
	other := grant(func(g *wire.Grant) { g.ID = make([]byte, wire.GrantIDSize) })
	a := wire.PeerIDOf(public(peerA))
	if !got.Revokes(grant(nil), a) || !got.Revokes(other, b) || got.Revokes(other, a) || (*wire.Revocation)(nil).Revokes(other, a) {
		t.Error("revokes the wrong ones")
	}
	if _, err := wire.OpenRevocation(s, wire.SwarmIDOf(public(9))); err == nil {
		t.Error("a list of another swarm opens")
	}
	s.Signature[3] ^= 1
	if _, err := wire.OpenRevocation(s, swarm); !errors.Is(err, wire.ErrSignature) {
		t.Errorf("forged list: %v", err)
	}
}

func TestLostSignature(t *testing.T) {
	t.Parallel()
	swarm := wire.SwarmIDOf(public(swarmKey))
	b, err := wire.SignLost(key(peerA), lost())
	if err != nil {
		t.Fatal(err)
	}
	l, err := wire.OpenLost(b, swarm)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Grant(start); err != nil || l.Seq != 7 {
		t.Errorf("advert %d, %v", l.Seq, err)
	}
	for i := range b { // no byte can be changed
		x := append([]byte(nil), b...)
		x[i] ^= 1
		if _, err := wire.OpenLost(x, swarm); err == nil {
			t.Fatalf("byte %d changed and it opens", i)
		}
	}
	if _, err := wire.OpenLost(b, wire.SwarmIDOf(public(9))); !errors.Is(err, wire.ErrForeign) {
		t.Errorf("another swarm: %v", err)
	}
	if _, err := wire.OpenLost(make([]byte, protocol.MaxLost+1), swarm); !errors.Is(err, wire.ErrInvalid) {
		t.Errorf("too long: %v", err)
	}
	for name, edit := range map[string]func(*wire.Lost){
		"of itself": func(l *wire.Lost) { l.Peer = l.By }, "no sequence": func(l *wire.Lost) { l.Seq = 0 }, "before 1970": func(l *wire.Lost) { l.Issued = -1 },
	} {
		bad := lost()
		if edit(bad); bad.Validate() == nil {
			t.Errorf("%s is valid", name)
		}
	}
	if _, err := wire.SignLost(key(peerB), lost()); !errors.Is(err, wire.ErrBound) {
		t.Errorf("signing for another: %v", err)
	}
}

func TestAdvertSignature(t *testing.T) {
	t.Parallel()
	swarm := wire.SwarmIDOf(public(swarmKey))
	b, err := wire.SignAdvert(key(peerA), advert())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wire.OpenAdvert(b, swarm); err != nil {
		t.Fatal(err)
	}
	for i := range b { // no byte can be changed
		x := append([]byte(nil), b...)
		x[i] ^= 1
		if _, err := wire.OpenAdvert(x, swarm); err == nil {
			t.Fatalf("byte %d changed and it opens", i)
		}
	}
	if _, err := wire.OpenAdvert(b, wire.SwarmIDOf(public(9))); !errors.Is(err, wire.ErrForeign) {
		t.Errorf("another swarm: %v", err)
	}
	if _, err := wire.SignAdvert(key(peerB), advert()); !errors.Is(err, wire.ErrBound) {
		t.Errorf("signing for another: %v", err)
	}
	big := advert()
	for i := range protocol.MaxAdvertModels {
		m := wire.ModelAdvert{Model: wire.CIDOf([]byte{byte(i)}), Name: strings.Repeat("n", protocol.MaxTextName)}
		for j := range uint32(protocol.MaxAdvertRanges) {
			m.Served = append(m.Served, wire.Served{Range: wire.Range{First: j, Last: j + 1}, StepNs: 1 << 40, PrefillNs: 1 << 40, FreeTokens: 1 << 40, Queue: 1 << 20, FreeSessions: 1 << 20})
			m.Held = append(m.Held, wire.Range{First: 0, Last: 4096})
		}
		big.Models = append(big.Models[:i], m)
	}
	if _, err := wire.SignAdvert(key(peerA), big); !errors.Is(err, wire.ErrInvalid) {
		t.Errorf("an advert over the limit: %v", err)
	}
}
