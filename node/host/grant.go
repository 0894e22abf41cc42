package host

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// Invitation says what an invitation allows. The zero value of each field has a default.
type Invitation struct {
	Name   string        // of the swarm, for people; may be empty
	Addrs  []wire.Addr   // where to find this peer; see Host.Addrs
	Scopes []string      // wire.Scopes, if empty
	TTL    time.Duration // how long new peers may join; a week, if 0
	Life   time.Duration // most that a renewal of a membership lasts; protocol.MembershipLife, if 0
}

// DefaultInvitation is how long an invitation lasts unless told otherwise.
const DefaultInvitation = 7 * 24 * time.Hour

// Invite makes a join token. Whoever has its text can join until it expires; peers that
// joined with it renew their memberships.
func (c *Credentials) Invite(in Invitation, now time.Time) (*wire.Token, error) {
	return c.granter(&c.Grant, &c.Membership).invite(in, now)
}

// granter signs grants: with the swarm's key, or as a deputy.
type granter struct {
	c   *Credentials
	own *wire.Grant // of a deputy; nil: the founder
	by  *wire.Signed
}

// granter returns who gives grants with a membership of this peer, nil if it may not.
func (c *Credentials) granter(own *wire.Grant, m *wire.Membership) *granter {
	switch {
	case c.SwarmKey != nil:
		return &granter{c: c}
	case own.Admits():
		return &granter{c: c, own: own, by: &m.Grant}
	}
	return nil
}

// sign signs a grant and returns it with the grant of the deputy who did, if one did.
func (g *granter) sign(to *wire.Grant) (wire.Signed, *wire.Signed, error) {
	if g.own == nil {
		s, err := wire.SignGrant(g.c.SwarmKey, to)
		return s, nil, err
	}
	s, err := wire.IssueGrant(g.c.Key, g.own, to)
	return s, g.by, err
}

// invite makes a join token. A nil granter is ErrNotOwner.
func (g *granter) invite(in Invitation, now time.Time) (*wire.Token, error) {
	if g == nil {
		return nil, fmt.Errorf("invite: %w", ErrNotOwner)
	}
	if in.TTL == 0 {
		in.TTL = DefaultInvitation
	}
	scopes := slices.Clone(in.Scopes)
	if len(scopes) == 0 {
		scopes = wire.Scopes()
	}
	slices.Sort(scopes)
	for _, s := range scopes {
		if !slices.Contains(wire.AllScopes(), s) {
			return nil, fmt.Errorf("invite: %w: %.40q, there are %s", ErrScope, s, strings.Join(wire.AllScopes(), ", "))
		}
		if s == wire.ScopeAdmit && g.own != nil {
			return nil, fmt.Errorf("invite: %w: only the founder of the swarm makes deputies", ErrScope)
		}
	}
	seed := randomBytes(ed25519.SeedSize)
	to := &wire.Grant{
		Swarm: g.c.Swarm, ID: randomBytes(wire.GrantIDSize), Scopes: slices.Compact(scopes), Life: uint64(in.Life / time.Second),
		NotBefore: now.Unix(), Expires: now.Add(in.TTL).Unix(), Holder: public(ed25519.NewKeyFromSeed(seed)),
	}
	if g.own != nil {
		to.Expires = min(to.Expires, g.own.Expires, to.NotBefore+int64(g.own.RenewalLife()/time.Second))
	}
	signed, issuer, err := g.sign(to)
	if err != nil {
		return nil, fmt.Errorf("invite: %w", err)
	}
	t := &wire.Token{Name: in.Name, Bootstrap: in.Addrs, Grant: signed, Seed: seed, Issuer: issuer}
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("invite: %w", err)
	}
	return t, nil
}

// renew gives a peer a grant of its own for the one it has. A nil granter is wire.ErrIssuer.
func (g *granter) renew(has *wire.Grant, peer ID, now time.Time) (*wire.Membership, error) {
	if g == nil {
		return nil, fmt.Errorf("%w: this peer gives none", wire.ErrIssuer)
	}
	life, lifeOf := has.RenewalLife(), has.Life
	if by := has.Issuer; by != nil && by.RenewalLife() < life { // a deputy may have put any there
		life, lifeOf = by.RenewalLife(), uint64(by.RenewalLife()/time.Second)
	}
	if has.Allows(wire.ScopeAdmit) {
		life = protocol.MaxGrant // a deputy is there for the time after the founder
	}
	to := &wire.Grant{
		Swarm: g.c.Swarm, ID: randomBytes(wire.GrantIDSize), Scopes: has.Scopes, Peer: peer, Origin: has.Invitation(), Life: lifeOf,
		NotBefore: now.Add(-protocol.MaxClockSkew).Unix(),
	}
	ends := func(after time.Duration) int64 { return to.NotBefore + int64(after/time.Second) }
	if g.own == nil {
		to.Expires = min(max(ends(life), has.Expires), ends(protocol.MaxGrant))
	} else {
		to.Expires = min(ends(min(life, g.own.RenewalLife())), g.own.Expires)
	}
	signed, issuer, err := g.sign(to)
	if err != nil {
		return nil, err
	}
	return &wire.Membership{Grant: signed, Issuer: issuer}, nil
}

// renewsAt returns from when on a grant is to be renewed: when less than two thirds of its
// life are left; at once, if it is an invitation's.
func renewsAt(g *wire.Grant) time.Time {
	if g.Peer == "" {
		return time.Unix(g.NotBefore, 0)
	}
	return time.Unix(g.NotBefore+(g.Expires-g.NotBefore)/3, 0)
}
