package round

import (
	"github.com/covey-network/covey/consensus/agree"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// progress does whatever can be done now.
func (m *Machine) progress() {
	for !m.over() {
		m.gather()
		did := m.pump()
		if m.st.Decided != nil {
			m.finish()
			return
		}
		if m.me < 0 || m.agree == nil {
			return
		}
		if !m.level() {
			m.catchUp(m.st.Last)
		}
		if !did && !m.propose() && !m.answer() {
			return
		}
	}
}

// certify makes the certificate of what was agreed.
func (m *Machine) certify(c *agree.Certificate) {
	o := new(train.Outcome)
	if err := wire.Decode(c.Value, o); err != nil {
		panic("round: an outcome that was encoded here does not decode: " + err.Error())
	}
	cert := &train.Certificate{Peer: m.cfg.Me, Outcome: *o, View: uint64(c.View)}
	for _, p := range c.Precommits {
		cert.Signers = cert.Signers.With(p.From)
		cert.Signatures = append(cert.Signatures, unraw(p.Raw).Signature)
	}
	m.decided(cert)
	if (m.Round()+cert.View)%uint64(len(m.places)) == uint64(m.me) { // one tells those who only follow
		m.send("", m.certificate(cert))
	}
}

// certificate is a certificate signed by this peer, who passes it on.
func (m *Machine) certificate(c *train.Certificate) *train.Sealed {
	own := *c
	own.Peer = m.cfg.Me
	return m.cfg.Sign(&own)
}

func (m *Machine) decided(c *train.Certificate) {
	m.st.Decided, m.dirty = c, true
	m.endingAt, m.ending, m.stating = m.now, false, train.Hash{}
	m.out.Reveal, m.out.Reduce = nil, nil
}

// Learn takes certificates in ascending order of rounds, as an answer to [Ready.Chain] or
// otherwise. Those of rounds that are over are passed over; an error says that one is not
// by a quorum of its members or does not follow.
func (m *Machine) Learn(certs ...*train.Certificate) error {
	for _, c := range certs {
		if err := m.learn(c); err != nil {
			return err
		}
	}
	m.progress()
	return nil
}

func (m *Machine) learn(c *train.Certificate) error {
	last := m.st.Last
	if m.st.Decided != nil {
		last = m.st.Decided
	}
	if c.Outcome.Job != m.cfg.Job || c.Outcome.Round != last.Outcome.Round+1 || last.Outcome.End != train.EndNone {
		m.notice(c.Peer, c.Outcome.Round+1)
		return nil
	}
	if err := c.Verify(last.Outcome.Members, m.cfg.Quorum); err != nil {
		return err
	}
	parent, err := last.Outcome.ID()
	if err != nil {
		return err
	}
	if c.Outcome.Parent != parent || c.Outcome.Base != last.Outcome.State {
		return wire.ErrInvalid // a quorum certified what does not follow: more liars than there may be
	}
	if m.st.Decided != nil { // the others are further: this round's state is passed over
		if err := m.advance(); err != nil {
			return err
		}
	}
	if m.behind != "" && m.tip()+1 >= c.Outcome.Round {
		m.behind = ""
	}
	m.decided(c)
	return nil
}

// finish brings the driver's state to the certified one, and then tells it to commit.
func (m *Machine) finish() {
	o := &m.st.Decided.Outcome
	switch {
	case m.ending:
	case m.root == o.State || m.me < 0 && train.Place(o.Members, m.cfg.Me) < 0:
		m.commit(train.Hash{})
	case m.me < 0 || m.root != o.Base:
		m.catchUp(m.st.Decided)
	default:
		m.apply(o)
	}
}

// apply asks for the state that the results make, if they come in time, else for the state.
func (m *Machine) apply(o *train.Outcome) {
	for i, s := range o.Slices {
		if s.IsZero() || m.held[s] {
			continue
		}
		// The hash is certified, so anyone who has the bytes may give them.
		r := &train.Reduced{Round: o.Round, Slice: uint64(i), Result: s, Peer: m.Members()[i]}
		if known := m.result(i, s); known != nil {
			r = known
		}
		m.fetch(r)
		if m.now-m.endingAt >= m.cfg.Times.Results.Cap {
			m.catchUp(m.st.Decided)
		}
		return
	}
	id, _ := key(o)
	switch t := m.try(o); {
	case !t.done:
	case t.root == o.State:
		m.commit(id)
	default: // the results make something else here than at the others
		m.catchUp(m.st.Decided)
	}
}

func (m *Machine) commit(draft train.Hash) {
	m.ending = true
	m.out.Commit = &Commit{Certificate: m.st.Decided, Draft: draft}
}

// catchUp asks for a certified state, once for each.
func (m *Machine) catchUp(c *train.Certificate) {
	if m.stating == c.Outcome.State {
		return
	}
	m.stating = c.Outcome.State
	f := &FetchState{Round: c.Outcome.Round, Root: c.Outcome.State}
	for i, p := range m.Members() {
		if p != m.cfg.Me && (c != m.st.Decided || c.Signers.Has(i)) {
			f.Peers = append(f.Peers, p)
		}
	}
	m.out.FetchState = f
}

// Stated answers [Ready.FetchState]: the state that the driver has is now, durably, the one
// with this root.
func (m *Machine) Stated(root train.Hash) {
	m.root = root
	m.stating = train.Hash{}
	m.progress()
}

// Committed answers [Ready.Commit]: certificate and state are in place, durably.
func (m *Machine) Committed(round uint64) {
	if !m.ending || round != m.Round() {
		return
	}
	if o := &m.st.Decided.Outcome; m.me >= 0 || train.Place(o.Members, m.cfg.Me) >= 0 {
		m.root = o.State
	}
	if err := m.advance(); err != nil {
		panic("round: begin of the next round: " + err.Error())
	}
	m.progress()
}

// advance begins the round after the certified one.
func (m *Machine) advance() error {
	m.st.next()
	m.dirty = true
	m.stating = train.Hash{}
	if err := m.begin(); err != nil {
		return err
	}
	m.pour()
	return nil
}
