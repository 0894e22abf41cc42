package host

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

const day = 24 * time.Hour

// timed gives a host a clock that the test moves, and a data directory.
func timed(c *clock, dir string) func(*Config) {
	return func(cfg *Config) { cfg.Now, cfg.Dir = c.now, dir }
}

// bound reports whether a peer has a membership of its own that lasts at least so long.
func bound(p *peerOf, until time.Time) func() bool {
	return func() bool {
		m := p.Membership()
		return m.Grant.Peer == p.ID() && m.Over == nil && !m.Grant.ExpiresAt().Before(until)
	}
}

// shows reports whether a knows b as a member at least until then.
func shows(a, b *peerOf, until time.Time) func() bool {
	return func() bool {
		for _, p := range a.Peers() {
			if p.ID == b.ID() {
				return !p.Expires.Before(until)
			}
		}
		return false
	}
}

// TestOlderHelloComesLast lets two hellos of a member pass each other: the renewed membership
// stays.
func TestOlderHelloComesLast(t *testing.T) {
	t.Parallel()
	g, id := newGate(time.Second), ID("member")
	g.begin(id)
	for _, expires := range []int64{200, 100} {
		if _, err := g.admit(id, &member{grant: wire.Grant{Expires: expires}}, func() bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	if got := g.get(id).grant.Expires; got != 200 {
		t.Errorf("the grant ends at %d, want 200", got)
	}
}

// TestHelloOutlivesItsConnection reads a peer's hello when the connection that it came on has
// ended. The peer is no member: nothing would ever tell that it has left.
func TestHelloOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	g, id := newGate(time.Second), ID("member")
	away := func() bool { return false }
	g.begin(id)
	g.drop(id, away)
	if fresh, err := g.admit(id, &member{}, away); fresh || !errors.Is(err, errGone) || g.get(id) != nil {
		t.Errorf("admitted: %t, %v, %v", fresh, err, g.get(id))
	}
}

// TestMembershipRenews has members go on for half a year with invitations of an hour, and
// come back with the token of that hour.
func TestMembershipRenews(t *testing.T) {
	t.Parallel()
	clock, dir := newClock(), t.TempDir()
	a := startPeer(t, foundSwarm(t, t.TempDir()), timed(clock, ""))
	token, err := a.creds.Invite(Invitation{TTL: time.Hour, Addrs: a.Addrs()}, clock.now())
	if err != nil {
		t.Fatal(err)
	}
	creds, err := OpenCredentials(dir, token, clock.now())
	if err != nil {
		t.Fatal(err)
	}
	b := startPeer(t, creds, timed(clock, dir))
	c := startPeer(t, invited(t, a, t.TempDir(), Invitation{TTL: time.Hour}), timed(clock, ""))
	for range 6 {
		for _, p := range []*peerOf{b, c} {
			until(t, "renewed", bound(p, clock.now().Add(60*day)))
			until(t, "the founder knows", shows(a, p, clock.now().Add(60*day)))
		}
		until(t, "connected", func() bool { return c.Connect(t.Context(), b.Addrs()[0]) == nil })
		until(t, "the other member knows", shows(c, b, clock.now().Add(60*day)))
		clock.add(31 * day)
	}
	until(t, "renewed", bound(b, clock.now().Add(60*day)))
	g := b.Membership().Grant
	if grant := token; !bytes.Equal(g.Invitation(), openToken(t, grant).ID) || bytes.Equal(g.ID, g.Origin) {
		t.Errorf("the grant %x goes back to %x", g.ID, g.Invitation())
	}
	b.stop()
	for name, tok := range map[string]*wire.Token{"without a token": nil, "with the old token": token} {
		again, err := OpenCredentials(dir, tok, clock.now())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(again.Grant.ID, g.ID) || len(again.Bootstrap) == 0 {
			t.Errorf("%s: goes on with grant %x, want %x", name, again.Grant.ID, g.ID)
		}
	}
	if _, err := OpenCredentials(t.TempDir(), token, clock.now()); !errors.Is(err, wire.ErrExpired) {
		t.Errorf("a new peer joins with an old token: %v", err)
	}
	if _, err := OpenCredentials(dir, openInvite(t, foundSwarm(t, t.TempDir()), clock.now()), clock.now()); !errors.Is(err, ErrOtherSwarm) {
		t.Errorf("a token of another swarm: %v", err)
	}
}

func openToken(t *testing.T, token *wire.Token) *wire.Grant {
	t.Helper()
	g, err := token.Open()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func openInvite(t *testing.T, c *Credentials, now time.Time) *wire.Token {
	t.Helper()
	token, err := c.Invite(Invitation{}, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestTokensOfOneSwarm gives a member further tokens of its swarm.
func TestTokensOfOneSwarm(t *testing.T) {
	t.Parallel()
	now, dir := time.Now(), t.TempDir()
	owner := foundSwarm(t, t.TempDir())
	invite := func(ttl time.Duration) *wire.Token {
		token, err := owner.Invite(Invitation{TTL: ttl}, now)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	first, second, short := invite(10*day), invite(day), invite(time.Minute)
	for _, c := range []struct {
		name  string
		token *wire.Token
		at    time.Time
		want  *wire.Token // whose grant the peer then has
	}{
		{"first", first, now, first},
		{"the same", first, now.Add(time.Minute), first},
		{"another", second, now.Add(time.Minute), second},
		{"an expired one", short, now.Add(time.Hour), second},
		{"when the membership is over", first, now.Add(2 * day), first},
		{"when both are over", first, now.Add(20 * day), first},
		{"none, when it is over", nil, now.Add(20 * day), first},
	} {
		if s, err := readMembership(dir); err == nil { // peers have let it in meanwhile
			s.Accepted = true
			if err := writeMembership(dir, s); err != nil {
				t.Fatal(err)
			}
		}
		got, err := OpenCredentials(dir, c.token, c.at)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !bytes.Equal(got.Grant.ID, openToken(t, c.want).ID) {
			t.Errorf("%s: another grant than expected", c.name)
		}
	}
}

// TestFounderKeepsItsOwnMembership starts a founder with a token of its own swarm.
func TestFounderKeepsItsOwnMembership(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner := foundSwarm(t, dir)
	again, err := OpenCredentials(dir, openInvite(t, owner, time.Now()), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if again.SwarmKey == nil || !bytes.Equal(again.Grant.ID, owner.Grant.ID) {
		t.Error("the founder has become a guest of its swarm")
	}
	late, err := OpenCredentials(dir, nil, time.Now().Add(4*365*day))
	if err != nil || late.Grant.ExpiresAt().Before(owner.Grant.ExpiresAt().Add(3*365*day)) {
		t.Errorf("after four years the founder is one until %v: %v", late.Grant.ExpiresAt(), err)
	}
}

// TestRenewalIsRefused asks for what nobody may have.
func TestRenewalIsRefused(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := startPeer(t, foundSwarm(t, t.TempDir()), timed(clock, ""))
	member := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), timed(clock, ""))
	until(t, "joined", bound(member, clock.now().Add(60*day)))
	until(t, "joined", knows(a, member))
	until(t, "joined", knows(member, a))
	revoked := invited(t, a, t.TempDir(), Invitation{})
	list, err := wire.SignRevocation(a.creds.SwarmKey, &wire.Revocation{Swarm: a.Swarm(), Seq: 1, Grants: [][]byte{revoked.Grant.ID}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Revoke(list); err != nil {
		t.Fatal(err)
	}
	fresh := invited(t, a, t.TempDir(), Invitation{TTL: time.Minute})
	own := member.creds.Membership
	rm, err := member.running()
	if err != nil {
		t.Fatal(err)
	}
	ra, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		by   *running
		peer ID
		m    wire.Membership
		at   time.Duration
		want wire.Code
	}{
		{"good", ra, fresh.ID, fresh.Membership, 0, 0},
		{"revoked", ra, revoked.ID, revoked.Membership, 0, wire.CodeRefused},
		{"another's", ra, member.ID(), fresh.Membership, 0, wire.CodeRefused},
		{"of a peer that may not", rm, fresh.ID, fresh.Membership, 0, wire.CodeForbidden},
		{"over for a second", ra, fresh.ID, fresh.Membership, time.Minute + time.Second, wire.CodeExpired},
	} {
		clock.add(c.at)
		m, err := c.by.renewFor(c.peer, &c.m)
		if (err == nil) != (c.want == 0) || err != nil && refusal(err).Code != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			if g, err := m.Verify(a.Swarm(), c.peer, clock.now()); err != nil || g.ExpiresAt().After(clock.now().Add(protocol.MembershipLife)) {
				t.Errorf("%s: renewed until %v, %v", c.name, g.ExpiresAt(), err)
			}
		}
	}
	// What a peer says over the network is checked by the member itself.
	if err := rm.takeMembership(&own, a.ID()); err == nil {
		t.Error("a member takes an invitation for a renewal")
	}
	foreign := foundSwarm(t, t.TempDir())
	if err := rm.takeMembership(&foreign.Membership, a.ID()); !errors.Is(err, wire.ErrForeign) {
		t.Errorf("a member takes a foreign grant: %v", err)
	}
}

// TestShortLivesStayShort renews as long as the swarm's owner wants, by founder and deputy.
func TestShortLivesStayShort(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := startPeer(t, foundSwarm(t, t.TempDir()), timed(clock, ""))
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{TTL: time.Hour, Life: 2 * day}), timed(clock, ""))
	until(t, "renewed", bound(b, clock.now().Add(day)))
	if m := b.Membership(); m.Grant.ExpiresAt().After(clock.now().Add(2 * day)) {
		t.Errorf("a member until %v", m.Grant.ExpiresAt())
	}
}

// TestDeputyGivesNoLongerLives has a deputy, whose renewals last two days, invite a peer with an
// invitation to renewals of ten years. The founder gives it no more than the deputy may.
func TestDeputyGivesNoLongerLives(t *testing.T) {
	t.Parallel()
	now, a := time.Now(), foundSwarm(t, t.TempDir())
	join := func(g *granter, in Invitation) *Credentials {
		token, err := g.invite(in, now)
		if err != nil {
			t.Fatal(err)
		}
		c, err := OpenCredentials(t.TempDir(), token, now)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	founder := a.granter(&a.Grant, &a.Membership)
	renew := func(has *wire.Grant, peer ID) (*wire.Membership, *wire.Grant) {
		m, err := founder.renew(has, peer, now)
		if err != nil {
			t.Fatal(err)
		}
		g, err := m.Verify(a.Swarm, peer, now)
		if err != nil {
			t.Fatal(err)
		}
		return m, g
	}
	d := join(founder, Invitation{Scopes: wire.AllScopes(), Life: 2 * day})
	m, own := renew(&d.Grant, d.ID)
	c := join(d.granter(own, m), Invitation{TTL: time.Hour, Life: protocol.MaxGrant})
	has := &c.Grant
	for i := range 2 {
		if _, has = renew(has, c.ID); has.ExpiresAt().After(now.Add(2 * day)) {
			t.Errorf("renewal %d: until %v, want two days from %v at most", i, has.ExpiresAt(), now)
		}
	}
}

// TestDeputyReplacesTheFounder has a swarm go on, and grow, when its founder is gone for good.
func TestDeputyReplacesTheFounder(t *testing.T) {
	t.Parallel()
	clock, dir := newClock(), t.TempDir()
	a := startPeer(t, foundSwarm(t, t.TempDir()), timed(clock, ""))
	d := startPeer(t, invited(t, a, t.TempDir(), Invitation{Scopes: wire.AllScopes(), TTL: time.Hour}), timed(clock, ""))
	until(t, "a deputy", bound(d, clock.now().Add(9*365*day)))
	b := startPeer(t, invited(t, a, dir, Invitation{TTL: time.Hour}), timed(clock, dir))
	until(t, "a member", bound(b, clock.now().Add(60*day)))
	until(t, "connected", func() bool { return b.Connect(t.Context(), d.Addrs()[0]) == nil })
	a.stop()
	clock.add(40 * day)
	until(t, "renewed by the deputy", bound(b, clock.now().Add(80*day)))
	if g := b.Membership().Grant; g.Issuer == nil || g.Issuer.Peer != d.ID() {
		t.Errorf("renewed by %+v", g.Issuer)
	}
	token, err := d.Invite(Invitation{Addrs: d.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	creds, err := OpenCredentials(t.TempDir(), token, clock.now())
	if err != nil {
		t.Fatal(err)
	}
	e := startPeer(t, creds, timed(clock, ""))
	until(t, "a new member", knows(d, e))
	until(t, "of its own", bound(e, clock.now().Add(80*day)))
	until(t, "members meet", func() bool { return b.Connect(t.Context(), e.Addrs()[0]) == nil })
	clock.add(40 * day)
	until(t, "renewed again", bound(b, clock.now().Add(80*day)))
	if _, err := d.Invite(Invitation{Scopes: wire.AllScopes()}); !errors.Is(err, ErrScope) {
		t.Errorf("a deputy makes deputies: %v", err)
	}
	if _, err := b.Invite(Invitation{}); !errors.Is(err, ErrNotOwner) {
		t.Errorf("a member invites: %v", err)
	}
}

// TestShortRenewalIsNotTaken has a deputy, whose renewals last two days, the only peer that a new
// member reaches: the member keeps its invitation of thirty days until two are more.
func TestShortRenewalIsNotTaken(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := startPeer(t, foundSwarm(t, t.TempDir()), timed(clock, ""))
	d := startPeer(t, invited(t, a, t.TempDir(), Invitation{Scopes: wire.AllScopes(), Life: 2 * day}), timed(clock, ""))
	until(t, "a deputy", bound(d, clock.now().Add(9*365*day)))
	a.stop()
	token, err := a.creds.Invite(Invitation{TTL: 30 * day, Addrs: d.Addrs()}, clock.now())
	if err != nil {
		t.Fatal(err)
	}
	creds, err := OpenCredentials(t.TempDir(), token, clock.now())
	if err != nil {
		t.Fatal(err)
	}
	b := startPeer(t, creds, timed(clock, ""))
	until(t, "asked", func() bool { m := b.Membership(); return !m.Reached.IsZero() && (m.Err != nil || m.Grant.Peer != "") })
	if m := b.Membership(); m.Grant.ExpiresAt().Before(clock.now().Add(29 * day)) {
		t.Errorf("a member until %v instead of 30 days, %v", m.Grant.ExpiresAt(), m.Err)
	}
	clock.add(29 * day)
	until(t, "two days are more", bound(b, clock.now().Add(day+12*time.Hour)))
}

// TestRenewalAsksOn has a deputy that is asked first give two days, and the founder ninety.
func TestRenewalAsksOn(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := startPeer(t, foundSwarm(t, t.TempDir()), timed(clock, ""))
	deputy := Invitation{Scopes: wire.AllScopes(), Life: 2 * day}
	creds := invited(t, a, t.TempDir(), deputy)
	for creds.ID > a.ID() { // peers are asked in the order of their identities
		creds = invited(t, a, t.TempDir(), deputy)
	}
	d := startPeer(t, creds, timed(clock, ""))
	until(t, "a deputy", bound(d, clock.now().Add(9*365*day)))
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), timed(clock, ""))
	until(t, "a member", bound(b, clock.now().Add(89*day)))
	until(t, "the founder knows", shows(a, b, clock.now().Add(89*day)))
	until(t, "connected", func() bool { return b.Connect(t.Context(), d.Addrs()[0]) == nil })
	until(t, "knows the deputy", shows(b, d, clock.now().Add(9*365*day)))
	clock.add(88*day + 12*time.Hour)
	until(t, "renewed by who gives more", bound(b, clock.now().Add(89*day)))
}

// TestRenewalKeepsLives has a deputy give a membership whose renewals would last an hour.
func TestRenewalKeepsLives(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := startPeer(t, foundSwarm(t, t.TempDir()), timed(clock, ""))
	d := startPeer(t, invited(t, a, t.TempDir(), Invitation{Scopes: wire.AllScopes()}), timed(clock, ""))
	until(t, "a deputy", bound(d, clock.now().Add(9*365*day)))
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), timed(clock, ""))
	until(t, "a member", bound(b, clock.now().Add(89*day)))
	clock.add(20 * day)
	own := d.Membership().Grant
	has := b.Membership().Grant
	to := has
	to.ID, to.Issuer, to.Life, to.NotBefore, to.Expires = randomBytes(wire.GrantIDSize), nil, 3600, clock.now().Unix(), clock.now().Add(time.Hour).Unix()
	m := func() *wire.Membership {
		signed, err := wire.IssueGrant(d.creds.Key, &own, &to)
		if err != nil {
			t.Fatal(err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		by := d.own.membership.Grant
		return &wire.Membership{Grant: signed, Issuer: &by}
	}
	r, err := b.running()
	if err != nil {
		t.Fatal(err)
	}
	for name, life := range map[string]time.Duration{"shorter": time.Hour, "longer, with short renewals": 80 * day} {
		to.Expires = clock.now().Add(life).Unix()
		if err := r.takeMembership(m(), d.ID()); err == nil || !strings.Contains(err.Error(), "renewed membership ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	to.Life, to.Expires = has.Life, clock.now().Add(80*day).Unix()
	if err := r.takeMembership(m(), d.ID()); err != nil {
		t.Errorf("as long as before, and longer than what is left: %v", err)
	}
}

// TestMembershipEnds has the founder gone and no deputy: the member says so and stays up.
func TestMembershipEnds(t *testing.T) {
	t.Parallel()
	clock, dir := newClock(), t.TempDir()
	a := startPeer(t, foundSwarm(t, t.TempDir()), timed(clock, ""))
	b := startPeer(t, invited(t, a, dir, Invitation{TTL: time.Hour}), timed(clock, dir))
	until(t, "a member", bound(b, clock.now().Add(60*day)))
	until(t, "asked", func() bool { return !b.Membership().Reached.IsZero() })
	a.stop()
	clock.add(40 * day)
	until(t, "nobody renews it", func() bool { return b.Membership().Err != nil })
	clock.add(60 * day)
	if m := b.Membership(); !errors.Is(m.Over, wire.ErrExpired) {
		t.Errorf("got %+v", m)
	}
	if err := b.PublishAdvert(t.Context(), capacity()); err != nil {
		t.Error(err)
	}
	b.stop()
	again, err := OpenCredentials(dir, nil, clock.now())
	if err != nil {
		t.Fatal(err)
	}
	c := startPeer(t, again, timed(clock, dir))
	if m := c.Membership(); !errors.Is(m.Over, wire.ErrExpired) {
		t.Errorf("after a restart: %+v", m)
	}
}

// TestAdvertShowsTheRenewal has a peer miss the hello with the new membership.
func TestAdvertShowsTheRenewal(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := startPeer(t, foundSwarm(t, t.TempDir()), timed(clock, ""))
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{TTL: time.Hour}), timed(clock, ""))
	until(t, "told", shows(a, b, clock.now().Add(60*day)))
	until(t, "the advert is there", func() bool {
		if err := b.PublishAdvert(t.Context(), capacity()); err != nil {
			t.Fatal(err)
		}
		return a.hasAdvert(b.ID())
	})
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	events, stop := a.Subscribe()
	defer stop()
	old := b.creds.Grant
	old.Expires = clock.now().Add(20 * time.Second).Unix()
	r.gate.renew(b.ID(), old) // as if it had not been told
	clock.add(25 * time.Second)
	until(t, "the advert tells", shows(a, b, clock.now().Add(60*day)))
	for len(events) > 0 {
		if e, ok := (<-events).(EvtPeerLeft); ok {
			t.Errorf("expelled: %v", e)
		}
	}
}

// TestInviteOnAFullDisk makes a token where nothing can be written down.
func TestInviteOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := startPeer(t, foundSwarm(t, dir), func(c *Config) { c.Dir = dir })
	if err := os.Mkdir(filepath.Join(dir, invitedFile), 0o700); err != nil { // no file can take its place
		t.Fatal(err)
	}
	if token, err := a.Invite(Invitation{}); err != nil || token == nil {
		t.Errorf("%v, %v", token, err)
	}
}
