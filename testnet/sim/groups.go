package sim

import (
	"slices"
	"time"

	"github.com/covey-network/covey/consensus/group"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/toy"
)

const (
	ahead   = 4  // rounds for which messages are kept that come too early
	behind  = 3  // rounds for which those who are late are helped
	earlies = 64 // of them, for each round
)

type rosterRound struct {
	roster train.Hash
	round  uint64
}

// grouper is a node in the mode of groups.
type grouper struct {
	learner
	*registrar

	round    uint64
	values   []float32 // the own parameters; nil: none yet
	cur      *driver
	past     []*driver // the last rounds, newest first: others may be late
	began    time.Duration
	early    map[uint64][]earlyMessage
	waits    []int          // ticks until headers came, of the last ones
	seen     map[*node]bool // whose header was counted in this round
	going    bool
	fetching time.Duration // when somebody was asked for parameters
}

type earlyMessage struct {
	from *node
	job  train.Hash
	msg  any
}

// askValues asks for parameters: those of a newcomer are the middle of a few.
type (
	askValues  struct{}
	hereValues struct{ values []float32 }
)

func newGrouper(l learner, first bool) *grouper {
	g := &grouper{learner: l, registrar: newRegistrar(l.n), early: map[uint64][]earlyMessage{}, round: 1}
	if first {
		g.values = slices.Clone(l.n.w.task.first)
	}
	return g
}

func (g *grouper) start() {
	g.registrar.start(g.round)
	for _, d := range g.past {
		d.start()
	}
	if g.cur != nil {
		g.cur.start()
	} else {
		g.enter(g.round)
	}
}

// mine is the own group of a round, and the job that it is.
func (g *grouper) mine(r uint64) ([]wire.PeerID, train.Hash) {
	ro := g.rosterOf(r)
	w := g.n.w
	key := rosterRound{ro.id, r}
	groups, ok := w.rosters[key]
	if !ok {
		if len(w.rosters) > 256 {
			clear(w.rosters)
		}
		groups = group.Of(jobOf(w.cfg.Seed), r, ro.members, w.cfg.Group)
		w.rosters[key] = groups
	}
	list := group.Mine(groups, g.n.peer)
	text := ro.id[:]
	text = append(slices.Clone(text), byte(r>>24), byte(r>>16), byte(r>>8), byte(r))
	for _, p := range list {
		text = append(text, p...)
	}
	return list, train.HashOf(text)
}

// enter begins a round, if this node takes part in it.
func (g *grouper) enter(r uint64) {
	if g.cur != nil && !g.cur.dead {
		g.past = append([]*driver{g.cur}, g.past[:min(len(g.past), behind-1)]...)
	}
	g.cur, g.round, g.began, g.seen = nil, r, g.n.w.now, map[*node]bool{}
	for k := range g.early {
		if k < r {
			delete(g.early, k)
		}
	}
	list, job := g.mine(r)
	if len(list) == 0 || g.values == nil {
		return
	}
	w := g.n.w
	w.report.Tries++
	base := train.HashOf(append([]byte("base"), job[:]...))
	m := &groupModel{g: g, now: base}
	d := newDriver(g.n, job, &train.Certificate{Peer: list[0], Outcome: train.Outcome{Job: job, State: base, Members: list}}, m)
	d.at = r
	d.epoch = func() uint64 { return g.newest().epoch }
	d.cfg = round.Config{Job: job, Me: g.n.peer, Quorum: w.cfg.Quorum, Sign: g.n.sign, Times: times()}
	// A machine of one round has measured nothing but who was first in it.
	late := g.deadline(d.cfg.Times.Headers)
	d.cfg.Times.Headers = round.Span{Floor: late, Cap: late}
	var to []*node
	for _, p := range list {
		to = append(to, w.byPeer[p]...)
	}
	d.to = func() []*node { return to }
	d.work = func() time.Duration { return time.Duration(w.cfg.Inner) * g.n.step }
	g.cur = d
	d.start()
	for _, e := range g.early[r] {
		if e.job == job && g.cur == d {
			g.hear(e.from, e.msg)
		}
	}
	delete(g.early, r)
}

