package round

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/covey-network/covey/consensus/agree"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// maxWishes bounds the peers whose Join is kept.
	maxWishes = 64
	// maxPending bounds the proposals that wait for what they rest on: one in each view.
	maxPending = 8
	// maxDrafts bounds the answers that are kept of a round's drafts.
	maxDrafts = 64
)

// Step takes messages that came together. An error says that one of them is of no honest
// peer; the others are taken nonetheless.
func (m *Machine) Step(msgs ...Message) error {
	var errs error
	for _, msg := range msgs {
		if err := m.step(msg, msgs); err != nil {
			errs = cmp.Or(errs, err)
		}
	}
	m.progress()
	return errs
}

func (m *Machine) step(msg Message, with []Message) error {
	switch v := msg.Body.(type) {
	case *train.Header:
		return m.ofRound(v.Job, v.Round, msg, with)
	case *train.Reduced:
		return m.ofRound(v.Job, v.Round, msg, with)
	case *train.Proposal:
		return m.ofRound(v.Job, v.Round, msg, with)
	case *train.Vote:
		return m.ofRound(v.Job, v.Round, msg, with)
	case *train.Certificate:
		if v.Outcome.Job == m.cfg.Job {
			return m.learn(v)
		}
	case *train.Join:
		if v.Job == m.cfg.Job {
			m.notice(v.Peer, v.Round+1)
		}
		if v.Job == m.cfg.Job && m.wanted(v, m.Round()) {
			if _, known := m.joins[v.Peer]; known || len(m.joins) < maxWishes {
				m.joins[v.Peer] = &msg
			}
		}
	case *train.Stop:
		m.takeStop(v, msg.Sealed)
	case *train.Leave:
		if v.Job == m.cfg.Job && m.place(v.Peer) >= 0 && v.Round <= m.Round() && v.Round+1 >= m.Round() {
			m.leaves[v.Peer] = &msg
		}
	}
	return nil
}

// ofRound takes a message that belongs to one round.
func (m *Machine) ofRound(job train.Hash, round uint64, msg Message, with []Message) error {
	from := msg.Body.Signer()
	i := m.place(from)
	switch cur := m.Round(); {
	case job != m.cfg.Job || from == m.cfg.Me:
		return nil
	case round < cur:
		m.past(i, from, round)
		return nil
	case round > cur:
		m.ahead(from, i >= 0, round, msg)
		return nil
	case i < 0 || m.over():
		return nil
	}
	m.places[i].heard, m.places[i].heardAt = true, m.now
	if m.st.Decided != nil || m.me < 0 {
		return nil
	}
	switch v := msg.Body.(type) {
	case *train.Header:
		m.takeHeader(i, msg)
	case *train.Reduced:
		m.takeReduced(i, msg)
	case *train.Proposal:
		return m.takeProposal(i, v, msg, with)
	case *train.Vote:
		return m.agree.Step(voteMsg(i, v, msg.Sealed))
	}
	return nil
}

// Hear tells that a peer is in a round: of what its driver says to this one beside signed messages,
// so that they need not be read where they are of another round.
func (m *Machine) Hear(p wire.PeerID, round uint64) {
	switch {
	case p == m.cfg.Me:
	case round < m.Round():
		m.past(m.place(p), p, round)
	default:
		m.notice(p, round)
	}
}

// past takes it that a peer is in a round before the running one: it is behind, but it is alive.
func (m *Machine) past(place int, p wire.PeerID, round uint64) {
	if place >= 0 && round+m.cfg.SilentRounds >= m.Round() {
		m.places[place].heard = true
	}
	m.late(p, round)
}

// late helps a peer that is still in the round before: it is shown that round's certificate.
// Who is further behind notices by what this member says, and asks.
func (m *Machine) late(p wire.PeerID, round uint64) {
	if at, ok := m.helpedAt[p]; ok && m.now-at < m.cfg.Times.Resend || m.place(p) < 0 || round+1 != m.Round() && !m.over() || m.tip() == 0 {
		return
	}
	if m.now-m.began < m.cfg.Times.Resend && !m.over() {
		return // it is about to see by itself
	}
	m.helpedAt[p] = m.now
	m.send(p, m.certificate(m.st.Last))
}

// notice remembers that a peer is in a round whose certificate of the round before is not
// known here.
func (m *Machine) notice(p wire.PeerID, round uint64) {
	if round > m.tip()+1 && m.behind == "" && p != m.cfg.Me && !m.over() {
		m.behind, m.behindAt = p, m.now
	}
}

// ahead remembers that others are in a later round, and keeps messages of members for the
// next one.
func (m *Machine) ahead(p wire.PeerID, member bool, round uint64, msg Message) {
	if m.over() {
		return
	}
	m.notice(p, round)
	if !member || round != m.Round()+1 {
		return
	}
	kept := m.early[p]
	if kept == nil {
		kept = new([5]*Message)
		m.early[p] = kept
	}
	slot := 0
	switch v := msg.Body.(type) {
	case *train.Reduced:
		slot = 1
	case *train.Proposal:
		slot = 2
	case *train.Vote:
		slot = 2 + int(v.Step)
		if old := kept[slot]; old != nil && old.Body.(*train.Vote).View >= v.View {
			return
		}
	}
	if kept[slot] == nil || slot > 2 {
		kept[slot] = &msg
	}
}

// pour takes up the early messages when their round has begun.
func (m *Machine) pour() {
	early := m.early
	m.early = map[wire.PeerID]*[5]*Message{}
	for _, p := range sortedPeers(early) {
		for _, msg := range early[p] {
			if msg != nil {
				_ = m.step(*msg, nil) // whoever sent nonsense sent it too early to be told
			}
		}
	}
}

