package train

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/covey-network/covey/protocol/wire"
)

// Hash is a SHA-256. The zero value stands for none.
type Hash [sha256.Size]byte

// HashOf returns the hash of data.
func HashOf(data []byte) Hash { return sha256.Sum256(data) }

// ParseHash reads the text form.
func ParseHash(text string) (Hash, error) {
	var h Hash
	return h, h.UnmarshalText([]byte(text))
}

// IsZero reports whether h is no hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// String returns 64 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short returns the first 12 hexadecimal digits, for people.
func (h Hash) Short() string { return hex.EncodeToString(h[:6]) }

// MarshalBinary returns the bytes; none for the zero value.
func (h Hash) MarshalBinary() ([]byte, error) {
	if h.IsZero() {
		return []byte{}, nil
	}
	return h[:], nil
}

// UnmarshalBinary reads what MarshalBinary made. A zero hash written out is refused: it would
// be a second form of none.
func (h *Hash) UnmarshalBinary(b []byte) error {
	*h = Hash{}
	switch {
	case len(b) == 0:
		return nil
	case len(b) != len(h):
		return invalid("hash of %d bytes", len(b))
	}
	if copy(h[:], b); h.IsZero() {
		return invalid("hash of zeros")
	}
	return nil
}

// MarshalText returns the text form.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the text form.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*len(h) {
		return invalid("hash %.80q", text)
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return invalid("hash %.80q", text)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{wire.ErrInvalid}, args...)...)
}