// deadline is how long to wait for headers, from what was measured in past rounds: the groups
// are other ones, the members are of the same kind.
func (g *grouper) deadline(s round.Span) int {
	if len(g.waits) < 8 {
		return s.Cap
	}
	list := slices.Sorted(slices.Values(g.waits))
	mid := list[len(list)/2]
	for i, v := range list {
		list[i] = max(v-mid, mid-v)
	}
	slices.Sort(list)
	return min(s.Cap, mid+max(s.Floor, 5*list[len(list)/2]))
}

// patience is how long a round may last at one member, in ticks.
func (g *grouper) patience() int {
	t := times()
	return g.deadline(t.Headers) + t.Headers.Floor + t.Slices.Cap + t.Results.Cap + 40
}

func (g *grouper) tick() {
	w := g.n.w
	g.registrar.tick(g.round)
	for _, d := range g.past {
		d.tick()
	}
	switch {
	case g.cur != nil:
		g.cur.tick()
		if g.cur != nil && !g.cur.m.Last().Outcome.Base.IsZero() {
			return // it is done, the next one is about to begin
		}
		if int((w.now-g.began)/w.cfg.Tick) > g.patience() {
			g.abandon(g.round + 1)
			g.ask(1)
		}
	case g.going:
		w.bury(g.n)
	case g.values == nil:
		if w.now-g.fetching >= w.cfg.Retry {
			g.fetching = w.now
			if to := g.anyone(); to != nil {
				w.send(g.n, to, bulk, small, askValues{})
			}
		}
		g.ask(1)
	default: // on no roster that counts yet
		g.ask(1)
		if r := g.newest().begins; r > g.round {
			g.enter(r)
		} else if list, _ := g.mine(g.round); len(list) > 0 {
			g.enter(g.round)
		} else if int((w.now-g.began)/w.cfg.Tick) > g.patience() {
			g.enter(g.round + 1)
		}
	}
}

// abandon gives a round up, and keeps what was learned alone.
func (g *grouper) abandon(next uint64) {
	w := g.n.w
	w.report.Failed++
	w.say("%d gives round %d up, at %d: %+v", g.n.id, g.round, next, g.cur.m.Status())
	g.cur.dead = true
	if g.pendOf == g.round {
		g.values = g.pending
	}
	g.enter(next)
}

// anyone is some node that a newcomer may have heard of.
func (g *grouper) anyone() *node {
	list := g.n.w.nodes
	to := list[g.n.rng.IntN(len(list))]
	if to == g.n || to.gone {
		return nil
	}
	return to
}

func (g *grouper) receive(from *node, msg any) {
	switch v := msg.(type) {
	case askValues:
		if g.values != nil {
			g.n.w.send(g.n, from, bulk, 2*toy.Params+small, hereValues{g.values})
		}
	case hereValues:
		if g.values == nil && len(v.values) == toy.Params {
			g.values = slices.Clone(v.values)
		}
	default:
		if !g.registrar.receive(from, msg, g.round) {
			g.hear(from, msg)
		}
	}
}

// hear takes a message of a group.
func (g *grouper) hear(from *node, msg any) {
	var job train.Hash
	var at uint64
	switch v := msg.(type) {
	case bundle:
		job, at = v.job, v.at
		g.registrar.compare(from, v.epoch)
	case put:
		job = v.job
	case putDone:
		job = v.job
	case get:
		job = v.job
	case got:
		job = v.job
	case askChain:
		job = v.job
	case hereChain:
		job = v.job
	}
	switch {
	case g.cur != nil && g.cur.job == job:
		g.measure(from, msg)
		g.cur.receive(from, msg)
	case slices.ContainsFunc(g.past, func(d *driver) bool { return d.job == job }):
		g.past[slices.IndexFunc(g.past, func(d *driver) bool { return d.job == job })].receive(from, msg)
	case at > g.round && at <= g.round+ahead:
		g.keep(from, at, job, msg)
	}
}

