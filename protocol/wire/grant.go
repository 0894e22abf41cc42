package wire

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
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
	domainLost   = "covey/lost/1\x00"
)

// The scopes of a grant.
const (
	ScopeUse     = "use"     // ask for answers and blocks
	ScopeServe   = "serve"   // be asked: host stages, answer, store
	ScopePublish = "publish" // announce models under a name; nothing asks for it yet
	ScopeAdmit   = "admit"   // sign grants for other peers: a deputy of the founder
)

// Scopes lists the scopes that a member has unless told otherwise, sorted: all but
// ScopeAdmit. The caller owns the slice.
func Scopes() []string { return []string{ScopePublish, ScopeServe, ScopeUse} }

// AllScopes lists all scopes, sorted. The caller owns the slice.
func AllScopes() []string { return append([]string{ScopeAdmit}, Scopes()...) }

// Why a membership is refused; test with errors.Is.
var (
	ErrForeign   = errors.New("grant of another swarm")
	ErrSignature = errors.New("signature does not match")
	ErrExpired   = errors.New("grant expired")
	ErrNotYet    = errors.New("grant not valid yet")
	ErrBound     = errors.New("grant belongs to another peer")
	ErrRevoked   = errors.New("grant revoked")
	// ErrPeerRevoked is the case of ErrRevoked that a grant of another invitation does not mend.
	ErrPeerRevoked = fmt.Errorf("%w: the peer itself is off the swarm", ErrRevoked)
	ErrIssuer      = errors.New("grant is not its issuer's to give")
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

// signedBytes keeps the buffers of verify: messages come in floods.
var signedBytes = sync.Pool{New: func() any { return new([]byte) }}

func verify(domain string, key ed25519.PublicKey, payload, signature []byte) error {
	if len(key) != ed25519.PublicKeySize || len(signature) != ed25519.SignatureSize {
		return ErrSignature
	}
	b := signedBytes.Get().(*[]byte)
	defer signedBytes.Put(b)
	if *b = append(append((*b)[:0], domain...), payload...); !ed25519.Verify(key, *b, signature) {
		return ErrSignature
	}
	return nil
}

// Grant is the right to be in a swarm, signed with the swarm's key or by a deputy: a peer
// whose own grant has ScopeAdmit. It belongs to one peer (Peer), or to whoever has the
// private half of Holder: that one admits its own peer id by a signature, so that a grant
// seen by others is of no use to them.
type Grant struct {
	Swarm     SwarmID  `cbor:"1,keyasint"`
	ID        []byte   `cbor:"2,keyasint"` // 16 random bytes; what a revocation names
	Scopes    []string `cbor:"3,keyasint"` // sorted, unique
	NotBefore int64    `cbor:"4,keyasint"` // Unix seconds
	Expires   int64    `cbor:"5,keyasint"` // Unix seconds, exclusive
	Peer      PeerID   `cbor:"6,keyasint,omitempty"`
	Holder    []byte   `cbor:"7,keyasint,omitempty"` // Ed25519 public key
	Origin    []byte   `cbor:"8,keyasint,omitempty"` // ID of the invitation that this one renews
	Life      uint64   `cbor:"9,keyasint,omitempty"` // most seconds that a renewal lasts; 0 is protocol.MembershipLife

	// Issuer is the grant of the deputy who signed this one, nil if the swarm's key did. It
	// is not sent: Membership.Verify and Token.Open find it out.
	Issuer *Grant `cbor:"-"`
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
	if n := len(g.Origin); n != 0 && n != GrantIDSize {
		return invalid("origin of %d bytes", n)
	}
	if g.Life > uint64(protocol.MaxGrant/time.Second) {
		return invalid("renewals of %d s", g.Life)
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

// Invitation returns the ID of the invitation that the grant goes back to: its own, unless
// it is a renewal. All peers that one token let in share it, for good.
func (g *Grant) Invitation() []byte {
	if len(g.Origin) > 0 {
		return g.Origin
	}
	return g.ID
}

// RenewalLife returns how long a renewal may last.
func (g *Grant) RenewalLife() time.Duration {
	if g.Life == 0 {
		return protocol.MembershipLife
	}
	return time.Duration(g.Life) * time.Second
}

// Admits reports whether the grant makes its peer a deputy. An invitation to be one does
// not yet: it is the peer's first renewal that names it.
func (g *Grant) Admits() bool { return g.Peer != "" && g.Allows(ScopeAdmit) }

// MayIssue returns why the peer of g, a deputy, may not give a grant, nil if it may: not
// longer than g lasts, nor than a renewal does, and nobody becomes a deputy by one.
func (g *Grant) MayIssue(to *Grant) error {
	const skew = int64(protocol.MaxClockSkew / time.Second)
	switch {
	case !g.Admits():
		return fmt.Errorf("%w: it lacks the scope %s", ErrIssuer, ScopeAdmit)
	case to.Allows(ScopeAdmit):
		return fmt.Errorf("%w: only the swarm's key makes deputies", ErrIssuer)
	case to.Expires > g.Expires:
		return fmt.Errorf("%w: it outlasts the issuer's", ErrIssuer)
	case to.Expires-to.NotBefore > int64(g.RenewalLife()/time.Second)+skew:
		return fmt.Errorf("%w: it lasts longer than %v", ErrIssuer, g.RenewalLife())
	}
	return nil
}

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

// IssueGrant signs g as a deputy, with the key of the peer that own names.
func IssueGrant(deputy ed25519.PrivateKey, own *Grant, g *Grant) (Signed, error) {
	if PeerIDOf(deputy.Public().(ed25519.PublicKey)) != own.Peer || own.Swarm != g.Swarm {
		return Signed{}, ErrIssuer
	}
	if err := own.MayIssue(g); err != nil {
		return Signed{}, err
	}
	b, err := Encode(g)
	if err != nil {
		return Signed{}, err
	}
	return Signed{Payload: b, Signature: sign(domainGrant, deputy, b)}, nil
}

// openGrant reads a grant and checks who signed it: the swarm's key or, with an issuer, the
// deputy whose grant that is. A deputy's grant is always the swarm's own. want is the swarm
// that the grant must be of, nil for any.
func openGrant(s Signed, issuer *Signed, want *SwarmID) (*Grant, error) {
	if err := s.validate(protocol.MaxGrantBytes); err != nil {
		return nil, err
	}
	g := new(Grant)
	if err := Decode(s.Payload, g); err != nil {
		return nil, err
	}
	if want != nil && g.Swarm != *want {
		return nil, ErrForeign
	}
	signer := g.Swarm.PublicKey()
	if issuer != nil {
		if err := issuer.validate(protocol.MaxIssuer); err != nil {
			return nil, err
		}
		own, err := openGrant(*issuer, nil, &g.Swarm)
		if err != nil {
			return nil, fmt.Errorf("issuer: %w", err)
		}
		if err := own.MayIssue(g); err != nil {
			return nil, err
		}
		g.Issuer, signer = own, own.Peer.PublicKey()
	}
	return g, verify(domainGrant, signer, s.Payload, s.Signature)
}

// Membership is what a peer shows to be let in: a grant, for a grant with a holder key the
// holder's signature over the peer's id, and for one that a deputy signed the deputy's.
type Membership struct {
	Grant  Signed  `cbor:"1,keyasint"`
	Proof  []byte  `cbor:"2,keyasint,omitempty"`
	Issuer *Signed `cbor:"3,keyasint,omitempty"` // nil: the swarm's key signed Grant
}

// Validate checks form; Verify checks that it is true.
func (m *Membership) Validate() error {
	if err := m.Grant.validate(protocol.MaxGrantBytes); err != nil {
		return err
	}
	if m.Issuer != nil {
		if err := m.Issuer.validate(protocol.MaxIssuer); err != nil {
			return err
		}
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
	g, err := m.Open(swarm, peer)
	if err != nil {
		return nil, err
	}
	if err := g.At(now); err != nil {
		return nil, err
	}
	return g, nil
}

// At returns why the grant does not count at a time: ErrExpired or ErrNotYet; nil if it does.
func (g *Grant) At(now time.Time) error {
	begins := g.NotBefore
	if g.Issuer != nil { // it ends with its issuer's at the latest
		begins = max(begins, g.Issuer.NotBefore)
	}
	switch {
	case now.Unix() >= g.Expires:
		return ErrExpired
	case now.Add(protocol.MaxClockSkew).Unix() < begins:
		return ErrNotYet
	}
	return nil
}

// Open is Verify but for the time.
func (m *Membership) Open(swarm SwarmID, peer PeerID) (*Grant, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	if err := peer.Validate(); err != nil {
		return nil, err
	}
	g, err := openGrant(m.Grant, m.Issuer, &swarm)
	if err != nil {
		return nil, err
	}
	if g.Peer != "" {
		if g.Peer != peer {
			return nil, ErrBound
		}
	} else if err := verify(domainMember, g.Holder, memberBytes(m.Grant, peer), m.Proof); err != nil {
		return nil, ErrBound
	}
	return g, nil
}
