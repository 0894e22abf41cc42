package wire

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/covey-network/covey/protocol"
)

// Message is anything that is sent: it can tell whether it is well-formed.
type Message interface{ Validate() error }

// ErrInvalid is wrapped by every error of Validate and Decode: the sender broke the
// protocol, or the bytes were damaged.
var ErrInvalid = errors.New("invalid message")

// maxNesting is more levels than the deepest message has (advert, models, ranges).
const maxNesting = 8

type modes struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

// codec is immutable after initialisation: cbor compiles options into modes once.
var codec = newModes()

func newModes() modes {
	options := cbor.CoreDetEncOptions()
	options.NilContainers = cbor.NilContainerAsEmpty // a list is never null
	enc, err := options.EncMode()
	if err != nil {
		panic(err)
	}
	dec, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  maxNesting,
		MaxArrayElements: 1 << 16,
		MaxMapPairs:      64, // no struct has that many fields
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		UTF8:             cbor.UTF8RejectInvalid,
		BignumTag:        cbor.BignumTagForbidden,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return modes{enc, dec}
}

// Encode validates m and returns its canonical bytes.
func Encode(m Message) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("encode %T: %w", m, err)
	}
	b, err := codec.enc.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", m, err)
	}
	return b, nil
}

// Decode reads canonical bytes into the message that m points to and validates it. The
// caller has limited len(data); the message does not keep it.
func Decode(data []byte, m Message) error {
	if len(data) > protocol.MaxFrame {
		return fmt.Errorf("decode %T: %w: %d bytes", m, ErrInvalid, len(data))
	}
	if err := checkCanonical(data); err != nil {
		return fmt.Errorf("decode %T: %w", m, err)
	}
	if err := codec.dec.Unmarshal(data, m); err != nil {
		return fmt.Errorf("decode %T: %w: %w", m, ErrInvalid, err)
	}
	if err := m.Validate(); err != nil {
		return fmt.Errorf("decode %T: %w", m, err)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}
