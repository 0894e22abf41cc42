package train

import "github.com/covey-network/covey/protocol"

// Bundle is signed messages that are sent together: a proposal with the votes that it rests on,
// or one message alone.
type Bundle struct {
	Messages []Sealed `cbor:"1,keyasint"`
	// Seq tells the repetition of a bundle from the bundle: gossip passes equal bytes on once.
	Seq uint64 `cbor:"2,keyasint,omitempty"`
}

// Validate checks form.
func (b *Bundle) Validate() error {
	if len(b.Messages) == 0 || len(b.Messages) > protocol.MaxTrainBundle {
		return invalid("%d messages together, 1 to %d", len(b.Messages), protocol.MaxTrainBundle)
	}
	for i := range b.Messages {
		if err := b.Messages[i].Validate(); err != nil {
			return err
		}
	}
	return nil
}
