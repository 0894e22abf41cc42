package round

import (
	"errors"
	"fmt"
	"slices"

	"github.com/covey-network/covey/consensus/agree"
	"github.com/covey-network/covey/consensus/group"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// member is what is known of one member in the running round.
type member struct {
	header  *Message   // its commitment; the first one, if it contradicts itself
	reduced []*Message // its results: more than one if it contradicts itself
	slice   bool       // its slice for this member is here
	heard   bool       // anything of it was heard in the round
	heardAt int
}

func (p *member) update() *train.Header { return p.header.Body.(*train.Header) }

// question names a proposal that is to be judged; backed: a quorum has voted for it.
type question struct {
	id     agree.ID
	backed bool
}

// tried is the driver's answer for a draft.
type tried struct {
	done bool
	root train.Hash
	end  train.End
}

// Machine takes one member from round to round.
type Machine struct {
	cfg  Config
	st   *Saved
	root train.Hash // of the state that the driver has

	now, began int
	me         int // own place, -1: no member
	places     []member
	groups     [][]wire.PeerID
	group      []train.Set // of each place: the places of its group
	closedAt   int         // when the headers were complete; -1: not yet
	senders    train.Set
	reducing   bool
	held       map[train.Hash]bool // results by hash
	fetching   map[train.Hash]bool
	complete   bool // all results are here, or their deadline has passed
	expected   bool // the own draft has been tried

	agree    *agree.Machine
	asked    int                            // view in which this member is to propose; -1: none
	pending  map[question]*train.Outcome    // proposals to be judged
	drafts   map[train.Hash]*tried          //
	own      *train.Outcome                 // own draft until it is answered and proposed; nil: none
	ending   bool                           // Commit was told
	endingAt int                            // when the certificate of the round came
	stating  train.Hash                     // root of the state that was asked for
	early    map[wire.PeerID]*[5]*Message   // messages of the next round, by kind
	joins    map[wire.PeerID]*Message       // who wants to come
	leaves   map[wire.PeerID]*Message       // who wants to go
	evidence map[wire.PeerID]train.Expelled // against members
	helpedAt map[wire.PeerID]int            // members of the round that were behind

	behind   wire.PeerID // who was heard to be in a later round; empty: nobody
	behindAt int
	chainAt  int

	join *train.Join

	headers, arrivals, results meter

	out      Ready
	dirty    bool
	repeatAt int // when the own messages are repeated
	pause    int // until they are once more
}

// New makes the machine of one peer, from what Ready last told to persist or from [Begin].
// root is the root of the state that the driver has, or none.
func New(cfg Config, saved *Saved, root train.Hash) (*Machine, error) {
	cfg.defaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("round: %w", err)
	}
	if saved == nil || saved.Last == nil || saved.Last.Outcome.Job != cfg.Job {
		return nil, errors.New("round: no certificate of the job to begin with")
	}
	m := &Machine{
		cfg: cfg, st: saved.clone(), root: root, chainAt: -cfg.Times.Resend,
		early: map[wire.PeerID]*[5]*Message{}, joins: map[wire.PeerID]*Message{}, leaves: map[wire.PeerID]*Message{}, evidence: map[wire.PeerID]train.Expelled{},
	}
	m.dirty, m.repeatAt = true, cfg.Times.Resend
	m.news(cfg.Times.Resend)
	if err := m.begin(); err != nil {
		return nil, fmt.Errorf("round: %w", err)
	}
	m.ask()
	m.progress()
	return m, nil
}

// ask asks one member for what was decided while this one was away.
func (m *Machine) ask() {
	n := uint64(len(m.Members()))
	p := m.Members()[m.Round()%n]
	if p == m.cfg.Me {
		p = m.Members()[(m.Round()+1)%n]
	}
	if p != m.cfg.Me && !m.over() {
		m.out.Chain = &Chain{From: m.tip() + 1, Peer: p}
	}
}

// Round is the number of the running round.
func (m *Machine) Round() uint64 { return m.st.Last.Outcome.Round + 1 }

// Members are those of the running round, sorted. The caller does not change them.
func (m *Machine) Members() []wire.PeerID { return m.st.Last.Outcome.Members }

// Last is the certificate of the last round.
func (m *Machine) Last() *train.Certificate { return m.st.Last }

// Header is the own header of the running round, or nil.
func (m *Machine) Header() *train.Header {
	if m.me < 0 || m.places[m.me].header == nil {
		return nil
	}
	return m.places[m.me].update()
}

// HeaderOf is what a member committed to in the running round, or nil: the slice that comes
// from it has that hash.
func (m *Machine) HeaderOf(p wire.PeerID) *train.Header {
	if i := m.place(p); i >= 0 && m.places[i].header != nil {
		return m.places[i].update()
	}
	return nil
}

