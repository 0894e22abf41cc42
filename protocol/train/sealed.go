package train

import (
	"crypto/ed25519"
	"fmt"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// Kind tells what a signed message is.
type Kind uint8

// The kinds of signed messages. No number is reused.
const (
	KindJob         Kind = 1
	KindAnnounce    Kind = 2
	KindJoin        Kind = 3
	KindLeave       Kind = 4
	KindHeader      Kind = 5
	KindReduced     Kind = 6
	KindProposal    Kind = 7
	KindVote        Kind = 8
	KindCertificate Kind = 9
	KindStop        Kind = 10
	KindVector      Kind = 11
)

// Body is a message that is signed by one peer.
type Body interface {
	wire.Message
	// Kind tells which message it is.
	Kind() Kind
	// Signer returns the peer that signs it.
	Signer() wire.PeerID
}

// kinds makes an empty body of a kind, and bounds its bytes.
var kinds = map[Kind]struct {
	empty func() Body
	limit int
}{
	KindJob:         {func() Body { return new(Job) }, protocol.MaxTrainJob},
	KindAnnounce:    {func() Body { return new(Announce) }, protocol.MaxTrainSmall},
	KindJoin:        {func() Body { return new(Join) }, protocol.MaxTrainJoin},
	KindLeave:       {func() Body { return new(Leave) }, protocol.MaxTrainSmall},
	KindHeader:      {func() Body { return new(Header) }, protocol.MaxTrainSmall},
	KindReduced:     {func() Body { return new(Reduced) }, protocol.MaxTrainSmall},
	KindProposal:    {func() Body { return new(Proposal) }, protocol.MaxTrainOutcome},
	KindVote:        {func() Body { return new(Vote) }, protocol.MaxTrainSmall},
	KindCertificate: {func() Body { return new(Certificate) }, protocol.MaxTrainOutcome},
	KindStop:        {func() Body { return new(Stop) }, protocol.MaxTrainSmall},
	KindVector:      {func() Body { return new(Vector) }, protocol.MaxTrainInline + protocol.MaxTrainSmall},
}

// Sealed is a signed message as it is sent and kept: kind, canonical bytes, and the
// signature over both.
type Sealed struct {
	Kind      Kind   `cbor:"1,keyasint"`
	Payload   []byte `cbor:"2,keyasint"`
	Signature []byte `cbor:"3,keyasint"`
}

// Validate checks form and sizes.
func (s *Sealed) Validate() error {
	k, ok := kinds[s.Kind]
	switch {
	case !ok:
		return invalid("signed message of kind %d", s.Kind)
	case len(s.Payload) == 0 || len(s.Payload) > k.limit:
		return invalid("signed message of kind %d in %d bytes, at most %d", s.Kind, len(s.Payload), k.limit)
	case len(s.Signature) != ed25519.SignatureSize:
		return invalid("signature of %d bytes", len(s.Signature))
	}
	return nil
}

// Seal signs a message with the key of its signer.
func Seal(key ed25519.PrivateKey, b Body) (*Sealed, error) {
	if wire.PeerIDOf(key.Public().(ed25519.PublicKey)) != b.Signer() {
		return nil, wire.ErrBound
	}
	payload, err := wire.Encode(b)
	if err != nil {
		return nil, err
	}
	s := &Sealed{Kind: b.Kind(), Payload: payload, Signature: ed25519.Sign(key, signed(b.Kind(), payload))}
	return s, s.Validate()
}

// Open reads the message and verifies the signature of the peer it names.
func (s *Sealed) Open() (Body, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	b := kinds[s.Kind].empty()
	if err := wire.Decode(s.Payload, b); err != nil {
		return nil, err
	}
	return b, verify(b.Signer(), s.Kind, s.Payload, s.Signature)
}

// Author returns the peer that the message names as its signer. The signature is not checked.
func (s *Sealed) Author() (wire.PeerID, error) {
	if err := s.Validate(); err != nil {
		return "", err
	}
	b := kinds[s.Kind].empty()
	if err := wire.Decode(s.Payload, b); err != nil {
		return "", err
	}
	return b.Signer(), nil
}

// signed returns the bytes that a signature is over: a domain of the kind, so that no message
// passes for another kind, and the payload.
func signed(k Kind, payload []byte) []byte {
	return append(fmt.Appendf(make([]byte, 0, 20+len(payload)), "covey/train/%d/1\x00", k), payload...)
}

func verify(by wire.PeerID, k Kind, payload, signature []byte) error {
	if len(signature) != ed25519.SignatureSize || !ed25519.Verify(by.PublicKey(), signed(k, payload), signature) {
		return wire.ErrSignature
	}
	return nil
}
