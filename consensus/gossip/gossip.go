package gossip

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/covey-network/covey/consensus/group"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/consensus/vec"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// MaxDegree bounds to how many others a member sends in a turn.
const MaxDegree = robust.MaxUpdates / 2

// slack is how many times more likely an edge may seem to its receiver than to its sender:
// they know of different numbers of members.
const slack = 1.25

// Why a vector is not used. None of these shows that its sender lies.
var (
	ErrStranger = errors.New("the sender is not known as a member")
	ErrRepeated = errors.New("a vector of this turn or a later one of the sender was here")
	ErrStale    = errors.New("the turn is too far from the own one")
	ErrEdge     = errors.New("the sender does not send to this member in that turn")
	ErrFull     = errors.New("enough vectors wait")
)

// ErrMalformed is of a vector that no honest member sends.
var ErrMalformed = errors.New("the vector is of the wrong length or has a value that is not finite")

// Config says how a member mixes.
type Config struct {
	Job    train.Hash
	Me     wire.PeerID
	Values int         // length of a vector
	Rule   robust.Rule // gossip or gossip:RADIUS, see robust.Parse
	// Degree is to how many others a member sends in a turn, in the mean: 1 to MaxDegree;
	// 0: 8.
	Degree int
	// Window is how many turns a vector may be away from the own turn; 0: 16.
	Window uint64
	// Fresh says that the own vector is worth nothing, as that of a newcomer: nothing is sent,
	// and the first mix with Quorum vectors takes their median in its place.
	Fresh bool
}

// Quorum is how many vectors, or those of all others if there are fewer, take the place of one
// that is worth nothing.
const Quorum = 3

func (c *Config) validate() error {
	var errs []error
	if c.Job.IsZero() || c.Me == "" {
		errs = append(errs, errors.New("no job or no peer"))
	}
	if c.Values < 1 {
		errs = append(errs, fmt.Errorf("vectors of %d values", c.Values))
	}
	if c.Degree < 1 || c.Degree > MaxDegree {
		errs = append(errs, fmt.Errorf("degree %d, want 1 to %d", c.Degree, MaxDegree))
	}
	if !c.Rule.Weighted() || !c.Rule.Referenced() {
		errs = append(errs, fmt.Errorf("rule %v, want gossip or gossip:RADIUS", c.Rule))
	}
	return errors.Join(errs...)
}

// Update is what a neighbour sends.
type Update struct {
	Peer   wire.PeerID // verified
	Turn   uint64      // of the sender
	Values []float32   // kept until it is mixed; nobody changes it
}

// Machine is one member.
type Machine struct {
	cfg     Config
	turn    uint64
	members []wire.PeerID
	to      []wire.PeerID          // of the turn; nil: not drawn yet
	seen    map[wire.PeerID]uint64 // of members: their last turn that was taken, and 1
	waiting map[wire.PeerID]Update
	ahead   map[wire.PeerID]uint64 // turns, of who is too far ahead
	last    []distance             // of members: how far away each was when it was mixed last, the oldest first; at most 2*Degree
	fresh   bool
	middle  robust.Rule
}

