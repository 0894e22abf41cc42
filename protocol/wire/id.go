package wire

import (
	"crypto/ed25519"
	"encoding/base32"
	"strings"

	cid "github.com/ipfs/go-cid"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"github.com/covey-network/covey/protocol"
)

// peerPrefix precedes the 32 key bytes in the peer id of an Ed25519 key: identity
// multihash, 36 bytes, protobuf {type: Ed25519, data: 32 bytes} (libp2p peer-ids spec).
const peerPrefix = "\x00\x24\x08\x01\x12\x20"

// PeerID is the binary peer id of an Ed25519 key. It is comparable; the zero value is no
// peer. String gives the text form.
type PeerID string

// PeerIDOf returns the id of a public key.
func PeerIDOf(key ed25519.PublicKey) PeerID { return PeerID(peerPrefix + string(key)) }

// ParsePeerID reads the text form, as in 12D3KooW….
func ParsePeerID(text string) (PeerID, error) {
	if len(text) > protocol.MaxTextName {
		return "", invalid("peer id of %d bytes", len(text))
	}
	h, err := multihash.FromB58String(text)
	if err != nil {
		return "", invalid("peer id %q: %v", text, err)
	}
	p := PeerID(h)
	return p, p.Validate()
}

// String returns the text form in base58.
func (p PeerID) String() string { return multihash.Multihash(p).B58String() }

// Validate checks that p is the id of an Ed25519 key.
func (p PeerID) Validate() error {
	if len(p) != len(peerPrefix)+ed25519.PublicKeySize || !strings.HasPrefix(string(p), peerPrefix) {
		return invalid("peer id of %d bytes is not that of an Ed25519 key", len(p))
	}
	return nil
}

// PublicKey returns the key within a valid id.
func (p PeerID) PublicKey() ed25519.PublicKey { return ed25519.PublicKey(p[len(peerPrefix):]) }

// MarshalBinary returns the binary form.
func (p PeerID) MarshalBinary() ([]byte, error) { return []byte(p), nil }

// UnmarshalBinary reads the binary form and validates it.
func (p *PeerID) UnmarshalBinary(b []byte) error {
	*p = PeerID(b)
	return p.Validate()
}

// MarshalText returns the text form, for JSON.
func (p PeerID) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the text form.
func (p *PeerID) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePeerID(string(b))
	return err
}

// SwarmID is a swarm's Ed25519 public key.
type SwarmID [ed25519.PublicKeySize]byte

// SwarmIDOf returns the id of a swarm's public key.
func SwarmIDOf(key ed25519.PublicKey) SwarmID { return SwarmID(key) }

// ParseSwarmID reads the text form.
func ParseSwarmID(text string) (SwarmID, error) {
	var s SwarmID
	b, err := text32().DecodeString(text)
	if err != nil || len(b) != len(s) || text32().EncodeToString(b) != text { // the last character has spare bits
		return s, invalid("swarm id %.80q", text)
	}
	return SwarmID(b), nil
}

// String returns the text form: base32, lower case, unpadded.
func (s SwarmID) String() string { return text32().EncodeToString(s[:]) }

// PublicKey returns the key.
func (s SwarmID) PublicKey() ed25519.PublicKey { return s[:] }

// MarshalBinary returns the key's bytes.
func (s SwarmID) MarshalBinary() ([]byte, error) { return s[:], nil }

// UnmarshalBinary reads the key's bytes.
func (s *SwarmID) UnmarshalBinary(b []byte) error {
	if len(b) != len(s) {
		return invalid("swarm id of %d bytes", len(b))
	}
	copy(s[:], b)
	return nil
}

// MarshalText returns the text form, for JSON.
func (s SwarmID) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the text form.
func (s *SwarmID) UnmarshalText(b []byte) (err error) {
	*s, err = ParseSwarmID(string(b))
	return err
}

func text32() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

// Addr is a multiaddr in its text form; on the wire it is binary.
type Addr string

// Validate parses the address.
func (a Addr) Validate() error {
	if len(a) > protocol.MaxTextAddr {
		return invalid("address of %d bytes", len(a))
	}
	if _, err := multiaddr.NewMultiaddr(string(a)); err != nil {
		return invalid("address %q: %v", string(a), err)
	}
	return nil
}

// MarshalBinary returns the binary multiaddr.
func (a Addr) MarshalBinary() ([]byte, error) {
	m, err := multiaddr.NewMultiaddr(string(a))
	if err != nil {
		return nil, invalid("address %q: %v", string(a), err)
	}
	return m.Bytes(), nil
}

// UnmarshalBinary reads a binary multiaddr.
func (a *Addr) UnmarshalBinary(b []byte) error {
	if len(b) > protocol.MaxTextAddr {
		return invalid("address of %d bytes", len(b))
	}
	m, err := multiaddr.NewMultiaddrBytes(b)
	if err != nil {
		return invalid("address: %v", err)
	}
	*a = Addr(m.String())
	return nil
}

// Peer returns the peer at the end of an address that names one. Of an address over a relay
// that is not the relay.
func (a Addr) Peer() (PeerID, bool) {
	m, err := multiaddr.NewMultiaddr(string(a))
	if err != nil {
		return "", false
	}
	_, last := multiaddr.SplitLast(m)
	if last == nil || last.Code() != multiaddr.P_P2P {
		return "", false
	}
	p, err := ParsePeerID(last.Value())
	return p, err == nil
}

func validAddrs(addrs []Addr) error {
	if len(addrs) > protocol.MaxAddrs {
		return invalid("%d addresses", len(addrs))
	}
	for _, a := range addrs {
		if err := a.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// ValidCID checks that c is what the swarm stores: CIDv1, raw, sha2-256.
func ValidCID(c cid.Cid) error {
	if !c.Defined() {
		return invalid("no content identifier")
	}
	p := c.Prefix()
	if p.Version != 1 || p.Codec != cid.Raw || p.MhType != multihash.SHA2_256 || p.MhLength != 32 {
		return invalid("content identifier %s is not CIDv1 raw sha2-256", c)
	}
	return nil
}
