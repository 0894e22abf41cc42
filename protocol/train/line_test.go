package train_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// shorthands are those of both ends of a line of peer A, in a round after that of an outcome.
func shorthands(t *testing.T, o *train.Outcome) (says, hears *train.Shorthand) {
	t.Helper()
	c, err := train.CommonOf(o)
	if err != nil {
		t.Fatal(err)
	}
	speaker := train.Place(o.Members, id(3))
	return &train.Shorthand{Common: c, Speaker: speaker}, &train.Shorthand{Common: c, Speaker: speaker}
}

// TestShorthand brings what the members of round 1 sign over a line: all comes as it was signed, and
// little is carried beside signatures and what the round found.
func TestShorthand(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	says, hears := shorthands(t, &c.first.Outcome)
	a, b := id(3), id(4)
	voteB := *c.precommit
	voteB.Peer = b
	proposalA := *c.proposal
	proposalA.Peer, proposalA.View = a, 3
	joins := *c.proposal
	joins.Peer, joins.Outcome.Members = a, []wire.PeerID{a}
	voteJoins := &train.Vote{Job: c.jobID, Round: 1, View: 2, Step: train.Prevote, Peer: a}
	var err error
	if voteJoins.Outcome, err = joins.Outcome.ID(); err != nil {
		t.Fatal(err)
	}
	lateA := *c.header
	lateA.Round, lateA.Base = 9, hash(9)
	for _, tt := range []struct {
		name string
		body train.Body
		size int // of the payload, at most; 0: it is whole
	}{
		{"header", c.header, 115},
		{"result", &train.Reduced{Job: c.jobID, Round: 1, Peer: a, Slice: uint64(train.Place(specMembers, a)), Result: hash(4), Bytes: 5, From: 3}, 45},
		{"vote", c.precommit, 40},
		{"another vote for the same", &train.Vote{Job: c.jobID, Round: 1, Step: train.Prevote, Outcome: c.outcomeID, Peer: a}, 3},
		{"vote for nothing", &train.Vote{Job: c.jobID, Round: 1, View: 1, Step: train.Prevote, Peer: a}, 7},
		{"vote for nothing again", &train.Vote{Job: c.jobID, Round: 1, View: 1, Step: train.Precommit, Peer: a}, 5},
		{"vote of another member", &voteB, 40},
		{"proposal", &proposalA, 150},
		{"vote for what was proposed", &train.Vote{Job: c.jobID, Round: 1, View: 3, Step: train.Prevote, Outcome: c.outcomeID, Peer: a}, 5},
		{"proposal with other members", &joins, 190},
		{"vote for it", voteJoins, 5},
		{"header of another round", &lateA, 155},
		{"leave", c.leave, 0},
		{"join", c.join, 0},
		{"certificate", c.second, 0},
	} {
		sealed := seal(t, tt.body)
		w := says.Short(sealed, tt.body.Signer())
		if err := w.Validate(); err != nil || w.Whole != (tt.size == 0) || !w.Whole && len(w.Payload) > tt.size {
			t.Errorf("%s: whole is %t, %d bytes of %d, want %d: %v", tt.name, w.Whole, len(w.Payload), len(sealed.Payload), tt.size, err)
		}
		if w.Whole {
			if _, err := hears.Whole(&w); err == nil || !bytes.Equal(w.Payload, sealed.Payload) {
				t.Errorf("%s: a whole word is read as a short one, or has other bytes", tt.name)
			}
			continue
		}
		got, err := hears.Whole(&w)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if _, err := got.Open(); err != nil || !bytes.Equal(got.Payload, sealed.Payload) {
			t.Errorf("%s: got %x, want %x: %v", tt.name, got.Payload, sealed.Payload, err)
		}
	}
}

// TestShorthandOfStrangers is what no honest end of a line says.
func TestShorthandOfStrangers(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	says, hears := shorthands(t, &c.first.Outcome)
	good := says.Short(seal(t, c.precommit), id(3))
	for name, change := range map[string]func(w *train.Word){
		"of a member that is none": func(w *train.Word) { w.Author = 3 },
		"no map":                   func(w *train.Word) { w.Payload = []byte{1} },
		"more than a map":          func(w *train.Word) { w.Payload = append(slices.Clone(w.Payload), 0) },
		"a kind that has no short": func(w *train.Word) { w.Kind = train.KindLeave },
		"a signature cut off":      func(w *train.Word) { w.Signature = w.Signature[1:] },
	} {
		w := good
		if change(&w); w.Validate() == nil {
			if _, err := hears.Whole(&w); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	}
	other := seal(t, c.leave)
	if w := says.Short(other, "nobody"); !w.Whole {
		t.Error("a message of no member is short")
	}
}

// FuzzWords reads frames of lines, and what is short in them.
func FuzzWords(f *testing.F) {
	add := func(w *train.Words) {
		if b, err := wire.Encode(w); err == nil {
			f.Add(b)
		}
	}
	add(&train.Words{Round: 1, New: []train.Word{{Kind: train.KindVote, Payload: []byte{0xa1, 4, 2}, Signature: make([]byte, 64)}}, Again: []uint64{1, 0}})
	add(&train.Words{Round: 2, Reach: []train.Set{5}, Pass: []train.Pass{{Place: 1, Words: []uint64{0}}}})
	add(&train.Words{Round: 1, New: []train.Word{{Kind: train.KindProposal, Payload: []byte{0xa1, 6, 0xa0}, Signature: make([]byte, 64), Author: 1}}})
	members := []wire.PeerID{id(3), id(4)}
	slices.Sort(members)
	f.Fuzz(func(t *testing.T, data []byte) {
		w := new(train.Words)
		if wire.Decode(data, w) != nil {
			return
		}
		h := &train.Shorthand{Common: &train.Common{Job: hash(1), Round: w.Round, Base: hash(2), Parent: hash(3), Members: members}}
		for i := range w.New {
			s, err := h.Whole(&w.New[i])
			if err != nil {
				continue
			}
			if b, err := s.Open(); err == nil {
				t.Fatalf("a %T was signed", b)
			}
		}
	})
}
