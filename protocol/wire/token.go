package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"

	"github.com/covey-network/covey/protocol"
)

// TokenPrefix starts the text of every join token of this format.
const TokenPrefix = "covey1"

// checksumSize is how many bytes of SHA-256 guard a token against a slip of the mouse.
const checksumSize = 4

// ErrToken is wrapped by every error about a token's text, before its content.
var ErrToken = errors.New("invalid join token")

// Token is an invitation: where to find the swarm and the right to join. Whoever has its
// text may join until the grant expires; it is a secret.
type Token struct {
	Name      string `cbor:"1,keyasint,omitempty"` // of the swarm, for people
	Bootstrap []Addr `cbor:"2,keyasint"`           // each ends in /p2p/…
	Grant     Signed `cbor:"3,keyasint"`
	Seed      []byte `cbor:"4,keyasint"` // Ed25519 seed of the grant's holder key

	Issuer *Signed `cbor:"5,keyasint,omitempty"` // grant of the deputy who invites; nil: the founder does
}

// Validate checks form and that the grant and the seed belong together.
func (t *Token) Validate() error {
	if err := validLine("name", t.Name, protocol.MaxTextName); err != nil {
		return err
	}
	if err := validAddrs(t.Bootstrap); err != nil {
		return err
	}
	for _, a := range t.Bootstrap {
		if _, ok := a.Peer(); !ok {
			return invalid("bootstrap address %q names no peer", string(a))
		}
	}
	if len(t.Seed) != ed25519.SeedSize {
		return invalid("seed of %d bytes", len(t.Seed))
	}
	g, err := t.Open()
	if err != nil {
		return err
	}
	public := ed25519.NewKeyFromSeed(t.Seed).Public().(ed25519.PublicKey)
	if g.Peer != "" || !public.Equal(ed25519.PublicKey(g.Holder)) {
		return invalid("seed is not that of the grant's holder")
	}
	return nil
}

// Open returns the grant after checking its signatures, not the time.
func (t *Token) Open() (*Grant, error) { return openGrant(t.Grant, t.Issuer, nil) }

// Admit makes the membership of a peer.
func (t *Token) Admit(peer PeerID) Membership {
	m := Admit(t.Grant, ed25519.NewKeyFromSeed(t.Seed), peer)
	m.Issuer = t.Issuer
	return m
}

// Text returns the token as it is passed on: TokenPrefix and base32 of the canonical
// bytes followed by the first four bytes of their SHA-256.
func (t *Token) Text() (string, error) {
	b, err := Encode(t)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	text := TokenPrefix + text32().EncodeToString(append(b, sum[:checksumSize]...))
	if len(text) > protocol.MaxToken {
		return "", invalid("token of %d characters", len(text))
	}
	return text, nil
}

// ParseToken reads a token's text. White space around and within it, as mail programs put
// in, is ignored.
func ParseToken(text string) (*Token, error) {
	if len(text) > 2*protocol.MaxToken {
		return nil, errors.Join(ErrToken, invalid("%d characters", len(text)))
	}
	text = strings.ToLower(strings.Join(strings.Fields(text), ""))
	body, ok := strings.CutPrefix(text, TokenPrefix)
	if !ok {
		return nil, errors.Join(ErrToken, invalid("does not start with %q", TokenPrefix))
	}
	b, err := text32().DecodeString(body)
	if err != nil || len(b) <= checksumSize || text32().EncodeToString(b) != body {
		return nil, errors.Join(ErrToken, invalid("not base32"))
	}
	b, tail := b[:len(b)-checksumSize], b[len(b)-checksumSize:]
	if sum := sha256.Sum256(b); subtle.ConstantTimeCompare(sum[:checksumSize], tail) == 0 {
		return nil, errors.Join(ErrToken, invalid("checksum does not match: it was cut or mistyped"))
	}
	t := new(Token)
	if err := Decode(b, t); err != nil {
		return nil, errors.Join(ErrToken, err)
	}
	return t, nil
}
