package wire

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"time"

	"github.com/covey-network/covey/protocol"
)

// What a signature is about stands in front of the signed bytes, so that none can be
// passed off as another kind. The trailing zero byte ends the domain.
const (
	domainGrant  = "covey/grant/1\x00"
	domainMember = "covey/member/1\x00"
	domainAdvert = "covey/advert/1\x00"
	domainRevoke = "covey/revoke/1\x00"
)

// The scopes of a grant.
const (
	ScopeUse     = "use"     // ask for answers and blocks
	ScopeServe   = "serve"   // be asked: host stages, answer, store
	ScopePublish = "publish" // announce models under a name; nothing asks for it yet
)

// Scopes lists all scopes, sorted. The caller owns the slice.
func Scopes() []string { return []string{ScopePublish, ScopeServe, ScopeUse} }

// Why a membership is refused; test with errors.Is.
var (
	ErrForeign   = errors.New("grant of another swarm")
	ErrSignature = errors.New("signature does not match")
	ErrExpired   = errors.New("grant expired")
	ErrNotYet    = errors.New("grant not valid yet")
	ErrBound     = errors.New("grant belongs to another peer")
	ErrRevoked   = errors.New("grant revoked")
)

// Signed is a message's canonical bytes with the signature over domain and bytes.
type Signed struct {
	Payload   []byte `cbor:"1,keyasint"`
	Signature []byte `cbor:"2,keyasint"`
}

func (s Signed) validate(limit int) error {
	if len(s.Payload) == 0 || len(s.Payload) > limit {
		return invalid("signed payload of %d bytes", len(s.Payload))
	}
	if len(s.Signature) != ed25519.SignatureSize {
		return invalid("signature of %d bytes", len(s.Signature))
	}
	return nil
}

func sign(domain string, key ed25519.PrivateKey, payload []byte) []byte {
	return ed25519.Sign(key, append([]byte(domain), payload...))
}

func verify(domain string, key ed25519.PublicKey, payload, signature []byte) error {
	if len(key) != ed25519.PublicKeySize || len(signature) != ed25519.SignatureSize ||
		!ed25519.Verify(key, append([]byte(domain), payload...), signature) {
		return ErrSignature
	}
	return nil
}

// Grant is the right to be in a swarm, signed with the swarm's key. It belongs to one
// peer (Peer), or to whoever has the private half of Holder: that one admits its own peer
// id by a signature, so that a grant seen by others is of no use to them.
type Grant struct {
	Swarm     SwarmID  `cbor:"1,keyasint"`
	ID        []byte   `cbor:"2,keyasint"` // 16 random bytes; what a revocation names
	Scopes    []string `cbor:"3,keyasint"` // sorted, unique
	NotBefore int64    `cbor:"4,keyasint"` // Unix seconds
	Expires   int64    `cbor:"5,keyasint"` // Unix seconds, exclusive
	Peer      PeerID   `cbor:"6,keyasint,omitempty"`
	Holder    []byte   `cbor:"7,keyasint,omitempty"` // Ed25519 public key
}

// GrantIDSize is the length of a grant's ID in bytes.
const GrantIDSize = 16

// Validate checks form, not time or signature.
func (g *Grant) Validate() error {
	if len(g.ID) != GrantIDSize {
		return invalid("grant id of %d bytes", len(g.ID))
	}
	if err := validWords("scope", g.Scopes, protocol.MaxScopes); err != nil {
		return err
	}
	if len(g.Scopes) == 0 {
		return invalid("grant without scopes")
	}
	if g.NotBefore < 0 || g.Expires <= g.NotBefore || g.Expires-g.NotBefore > int64(protocol.MaxGrant/time.Second) {
		return invalid("grant from %d to %d", g.NotBefore, g.Expires)
	}
	if (g.Peer == "") == (len(g.Holder) == 0) {
		return invalid("grant needs either a peer or a holder key")
	}
	if g.Peer != "" {
		return g.Peer.Validate()
	}
	if len(g.Holder) != ed25519.PublicKeySize {
		return invalid("holder key of %d bytes", len(g.Holder))
	}
	return nil
}

// validWords checks a sorted list of unique lower-case words.
func validWords(what string, words []string, most int) error {
	if len(words) > most {
		return invalid("%d %ss", len(words), what)
	}
	for i, w := range words {
		if len(w) == 0 || len(w) > protocol.MaxWord {
			return invalid("%s of %d bytes", what, len(w))
		}
		for _, c := range []byte(w) {
			if (c < 'a' || c > 'z') && c != '-' {
				return invalid("%s %q", what, w)
			}
		}
		if i > 0 && words[i-1] >= w {
			return invalid("%ss not sorted", what)
		}
	}
	return nil
}

// Allows reports whether the grant has a scope.
func (g *Grant) Allows(scope string) bool { return slices.Contains(g.Scopes, scope) }

// ExpiresAt returns the end of the grant.
func (g *Grant) ExpiresAt() time.Time { return time.Unix(g.Expires, 0) }

