package train

import (
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// The frame types of protocol.Train, in the space of wire's types.
const (
	TypePut    frame.Type = 80 // Put: data follows
	TypeData   frame.Type = 81 // bytes of a slice or a result, at most MaxTrainData each
	TypeTaken  frame.Type = 82 // the answer to a Put, empty: all of it is there and has the hash that was committed to
	TypeGet    frame.Type = 83 // Get: data follows as the answer
	TypeChain  frame.Type = 84 // Chain
	TypeSealed frame.Type = 85 // Sealed: a certificate, as the answer to a Chain
	TypeState  frame.Type = 86 // State
	TypeLeaves frame.Type = 87 // hashes of blocks of 32 bytes each, as the answer to a State
	TypeJob    frame.Type = 88 // Chain without a round: asks for the Job, which comes as a Sealed
	TypeBoard  frame.Type = 90 // empty: asks for the announcements of jobs that the peer has heard, which come as Sealed
	TypeTell   frame.Type = 89 // Bundle: messages for one member, which it takes as those that are gossiped; the answer is Taken
)

// Put brings a slice of the sender's update to its owner. Bytes of data follow.
type Put struct {
	Job   Hash   `cbor:"1,keyasint"`
	Round uint64 `cbor:"2,keyasint"`
	Slice uint64 `cbor:"3,keyasint"`
	Bytes uint64 `cbor:"4,keyasint"`
}

// Validate checks form.
func (p *Put) Validate() error {
	if p.Job.IsZero() || p.Round == 0 || p.Round > protocol.MaxTrainRounds || p.Slice >= protocol.MaxTrainMembers || p.Bytes == 0 || p.Bytes > protocol.MaxTrainSlice {
		return invalid("slice %d of round %d in %d bytes", p.Slice, p.Round, p.Bytes)
	}
	return nil
}

// Get asks for the result of a slice, from its owner or whoever has it by now.
type Get struct {
	Job    Hash   `cbor:"1,keyasint"`
	Round  uint64 `cbor:"2,keyasint"`
	Slice  uint64 `cbor:"3,keyasint"`
	Result Hash   `cbor:"4,keyasint"`
}

// Validate checks form.
func (g *Get) Validate() error {
	if g.Job.IsZero() || g.Round == 0 || g.Round > protocol.MaxTrainRounds || g.Slice >= protocol.MaxTrainMembers || g.Result.IsZero() {
		return invalid("result of slice %d of round %d", g.Slice, g.Round)
	}
	return nil
}

// Chain asks for the certificates of a job, from a round on: at most protocol.MaxTrainChain at
// once, fewer if the peer no longer has them all, and then the last ones.
type Chain struct {
	Job  Hash   `cbor:"1,keyasint"`
	From uint64 `cbor:"2,keyasint"`
}

// Validate checks form.
func (c *Chain) Validate() error {
	if c.Job.IsZero() || c.From > protocol.MaxTrainRounds {
		return invalid("certificates from round %d on", c.From)
	}
	return nil
}

// State asks for the hashes of the blocks of a state. Whoever answers has those blocks in its
// store for protocol.TrainStateLife, where the blocks protocol finds them.
type State struct {
	Job  Hash `cbor:"1,keyasint"`
	Root Hash `cbor:"2,keyasint"`
}

// Validate checks form.
func (s *State) Validate() error {
	if s.Job.IsZero() || s.Root.IsZero() {
		return invalid("state without job or root")
	}
	return nil
}

// ServerLimits returns what the answering side of a train stream accepts.
func ServerLimits() frame.Limits {
	return frame.Limits{
		TypePut: protocol.MaxControl, TypeData: protocol.MaxTrainData, TypeGet: protocol.MaxControl, TypeChain: protocol.MaxControl,
		TypeState: protocol.MaxControl, TypeJob: protocol.MaxControl, TypeTell: protocol.MaxTrainMessage, TypeBoard: 0, wire.TypeError: protocol.MaxControl,
	}
}

// ClientLimits returns what the asking side of a train stream accepts.
func ClientLimits() frame.Limits {
	return frame.Limits{
		TypeData: protocol.MaxTrainData, TypeTaken: 0, TypeSealed: MaxSealed, TypeLeaves: protocol.MaxTrainData, wire.TypeError: protocol.MaxControl,
	}
}

// MaxSealed bounds a signed job or certificate as it is sent.
const MaxSealed = protocol.MaxTrainJob + protocol.MaxControl