// measure notes how long a header took.
func (g *grouper) measure(from *node, msg any) {
	b, ok := msg.(bundle)
	if !ok || g.seen[from] || !slices.ContainsFunc(b.msgs, func(m round.Message) bool { return m.Sealed.Kind == train.KindHeader }) {
		return
	}
	g.seen[from] = true
	if len(g.waits) >= 64 {
		g.waits = slices.Delete(g.waits, 0, 1)
	}
	g.waits = append(g.waits, int((g.n.w.now-g.began)/g.n.w.cfg.Tick))
}

// keep keeps a message of a later round, and goes there when a third of the group is there:
// one honest member at least.
func (g *grouper) keep(from *node, at uint64, job train.Hash, msg any) {
	list, mine := g.mine(at)
	if mine != job || len(list) == 0 || len(g.early[at]) >= earlies {
		return
	}
	g.early[at] = append(g.early[at], earlyMessage{from, job, msg})
	there := map[*node]bool{}
	for _, e := range g.early[at] {
		if e.job == job {
			there[e.from] = true
		}
	}
	if 3*len(there) <= len(list) || g.values == nil {
		return
	}
	if g.cur == nil {
		g.enter(at)
	} else if at >= g.round+behind {
		g.abandon(at)
	}
}

func (g *grouper) leave() { g.going, g.silentNow = true, true }

func (g *grouper) params() []float32 { return g.values }

func (g *grouper) turn() int { return int(g.round) - 1 }

// groupModel is the model of one round of one group.
type groupModel struct {
	g   *grouper
	now train.Hash
}

func (m *groupModel) begin(uint64) {
	u := slices.Clone(m.g.values)
	m.g.n.task.learn(u, m.g.n.w.cfg.Inner)
	m.g.pending, m.g.pendOf = u, m.g.round
}

func (m *groupModel) update(_ uint64, members int) ([][]byte, round.Update) {
	g := m.g
	u := slices.Clone(g.pending)
	g.lie(g.round, u)
	steps := g.n.w.cfg.Inner
	return g.encode(g.codec.Encoder(false), g.round, u, members), round.Update{Samples: uint64(steps * batchSize), Steps: uint64(steps), Loss: 1}
}

func (m *groupModel) reduce(_ uint64, slice, members int, parts [][]byte) ([]byte, train.Set) {
	return m.g.learner.reduce(m.g.round, slice, members, parts)
}

// apply puts the results in the place of the own values.
func (m *groupModel) apply(o *train.Outcome, results [][]byte) (train.Hash, train.End, any) {
	text := slices.Clone(o.Base[:])
	next := slices.Clone(m.g.values)
	if m.g.pendOf == m.g.round {
		copy(next, m.g.pending)
	}
	for i, h := range o.Slices {
		text = append(text, h[:]...)
		if results[i] == nil {
			continue
		}
		lo, hi := span(i, len(results))
		part := make([]float32, hi-lo)
		if m.g.results.Decode(part, lo, results[i]) == nil {
			copy(next[lo:], part)
		}
	}
	return train.HashOf(text), train.EndRounds, next
}

func (m *groupModel) commit(c *train.Certificate, next any) {
	g := m.g
	m.now = c.Outcome.State
	g.expelled(c.Outcome.Expelled)
	if next == nil {
		return
	}
	g.values = next.([]float32)
	w := g.n.w
	w.spans = append(w.spans, w.now-g.began)
	r := g.round
	g.n.w.after(0, func() {
		if g.n.up && g.round == r {
			if g.going {
				g.cur = nil
				return
			}
			g.enter(r + 1)
		}
	})
}

func (m *groupModel) root() train.Hash { return m.now }

func (m *groupModel) full() []byte { return nil }

func (m *groupModel) adopt([]byte, train.Hash) bool { return false }