// SignGrant signs g with the swarm's key, whose public half must be g.Swarm.
func SignGrant(swarm ed25519.PrivateKey, g *Grant) (Signed, error) {
	if SwarmIDOf(swarm.Public().(ed25519.PublicKey)) != g.Swarm {
		return Signed{}, ErrForeign
	}
	b, err := Encode(g)
	if err != nil {
		return Signed{}, err
	}
	return Signed{Payload: b, Signature: sign(domainGrant, swarm, b)}, nil
}

// Membership is what a peer shows to be let in: a grant, and for a grant with a holder
// key the holder's signature over the peer's id.
type Membership struct {
	Grant Signed `cbor:"1,keyasint"`
	Proof []byte `cbor:"2,keyasint,omitempty"`
}

// Validate checks form; Verify checks that it is true.
func (m *Membership) Validate() error {
	if err := m.Grant.validate(protocol.MaxHello / 2); err != nil {
		return err
	}
	if len(m.Proof) != 0 && len(m.Proof) != ed25519.SignatureSize {
		return invalid("proof of %d bytes", len(m.Proof))
	}
	return nil
}

// Admit makes the membership of a peer from a grant with a holder key.
func Admit(grant Signed, holder ed25519.PrivateKey, peer PeerID) Membership {
	return Membership{Grant: grant, Proof: sign(domainMember, holder, memberBytes(grant, peer))}
}

func memberBytes(grant Signed, peer PeerID) []byte {
	return append([]byte(peer), grant.Payload...)
}

// Verify checks that the membership lets peer into swarm at a time, allowing for
// protocol.MaxClockSkew before it begins, and returns the grant. Revocations are for the
// caller to check. The error wraps one of the sentinels above or ErrInvalid.
func (m *Membership) Verify(swarm SwarmID, peer PeerID, now time.Time) (*Grant, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	if err := peer.Validate(); err != nil {
		return nil, err
	}
	g := new(Grant)
	if err := Decode(m.Grant.Payload, g); err != nil {
		return nil, err
	}
	if g.Swarm != swarm {
		return nil, ErrForeign
	}
	if err := verify(domainGrant, swarm.PublicKey(), m.Grant.Payload, m.Grant.Signature); err != nil {
		return nil, err
	}
	if g.Peer != "" {
		if g.Peer != peer {
			return nil, ErrBound
		}
	} else if err := verify(domainMember, g.Holder, memberBytes(m.Grant, peer), m.Proof); err != nil {
		return nil, ErrBound
	}
	if now.Unix() >= g.Expires {
		return nil, ErrExpired
	}
	if now.Add(protocol.MaxClockSkew).Unix() < g.NotBefore {
		return nil, ErrNotYet
	}
	return g, nil
}

// Revocation takes grants back before they expire. Lists only grow; a longer list with a
// higher sequence replaces a shorter one.
type Revocation struct {
	Swarm  SwarmID  `cbor:"1,keyasint"`
	Seq    uint64   `cbor:"2,keyasint"`
	Grants [][]byte `cbor:"3,keyasint"` // ids, sorted and unique
	Peers  []PeerID `cbor:"4,keyasint,omitempty"`
}

// MaxRevoked bounds each list of a Revocation.
const MaxRevoked = 1024

// Validate checks form.
func (r *Revocation) Validate() error {
	if len(r.Grants) > MaxRevoked || len(r.Peers) > MaxRevoked {
		return invalid("%d grants and %d peers revoked", len(r.Grants), len(r.Peers))
	}
	for i, id := range r.Grants {
		if len(id) != GrantIDSize || i > 0 && string(r.Grants[i-1]) >= string(id) {
			return invalid("revoked grant %d", i)
		}
	}
	for i, p := range r.Peers {
		if err := p.Validate(); err != nil {
			return err
		}
		if i > 0 && r.Peers[i-1] >= p {
			return invalid("revoked peer %d", i)
		}
	}
	return nil
}

// Revokes reports whether a grant or its bearer is on the list. A nil list revokes nothing.
func (r *Revocation) Revokes(g *Grant, peer PeerID) bool {
	if r == nil {
		return false
	}
	_, peerOut := slices.BinarySearch(r.Peers, peer)
	_, grantOut := slices.BinarySearchFunc(r.Grants, g.ID, slices.Compare[[]byte])
	return peerOut || grantOut
}

// SignRevocation signs r with the swarm's key.
func SignRevocation(swarm ed25519.PrivateKey, r *Revocation) (Signed, error) {
	b, err := Encode(r)
	if err != nil {
		return Signed{}, err
	}
	return Signed{Payload: b, Signature: sign(domainRevoke, swarm, b)}, nil
}

// OpenRevocation verifies a signed list of a swarm.
func OpenRevocation(s Signed, swarm SwarmID) (*Revocation, error) {
	if err := s.validate(protocol.MaxAdvert); err != nil {
		return nil, err
	}
	if err := verify(domainRevoke, swarm.PublicKey(), s.Payload, s.Signature); err != nil {
		return nil, err
	}
	r := new(Revocation)
	if err := Decode(s.Payload, r); err != nil {
		return nil, err
	}
	if r.Swarm != swarm {
		return nil, ErrForeign
	}
	return r, nil
}
