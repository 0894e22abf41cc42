package agree

import "slices"

// tally is what was said in one view: of each member the first vote of each kind.
type tally struct {
	proposal *Msg
	votes    [2][]*Msg // prevotes and precommits, by member
}

func newTally(n int) tally {
	return tally{votes: [2][]*Msg{make([]*Msg, n), make([]*Msg, n)}}
}

func (t *tally) slot(msg *Msg) **Msg {
	if msg.Kind == Proposal {
		return &t.proposal
	}
	return &t.votes[msg.Kind-Prevote][msg.From]
}

// get is the message that is kept in the place of another, or nil.
func (t *tally) get(msg *Msg) *Msg { return *t.slot(msg) }

// add keeps a message if its place is free, and returns what is kept there.
func (t *tally) add(msg *Msg) *Msg {
	s := t.slot(msg)
	if *s == nil {
		*s = msg
	}
	return *s
}

// count is how many members have cast a vote.
func (t *tally) count(kind Kind) int {
	n := 0
	for _, v := range t.votes[kind-Prevote] {
		if v != nil {
			n++
		}
	}
	return n
}

// quorum returns the votes of a quorum that are alike, in ascending order of members, or
// nothing. A quorum is more than half, so there is at most one such ID.
func (t *tally) quorum(kind Kind, need int) []Msg {
	votes := t.votes[kind-Prevote]
	counts := map[ID]int{}
	for _, v := range votes {
		if v == nil {
			continue
		}
		if counts[v.ID]++; counts[v.ID] < need {
			continue
		}
		return slices.DeleteFunc(t.votesOf(kind), func(w Msg) bool { return w.ID != v.ID })
	}
	return nil
}

// votesOf is every vote of a kind.
func (t *tally) votesOf(kind Kind) []Msg {
	var out []Msg
	for _, v := range t.votes[kind-Prevote] {
		if v != nil {
			out = append(out, *v)
		}
	}
	return out
}

// heard reports whether a member has voted.
func (t *tally) heard(member int) bool {
	return t.votes[0][member] != nil || t.votes[1][member] != nil || t.proposal != nil && t.proposal.From == member
}

// all is every message that is kept, the proposal first.
func (t *tally) all() []Msg {
	var out []Msg
	if t.proposal != nil {
		out = append(out, *t.proposal)
	}
	return append(append(out, t.votesOf(Prevote)...), t.votesOf(Precommit)...)
}

// said is what one member said in one view later than the machine's: at most one message
// of each kind, so that what a member can make others keep is bounded.
type said struct {
	view int
	msgs [3]*Msg // by kind
}

func (s *said) any() bool { return s.msgs[0] != nil || s.msgs[1] != nil || s.msgs[2] != nil }

// add keeps a message of the latest view that was seen, and returns what is kept in its
// place, nil for a message of an earlier view.
func (s *said) add(msg *Msg) *Msg {
	if s.any() && msg.View < s.view {
		return nil
	}
	if msg.View != s.view {
		*s = said{view: msg.View}
	}
	p := &s.msgs[msg.Kind-Proposal]
	if *p == nil {
		*p = msg
	}
	return *p
}

// all is every message that is kept.
func (s *said) all() []Msg {
	var out []Msg
	for _, m := range s.msgs {
		if m != nil {
			out = append(out, *m)
		}
	}
	return out
}

// pour moves the messages into the tally of their view.
func (s *said) pour(t *tally) {
	for _, m := range s.msgs {
		if m != nil {
			t.add(m)
		}
	}
	*s = said{}
}
