package agree

import (
	"errors"
	"slices"
)

// ErrNotAsked is returned by Propose when its value is not wanted, or no longer.
var ErrNotAsked = errors.New("agree: no value is asked of this member in that view")

// Propose answers [Ready.Propose] of a view. The value is valid for this member.
func (m *Machine) Propose(view int, id ID, value []byte) error {
	if id.IsNil() || view != m.st.View || m.st.Step != StepPropose || m.st.Decision != nil ||
		m.cfg.Leader(view) != m.cfg.Me || m.cur.proposal != nil {
		return ErrNotAsked
	}
	m.propose(Backed{View: -1, ID: id, Value: value}, nil)
	m.advance()
	return nil
}

// Valid answers a [Question] of [Ready.Validate]. An answer is final; it may come after the
// value is moot.
func (m *Machine) Valid(id ID, backed, ok bool) {
	q := asked{id, backed}
	if _, known := m.valid[q]; known || !m.asked[q] {
		return
	}
	m.valid[q] = ok
	m.advance()
}

// Step takes a message of another member. An error says what no honest member sends.
func (m *Machine) Step(msg Msg) error {
	if err := m.cfg.check(&msg); err != nil {
		return err
	}
	if msg.From == m.cfg.Me { // back from the network: known, or of a life whose disk is gone
		return nil
	}
	m.take(&msg)
	for i := range msg.Proof {
		m.witness(&msg.Proof[i])
	}
	m.help(&msg)
	m.advance()
	return nil
}

// take keeps a message if it can still count.
func (m *Machine) take(msg *Msg) {
	if m.st.Decision != nil {
		return
	}
	var known *Msg
	switch view := m.st.View; {
	case msg.View == view:
		known = m.cur.add(msg)
	case msg.View == view-1:
		known = m.prev.add(msg)
	case msg.View > view:
		known = m.ahead[msg.From].add(msg)
	}
	m.accuse(known, msg)
}

// witness looks whether a message that somebody else showed contradicts a kept one.
func (m *Machine) witness(msg *Msg) {
	switch msg.View {
	case m.st.View:
		m.accuse(m.cur.get(msg), msg)
	case m.st.View - 1:
		m.accuse(m.prev.get(msg), msg)
	}
}

func (m *Machine) accuse(a, b *Msg) {
	if a == nil || m.accused[b.From] || !Contradicts(*a, *b) {
		return
	}
	m.accused[b.From] = true
	m.out.Evidence = append(m.out.Evidence, Evidence{Member: b.From, A: *a, B: *b})
}

// help shows a member that is behind what it lacks: the certificate, or the votes because
// of which this member is in a later view.
func (m *Machine) help(msg *Msg) {
	resend := m.cfg.Timeouts.Resend
	if m.now-m.helpedAt[msg.From] < resend {
		return
	}
	switch {
	case m.st.Decision != nil:
		if m.now-m.decidedAt < resend {
			return // it is about to see by itself
		}
		m.out.Send = append(m.out.Send, Send{To: msg.From, Certificate: m.st.Decision})
	case msg.View < m.st.View:
		votes := slices.Concat(m.st.Entry, m.cur.all())
		for i := range m.ahead {
			votes = append(votes, m.ahead[i].all()...)
		}
		if len(votes) == 0 {
			return
		}
		m.out.Send = append(m.out.Send, Send{To: msg.From, Msgs: votes})
	default:
		return
	}
	m.helpedAt[msg.From] = m.now
}

// Learn takes a certificate that others show. It is an error if it is not by a quorum.
func (m *Machine) Learn(c *Certificate) error {
	if err := c.Verify(m.cfg.N, m.cfg.Quorum); err != nil {
		return err
	}
	for i := range c.Precommits {
		m.witness(&c.Precommits[i])
	}
	if m.st.Decision == nil {
		m.decide(c)
	}
	return nil
}

// enter begins a view, because of some votes.
func (m *Machine) enter(view int, because []Msg) {
	if view == m.st.View+1 {
		m.prev = m.cur
	} else {
		m.prev = newTally(m.cfg.N)
	}
	m.cur = newTally(m.cfg.N)
	m.st.View, m.st.Step, m.st.Mine, m.st.Entry = view, StepPropose, nil, because
	m.stepAt, m.nextAt = m.now+m.cfg.Timeouts.of(m.cfg.Timeouts.Propose, view), 0
	m.dirty = true
	for i := range m.ahead {
		switch s := &m.ahead[i]; {
		case s.view == view:
			s.pour(&m.cur)
		case s.view == view-1:
			s.pour(&m.prev)
		case s.view < view:
			*s = said{}
		}
	}
	for q := range m.asked {
		if q.id != m.st.Valid.ID && q.id != m.st.Locked.ID {
			delete(m.asked, q)
			delete(m.valid, q)
		}
	}
	m.lead()
}

// lead proposes, or asks for a value, if this member leads the view.
func (m *Machine) lead() {
	if m.cfg.Leader(m.st.View) != m.cfg.Me {
		return
	}
	if m.st.Valid.View >= 0 {
		m.propose(m.st.Valid, m.st.Proof)
		return
	}
	m.out.Propose, m.out.View = true, m.st.View
}

func (m *Machine) propose(v Backed, proof []Msg) {
	m.valid[asked{id: v.ID}] = true
	m.utter(Msg{Kind: Proposal, ValidView: v.View, ID: v.ID, Value: v.Value, Proof: proof})
}

// vote casts the vote that ends a step.
func (m *Machine) vote(kind Kind, id ID) {
	m.st.Step, m.stepAt = StepPrevote, 0
	if kind == Precommit {
		m.st.Step = StepPrecommit
	}
	m.utter(Msg{Kind: kind, ID: id, ValidView: -1})
}

