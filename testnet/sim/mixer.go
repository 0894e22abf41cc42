package sim

import (
	"slices"
	"time"

	"github.com/covey-network/covey/consensus/gossip"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/toy"
)

// mixer is a node in the mode of gossip.
type mixer struct {
	learner
	m      *gossip.Machine
	at     uint64    // turn; durable
	fresh  bool      // durable
	values []float32 // durable
	known  []wire.PeerID
}

// vector is what neighbours send, signed: the parameters as they differ from the first ones.
type vector struct {
	sealed *train.Sealed
	body   *train.Vector
}

func newMixer(l learner, first bool) *mixer {
	m := &mixer{learner: l, fresh: !first, values: slices.Clone(l.n.w.task.first), known: slices.Clone(l.n.w.first)}
	if !first {
		m.known = m.known[:0]
		for _, n := range l.n.w.nodes {
			if !n.gone {
				m.known = append(m.known, n.peer)
			}
		}
		slices.Sort(m.known)
	}
	return m
}

func (m *mixer) start() {
	cfg := &m.n.w.cfg
	var err error
	m.m, err = gossip.New(gossip.Config{Job: jobOf(cfg.Seed), Me: m.n.peer, Values: toy.Params, Rule: m.rule, Degree: cfg.Degree, Fresh: m.fresh}, m.at)
	m.failed(err)
	m.m.Members(m.known)
	m.learn()
}

// learnOf is told that a node has come or gone.
func (m *mixer) learnOf(n *node) {
	i, is := slices.BinarySearch(m.known, n.peer)
	switch {
	case n.gone && is:
		m.known = slices.Delete(m.known, i, i+1)
	case !n.gone && !is:
		m.known = slices.Insert(m.known, i, n.peer)
	default:
		return
	}
	m.m.Members(m.known)
}

// learn does some steps, sends what came of them, and mixes.
func (m *mixer) learn() {
	cfg := &m.n.w.cfg
	u := slices.Clone(m.values)
	m.n.task.learn(u, cfg.Inner)
	m.pending = u
	step := m.n.step
	m.n.later(time.Duration(cfg.Inner)*step, func() {
		m.send()
		mixed := make([]float32, len(u))
		if _, err := m.m.Mix(mixed, u); err != nil {
			mixed = m.values // what was learned was no number
		}
		m.values, m.at, m.fresh = mixed, m.m.Turn(), m.m.Fresh()
		m.learn()
	})
}

func (m *mixer) send() {
	w := m.n.w
	to := m.m.To()
	if len(to) == 0 {
		return
	}
	out := slices.Clone(m.pending)
	m.lie(0, out)
	b, err := m.codec.Encoder(false).Encode(nil, 0, out, m.at)
	if err != nil {
		b = make([]byte, m.codec.Size(0, len(out)))
	}
	body := &train.Vector{Job: jobOf(w.cfg.Seed), Turn: m.m.Turn(), Peer: m.n.peer, Base: train.HashOf([]byte("gossip")), Samples: uint64(w.cfg.Inner * batchSize), Data: b}
	s := m.n.sign(body)
	delete(w.opened, string(s.Signature)) // it is large, and nobody asks for it again
	for _, p := range to {
		w.sendVector(m.n, p, len(s.Payload)-len(b)+len(s.Signature), len(b), vector{s, body})
	}
}

func (m *mixer) tick() {}

func (m *mixer) receive(_ *node, msg any) {
	v := msg.(vector)
	values := make([]float32, toy.Params)
	if m.codec.Decode(values, 0, v.body.Data) != nil {
		return
	}
	if err := m.m.Step(gossip.Update{Peer: v.body.Peer, Turn: v.body.Turn, Values: values}); err != nil {
		m.n.w.report.Behind++
	}
}

// leave is to go at once: the adverts say so.
func (m *mixer) leave() { m.n.w.bury(m.n) }

func (m *mixer) learned(uint64) []float32 {
	if m.fresh {
		return nil
	}
	return m.pending
}

func (m *mixer) params() []float32 {
	if m.fresh {
		return nil
	}
	return m.values
}

func (m *mixer) turn() int { return int(m.m.Turn()) }
