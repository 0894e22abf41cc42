package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/testnet/attack"
	"github.com/covey-network/covey/testnet/toy"
)

// span is the range of a slice among n.
func span(slice, n int) (lo, hi int) { return slice * toy.Params / n, (slice + 1) * toy.Params / n }

// learner is what the models of all modes have in common.
type learner struct {
	n       *node
	codec   *codec.Codec
	results *codec.Codec // of results
	rule    robust.Rule
	pending []float32 // what the own work of round pendOf gives
	pendOf  uint64
}

func (l *learner) failed(err error) {
	if err != nil {
		panic("sim: " + err.Error()) // codecs and rules were checked at the start
	}
}

// reduce makes the result of a slice, as its owner.
func (l *learner) reduce(r uint64, slice, members int, parts [][]byte) ([]byte, train.Set) {
	lo, hi := span(slice, members)
	var rows [][]float32
	var places []int
	var bad train.Set
	for i, p := range parts {
		if p == nil {
			continue
		}
		row := make([]float32, hi-lo)
		if l.codec.Decode(row, lo, p) != nil {
			bad = bad.With(i)
			continue
		}
		rows, places = append(rows, row), append(places, i)
	}
	result := make([]float32, hi-lo)
	report, err := l.rule.Aggregate(result, rows, nil, nil)
	if err != nil {
		return nil, bad // too few: the slice stays as it is
	}
	for _, o := range report.Out {
		bad = bad.With(places[o.Sender])
	}
	if l.n.liar && l.n.w.cfg.Attack == Owner {
		for i := range result {
			result[i] *= -10
		}
	}
	e := l.results.Encoder(false)
	b, err := e.Encode(nil, lo, result, r)
	l.failed(err)
	return b, bad
}

// lie does to an update what the node's attack does.
func (l *learner) lie(r uint64, u []float32) {
	if !l.n.liar {
		return
	}
	var honest [][]float32
	for _, n := range l.n.w.nodes {
		if n.liar || !n.up {
			continue
		}
		if a, ok := n.actor.(interface{ learned(uint64) []float32 }); ok {
			if v := a.learned(r); v != nil {
				honest = append(honest, v)
			}
		}
	}
	if len(honest) > 0 {
		attack.Lie(l.n.w.cfg.Attack, u, honest, l.n.rng)
	}
}

func (l *learner) learned(r uint64) []float32 {
	if l.pendOf != r {
		return nil
	}
	return l.pending
}

// encode makes the slices of an update, and of the update what they decode to.
func (l *learner) encode(e *codec.Encoder, r uint64, u []float32, members int) [][]byte {
	out := make([][]byte, members)
	for i := range out {
		lo, hi := span(i, members)
		b, err := e.Encode(nil, lo, u[lo:hi], r<<32|uint64(l.n.id)<<8|uint64(i))
		if err != nil { // the numbers are not finite, so is what is sent
			b = make([]byte, l.codec.Size(lo, hi-lo))
		}
		out[i] = b
	}
	return out
}

// diloco is the model of the mode of rounds: parameters and outer momentum.
type diloco struct {
	learner
	encoder *codec.Encoder
	state   *outer // nil: none yet
}

type outer struct {
	params, speed []float32
	root          train.Hash
}

func (o *outer) bytes() []byte {
	b := make([]byte, 0, 8*toy.Params)
	for _, list := range [][]float32{o.params, o.speed} {
		for _, v := range list {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return b
}

func (d *diloco) begin(r uint64) {
	u := make([]float32, toy.Params)
	copy(u, d.state.params)
	d.n.task.learn(u, d.n.w.cfg.Inner)
	for i := range u {
		u[i] -= d.state.params[i]
	}
	d.pending, d.pendOf = u, r
}

func (d *diloco) update(r uint64, members int) ([][]byte, round.Update) {
	u := append([]float32(nil), d.pending...)
	d.lie(r, u)
	steps := d.n.w.cfg.Inner
	return d.encode(d.encoder, r, u, members), round.Update{Samples: uint64(steps * batchSize), Steps: uint64(steps), Loss: 1}
}

// apply is the outer step: Nesterov's, on each slice that has a result.
func (d *diloco) apply(o *train.Outcome, results [][]byte) (train.Hash, train.End, any) {
	next := &outer{params: append([]float32(nil), d.state.params...), speed: append([]float32(nil), d.state.speed...)}
	cfg := &d.n.w.cfg
	rate, momentum := float32(cfg.OuterRate), float32(cfg.OuterMomentum)
	for i, b := range results {
		if b == nil {
			continue
		}
		lo, hi := span(i, len(results))
		mean := make([]float32, hi-lo)
		if d.results.Decode(mean, lo, b) != nil {
			continue // the same bytes say the same at all members
		}
		for k, g := range mean {
			v := float32(momentum*next.speed[lo+k]) + g
			next.speed[lo+k] = v
			next.params[lo+k] += float32(rate * (g + float32(momentum*v)))
		}
	}
	next.root = sha256.Sum256(next.bytes())
	return next.root, train.EndNone, next
}

func (d *diloco) commit(_ *train.Certificate, next any) {
	if next != nil {
		d.state = next.(*outer)
	}
}

func (d *diloco) root() train.Hash {
	if d.state == nil {
		return train.Hash{}
	}
	return d.state.root
}

func (d *diloco) full() []byte { return d.state.bytes() }

func (d *diloco) adopt(b []byte, root train.Hash) bool {
	if len(b) != 8*toy.Params || sha256.Sum256(b) != root {
		return false
	}
	o := &outer{params: make([]float32, toy.Params), speed: make([]float32, toy.Params), root: root}
	for i := range toy.Params {
		o.params[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		o.speed[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*(toy.Params+i):]))
	}
	d.state = o
	return true
}

// roundsActor is a node in the mode of rounds.
type roundsActor struct {
	*driver
	model  *diloco
	going  bool
	outAt  int  // ticks since a leaving node is no member
	joined bool // has asked to be taken in
}

func (a *roundsActor) start() {
	a.joined = false
	a.driver.start()
	a.mind()
}

func (a *roundsActor) tick() {
	a.driver.tick()
	a.mind()
}

// mind joins who is no member, and buries who is gone.
func (a *roundsActor) mind() {
	member := train.Place(a.m.Members(), a.n.peer) >= 0
	switch {
	case member:
		a.joined, a.outAt = false, 0
		if a.going {
			a.m.Leave()
			a.pump()
		}
	case a.going:
		if a.outAt++; a.outAt > lingers {
			a.n.w.bury(a.n)
		}
	case !a.joined && !a.n.liar && !a.n.twin:
		a.joined = true
		a.m.Join(samples, a.n.grant)
		a.pump()
	}
}

// lingers is for how many ticks a node that left serves its state.
const lingers = 60

func (a *roundsActor) leave() {
	a.going = true
	a.mind()
}

func (a *roundsActor) learned(r uint64) []float32 { return a.model.learned(r) }

func (a *roundsActor) params() []float32 {
	if a.model.state == nil {
		return nil
	}
	return a.model.state.params
}

func (a *roundsActor) turn() int { return int(a.m.Round()) - 1 }