// Groups are the members of the running round in the groups that average, each sorted. The caller
// does not change them.
func (m *Machine) Groups() [][]wire.PeerID { return m.groups }

func (m *Machine) place(p wire.PeerID) int { return train.Place(m.Members(), p) }

func (m *Machine) over() bool { return m.st.Last.Outcome.End != train.EndNone }

// begin sets everything that is of one round.
func (m *Machine) begin() error {
	n := len(m.Members())
	m.began, m.me, m.places = m.now, m.place(m.cfg.Me), make([]member, n)
	m.closedAt, m.senders, m.reducing, m.complete, m.expected = -1, 0, false, false, false
	m.gatherGroups()
	m.held, m.fetching = map[train.Hash]bool{}, map[train.Hash]bool{}
	m.agree, m.asked, m.own, m.ending, m.endingAt = nil, -1, nil, false, m.now
	m.pending, m.drafts, m.helpedAt = map[question]*train.Outcome{}, map[train.Hash]*tried{}, map[wire.PeerID]int{}
	for p := range m.evidence {
		if m.place(p) < 0 {
			delete(m.evidence, p)
		}
	}
	for p, l := range m.leaves {
		if m.place(p) < 0 || l.Body.(*train.Leave).Round+1 < m.Round() {
			delete(m.leaves, p)
		}
	}
	for p, j := range m.joins {
		if m.place(p) >= 0 || j.Body.(*train.Join).Round+fresh < m.Round() {
			delete(m.joins, p)
		}
	}
	if m.me >= 0 {
		m.join = nil
	}
	if m.me < 0 || m.over() {
		return nil
	}
	if err := m.restore(); err != nil {
		return err
	}
	a, err := agree.New(agree.Config{
		Me: m.me, N: n, Quorum: m.quorum(), Timeouts: m.cfg.Times.Votes, Sign: m.signVote,
		Leader: func(view int) int { return int((m.Round() + uint64(view)) % uint64(n)) },
	}, m.st.Agree)
	if err != nil {
		return err
	}
	m.agree = a
	return nil
}

// gatherGroups finds who averages with whom in the round.
func (m *Machine) gatherGroups() {
	size := m.cfg.Group
	if size == 0 {
		size = len(m.places)
	}
	m.groups = group.Dealt(m.cfg.Job, m.Round(), m.Members(), size)
	m.group = make([]train.Set, len(m.places))
	for _, list := range m.groups {
		var set train.Set
		for _, p := range list {
			set = set.With(m.place(p))
		}
		for _, p := range list {
			m.group[m.place(p)] = set
		}
	}
}

// restore takes up own messages of the round, after a restart.
func (m *Machine) restore() error {
	for _, s := range []*train.Sealed{m.st.Header, m.st.Reduced} {
		if s == nil {
			continue
		}
		msg, err := Open(s)
		if err != nil {
			return fmt.Errorf("own message of round %d: %w", m.Round(), err)
		}
		own := &m.places[m.me]
		switch msg.Body.(type) {
		case *train.Header:
			own.header = &msg
		case *train.Reduced:
			own.reduced, m.reducing = []*Message{&msg}, true
		}
	}
	return nil
}

func (m *Machine) quorum() int { return m.cfg.Quorum.Of(len(m.Members())) }

// Ready hands out what is to be done since the last call. Each part is handed out once.
func (m *Machine) Ready() Ready {
	r := m.out
	m.out = Ready{}
	if m.dirty {
		m.dirty = false
		r.Persist = m.st.clone()
	}
	return r
}

// Status tells where the machine stands.
func (m *Machine) Status() Status {
	s := Status{Round: m.Round(), Phase: m.phase(), Members: len(m.Members()), Quorum: m.quorum(), View: -1}
	for i := range m.places {
		p := &m.places[i]
		if p.header != nil {
			s.Headers++
		}
		if i == m.me || p.heard && m.now-p.heardAt <= 3*m.cfg.Times.ResendMax {
			s.Heard++
		}
	}
	if m.agree != nil {
		s.View = m.agree.Status().View
	}
	return s
}

func (m *Machine) phase() Phase {
	switch {
	case m.over():
		return Over
	case m.me < 0:
		return Outside
	case m.st.Decided != nil && m.stating.IsZero():
		return Ending
	case !m.level() || m.st.Decided != nil:
		return Catching
	case m.agree.Started():
		return Agreeing
	case m.closedAt >= 0 && !m.reducing && m.places[m.me].header != nil:
		return Slices
	case m.closedAt >= 0:
		return Results
	case m.places[m.me].header != nil:
		return Headers
	}
	return Work
}

// level reports whether the driver's state is that of the last round.
func (m *Machine) level() bool { return m.root == m.st.Last.Outcome.State }

