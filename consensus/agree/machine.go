package agree

import (
	"errors"
	"fmt"
)

// Majority is the quorum of n members of which none lies: more than half.
func Majority(n int) int { return n/2 + 1 }

// TwoThirds is the quorum of n members of which fewer than a third may lie.
func TwoThirds(n int) int { return 2*n/3 + 1 }

// Timeouts are in ticks. The zero value of a field means its default.
type Timeouts struct {
	Propose   int // for the leader's proposal, from the view's start; default 10
	Prevote   int // for a quorum on one value once a quorum has prevoted; default 5
	Precommit int // for a quorum on one value once a quorum has precommitted; default 5
	Grow      int // added to each for each view; default 2
	Max       int // none grows above it; default 50
	Resend    int // own messages of the view are first repeated after this, and members behind are helped this often; default 4
	// ResendMax bounds the time until the next repeat, which doubles with each until there is something
	// new to say: what repeats of all members keep busy brings nothing; default Resend.
	ResendMax int
}

func (t *Timeouts) defaults() {
	for _, d := range []struct {
		field *int
		value int
	}{{&t.Propose, 10}, {&t.Prevote, 5}, {&t.Precommit, 5}, {&t.Grow, 2}, {&t.Max, 50}, {&t.Resend, 4}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	t.ResendMax = max(t.ResendMax, t.Resend)
}

// of is a timeout of a view.
func (t *Timeouts) of(base, view int) int {
	return min(base+t.Grow*min(view, t.Max), max(base, t.Max))
}

// Config says who decides and how.
type Config struct {
	Me     int // index of this member
	N      int // how many members there are
	Quorum int // more than half of N, at most N; see [Majority] and [TwoThirds]

	// Leader is the member that proposes in a view; the same at all members.
	Leader func(view int) int
	// Sign returns what [Msg.Raw] of a message of this member is to be. It depends on the
	// message alone and has no effect. Nil leaves Raw empty.
	Sign func(Msg) []byte

	Timeouts Timeouts
}

func (c *Config) validate() error {
	var errs []error
	if c.N < 1 {
		errs = append(errs, fmt.Errorf("%d members", c.N))
	}
	if c.Me < 0 || c.Me >= c.N {
		errs = append(errs, fmt.Errorf("member %d of %d", c.Me, c.N))
	}
	if 2*c.Quorum <= c.N || c.Quorum > c.N {
		errs = append(errs, fmt.Errorf("quorum of %d of %d members: not more than half, or more than all", c.Quorum, c.N))
	}
	if c.Leader == nil {
		errs = append(errs, errors.New("no leaders"))
	}
	if t := c.Timeouts; min(t.Propose, t.Prevote, t.Precommit, t.Grow, t.Max, t.Resend, t.ResendMax) < 0 {
		errs = append(errs, errors.New("negative timeout"))
	}
	return errors.Join(errs...)
}

// Step is where a member is in a view.
type Step uint8

// The steps of a view.
const (
	StepPropose   Step = iota // has not prevoted
	StepPrevote               // has prevoted
	StepPrecommit             // has precommitted
)

// String is the step's name in lower case.
func (s Step) String() string {
	return [...]string{"propose", "prevote", "precommit"}[min(s, StepPrecommit)]
}

// Backed is a value and the last view in which it had a quorum of prevotes.
type Backed struct {
	View  int // -1: there is none
	ID    ID
	Value []byte
}

// State is what a member must not forget. Its zero value is not meaningful: New with no
// state begins.
type State struct {
	View     int   // -1 before the start
	Step     Step  // in the view
	Mine     []Msg // what this member said in the view
	Entry    []Msg // votes of others because of which it is in the view; shown to members behind
	Locked   Backed
	Valid    Backed
	Proof    []Msg // prevotes of a quorum for Valid, one of each member in ascending order
	Decision *Certificate
}

// Send is messages, or a certificate, for one member or all.
type Send struct {
	To          int // index of a member, or -1: all others
	Msgs        []Msg
	Certificate *Certificate // to be given to Learn there; nil where Msgs are
}

// Question asks whether a proposal is valid. Backed says that a quorum has prevoted it, in this
// view or in the one that its Proof shows. What members may see differently, such as who was
// heard in time, is then settled by that quorum: a member that goes on refusing it keeps
// others, who are locked on it, from ever deciding. What each can see for itself is not.
type Question struct {
	Proposal Msg
	Backed   bool
}

type asked struct {
	id     ID
	backed bool
}

// Ready is what the driver has to do, in the order of the fields.
type Ready struct {
	// Persist, if not nil, replaces the state saved before; it must be durable before
	// anything below is done. It is not changed afterwards.
	Persist *State
	// Send may be lost, doubled and reordered.
	Send []Send
	// Propose asks this member, the leader of View, for a value: answer with
	// [Machine.Propose], at once or later.
	Propose bool
	View    int
	// Validate asks whether proposals of others are valid: answer each with
	// [Machine.Valid], at once or later. One may be asked again.
	Validate []Question
	// Evidence is told once for each member.
	Evidence []Evidence
	// Decided is told once, and once more after each restart.
	Decided *Certificate
}

// Machine decides one value together with its like at the other members.
type Machine struct {
	cfg Config
	st  State

	now    int // ticks
	stepAt int // when the step times out; 0: not running
	nextAt int // when the view ends; 0: not running
	sayAt  int // when the own messages are repeated
	pause  int // until they are repeated once more

	cur, prev tally  // of view st.View and the one before it
	ahead     []said // by member: its messages of one later view

	asked     map[asked]bool // questions of proposals that may still count
	valid     map[asked]bool // answers to them
	accused   []bool         // by member: evidence was told
	helpedAt  []int          // by member: when it was last helped
	decidedAt int

	out   Ready
	dirty bool
}

// New makes the machine of one member, from what Ready last told to persist, or nil at the
// beginning. It says nothing before [Machine.Start].
func New(cfg Config, saved *State) (*Machine, error) {
	cfg.Timeouts.defaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("agree: %w", err)
	}
	m := &Machine{
		cfg: cfg, st: State{View: -1, Locked: Backed{View: -1}, Valid: Backed{View: -1}},
		cur: newTally(cfg.N), prev: newTally(cfg.N), ahead: make([]said, cfg.N),
		valid: map[asked]bool{}, asked: map[asked]bool{}, accused: make([]bool, cfg.N), helpedAt: make([]int, cfg.N),
	}
	for i := range m.helpedAt {
		m.helpedAt[i] = -cfg.Timeouts.Resend
	}
	if saved != nil {
		m.st = *saved
		m.resume()
	}
	return m, nil
}

