package round

import (
	"errors"
	"fmt"

	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// ErrOver is the error of an answer that comes when it is no longer wanted.
var ErrOver = errors.New("the round is over, or this peer no part of it")

// Update is what a member has learned in a round. Samples of 0 means nothing: a member that
// can send no update says so, and is then not silent.
type Update struct {
	Samples, Steps, Millis uint64
	Loss                   float64
	Measured               train.Measured
	Slices                 []train.Hash // one for each member of the own group in their order, as they will be sent
}

// Update ends the work of a round. The driver has made durable what it will send, for the
// commitment stays, and calls it once: after a restart [Machine.Header] tells that it did.
func (m *Machine) Update(round uint64, u Update) error {
	if round != m.Round() || m.me < 0 || m.over() || m.st.Decided != nil || !m.level() || m.st.Header != nil {
		return ErrOver
	}
	h := &train.Header{
		Job: m.cfg.Job, Round: round, Peer: m.cfg.Me, Base: m.root, Samples: u.Samples, Steps: u.Steps, Millis: u.Millis,
		Loss: u.Loss, Slices: u.Slices, Measured: u.Measured,
	}
	if err, n := h.Validate(), m.group[m.me].Len(); err != nil || len(u.Slices) != n {
		return fmt.Errorf("update of %d slices for %d members: %w", len(u.Slices), n, errors.Join(err, wire.ErrInvalid))
	}
	m.st.Header = m.cfg.Sign(h)
	m.dirty = true
	m.places[m.me].header = &Message{Sealed: m.st.Header, Body: h}
	m.headers.add(m.now - m.began)
	m.news(m.cfg.Times.Resend)
	m.send("", m.st.Header)
	m.progress()
	return nil
}

// Slice tells that the slice of a member for this one is here and has the hash that the
// member's header says.
func (m *Machine) Slice(round uint64, from wire.PeerID) {
	i := m.place(from)
	if round != m.Round() || i < 0 || m.places[i].slice {
		return
	}
	m.places[i].slice = true
	if m.closedAt >= 0 {
		m.arrivals.add(m.now - m.closedAt)
	}
	m.progress()
}

// Reduced answers [Ready.Reduce]: the driver has the result, durably, and serves it.
func (m *Machine) Reduced(round uint64, result train.Hash, bytes uint64, from, rejected train.Set) error {
	if round != m.Round() || m.me < 0 || !m.reducing || m.st.Reduced != nil || m.st.Decided != nil {
		return ErrOver
	}
	r := &train.Reduced{
		Job: m.cfg.Job, Round: round, Peer: m.cfg.Me, Slice: uint64(m.me), Result: result, Bytes: bytes, From: from, Rejected: rejected,
	}
	if err := r.Validate(); err != nil {
		return err
	}
	m.st.Reduced = m.cfg.Sign(r)
	m.dirty = true
	m.places[m.me].reduced = []*Message{{Sealed: m.st.Reduced, Body: r}}
	m.held[result] = true
	m.news(m.cfg.Times.Resend)
	m.send("", m.st.Reduced)
	m.progress()
	return nil
}

// Fetched answers [Ready.Fetch]: the driver has that result.
func (m *Machine) Fetched(round uint64, result train.Hash) {
	if round != m.Round() || m.held[result] {
		return
	}
	m.held[result] = true
	if m.closedAt >= 0 {
		m.results.add(m.now - m.closedAt)
	}
	m.progress()
}

// takeHeader keeps the commitment of a member.
func (m *Machine) takeHeader(i int, msg Message) {
	h, p := msg.Body.(*train.Header), &m.places[i]
	if p.header != nil {
		m.accuse(h.Peer, p.header.Sealed, msg.Sealed)
		return
	}
	if h.Base != m.st.Last.Outcome.State || len(h.Slices) != m.group[i].Len() {
		return // of another state or other members: it does not count
	}
	p.header = &msg
	m.headers.add(m.now - m.began)
}

// takeReduced keeps the result of an owner, two if they contradict each other.
func (m *Machine) takeReduced(i int, msg Message) {
	r, p := msg.Body.(*train.Reduced), &m.places[i]
	if int(r.Slice) != i || (r.From|r.Rejected)&^m.group[i] != 0 {
		return
	}
	if len(p.reduced) > 0 {
		if string(p.reduced[0].Sealed.Payload) == string(msg.Sealed.Payload) {
			return
		}
		m.accuse(r.Peer, p.reduced[0].Sealed, msg.Sealed)
		if len(p.reduced) > 1 || r.Result == p.reduced[0].Body.(*train.Reduced).Result {
			return
		}
	}
	p.reduced = append(p.reduced, &msg)
}

// result finds an owner's word for a result of its slice.
func (m *Machine) result(i int, hash train.Hash) *train.Reduced {
	for _, msg := range m.places[i].reduced {
		if r := msg.Body.(*train.Reduced); r.Result == hash {
			return r
		}
	}
	return nil
}

// gather is the phases before the agreement: it closes the headers, asks for the own result
// and for those of the others, and begins to agree.
func (m *Machine) gather() {
	if m.me < 0 || m.st.Decided != nil {
		return
	}
	m.close()
	if m.closedAt < 0 {
		return
	}
	m.reduce()
	missing := 0
	for i := range m.places {
		if !m.senders.Has(i) {
			continue
		}
		if len(m.places[i].reduced) == 0 {
			if m.learned(i) {
				missing++
			}
			continue
		}
		if r := m.places[i].reduced[0].Body.(*train.Reduced); !m.held[r.Result] {
			missing++
			m.fetch(r)
		}
	}
	late := m.closedAt + m.arrivals.deadline(m.cfg.Times.Slices, m.cfg.Times.K) + m.results.deadline(m.cfg.Times.Results, m.cfg.Times.K)
	if !m.complete && (missing == 0 || m.now >= late) {
		m.complete = true
	}
	if m.complete && m.agree != nil {
		m.agree.Start()
		m.expect()
	}
}

// learned reports whether a member of the group of place i has an update: if not, there is no result
// to wait for.
func (m *Machine) learned(i int) bool {
	for k := range m.places {
		if m.senders.Has(k) && m.group[i].Has(k) && m.places[k].update().Samples > 0 {
			return true
		}
	}
	return false
}

// expect asks, once a round, for what this member's own draft makes of the state, whoever proposes:
// most likely it is what will be proposed. One alone proposes at once.
func (m *Machine) expect() {
	if m.expected || len(m.places) == 1 || !m.level() || m.senders.Len() < m.quorum() {
		return
	}
	m.expected = true
	m.try(m.draft())
}

// close ends the phase of headers: all are here, or a quorum's and it is late. Those who have
// committed by now are the round's senders, and the owners that slices are shown to.
func (m *Machine) close() {
	if m.closedAt >= 0 {
		return
	}
	var got train.Set
	for i := range m.places {
		if m.places[i].header != nil {
			got = got.With(i)
		}
	}
	late := m.now-m.began >= m.headers.deadline(m.cfg.Times.Headers, m.cfg.Times.K)
	if got.Len() < len(m.places) && (got.Len() < m.quorum() || !late) {
		return
	}
	m.closedAt, m.senders = m.now, got
	own := m.places[m.me].header
	if own == nil || own.Body.(*train.Header).Samples == 0 {
		return
	}
	m.places[m.me].slice = true
	for i, p := range m.Members() {
		if got.Has(i) && m.group[m.me].Has(i) && i != m.me {
			m.out.Reveal = append(m.out.Reveal, p)
		}
	}
}

// reduce asks for the own result once all slices are here or late.
func (m *Machine) reduce() {
	if m.reducing || !m.senders.Has(m.me) {
		return
	}
	var here, want train.Set
	for i := range m.places {
		if _, liar := m.evidence[m.Members()[i]]; liar || !m.senders.Has(i) || !m.group[m.me].Has(i) || m.places[i].update().Samples == 0 {
			continue
		}
		want = want.With(i)
		if m.places[i].slice {
			here = here.With(i)
		}
	}
	if here != want && m.now < m.closedAt+m.arrivals.deadline(m.cfg.Times.Slices, m.cfg.Times.K) {
		return
	}
	m.reducing = true
	if here != 0 {
		m.out.Reduce = &Reduce{Round: m.Round(), Slice: m.me, From: here}
	}
}

// fetch asks for a result once in a round.
func (m *Machine) fetch(r *train.Reduced) {
	if m.held[r.Result] || m.fetching[r.Result] {
		return
	}
	m.fetching[r.Result] = true
	m.out.Fetch = append(m.out.Fetch, Fetch{Round: r.Round, Slice: int(r.Slice), Result: r.Result, Bytes: r.Bytes, Owner: r.Peer})
}