// utter signs an own message of the view, keeps it for good and sends it.
func (m *Machine) utter(msg Msg) {
	msg.View, msg.From = m.st.View, m.cfg.Me
	if m.cfg.Sign != nil {
		msg.Raw = m.cfg.Sign(msg)
	}
	m.st.Mine = append(m.st.Mine[:len(m.st.Mine):len(m.st.Mine)], msg)
	m.cur.add(&msg)
	m.dirty = true
	m.news()
	m.say(msg)
}

// advance applies the rules of the paper until none applies.
func (m *Machine) advance() {
	for m.st.Decision == nil && (m.skip() || m.conclude() || m.prevote() || m.precommit() || m.pass()) {
	}
}

// skip is line 55: so many members are in a later view that one of them is honest.
func (m *Machine) skip() bool {
	var views []int
	for i := range m.ahead {
		if m.ahead[i].any() {
			views = append(views, m.ahead[i].view)
		}
	}
	need := m.cfg.N - m.cfg.Quorum + 1
	if len(views) < need {
		return false
	}
	slices.Sort(views)
	view := views[len(views)-need]
	var because []Msg
	for i := range m.ahead {
		if s := &m.ahead[i]; s.any() && s.view >= view {
			because = append(because, s.all()...)
		}
	}
	m.enter(view, because)
	return true
}

// conclude is line 49: a quorum of precommits for one value decides, of whatever view.
func (m *Machine) conclude() bool {
	for _, t := range []*tally{&m.cur, &m.prev} {
		votes := t.quorum(Precommit, m.cfg.Quorum)
		if len(votes) == 0 || votes[0].ID.IsNil() {
			continue
		}
		value, ok := m.value(votes[0].ID)
		if !ok {
			continue // the members that know it will show it
		}
		m.decide(&Certificate{View: votes[0].View, ID: votes[0].ID, Value: value, Precommits: votes})
		return true
	}
	return false
}

func (m *Machine) decide(c *Certificate) {
	m.st.Decision, m.decidedAt = c, m.now
	m.dirty = true
	m.out.Decided = c
	m.out.Propose, m.out.Validate = false, nil
}

// value finds the value of an ID among what is known.
func (m *Machine) value(id ID) ([]byte, bool) {
	for _, p := range []*Msg{m.cur.proposal, m.prev.proposal} {
		if p != nil && p.ID == id {
			return p.Value, true
		}
	}
	for _, b := range []Backed{m.st.Valid, m.st.Locked} {
		if b.View >= 0 && b.ID == id {
			return b.Value, true
		}
	}
	return nil, false
}

// prevote is lines 22 and 28: the view's proposal is there.
func (m *Machine) prevote() bool {
	p := m.cur.proposal
	if m.st.View < 0 || m.st.Step != StepPropose || p == nil {
		return false
	}
	// A proposal of view -1 has no proof; a lock is at 0 or later.
	if free := m.st.Locked.View <= p.ValidView || m.st.Locked.ID == p.ID; !free {
		m.vote(Prevote, ID{})
		return true
	}
	ok, known := m.validity(p, p.ValidView >= 0)
	if !known {
		return false
	}
	id := p.ID
	if !ok {
		id = ID{}
	}
	m.vote(Prevote, id)
	return true
}

// validity is what the driver says of a proposal; it is asked if it has not said.
func (m *Machine) validity(p *Msg, backed bool) (ok, known bool) {
	if m.valid[asked{id: p.ID}] {
		return true, true
	}
	q := asked{p.ID, backed}
	ok, known = m.valid[q]
	if !known && !m.asked[q] {
		m.asked[q] = true
		m.out.Validate = append(m.out.Validate, Question{Proposal: *p, Backed: backed})
	}
	return ok, known
}

// precommit is lines 36 and 44: a quorum of prevotes for the proposal, or for nothing.
func (m *Machine) precommit() bool {
	if m.st.View < 0 || m.st.Step == StepPropose {
		return false
	}
	votes := m.cur.quorum(Prevote, m.cfg.Quorum)
	if len(votes) == 0 {
		return false
	}
	p, id := m.cur.proposal, votes[0].ID
	if id.IsNil() {
		if m.st.Step == StepPrevote {
			m.vote(Precommit, ID{})
			return true
		}
		return false
	}
	if p == nil || p.ID != id || m.st.Valid.View == m.st.View {
		return false
	}
	if ok, known := m.validity(p, true); !known || !ok {
		return false
	}
	backed := Backed{View: m.st.View, ID: id, Value: p.Value}
	m.st.Valid, m.st.Proof = backed, votes
	m.dirty = true
	if m.st.Step == StepPrevote {
		m.st.Locked = backed
		m.vote(Precommit, id)
	}
	return true
}

// pass is lines 34 and 47: a quorum has voted, so the others have a while left; and if a
// quorum has precommitted nothing, the view is over.
func (m *Machine) pass() bool {
	if m.st.View < 0 {
		return false
	}
	t := &m.cfg.Timeouts
	if m.st.Step == StepPrevote && m.stepAt == 0 && m.cur.count(Prevote) >= m.cfg.Quorum {
		m.stepAt = m.now + t.of(t.Prevote, m.st.View)
	}
	if votes := m.cur.quorum(Precommit, m.cfg.Quorum); len(votes) > 0 && votes[0].ID.IsNil() {
		m.enter(m.st.View+1, votes)
		return true
	}
	if m.nextAt == 0 && m.cur.count(Precommit) >= m.cfg.Quorum {
		m.nextAt = m.now + t.of(t.Precommit, m.st.View)
	}
	return false
}
