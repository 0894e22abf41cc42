package round

import (
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// Message is a signed message and what it says.
type Message struct {
	Sealed *train.Sealed
	Body   train.Body // what Sealed.Open gave
}

// Open verifies a signed message.
func Open(s *train.Sealed) (Message, error) {
	b, err := s.Open()
	return Message{Sealed: s, Body: b}, err
}

// Send is signed messages that go together to one peer, or to all that follow the job. They
// are to be given to one call of [Machine.Step] there. They may be lost, doubled and
// reordered.
type Send struct {
	To       wire.PeerID // empty: all
	Messages []*train.Sealed
}

// Reduce asks to make the result of the own slice of those of some members.
type Reduce struct {
	Round uint64
	Slice int       // place of this member
	From  train.Set // whose slices to take; this member's own may be among them
}

// Fetch asks for the result of a slice: from its owner or whoever else has it.
type Fetch struct {
	Round  uint64
	Slice  int
	Result train.Hash
	Bytes  uint64
	Owner  wire.PeerID
}

// Apply asks what the state would be after an outcome. The state that stands is not changed.
// Slices without a result change nothing of their part of it.
type Apply struct {
	Draft   train.Hash     // names the question
	Outcome *train.Outcome // State and End are not yet known: State is Base
}

// Commit asks to put a certified outcome in the place of the last one.
type Commit struct {
	Certificate *train.Certificate
	// Draft names the answer of [Machine.Applied] that is to become the state. The zero
	// value: the state that the driver has stays, for it is the certified one already, or
	// this peer is no member and has none.
	Draft train.Hash
}

// FetchState asks for a certified state from other peers. A later one takes its place.
type FetchState struct {
	Round uint64
	Root  train.Hash
	Peers []wire.PeerID // who has it, as far as is known; not this peer
}

// Chain asks for certificates from a round on.
type Chain struct {
	From uint64
	Peer wire.PeerID // is known to have them
}

// Ready is what the driver has to do, in the order of the fields. What asks for an answer
// may be answered later, in any order, or not at all where the driver cannot; it is void when
// the round it is of is over.
type Ready struct {
	// Persist, if not nil, replaces what was saved before; it must be durable before
	// anything below is done.
	Persist *Saved
	Send    []Send
	// Reveal names the owners to which slices of the own update may now go: to the member
	// at place i of the own group slice i. The driver tries until they are there or the round is over.
	Reveal     []wire.PeerID
	Reduce     *Reduce     // answer: Reduced
	Fetch      []Fetch     // answer: Fetched
	Apply      []Apply     // answer: Applied
	Commit     *Commit     // answer: Committed
	FetchState *FetchState // answer: Stated
	Chain      *Chain      // answer: Learn
	Evidence   []train.Expelled
}

// Empty reports whether there is nothing to do.
func (r *Ready) Empty() bool {
	return r.Persist == nil && len(r.Send) == 0 && len(r.Reveal) == 0 && r.Reduce == nil && len(r.Fetch) == 0 && len(r.Apply) == 0 &&
		r.Commit == nil && r.FetchState == nil && r.Chain == nil && len(r.Evidence) == 0
}

// Phase is how far a round is at one member.
type Phase string

// The phases of a round.
const (
	Outside  Phase = "outside"  // this peer is no member
	Work     Phase = "work"     // its own update is awaited
	Headers  Phase = "headers"  // those of the others are awaited
	Slices   Phase = "slices"   // as the owner of a slice it awaits those of the others
	Results  Phase = "results"  // those of the owners are awaited
	Agreeing Phase = "agreeing" // on an outcome
	Catching Phase = "catching" // up with the certified state
	Ending   Phase = "ending"   // the outcome is certified and is put in place
	Over     Phase = "over"     // the job has ended
)

// Status tells a person where a member stands.
type Status struct {
	Round   uint64
	Phase   Phase
	Members int
	Headers int // how many members have sent one
	Quorum  int
	// Heard is how many members, this one included, have been heard in this round lately.
	// After the work is done a round with fewer than Quorum does not go on.
	Heard int
	View  int // of the agreement; -1 before it
}
