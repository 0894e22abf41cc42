package train

import (
	"math"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// Join asks the members of a job to take a peer in. It counts from the round after the one
// whose certificate lists the peer.
type Join struct {
	Job        Hash            `cbor:"1,keyasint"`
	Peer       wire.PeerID     `cbor:"2,keyasint"` // signs
	Round      uint64          `cbor:"3,keyasint"` // the last certified one that the peer knows: an older request of it does not count
	State      Hash            `cbor:"4,keyasint"` // root of the state that the peer holds, or none
	Samples    uint64          `cbor:"5,keyasint"` // of its data
	Membership wire.Membership `cbor:"6,keyasint"`
	// Columns are the moments of the numbers of its data, before the first round: one for each that the
	// job's schema scales. None: it tells nothing of them.
	Columns []Moments `cbor:"7,keyasint,omitempty"`
}

// Kind implements Body.
func (*Join) Kind() Kind { return KindJoin }

// Signer implements Body.
func (j *Join) Signer() wire.PeerID { return j.Peer }

// Validate checks form.
func (j *Join) Validate() error {
	if err := j.Peer.Validate(); err != nil {
		return err
	}
	if j.Job.IsZero() || j.Round > protocol.MaxTrainRounds {
		return invalid("join in round %d", j.Round)
	}
	if err := ValidMoments(j.Columns); err != nil {
		return err
	}
	return j.Membership.Validate()
}

// Leave tells the members of a job that a peer goes. It counts as a Join does.
type Leave struct {
	Job   Hash        `cbor:"1,keyasint"`
	Peer  wire.PeerID `cbor:"2,keyasint"` // signs
	Round uint64      `cbor:"3,keyasint"` // in which it says so
}

// Kind implements Body.
func (*Leave) Kind() Kind { return KindLeave }

// Signer implements Body.
func (l *Leave) Signer() wire.PeerID { return l.Peer }

// Validate checks form.
func (l *Leave) Validate() error {
	if err := l.Peer.Validate(); err != nil {
		return err
	}
	if l.Job.IsZero() || l.Round > protocol.MaxTrainRounds {
		return invalid("leave in round %d", l.Round)
	}
	return nil
}

// Stop ends a job for all its members, with the outcome of the round that they are in or the next
// one. Its initiator alone may sign it.
type Stop struct {
	Job  Hash        `cbor:"1,keyasint"`
	Peer wire.PeerID `cbor:"2,keyasint"` // signs
}

// Kind implements Body.
func (*Stop) Kind() Kind { return KindStop }

// Signer implements Body.
func (s *Stop) Signer() wire.PeerID { return s.Peer }

// Validate checks form.
func (s *Stop) Validate() error {
	if err := s.Peer.Validate(); err != nil {
		return err
	}
	if s.Job.IsZero() {
		return invalid("stop of no job")
	}
	return nil
}

// Header tells what a member has learned in a round, before it shows it: the hash of each
// slice as it will be sent.
type Header struct {
	Job     Hash        `cbor:"1,keyasint"`
	Round   uint64      `cbor:"2,keyasint"`
	Peer    wire.PeerID `cbor:"3,keyasint"` // signs
	Base    Hash        `cbor:"4,keyasint"` // root of the state that it began with
	Samples uint64      `cbor:"5,keyasint"` // it has learned from
	Steps   uint64      `cbor:"6,keyasint"` // that it has done
	Millis  uint64      `cbor:"7,keyasint"` // that they took
	Loss    float64     `cbor:"8,keyasint"` // mean of the steps
	Slices  []Hash      `cbor:"9,keyasint"` // commitments, one for each member of the round in their order
	// Measured is the loss on the member's own held-out data of the state that the round began
	// with, and how many samples that were; none without such data.
	Measured Measured `cbor:"12,keyasint,omitempty"`
}

// Measured is what a validation found.
type Measured struct {
	Loss    float64 `cbor:"1,keyasint,omitempty"`
	Metric  float64 `cbor:"2,keyasint,omitempty"`
	Samples uint64  `cbor:"3,keyasint,omitempty"`
}

func (m Measured) valid() bool {
	return finite(m.Loss) && finite(m.Metric) && (m.Samples > 0 || m == Measured{})
}

// Kind implements Body.
func (*Header) Kind() Kind { return KindHeader }

// Signer implements Body.
func (h *Header) Signer() wire.PeerID { return h.Peer }

// Validate checks form.
func (h *Header) Validate() error {
	if err := validRound(h.Job, h.Round, h.Peer); err != nil {
		return err
	}
	switch {
	case h.Base.IsZero() || !finite(h.Loss) || !h.Measured.valid():
		return invalid("header with loss %v", h.Loss)
	case h.Steps > protocol.MaxTrainSteps || h.Samples > math.MaxInt64 || h.Millis > math.MaxInt64:
		return invalid("header of %d steps, %d samples", h.Steps, h.Samples)
	case len(h.Slices) > protocol.MaxTrainMembers:
		return invalid("header of %d slices", len(h.Slices))
	}
	for i, s := range h.Slices {
		if s.IsZero() {
			return invalid("header without slice %d", i)
		}
	}
	return nil
}

// Reduced tells the result of a slice: what its owner made of the updates that it got.
type Reduced struct {
	Job      Hash        `cbor:"1,keyasint"`
	Round    uint64      `cbor:"2,keyasint"`
	Peer     wire.PeerID `cbor:"3,keyasint"` // signs: the owner
	Slice    uint64      `cbor:"4,keyasint"` // its place among the members of the round
	Result   Hash        `cbor:"5,keyasint"` // of the bytes that the owner serves
	Bytes    uint64      `cbor:"6,keyasint"`
	From     Set         `cbor:"7,keyasint"`           // members whose slices the owner got
	Rejected Set         `cbor:"8,keyasint,omitempty"` // of those, which the rule or the decoder left out
}

// Kind implements Body.
func (*Reduced) Kind() Kind { return KindReduced }

// Signer implements Body.
func (r *Reduced) Signer() wire.PeerID { return r.Peer }

// Validate checks form.
func (r *Reduced) Validate() error {
	if err := validRound(r.Job, r.Round, r.Peer); err != nil {
		return err
	}
	if r.Slice >= protocol.MaxTrainMembers || r.Result.IsZero() || r.Bytes == 0 || r.Bytes > protocol.MaxTrainSlice {
		return invalid("result of slice %d in %d bytes", r.Slice, r.Bytes)
	}
	return nil
}

func validRound(job Hash, round uint64, peer wire.PeerID) error {
	if job.IsZero() || round == 0 || round > protocol.MaxTrainRounds {
		return invalid("round %d", round)
	}
	return peer.Validate()
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
