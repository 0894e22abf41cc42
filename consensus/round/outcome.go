package round

import (
	"cmp"
	"maps"
	"slices"

	"github.com/covey-network/covey/consensus/agree"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// verdict is what a member thinks of a proposal.
type verdict int

const (
	wait verdict = iota // something is not here yet
	yes
	no
)

// draft is the outcome as this member would propose it, State and End left open.
func (m *Machine) draft() *train.Outcome {
	last := &m.st.Last.Outcome
	parent, err := last.ID()
	if err != nil {
		panic("round: a certified outcome that does not encode: " + err.Error())
	}
	o := &train.Outcome{
		Job: m.cfg.Job, Round: m.Round(), Base: last.State, Parent: parent, State: last.State,
		Slices: make([]train.Hash, len(m.places)), Senders: m.senders,
	}
	whole := true
	for i := range m.places {
		_, liar := m.evidence[m.Members()[i]]
		if p := &m.places[i]; !liar && m.senders.Has(i) && len(p.reduced) > 0 && m.held[p.reduced[0].Body.(*train.Reduced).Result] {
			o.Slices[i] = p.reduced[0].Body.(*train.Reduced).Result
		}
		whole = whole && m.full(o, i)
	}
	if m.cfg.Whole && !whole {
		clear(o.Slices)
	}
	m.count(o)
	m.change(o)
	return o
}

// full reports whether slice i of an outcome has the slices of all members in it.
func (m *Machine) full(o *train.Outcome, i int) bool {
	if o.Senders != train.All(len(m.places)) || o.Slices[i].IsZero() {
		return false
	}
	r := m.result(i, o.Slices[i])
	return r != nil && r.From == m.group[i] && r.Rejected == 0
}

// count makes the figures of an outcome of what the senders' headers say. All must be here. What a
// member says of its own numbers of samples is not checked, so it gives its word no more weight:
// losses and metrics are medians of those who have any.
func (m *Machine) count(o *train.Outcome) {
	var losses, measured, metrics []float64
	o.Samples, o.Measured.Samples = 0, 0
	for i := range m.places {
		if !o.Senders.Has(i) {
			continue
		}
		h := m.places[i].update()
		o.Samples = min(o.Samples+h.Samples, 1<<63-1)
		o.Measured.Samples = min(o.Measured.Samples+h.Measured.Samples, 1<<63-1)
		if h.Samples > 0 {
			losses = append(losses, h.Loss)
		}
		if h.Measured.Samples > 0 {
			measured, metrics = append(measured, h.Measured.Loss), append(metrics, h.Measured.Metric)
		}
	}
	o.Loss, o.Measured.Loss, o.Measured.Metric = middle(losses), middle(measured), middle(metrics)
	o.Best, o.Stale = best(&m.st.Last.Outcome, o.Measured)
}

// best returns the best that was measured until a round, and for how many rounds it has been that,
// from the outcome of the round before. A round in which nobody measured changes nothing.
func best(last *train.Outcome, now train.Measured) (train.Measured, uint64) {
	switch {
	case now.Samples == 0:
		return last.Best, last.Stale
	case last.Best.Samples == 0 || now.Loss < last.Best.Loss:
		return now, 0
	}
	return last.Best, last.Stale + 1
}

// middle is the median, of an even number the mean of the two in the middle; 0 of none. Numbers
// of fewer than half of the members leave it among those of the others.
func middle(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	n := len(list)
	return list[(n-1)/2]/2 + list[n/2]/2
}

// change sets the members of the next round, and why they are other ones.
func (m *Machine) change(o *train.Outcome) {
	out := map[wire.PeerID]bool{}
	for _, p := range sortedPeers(m.evidence) {
		if e := m.evidence[p]; len(o.Expelled) < protocol.MaxTrainChanges && m.place(p) >= 0 {
			out[p] = true
			o.Expelled = append(o.Expelled, e)
		}
	}
	for _, p := range sortedPeers(m.leaves) {
		if m.place(p) >= 0 && !out[p] && m.goes(m.leaves[p].Body.(*train.Leave)) {
			out[p] = true
			o.Left = append(o.Left, *m.leaves[p].Sealed)
		}
	}
	for i, p := range m.Members() {
		if seen, ok := m.st.Seen[p]; ok && m.silent(o, i) && o.Round-seen >= m.cfg.SilentRounds {
			out[p] = true
		}
	}
	for _, p := range m.Members() {
		if !out[p] {
			o.Members = append(o.Members, p)
		}
	}
	for _, p := range sortedPeers(m.joins) {
		j := m.joins[p].Body.(*train.Join)
		if len(o.Members) < m.cfg.Limit && len(o.Joined) < protocol.MaxTrainChanges && m.wanted(j, o.Round) && m.admits(j) {
			o.Members = append(o.Members, p)
			o.Joined = append(o.Joined, *m.joins[p].Sealed)
		}
	}
	if len(o.Members) == 0 { // the last one does not leave a job without members
		o.Members, o.Left = append(o.Members, m.cfg.Me), nil
		for i := range m.Members() {
			if p := m.Members()[i]; p != m.cfg.Me && m.leaves[p] != nil {
				o.Left = append(o.Left, *m.leaves[p].Sealed)
			}
		}
	}
	slices.Sort(o.Members)
}

// silent reports whether nothing was heard of a member in the round, and an outcome does not
// count its update.
func (m *Machine) silent(o *train.Outcome, i int) bool {
	return !o.Senders.Has(i) && !m.places[i].heard && i != m.me
}

// wanted reports whether a Join counts in a round: of a peer that is no member and was not
// expelled, not too old, and made after the peer was a member for the last time.
func (m *Machine) wanted(j *train.Join, round uint64) bool {
	if m.place(j.Peer) >= 0 || m.st.banned(j.Peer) || j.Round+fresh < round || j.Round > round {
		return false
	}
	gone, known := m.st.Gone[j.Peer]
	return !known || j.Round >= gone
}

// goes reports whether a Leave counts in the round: it is signed anew in each, so that an old
// one of a peer that has come back does not.
func (m *Machine) goes(l *train.Leave) bool {
	return l.Round <= m.Round() && l.Round+1 >= m.Round()
}

func (m *Machine) admits(j *train.Join) bool {
	return m.cfg.Admit == nil || m.cfg.Admit(j) == nil
}

// judge says whether an outcome that another member proposes follows from the round. What
// members may see differently is settled if a quorum has backed it.
func (m *Machine) judge(o *train.Outcome, backed bool) verdict {
	last := &m.st.Last.Outcome
	parent, err := last.ID()
	if err != nil || o.Base != last.State || o.Parent != parent || len(o.Slices) != len(m.places) || o.Senders.Len() < m.quorum() {
		return no
	}
	if !m.level() {
		return wait // for the state
	}
	if v := m.judgeData(o, backed); v != yes {
		return v
	}
	if !m.judgeMembers(o, backed) {
		return no
	}
	if o.End == train.EndStopped {
		s, ok := opened[*train.Stop](&o.Stopped[0])
		if !ok || !m.stops(s) {
			return no
		}
	}
	t := m.try(o)
	switch {
	case !t.done:
		return wait
	case t.root != o.State || t.end != o.End && o.End != train.EndStopped:
		return no
	}
	return yes
}

// judgeData says whether the results and the sums are right, and here.
func (m *Machine) judgeData(o *train.Outcome, backed bool) verdict {
	var want train.Outcome
	doubtful, all, none := false, true, true
	for i := range m.places {
		if o.Senders.Has(i) {
			if m.places[i].header == nil {
				return wait
			}
			_, liar := m.evidence[m.Members()[i]]
			doubtful = doubtful || liar // others may have another header of it
		}
		if o.Slices[i].IsZero() {
			all = false
			continue
		}
		if none = false; !o.Senders.Has(i) {
			return no
		}
		r := m.result(i, o.Slices[i])
		if r == nil {
			return wait
		}
		if m.fetch(r); !m.held[r.Result] {
			return wait
		}
		all = all && m.full(o, i)
	}
	if m.cfg.Whole && !all && !none {
		return no
	}
	want.Senders = o.Senders
	m.count(&want)
	if !doubtful && !backed && (want.Samples != o.Samples || want.Loss != o.Loss || want.Measured != o.Measured) {
		return no
	}
	if b, stale := best(&m.st.Last.Outcome, o.Measured); b != o.Best || stale != o.Stale {
		return no
	}
	return yes
}

// judgeMembers says whether the members of the next round are what the outcome's own signed
// reasons, and this member's own hearing, make them.
func (m *Machine) judgeMembers(o *train.Outcome, backed bool) bool {
	reason := map[wire.PeerID]bool{}
	for i := range o.Expelled {
		e := &o.Expelled[i]
		p, round, err := Contradiction(m.cfg.Job, &e.First, &e.Second)
		if err != nil || p != e.Peer || round > o.Round || m.place(p) < 0 || reason[p] {
			return false
		}
		reason[p] = true
	}
	for i := range o.Left {
		l, ok := opened[*train.Leave](&o.Left[i])
		if !ok || l.Job != m.cfg.Job || m.place(l.Peer) < 0 || reason[l.Peer] || !m.goes(l) {
			return false
		}
		reason[l.Peer] = true
	}
	for i := range o.Joined {
		j, ok := opened[*train.Join](&o.Joined[i])
		if !ok || j.Job != m.cfg.Job || reason[j.Peer] || !m.wanted(j, o.Round) || !backed && !m.admits(j) || train.Place(o.Members, j.Peer) < 0 {
			return false
		}
		reason[j.Peer] = true
	}
	if len(o.Members) > m.cfg.Limit {
		return false
	}
	for _, p := range o.Members {
		if member := m.place(p) >= 0; member == reason[p] {
			return false // a member that is said to go, or a newcomer without a Join
		}
	}
	for i, p := range m.Members() {
		if train.Place(o.Members, p) >= 0 || reason[p] {
			continue
		}
		seen, known := m.st.Seen[p]
		if o.Senders.Has(i) || !backed && !m.silent(o, i) || known && o.Round-seen < m.cfg.SilentRounds {
			return false
		}
	}
	return true
}

func opened[B train.Body](s *train.Sealed) (B, bool) {
	b, err := s.Open()
	if err != nil {
		var none B
		return none, false
	}
	v, ok := b.(B)
	return v, ok
}

// key names the question what an outcome makes of the state: State and End are the answer.
func key(o *train.Outcome) (train.Hash, *train.Outcome) {
	q := *o
	q.State, q.End, q.Stopped = q.Base, train.EndNone, nil
	id, err := q.ID()
	if err != nil {
		panic("round: a valid outcome that does not encode: " + err.Error())
	}
	return id, &q
}

// try asks the driver, once, what an outcome makes of the state.
func (m *Machine) try(o *train.Outcome) *tried {
	id, q := key(o)
	t := m.drafts[id]
	if t == nil {
		if len(m.drafts) >= maxDrafts {
			clear(m.drafts)
		}
		t = new(tried)
		m.drafts[id] = t
		m.out.Apply = append(m.out.Apply, Apply{Draft: id, Outcome: q})
	}
	return t
}

// Applied answers [Ready.Apply]: the root of the state after the outcome, and whether the
// job's own rules (rounds, target, patience) end it then.
func (m *Machine) Applied(draft, root train.Hash, end train.End) {
	if t := m.drafts[draft]; t != nil && !t.done {
		*t = tried{done: true, root: root, end: end}
		m.progress()
	}
}

// propose answers the agreement's question for a value when everything is here or late.
func (m *Machine) propose() bool {
	if m.asked < 0 || !m.complete || !m.level() || m.senders.Len() < m.quorum() {
		return false
	}
	if m.own == nil { // what comes while the driver is asked waits for the next one
		m.own = m.draft()
	}
	o := m.own
	t := m.try(o)
	if !t.done {
		return false
	}
	m.own = nil
	if o.State, o.End = t.root, t.end; m.st.Stop != nil && o.End == train.EndNone {
		o.End, o.Stopped = train.EndStopped, []train.Sealed{*m.st.Stop}
	}
	view := m.asked
	m.asked = -1
	value, err := wire.Encode(o)
	if err != nil {
		panic("round: an own outcome that does not encode: " + err.Error())
	}
	return m.agree.Propose(view, agree.ID(train.HashOf(value)), value) == nil
}

// answer judges what is to be judged.
func (m *Machine) answer() bool {
	did := false
	order := func(a, b question) int {
		return cmp.Or(slices.Compare(a.id[:], b.id[:]), cmp.Compare(weight(a), weight(b)))
	}
	for _, q := range slices.SortedFunc(maps.Keys(m.pending), order) {
		if v := m.judge(m.pending[q], q.backed); v != wait {
			delete(m.pending, q)
			m.agree.Valid(q.id, q.backed, v == yes)
			did = true
		}
	}
	return did
}

func weight(q question) int {
	if q.backed {
		return 1
	}
	return 0
}