// voteMsg is a vote as package agree has it; Raw is the signed message.
func voteMsg(i int, v *train.Vote, s *train.Sealed) agree.Msg {
	kind := agree.Prevote
	if v.Step == train.Precommit {
		kind = agree.Precommit
	}
	return agree.Msg{Kind: kind, View: int(v.View), From: i, ID: agree.ID(v.Outcome), ValidView: -1, Raw: raw(s)}
}

func raw(s *train.Sealed) []byte {
	b, err := wire.Encode(s)
	if err != nil {
		panic("round: a sealed message that does not encode: " + err.Error()) // it was opened or sealed
	}
	return b
}

func unraw(b []byte) *train.Sealed {
	s := new(train.Sealed)
	if err := wire.Decode(b, s); err != nil {
		panic("round: an own encoding that does not decode: " + err.Error())
	}
	return s
}

// takeProposal gives a proposal, and the votes it came with, to the agreement.
func (m *Machine) takeProposal(i int, p *train.Proposal, msg Message, with []Message) error {
	value, err := wire.Encode(&p.Outcome)
	if err != nil {
		return err
	}
	a := agree.Msg{
		Kind: agree.Proposal, View: int(p.View), From: i, ID: agree.ID(train.HashOf(value)), ValidView: int(p.ValidView), Value: value, Raw: raw(msg.Sealed),
	}
	if p.ValidView >= 0 {
		for _, w := range with {
			v, ok := w.Body.(*train.Vote)
			if !ok || v.Round != p.Round || v.Job != p.Job || v.Step != train.Prevote || int64(v.View) != p.ValidView || agree.ID(v.Outcome) != a.ID {
				continue
			}
			if j := m.place(v.Peer); j >= 0 {
				a.Proof = append(a.Proof, voteMsg(j, v, w.Sealed))
			}
		}
		slices.SortFunc(a.Proof, func(x, y agree.Msg) int { return x.From - y.From })
		a.Proof = slices.CompactFunc(a.Proof, func(x, y agree.Msg) bool { return x.From == y.From })
	}
	return m.agree.Step(a)
}

// signVote makes the signed form of an own message of the agreement.
func (m *Machine) signVote(a agree.Msg) []byte {
	if a.Kind == agree.Proposal {
		p := &train.Proposal{Job: m.cfg.Job, Round: m.Round(), View: uint64(a.View), ValidView: int64(a.ValidView), Peer: m.cfg.Me}
		if err := wire.Decode(a.Value, &p.Outcome); err != nil {
			panic("round: an own outcome that does not decode: " + err.Error())
		}
		return raw(m.cfg.Sign(p))
	}
	step := train.Prevote
	if a.Kind == agree.Precommit {
		step = train.Precommit
	}
	return raw(m.cfg.Sign(&train.Vote{
		Job: m.cfg.Job, Round: m.Round(), View: uint64(a.View), Step: step, Outcome: train.Hash(a.ID), Peer: m.cfg.Me,
	}))
}

// pump carries out what the agreement asks.
func (m *Machine) pump() bool {
	if m.agree == nil {
		return false
	}
	r := m.agree.Ready()
	did := r.Persist != nil || len(r.Send) > 0 || r.Propose || len(r.Validate) > 0 || r.Decided != nil || len(r.Evidence) > 0
	if r.Persist != nil {
		m.st.Agree, m.dirty = r.Persist, true
	}
	for _, s := range r.Send {
		m.spread(s)
	}
	if r.Propose {
		m.asked = r.View
	}
	for _, q := range r.Validate {
		o := new(train.Outcome)
		if err := wire.Decode(q.Proposal.Value, o); err != nil {
			panic("round: an outcome that was encoded here does not decode: " + err.Error())
		}
		if len(m.pending) >= maxPending {
			clear(m.pending) // of views long gone
		}
		m.pending[question{agree.ID(train.HashOf(q.Proposal.Value)), q.Backed}] = o
	}
	for _, e := range r.Evidence {
		m.accuse(m.Members()[e.Member], unraw(e.A.Raw), unraw(e.B.Raw))
	}
	if c := r.Decided; c != nil && m.st.Decided == nil {
		m.certify(c)
	}
	return did
}

// spread sends messages of the agreement with what they rest on.
func (m *Machine) spread(s agree.Send) {
	to := wire.PeerID("")
	if s.To >= 0 {
		to = m.Members()[s.To]
	}
	if s.Certificate != nil {
		if m.st.Decided != nil {
			m.send(to, m.certificate(m.st.Decided))
		}
		return
	}
	var list []*train.Sealed
	for _, a := range s.Msgs {
		list = append(list, unraw(a.Raw))
		for _, v := range a.Proof {
			list = append(list, unraw(v.Raw))
		}
		// Whoever could not judge the first proposal may lack what others have shown to a
		// part of the members only.
		if a.Kind == agree.Proposal && a.View > 0 {
			for i := range m.places {
				if h := m.places[i].header; h != nil {
					list = append(list, h.Sealed)
				}
				for _, r := range m.places[i].reduced {
					list = append(list, r.Sealed)
				}
			}
		}
	}
	seen := map[string]bool{}
	list = slices.DeleteFunc(list, func(x *train.Sealed) bool {
		key := string(bytes.Join([][]byte{x.Payload, x.Signature}, nil))
		defer func() { seen[key] = true }()
		return seen[key]
	})
	m.send(to, list...)
}