// send queues messages. A single member has nobody to tell but those who follow the job.
func (m *Machine) send(to wire.PeerID, msgs ...*train.Sealed) {
	if len(m.Members()) == 1 && m.me == 0 {
		msgs = slices.DeleteFunc(slices.Clone(msgs), func(s *train.Sealed) bool { return s.Kind != train.KindCertificate })
	}
	if len(msgs) > 0 {
		m.out.Send = append(m.out.Send, Send{To: to, Messages: msgs})
	}
}

// Tick lets a tick pass. How long one is, the driver decides; all members alike.
func (m *Machine) Tick() {
	m.now++
	if m.over() {
		return
	}
	if m.agree != nil && m.st.Decided == nil {
		m.agree.Tick()
	}
	m.progress()
	m.overtake()
	if m.now >= m.repeatAt {
		m.repeatAt, m.pause = m.now+m.pause, min(2*m.pause, m.cfg.Times.ResendMax)
		m.repeat()
	}
}

// overtake asks who was heard to be further for what was decided.
func (m *Machine) overtake() {
	if m.behind != "" && m.now-m.behindAt >= m.cfg.Times.Resend && m.now-m.chainAt >= m.cfg.Times.Resend {
		m.out.Chain, m.chainAt, m.behind = &Chain{From: m.tip() + 1, Peer: m.behind}, m.now, ""
	}
}

// news lets own messages be repeated in a time at most, and as often as at first: there is something
// that others have not heard.
func (m *Machine) news(within int) {
	m.repeatAt, m.pause = min(m.repeatAt, m.now+within), max(m.cfg.Times.Resend, min(2*within, m.cfg.Times.ResendMax))
}

// repeat says again what may have been lost.
func (m *Machine) repeat() {
	if m.me < 0 && m.join != nil {
		j := *m.join
		j.Round, j.State = m.tip(), m.root
		m.send("", m.cfg.Sign(&j))
	}
	if m.me < 0 && m.st.Stop != nil {
		m.send("", m.st.Stop)
	}
	if m.me < 0 || m.st.Decided != nil {
		return
	}
	var own []*train.Sealed
	if m.st.Header != nil {
		own = append(own, m.st.Header)
	}
	if m.st.Reduced != nil {
		own = append(own, m.st.Reduced)
	}
	if m.st.Leaving {
		own = append(own, m.leave())
	}
	if m.st.Stop != nil {
		own = append(own, m.st.Stop)
	}
	if len(own) > 0 {
		m.send("", own...)
	}
}

// tip is the last round whose certificate is known.
func (m *Machine) tip() uint64 {
	if m.st.Decided != nil {
		return m.st.Decided.Outcome.Round
	}
	return m.st.Last.Outcome.Round
}

// Join asks to be taken in, until that is so. A member ignores it.
func (m *Machine) Join(samples uint64, membership wire.Membership) {
	if m.me >= 0 || m.over() {
		return
	}
	m.join = &train.Join{Job: m.cfg.Job, Peer: m.cfg.Me, Samples: samples, Membership: membership}
	if m.st.Leaving {
		m.st.Leaving, m.dirty = false, true
	}
	m.news(0)
}

// Leave tells the others that this peer goes. It goes on as a member until a certificate no
// longer names it; and its driver does well to serve the state until the others have
// certified a round without it, for a newcomer may have it from nobody else.
func (m *Machine) Leave() {
	if m.join = nil; m.me < 0 || m.st.Leaving {
		return
	}
	m.st.Leaving, m.dirty = true, true
	m.leave()
	m.news(0)
	m.progress()
}

// takeStop keeps the initiator's word that the job is to end, for the next outcome that this
// member proposes, and tells the others with what it repeats.
func (m *Machine) takeStop(s *train.Stop, sealed *train.Sealed) {
	if m.stops(s) && m.st.Stop == nil && !m.over() {
		m.st.Stop, m.dirty = sealed, true
		m.news(0)
	}
}

// stops reports whether a Stop is of this job, by who may stop it.
func (m *Machine) stops(s *train.Stop) bool { return s.Job == m.cfg.Job && s.Peer == m.cfg.Initiator }

// leave signs that this peer goes, in this round.
func (m *Machine) leave() *train.Sealed {
	l := &train.Leave{Job: m.cfg.Job, Peer: m.cfg.Me, Round: m.Round()}
	s := m.cfg.Sign(l)
	m.leaves[m.cfg.Me] = &Message{Sealed: s, Body: l}
	return s
}

// sortedPeers are the keys of a map in order.
func sortedPeers[V any](set map[wire.PeerID]V) []wire.PeerID {
	list := make([]wire.PeerID, 0, len(set))
	for p := range set {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}
