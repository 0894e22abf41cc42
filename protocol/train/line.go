package train

import (
	"crypto/ed25519"
	"slices"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// The frame types of protocol.Agree, in the space of wire's types.
const (
	TypeLine  frame.Type = 96 // Line: the first frame
	TypeWords frame.Type = 97 // Words
	TypeHeard frame.Type = 98 // empty: the answer to each Words
)

// Line opens a stream of messages from one member of a job to another.
type Line struct {
	Job Hash `cbor:"1,keyasint"`
}

// Validate checks form.
func (l *Line) Validate() error {
	if l.Job.IsZero() {
		return invalid("line of no job")
	}
	return nil
}

// Word is a signed message as a line carries it. Those that are no longer than
// protocol.MaxTrainSmall are remembered at both ends, the last protocol.MaxTrainWords of them.
type Word struct {
	Kind      Kind   `cbor:"1,keyasint"`
	Payload   []byte `cbor:"2,keyasint"` // without what both ends know, see Short
	Signature []byte `cbor:"3,keyasint"`
	Author    uint64 `cbor:"4,keyasint,omitempty"` // 1 + place of the member that signed it; 0: the one that speaks
	Whole     bool   `cbor:"5,keyasint,omitempty"` // the payload is all of it
}

// Validate checks form and sizes.
func (w *Word) Validate() error {
	k, ok := kinds[w.Kind]
	switch {
	case !ok || w.Kind == KindJob || w.Kind == KindAnnounce || w.Kind == KindVector:
		return invalid("word of kind %d", w.Kind)
	case len(w.Payload) == 0 || len(w.Payload) > k.limit:
		return invalid("word of kind %d in %d bytes, at most %d", w.Kind, len(w.Payload), k.limit)
	case len(w.Signature) != ed25519.SignatureSize:
		return invalid("signature of %d bytes", len(w.Signature))
	case w.Author > protocol.MaxTrainMembers || w.Whole && w.Author != 0:
		return invalid("word of member %d", w.Author)
	}
	return nil
}

// Remembered reports whether both ends of a line remember the word.
func (w *Word) Remembered() bool { return len(w.Payload) <= protocol.MaxTrainSmall }

// Words is what a member says at once. A number names a word that both ends remember: 0 is the
// last one of this frame, or before it, 1 the one before that.
type Words struct {
	Round uint64   `cbor:"1,keyasint"` // that it is in
	New   []Word   `cbor:"2,keyasint,omitempty"`
	Again []uint64 `cbor:"3,keyasint,omitempty"`
	Reach []Set    `cbor:"4,keyasint,omitempty"` // one, where that has changed: the members that its lines reach
	Pass  []Pass   `cbor:"5,keyasint,omitempty"`
}

// Pass asks to pass words on to a member that the speaker does not reach.
type Pass struct {
	Place uint64   `cbor:"1,keyasint"`
	Words []uint64 `cbor:"2,keyasint"`
}

// Validate checks form and sizes.
func (w *Words) Validate() error {
	if w.Round > protocol.MaxTrainRounds || len(w.New) > protocol.MaxTrainBundle || len(w.Reach) > 1 || len(w.Pass) > protocol.MaxTrainMembers {
		return invalid("%d words in round %d, %d to pass on", len(w.New), w.Round, len(w.Pass))
	}
	for i := range w.New {
		if err := w.New[i].Validate(); err != nil {
			return err
		}
	}
	lists := [][]uint64{w.Again}
	for _, p := range w.Pass {
		if p.Place >= protocol.MaxTrainMembers || len(p.Words) == 0 {
			return invalid("%d words for member %d", len(p.Words), p.Place)
		}
		lists = append(lists, p.Words)
	}
	for _, list := range lists {
		if len(list) > protocol.MaxTrainWords {
			return invalid("%d numbers of words", len(list))
		}
		for _, n := range list {
			if n >= protocol.MaxTrainWords {
				return invalid("word %d", n)
			}
		}
	}
	return nil
}

// LineLimits returns what the hearing side of a line accepts.
func LineLimits() frame.Limits {
	return frame.Limits{TypeLine: protocol.MaxControl, TypeWords: protocol.MaxTrainMessage}
}

// HeardLimits returns what the speaking side of a line accepts.
func HeardLimits() frame.Limits { return frame.Limits{TypeHeard: 0} }

// Common is what all members know of a round before it begins.
type Common struct {
	Job     Hash
	Round   uint64
	Base    Hash          // root of the state before it
	Parent  Hash          // id of the outcome before it
	Members []wire.PeerID // sorted
}

// CommonOf returns what a certified outcome says of the next round.
func CommonOf(o *Outcome) (*Common, error) {
	parent, err := o.ID()
	return &Common{Job: o.Job, Round: o.Round + 1, Base: o.State, Parent: parent, Members: o.Members}, err
}

// Shorthand makes messages of a round short that one member says to another, and whole again. Both
// ends have one of their own, and use it for the same words in the same order. Its zero value with
// Common and Speaker is ready.
type Shorthand struct {
	*Common
	Speaker int // place

	voted []byte // encoded: the outcome that the speaker voted for, or proposed, last; nil: none
}

// Short returns a message without what the other end knows, or whole if it is not of the round.
func (s *Shorthand) Short(m *Sealed, by wire.PeerID) Word {
	whole := Word{Kind: m.Kind, Payload: m.Payload, Signature: m.Signature, Whole: true}
	author := Place(s.Members, by)
	pairs, err := wire.Pairs(m.Payload)
	if author < 0 || err != nil {
		return whole
	}
	w := Word{Kind: m.Kind, Signature: m.Signature}
	if author != s.Speaker {
		w.Author = uint64(author) + 1
	}
	known := s.known(m.Kind, author)
	if known == nil {
		return whole
	}
	if m.Kind == KindProposal {
		for i, p := range pairs {
			if inner, err := wire.Pairs(p.Value); err == nil && slices.Equal(p.Key, outcomeKey) {
				pairs[i].Value = wire.JoinPairs(without(inner, s.outcome()))
			}
		}
	}
	w.Payload = wire.JoinPairs(without(pairs, known))
	if back, err := s.whole(&w, author); err != nil || !slices.Equal(back, m.Payload) {
		return whole
	}
	s.note(m.Kind, author, m.Payload)
	return w
}

// Whole returns the message that was made short. Nothing of it is checked but its form.
func (s *Shorthand) Whole(w *Word) (*Sealed, error) {
	author := s.Speaker
	if w.Author > 0 {
		author = int(w.Author) - 1
	}
	if author < 0 || author >= len(s.Members) || w.Whole {
		return nil, invalid("short word of member %d of %d", author, len(s.Members))
	}
	payload, err := s.whole(w, author)
	if err != nil {
		return nil, err
	}
	s.note(w.Kind, author, payload)
	m := &Sealed{Kind: w.Kind, Payload: payload, Signature: w.Signature}
	return m, m.Validate()
}

func (s *Shorthand) whole(w *Word, author int) ([]byte, error) {
	known := s.known(w.Kind, author)
	pairs, err := wire.Pairs(w.Payload)
	if err != nil || known == nil {
		return nil, invalid("short word of kind %d", w.Kind)
	}
	if w.Kind == KindProposal {
		for i, p := range pairs {
			if slices.Equal(p.Key, outcomeKey) {
				inner, err := wire.Pairs(p.Value)
				if err != nil {
					return nil, err
				}
				pairs[i].Value = wire.JoinPairs(with(inner, s.outcome()))
			}
		}
	}
	return wire.JoinPairs(with(pairs, known)), nil
}

// outcomeKey is that of the outcome in a proposal.
var outcomeKey = wire.RawUint(6)

// note remembers what the speaker votes for.
func (s *Shorthand) note(k Kind, author int, payload []byte) {
	if author != s.Speaker || k != KindVote && k != KindProposal {
		return
	}
	pairs, err := wire.Pairs(payload)
	if err != nil {
		return
	}
	for _, p := range pairs {
		switch {
		case k == KindVote && p.Key[0] == 5:
			s.voted = slices.Clone(p.Value)
		case k == KindProposal && slices.Equal(p.Key, outcomeKey):
			id := HashOf(p.Value)
			s.voted = wire.RawBytes(id[:])
		}
	}
}

// known returns the pairs of a kind of message that both ends know; nil: it is sent whole.
func (s *Shorthand) known(k Kind, author int) []wire.Pair {
	peer := wire.RawBytes([]byte(s.Members[author]))
	list := []wire.Pair{pair(1, wire.RawBytes(s.Job[:])), pair(2, wire.RawUint(s.Round))}
	switch k {
	case KindHeader:
		return append(list, pair(3, peer), pair(4, wire.RawBytes(s.Base[:])))
	case KindReduced:
		return append(list, pair(3, peer), pair(4, wire.RawUint(uint64(author))))
	case KindProposal:
		return append(list, pair(3, wire.RawUint(0)), pair(4, wire.RawNegative(0)), pair(5, peer))
	case KindVote:
		list = append(list, pair(3, wire.RawUint(0)))
		if s.voted != nil && author == s.Speaker {
			list = append(list, pair(5, s.voted))
		}
		return append(list, pair(6, peer))
	}
	return nil
}

// outcome returns the pairs of an outcome that both ends know, unless members come or go.
func (s *Shorthand) outcome() []wire.Pair {
	members := make([][]byte, len(s.Members))
	for i, m := range s.Members {
		members[i] = wire.RawBytes([]byte(m))
	}
	return []wire.Pair{
		pair(1, wire.RawBytes(s.Job[:])), pair(2, wire.RawUint(s.Round)), pair(3, wire.RawBytes(s.Base[:])), pair(4, wire.RawBytes(s.Parent[:])),
		pair(6, wire.RawArray(members)),
	}
}

func pair(key uint64, value []byte) wire.Pair { return wire.Pair{Key: wire.RawUint(key), Value: value} }

// without leaves out the pairs that are known.
func without(pairs, known []wire.Pair) []wire.Pair {
	return slices.DeleteFunc(slices.Clone(pairs), func(p wire.Pair) bool {
		return slices.ContainsFunc(known, func(k wire.Pair) bool { return slices.Equal(k.Key, p.Key) && slices.Equal(k.Value, p.Value) })
	})
}

// with takes in those known pairs whose keys are not there.
func with(pairs, known []wire.Pair) []wire.Pair {
	out := slices.Clone(pairs)
	for _, k := range known {
		if !slices.ContainsFunc(pairs, func(p wire.Pair) bool { return slices.Equal(k.Key, p.Key) }) {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, wire.ComparePairs)
	return out
}
