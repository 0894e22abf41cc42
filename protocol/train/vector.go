package train

import (
	"math"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// Vector is what a member of a job in mode gossip sends to a neighbour: how far its numbers are
// from a certified state that both have.
type Vector struct {
	Job     Hash        `cbor:"1,keyasint"`
	Turn    uint64      `cbor:"2,keyasint"` // of the sender, from 0
	Peer    wire.PeerID `cbor:"3,keyasint"` // signs
	Base    Hash        `cbor:"4,keyasint"` // root of the certified state
	Samples uint64      `cbor:"5,keyasint"` // learned from in the turn
	Loss    float64     `cbor:"6,keyasint"` // mean of the turn's steps
	// Data is the sender's numbers minus those of the state, as the job's codec has them. Where it
	// is larger than protocol.MaxTrainInline there is its Hash instead, by which the sender gives it.
	Data []byte `cbor:"7,keyasint,omitempty"`
	Hash Hash   `cbor:"8,keyasint"`
}

// Kind implements Body.
func (*Vector) Kind() Kind { return KindVector }

// Signer implements Body.
func (v *Vector) Signer() wire.PeerID { return v.Peer }

// Validate checks form.
func (v *Vector) Validate() error {
	if err := v.Peer.Validate(); err != nil {
		return err
	}
	switch {
	case v.Job.IsZero() || v.Base.IsZero() || v.Turn > protocol.MaxTrainRounds:
		return invalid("vector of turn %d", v.Turn)
	case v.Samples > math.MaxInt64 || !finite(v.Loss):
		return invalid("vector with loss %v of %d samples", v.Loss, v.Samples)
	case len(v.Data) > protocol.MaxTrainInline || len(v.Data) > 0 != v.Hash.IsZero():
		return invalid("vector of %d bytes, and hash %s", len(v.Data), v.Hash.Short())
	}
	return nil
}