// New makes a member whose next turn is the one given: 0 for a new one, or what [Machine.Turn]
// said when it was last stopped.
func New(cfg Config, turn uint64) (*Machine, error) {
	if cfg.Degree == 0 {
		cfg.Degree = 8
	}
	if cfg.Window == 0 {
		cfg.Window = 16
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	if turn > protocol.MaxTrainRounds {
		return nil, fmt.Errorf("gossip: turn %d, at most %d", turn, uint64(protocol.MaxTrainRounds))
	}
	middle, err := robust.Parse("median")
	if err != nil {
		panic("gossip: " + err.Error())
	}
	return &Machine{
		cfg: cfg, turn: turn, fresh: cfg.Fresh, middle: middle,
		seen: map[wire.PeerID]uint64{}, waiting: map[wire.PeerID]Update{}, ahead: map[wire.PeerID]uint64{},
	}, nil
}

// Turn is the turn that the next [Machine.Mix] ends.
func (m *Machine) Turn() uint64 { return m.turn }

// Fresh reports whether the own vector is worth nothing: at the start if Config says so, and
// after the others were found to be more than Window turns ahead.
func (m *Machine) Fresh() bool { return m.fresh }

// Members says who takes part as far as is known: sorted and unique. It is copied.
func (m *Machine) Members(list []wire.PeerID) {
	m.members, m.to = slices.Clone(list), nil
	known := func(p wire.PeerID) bool { return train.Place(m.members, p) >= 0 }
	maps.DeleteFunc(m.seen, func(p wire.PeerID, _ uint64) bool { return !known(p) })
	maps.DeleteFunc(m.waiting, func(p wire.PeerID, _ Update) bool { return !known(p) })
	maps.DeleteFunc(m.ahead, func(p wire.PeerID, _ uint64) bool { return !known(p) })
	m.last = slices.DeleteFunc(m.last, func(d distance) bool { return !known(d.peer) })
}

// count is how many members there are, the own one included.
func (m *Machine) count() int {
	n := len(m.members)
	if train.Place(m.members, m.cfg.Me) < 0 {
		n++
	}
	return n
}

// To is to whom the own vector goes in this turn, before it is mixed. The caller does not
// change it.
func (m *Machine) To() []wire.PeerID {
	if m.to == nil {
		m.to = []wire.PeerID{}
		n := m.count()
		for _, p := range m.members {
			if !m.fresh && len(m.to) < 2*m.cfg.Degree && group.Drawn(m.cfg.Job, m.turn, m.cfg.Me, p, n, float64(m.cfg.Degree)) {
				m.to = append(m.to, p)
			}
		}
	}
	return m.to
}

// Want says why a neighbour's vector of a turn would not be used, before it is fetched or decoded.
func (m *Machine) Want(p wire.PeerID, turn uint64) error {
	_, waits := m.waiting[p]
	known := slack * float64(m.cfg.Degree)
	switch {
	case p == m.cfg.Me || train.Place(m.members, p) < 0:
		return ErrStranger
	case turn > protocol.MaxTrainRounds:
		return ErrMalformed
	case turn < m.seen[p]:
		return ErrRepeated
	case m.turn > m.cfg.Window && turn < m.turn-m.cfg.Window:
		return ErrStale
	case !group.Drawn(m.cfg.Job, turn, p, m.cfg.Me, m.count(), known):
		return ErrEdge
	case turn > m.turn+m.cfg.Window:
		if _, is := m.ahead[p]; is || len(m.ahead) < 2*m.cfg.Degree {
			m.ahead[p] = turn
		}
		return ErrStale
	case !waits && len(m.waiting) >= 2*m.cfg.Degree:
		return ErrFull
	}
	return nil
}

// Step takes a neighbour's vector, or says why it is not used.
func (m *Machine) Step(u Update) error {
	if err := m.Want(u.Peer, u.Turn); err != nil {
		return err
	}
	if len(u.Values) != m.cfg.Values || !vec.Finite(u.Values) {
		return ErrMalformed
	}
	m.seen[u.Peer] = u.Turn + 1
	m.waiting[u.Peer] = u
	return nil
}

// Mix ends the turn: it writes to dst what becomes of the own vector and returns whose had a
// part in it, sorted. The two have the length that Config says and do not overlap; own is
// finite. On an error nothing has changed.
func (m *Machine) Mix(dst, own []float32) ([]wire.PeerID, error) {
	if len(own) != m.cfg.Values || len(dst) != m.cfg.Values || !vec.Finite(own) {
		return nil, fmt.Errorf("gossip: own vector of %d values, want %d and all finite: %w", len(own), m.cfg.Values, ErrMalformed)
	}
	if m.fresh && len(m.waiting) < max(1, min(Quorum, m.count()-1)) {
		copy(dst, own)
		m.end()
		return nil, nil
	}
	used := slices.Sorted(maps.Keys(m.waiting))
	rows, degrees := make([][]float32, len(used)), make([]int, len(used))
	for i, p := range used {
		rows[i], degrees[i] = m.waiting[p].Values, min(m.cfg.Degree, m.count()-1)
	}
	rule := m.cfg.Rule
	switch {
	case m.fresh:
		rule = m.middle
	case rule.Radius() == 0:
		radius := m.radius(robust.Distances(own, rows), used)
		if radius == 0 {
			used, rows, degrees = nil, nil, nil
		}
		rule = rule.WithRadius(radius)
	}
	if _, err := rule.Aggregate(dst, rows, robust.Metropolis(min(m.cfg.Degree, m.count()-1), degrees), own); err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	m.fresh = false
	m.end()
	return used, nil
}

// distance is how far away a member was.
type distance struct {
	peer wire.PeerID
	away float64
}

// radius is how far a neighbour may move a member where the rule names no radius: the middle of the
// distances of those that were heard last, as few come in one turn, and those may be liars. Who was
// not heard yet counts as here, as far as Degree of the others: so the first one to come does not
// move a member as far as it likes.
func (m *Machine) radius(away []float64, of []wire.PeerID) float64 {
	for i, p := range of {
		m.last = slices.DeleteFunc(m.last, func(d distance) bool { return d.peer == p })
		m.last = append(m.last, distance{p, away[i]})
	}
	m.last = m.last[max(0, len(m.last)-2*m.cfg.Degree):]
	list := make([]float64, max(len(m.last), min(m.count()-1, m.cfg.Degree)))
	for i, d := range m.last {
		list[i] = d.away
	}
	slices.Sort(list)
	if len(list) == 0 {
		return 0
	}
	return list[(len(list)-1)/2]
}

// end begins the next turn. Where nobody near was heard and others are far ahead, it is theirs,
// and the own vector is too old to be worth anything.
func (m *Machine) end() {
	next := m.turn + 1
	var turns []uint64
	for _, u := range m.waiting {
		turns = append(turns, u.Turn)
	}
	if len(turns) == 0 && len(m.ahead) >= min(Quorum, m.count()-1) {
		turns = slices.Collect(maps.Values(m.ahead))
		m.fresh = m.fresh || len(turns) > 0
	}
	if len(turns) > 0 {
		slices.Sort(turns)
		next = max(next, turns[(len(turns)-1)/2])
	}
	m.turn, m.to = min(next, protocol.MaxTrainRounds), nil
	if !m.fresh {
		clear(m.waiting)
	}
	clear(m.ahead)
}
