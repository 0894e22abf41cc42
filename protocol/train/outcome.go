package train

import (
	"crypto/ed25519"
	"math"
	"slices"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// End is why a job ended.
type End uint8

// The ends of a job.
const (
	EndNone     End = 0 // it goes on
	EndRounds   End = 1 // all rounds or steps are done
	EndTarget   End = 2 // the metric reached its target
	EndPatience End = 3 // no better loss for long enough
	EndStopped  End = 4 // its initiator stopped it
	EndSpent    End = 5 // no member may learn more: their privacy budgets are spent
)

// Expelled is a member that is no longer one, and for good: two messages that an honest peer
// never signs both.
type Expelled struct {
	Peer   wire.PeerID `cbor:"1,keyasint"`
	First  Sealed      `cbor:"2,keyasint"`
	Second Sealed      `cbor:"3,keyasint"`
}

// Outcome is what a round decided.
type Outcome struct {
	Job      Hash          `cbor:"1,keyasint"`
	Round    uint64        `cbor:"2,keyasint"`            // 0: before the first
	Base     Hash          `cbor:"3,keyasint"`            // root of the state before; none for round 0
	Parent   Hash          `cbor:"4,keyasint"`            // id of the outcome of the round before; none for round 0
	State    Hash          `cbor:"5,keyasint"`            // root of the state after
	Members  []wire.PeerID `cbor:"6,keyasint"`            // of the next round, sorted
	Slices   []Hash        `cbor:"7,keyasint"`            // result of each slice; none: unchanged
	Senders  Set           `cbor:"8,keyasint"`            // members of the round whose headers counted
	Samples  uint64        `cbor:"9,keyasint"`            // of all of them
	Loss     float64       `cbor:"10,keyasint"`           // median of theirs
	Measured Measured      `cbor:"11,keyasint,omitempty"` // medians of what the members measured of Base
	Joined   []Sealed      `cbor:"12,keyasint,omitempty"` // a Join for each new member
	Left     []Sealed      `cbor:"13,keyasint,omitempty"` // a Leave for each member that went by itself
	Expelled []Expelled    `cbor:"14,keyasint,omitempty"`
	End      End           `cbor:"15,keyasint,omitempty"`
	Stopped  []Sealed      `cbor:"16,keyasint,omitempty"` // with EndStopped: the initiator's Stop
	Best     Measured      `cbor:"17,keyasint,omitempty"` // the Measured with the least loss of all rounds until this one
	Stale    uint64        `cbor:"18,keyasint,omitempty"` // rounds since then that measured no better one
	Columns  []Moments     `cbor:"19,keyasint,omitempty"` // of round 0: by which numbers are scaled; none: as the job's schema says
}

// Validate checks form: not whether the outcome follows from the round.
func (o *Outcome) Validate() error {
	switch {
	case o.Job.IsZero() || o.State.IsZero() || o.Round > protocol.MaxTrainRounds:
		return invalid("outcome of round %d", o.Round)
	case o.Base.IsZero() != (o.Round == 0) || o.Parent.IsZero() != (o.Round == 0):
		return invalid("outcome of round %d and what was before", o.Round)
	case len(o.Members) == 0 || len(o.Slices) > protocol.MaxTrainMembers || len(o.Slices) == 0 != (o.Round == 0):
		return invalid("outcome of %d slices and %d members", len(o.Slices), len(o.Members))
	case !finite(o.Loss) || !o.Measured.valid() || !o.Best.valid() || o.Stale > protocol.MaxTrainRounds || o.Samples > math.MaxInt64 || o.End > EndSpent || !o.Senders.Within(len(o.Slices)):
		return invalid("outcome with loss %v of %d samples, end %d", o.Loss, o.Samples, o.End)
	case len(o.Joined) > protocol.MaxTrainChanges || len(o.Left) > protocol.MaxTrainMembers || len(o.Expelled) > protocol.MaxTrainChanges:
		return invalid("outcome with %d joined, %d left, %d expelled", len(o.Joined), len(o.Left), len(o.Expelled))
	}
	if o.Round > 0 && len(o.Columns) > 0 {
		return invalid("outcome of round %d with %d columns", o.Round, len(o.Columns))
	}
	if err := ValidMoments(o.Columns); err != nil {
		return err
	}
	if stops := len(o.Stopped); stops > 1 || (stops == 1) != (o.End == EndStopped) {
		return invalid("outcome of end %d with %d words of the initiator", o.End, stops)
	}
	for _, list := range [][]Sealed{o.Joined, o.Left, o.Stopped} {
		for i := range list {
			if err := list[i].Validate(); err != nil {
				return err
			}
		}
	}
	for i := range o.Expelled {
		e := &o.Expelled[i]
		if err := e.Peer.Validate(); err != nil {
			return err
		}
		for _, s := range []*Sealed{&e.First, &e.Second} {
			if err := s.Validate(); err != nil {
				return err
			}
		}
	}
	return sortedPeers(o.Members, protocol.MaxTrainMembers)
}

// ID returns the hash that votes name.
func (o *Outcome) ID() (Hash, error) {
	b, err := wire.Encode(o)
	return HashOf(b), err
}

// Proposal is the outcome that the leader of a view proposes.
type Proposal struct {
	Job       Hash        `cbor:"1,keyasint"`
	Round     uint64      `cbor:"2,keyasint"`
	View      uint64      `cbor:"3,keyasint"`
	ValidView int64       `cbor:"4,keyasint"` // the earlier view in which a quorum had voted for it; -1: none
	Peer      wire.PeerID `cbor:"5,keyasint"` // signs
	Outcome   Outcome     `cbor:"6,keyasint"`
}

// Kind implements Body.
func (*Proposal) Kind() Kind { return KindProposal }

// Signer implements Body.
func (p *Proposal) Signer() wire.PeerID { return p.Peer }

// Validate checks form.
func (p *Proposal) Validate() error {
	if err := validRound(p.Job, p.Round, p.Peer); err != nil {
		return err
	}
	if p.View > protocol.MaxTrainViews || p.ValidView < -1 || p.ValidView >= int64(p.View) || p.Outcome.Job != p.Job || p.Outcome.Round != p.Round {
		return invalid("proposal of view %d, valid since %d", p.View, p.ValidView)
	}
	return p.Outcome.Validate()
}

// Step is which of the two votes of a view a vote is.
type Step uint8

// The steps of a view.
const (
	Prevote   Step = 1
	Precommit Step = 2
)

// Vote is a member's word on the outcome of a round.
type Vote struct {
	Job     Hash        `cbor:"1,keyasint"`
	Round   uint64      `cbor:"2,keyasint"`
	View    uint64      `cbor:"3,keyasint"`
	Step    Step        `cbor:"4,keyasint"`
	Outcome Hash        `cbor:"5,keyasint"` // none: against all
	Peer    wire.PeerID `cbor:"6,keyasint"` // signs
}

// Kind implements Body.
func (*Vote) Kind() Kind { return KindVote }

// Signer implements Body.
func (v *Vote) Signer() wire.PeerID { return v.Peer }

// Validate checks form.
func (v *Vote) Validate() error {
	if err := validRound(v.Job, v.Round, v.Peer); err != nil {
		return err
	}
	if v.Step != Prevote && v.Step != Precommit || v.View > protocol.MaxTrainViews {
		return invalid("vote %d of view %d", v.Step, v.View)
	}
	return nil
}

// Certificate is an outcome with the signatures that make it final: the initiator's Job for
// round 0, else precommits of a quorum of the round's members.
type Certificate struct {
	Peer       wire.PeerID `cbor:"1,keyasint"` // signs: who passes it on
	Outcome    Outcome     `cbor:"2,keyasint"`
	View       uint64      `cbor:"3,keyasint"`
	Signers    Set         `cbor:"4,keyasint"`
	Signatures [][]byte    `cbor:"5,keyasint"` // of their votes, in the order of members
}

// Kind implements Body.
func (*Certificate) Kind() Kind { return KindCertificate }

// Signer implements Body.
func (c *Certificate) Signer() wire.PeerID { return c.Peer }

// Validate checks form; Verify decides.
func (c *Certificate) Validate() error {
	if err := c.Peer.Validate(); err != nil {
		return err
	}
	if c.View > protocol.MaxTrainViews || len(c.Signatures) != c.Signers.Len() || c.Outcome.Round == 0 != (c.Signers == 0) {
		return invalid("certificate of round %d and view %d with %d signatures", c.Outcome.Round, c.View, len(c.Signatures))
	}
	for _, s := range c.Signatures {
		if len(s) != ed25519.SignatureSize {
			return invalid("signature of %d bytes", len(s))
		}
	}
	return c.Outcome.Validate()
}

// Verify checks that a quorum of the round's members, which the certificate of the round before
// names, signed the outcome.
func (c *Certificate) Verify(members []wire.PeerID, q Quorum) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if !c.Signers.Within(len(members)) || c.Signers.Len() < q.Of(max(len(members), 1)) {
		return invalid("certificate of round %d: %d of %d members signed it, want %d", c.Outcome.Round, c.Signers.Len(), len(members), q.Of(max(len(members), 1)))
	}
	id, err := c.Outcome.ID()
	if err != nil {
		return err
	}
	left := c.Signatures
	for i, m := range members {
		if !c.Signers.Has(i) {
			continue
		}
		v := Vote{Job: c.Outcome.Job, Round: c.Outcome.Round, View: c.View, Step: Precommit, Outcome: id, Peer: m}
		payload, err := wire.Encode(&v)
		if err != nil {
			return err
		}
		if err := verify(m, KindVote, payload, left[0]); err != nil {
			return err
		}
		left = left[1:]
	}
	return nil
}

// Place returns the place of a peer among sorted members, or -1.
func Place(members []wire.PeerID, p wire.PeerID) int {
	if i, ok := slices.BinarySearch(members, p); ok {
		return i
	}
	return -1
}