// resume goes on where a saved state stopped.
func (m *Machine) resume() {
	if m.st.Decision != nil {
		m.out.Decided = m.st.Decision
		return
	}
	if m.st.View < 0 {
		return
	}
	for i := range m.st.Mine {
		own := &m.st.Mine[i]
		m.cur.add(own)
		if own.Kind == Proposal {
			m.valid[asked{id: own.ID}] = true // whoever proposes has found it valid
		}
	}
	if m.st.Step == StepPropose {
		m.stepAt = m.cfg.Timeouts.of(m.cfg.Timeouts.Propose, m.st.View)
		if m.cur.proposal == nil {
			m.lead()
		}
	}
	m.news()
	m.say(m.st.Mine...)
	m.advance()
}

// Start begins the first view. The machine also begins when so many others have begun that
// one of them is surely honest. Called again it does nothing.
func (m *Machine) Start() {
	if m.st.View < 0 && m.st.Decision == nil {
		m.enter(0, nil)
		m.advance()
	}
}

// Started reports whether the first view has begun.
func (m *Machine) Started() bool { return m.st.View >= 0 || m.st.Decision != nil }

// Decision is the certificate, or nil while there is none.
func (m *Machine) Decision() *Certificate { return m.st.Decision }

// Status tells a person where the machine stands.
type Status struct {
	View   int // -1 before the start
	Step   Step
	Quorum int
	// Heard is how many members, this one included, are known to be in this view or a
	// later one. While it is below Quorum nothing can be decided here.
	Heard   int
	Decided bool
}

// Status tells where the machine stands.
func (m *Machine) Status() Status {
	s := Status{View: m.st.View, Step: m.st.Step, Quorum: m.cfg.Quorum, Decided: m.st.Decision != nil}
	for i := range m.cfg.N {
		if i == m.cfg.Me || m.ahead[i].any() || m.cur.heard(i) {
			s.Heard++
		}
	}
	return s
}

// Ready hands out what is to be done since the last call. Each part is handed out once.
func (m *Machine) Ready() Ready {
	r := m.out
	m.out = Ready{}
	if m.dirty {
		m.dirty = false
		st := m.st
		r.Persist = &st
	}
	return r
}

// Tick lets a tick pass. How long one is, the driver decides; all members alike.
func (m *Machine) Tick() {
	m.now++
	if m.st.Decision != nil || m.st.View < 0 {
		return
	}
	if m.stepAt > 0 && m.now >= m.stepAt {
		m.stepAt = 0
		if m.st.Step == StepPropose {
			m.vote(Prevote, ID{})
		} else if m.st.Step == StepPrevote {
			m.vote(Precommit, ID{})
		}
	}
	if m.nextAt > 0 && m.now >= m.nextAt {
		m.enter(m.st.View+1, m.cur.votesOf(Precommit))
	}
	m.advance()
	if m.now >= m.sayAt && m.st.Decision == nil {
		m.sayAt, m.pause = m.now+m.pause, min(2*m.pause, m.cfg.Timeouts.ResendMax)
		m.say(m.st.Mine...)
	}
}

// news plans repeats anew: there is something that others have not heard.
func (m *Machine) news() {
	t := &m.cfg.Timeouts
	m.sayAt, m.pause = m.now+t.Resend, min(2*t.Resend, t.ResendMax)
}

// say queues own messages for all others.
func (m *Machine) say(msgs ...Msg) {
	if m.cfg.N > 1 && len(msgs) > 0 {
		m.out.Send = append(m.out.Send, Send{To: -1, Msgs: append([]Msg(nil), msgs...)})
	}
}
