package agree

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// MaxView is the highest view of a message that is looked at.
const MaxView = 1 << 20

// ID names a value: its hash. The zero ID is nothing: a vote for no value.
type ID [32]byte

// IsNil reports whether the ID names no value.
func (id ID) IsNil() bool { return id == ID{} }

// String is the first four bytes in hexadecimal, or nil.
func (id ID) String() string {
	if id.IsNil() {
		return "nil"
	}
	return fmt.Sprintf("%x", id[:4])
}

// MarshalText returns 64 hexadecimal digits, nothing for the zero ID.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsNil() {
		return []byte{}, nil
	}
	return fmt.Appendf(nil, "%x", id[:]), nil
}

// UnmarshalText reads what MarshalText made.
func (id *ID) UnmarshalText(text []byte) error {
	*id = ID{}
	if len(text) == 0 {
		return nil
	}
	if n, err := hex.Decode(id[:], text[:min(len(text), 2*len(id))]); err != nil || n != len(id) || len(text) != 2*len(id) {
		return fmt.Errorf("id %.80q: want %d hexadecimal digits", text, 2*len(id))
	}
	return nil
}

// Kind says what a message is.
type Kind uint8

// The kinds of messages.
const (
	Proposal  Kind = iota + 1 // the leader's value of a view
	Prevote                   // this value may be decided, or nil
	Precommit                 // a quorum prevoted this value, or nil
)

// String is the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Proposal:
		return "proposal"
	case Prevote:
		return "prevote"
	case Precommit:
		return "precommit"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Msg is what one member says in one view. Its slices are not changed by anybody once it
// was given to a machine or came from one.
type Msg struct {
	Kind Kind
	View int // from 0
	From int // index of the member that signed it
	ID   ID  // of a proposal never nil

	// Of a proposal only.
	ValidView int    // the view whose quorum of prevotes Proof shows, or -1
	Value     []byte // what is proposed; ID is its hash
	Proof     []Msg  // prevotes of ValidView for ID by a quorum, else empty; not covered by From's signature

	Raw []byte // the message as its sender signed it, opaque to the machine
}

// Certificate shows that a value was decided: precommits for it in one view by a quorum.
type Certificate struct {
	View       int
	ID         ID
	Value      []byte
	Precommits []Msg // one of each signer, in ascending order of From
}

// Evidence is two messages by which one member contradicts itself.
type Evidence struct {
	Member int
	A, B   Msg
}

// Contradicts reports whether no honest member signs both messages: the same member, view
// and kind, but not the same content. It does not look at signatures.
func Contradicts(a, b Msg) bool {
	if a.From != b.From || a.View != b.View || a.Kind != b.Kind {
		return false
	}
	return a.ID != b.ID || a.Kind == Proposal && a.ValidView != b.ValidView
}

// Verify checks that the certificate has precommits for its value by quorum different
// members of n. Signatures, and that ID is the hash of Value, are the caller's to check.
func (c *Certificate) Verify(n, quorum int) error {
	if c.ID.IsNil() {
		return errors.New("certificate for no value")
	}
	return checkVotes(c.Precommits, Precommit, c.View, c.ID, n, quorum)
}

// checkVotes checks that votes are of quorum different members, all alike.
func checkVotes(votes []Msg, kind Kind, view int, id ID, n, quorum int) error {
	if len(votes) < quorum || len(votes) > n {
		return fmt.Errorf("%d %ss where %d to %d are needed", len(votes), kind, quorum, n)
	}
	last := -1
	for _, v := range votes {
		if v.Kind != kind || v.View != view || v.ID != id {
			return fmt.Errorf("a %s for %v of view %d among the %ss for %v of view %d", v.Kind, v.ID, v.View, kind, id, view)
		}
		if v.From <= last || v.From >= n {
			return fmt.Errorf("the %ss are not of different members in ascending order", kind)
		}
		last = v.From
	}
	return nil
}

// check says what is wrong with a message that no honest member sends.
func (c *Config) check(m *Msg) error {
	switch {
	case m.From < 0 || m.From >= c.N:
		return fmt.Errorf("%s of member %d of %d", m.Kind, m.From, c.N)
	case m.View < 0 || m.View > MaxView:
		return fmt.Errorf("%s of view %d, at most %d", m.Kind, m.View, MaxView)
	case m.Kind == Prevote || m.Kind == Precommit:
		if len(m.Value) > 0 || len(m.Proof) > 0 {
			return fmt.Errorf("%s with what only proposals have", m.Kind)
		}
		return nil
	case m.Kind != Proposal:
		return fmt.Errorf("message of %v", m.Kind)
	case m.ID.IsNil():
		return errors.New("proposal of no value")
	case m.From != c.Leader(m.View):
		return fmt.Errorf("proposal of member %d; the leader of view %d is %d", m.From, m.View, c.Leader(m.View))
	case m.ValidView < -1 || m.ValidView >= m.View:
		return fmt.Errorf("proposal of view %d with votes of view %d", m.View, m.ValidView)
	case m.ValidView < 0 && len(m.Proof) > 0:
		return errors.New("proposal with votes of no view")
	case m.ValidView >= 0:
		if err := checkVotes(m.Proof, Prevote, m.ValidView, m.ID, c.N, c.Quorum); err != nil {
			return fmt.Errorf("proof of a proposal: %w", err)
		}
	}
	return nil
}
