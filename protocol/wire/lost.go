package wire

import (
	"crypto/ed25519"
	"time"

	"github.com/covey-network/covey/protocol"
)

// Lost says that a peer no longer reaches another one that it was connected to. It is a hint:
// whoever is connected looks for itself, and the lost one, if it lives, advertises anew.
type Lost struct {
	Swarm      SwarmID    `cbor:"1,keyasint"`
	By         PeerID     `cbor:"2,keyasint"` // who signs
	Peer       PeerID     `cbor:"3,keyasint"`
	Seq        uint64     `cbor:"4,keyasint"` // of the last advert of Peer that By knows: a newer one contradicts
	Issued     int64      `cbor:"5,keyasint"` // Unix milliseconds
	Membership Membership `cbor:"6,keyasint"` // of By
}

// Grant verifies the membership of the sender at a time and returns its grant.
func (l *Lost) Grant(now time.Time) (*Grant, error) {
	return l.Membership.Verify(l.Swarm, l.By, now)
}

// IssuedAt returns when the peer signed it, by its own clock.
func (l *Lost) IssuedAt() time.Time { return time.UnixMilli(l.Issued) }

// Validate checks form and limits, not time or signature.
func (l *Lost) Validate() error {
	for _, id := range []PeerID{l.By, l.Peer} {
		if err := id.Validate(); err != nil {
			return err
		}
	}
	if l.By == l.Peer || l.Seq == 0 || l.Issued < 0 {
		return invalid("advert %d lost, issued %d", l.Seq, l.Issued)
	}
	return l.Membership.Validate()
}

// SignLost signs l with the key of l.By and returns what is gossiped.
func SignLost(key ed25519.PrivateKey, l *Lost) ([]byte, error) {
	if PeerIDOf(key.Public().(ed25519.PublicKey)) != l.By {
		return nil, ErrBound
	}
	payload, err := Encode(l)
	if err != nil {
		return nil, err
	}
	return Encode(&signedMessage{Signed{Payload: payload, Signature: sign(domainLost, key, payload)}})
}

// OpenLost reads what SignLost made, of a swarm, and verifies the sender's signature. Its time
// and its membership (Lost.Grant) are for the caller to check.
func OpenLost(data []byte, swarm SwarmID) (*Lost, error) {
	if len(data) > protocol.MaxLost {
		return nil, invalid("lost peer in %d bytes", len(data))
	}
	var s signedMessage
	if err := Decode(data, &s); err != nil {
		return nil, err
	}
	l := new(Lost)
	if err := Decode(s.Payload, l); err != nil {
		return nil, err
	}
	if err := verify(domainLost, l.By.PublicKey(), s.Payload, s.Signature); err != nil {
		return nil, err
	}
	if l.Swarm != swarm {
		return nil, ErrForeign
	}
	return l, nil
}
