package wire

import (
	"crypto/ed25519"
	"slices"

	"github.com/covey-network/covey/protocol"
)

// Revocation takes grants back before they expire. A list with a higher sequence
// replaces the one before.
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

// Check returns why a grant of a peer does not count: ErrPeerRevoked if the peer itself is on
// the list, ErrRevoked if it is revoked otherwise, else nil.
func (r *Revocation) Check(g *Grant, peer PeerID) error {
	if !r.Revokes(g, peer) {
		return nil
	}
	if _, out := slices.BinarySearch(r.Peers, peer); out {
		return ErrPeerRevoked
	}
	return ErrRevoked
}

// Revokes reports whether a grant, the invitation it goes back to, or its bearer is on the
// list, or the deputy who signed it. A nil list revokes nothing.
func (r *Revocation) Revokes(g *Grant, peer PeerID) bool {
	if r == nil {
		return false
	}
	if _, out := slices.BinarySearch(r.Peers, peer); out {
		return true
	}
	for _, id := range [][]byte{g.ID, g.Origin} {
		if _, out := slices.BinarySearchFunc(r.Grants, id, slices.Compare[[]byte]); out {
			return true
		}
	}
	return g.Issuer != nil && r.Revokes(g.Issuer, g.Issuer.Peer)
}

// SignedRevocation is a signed list as it is stored and sent.
type SignedRevocation struct{ Signed }

// Validate checks form; OpenRevocation decides.
func (s *SignedRevocation) Validate() error { return s.validate(protocol.MaxRevocation) }

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
	if err := s.validate(protocol.MaxRevocation); err != nil {
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
