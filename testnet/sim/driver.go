package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// model is what a driver trains and moves: its answers to the machine.
type model interface {
	begin(round uint64)                                                                     // the work of a round: its result is used later
	update(round uint64, members int) ([][]byte, round.Update)                              // a slice for each member
	reduce(round uint64, slice, members int, parts [][]byte) (result []byte, bad train.Set) // parts by member, nil where there is none
	apply(o *train.Outcome, results [][]byte) (root train.Hash, end train.End, next any)    // results by slice, nil: unchanged
	commit(c *train.Certificate, next any)                                                  // next nil: the state stays
	root() train.Hash                                                                       // of the state, or none
	full() []byte                                                                           // the state, for others
	adopt(state []byte, root train.Hash) bool                                               // take it, if that is its root
}

// driver drives one machine of consensus/round at one node.
type driver struct {
	n     *node
	job   train.Hash
	cfg   round.Config
	model model
	to    func() []*node // who follows the job
	work  func() time.Duration

	// Durable.
	saved    *round.Saved
	chain    []*train.Certificate
	own      [][]byte // slices of the own update, of round ownOf
	ownOf    uint64
	parts    [][]byte // slices of others, by place, of round partsOf
	partsOf  uint64
	results  map[train.Hash][]byte
	kept     [2][]train.Hash // results of the last rounds
	appliedR uint64          // the last round that was applied here

	epoch   func() uint64 // of the newest roster; nil: there are none
	at      uint64        // number of a group's round, for those who are not yet in it
	dead    bool          // a group's round that was given up
	m       *round.Machine
	workOf  uint64
	reveal  []handover
	fetch   []wanted
	state   *round.FetchState
	stateAt time.Duration
	asks    int // whom to ask next
	drafts  map[train.Hash]any
}

// handover is a slice of the own update on its way.
type handover struct {
	round uint64
	to    wire.PeerID
	data  []byte
	tried time.Duration // the last time; -1: never
}

// wanted is a result that is asked for.
type wanted struct {
	round.Fetch
	tried time.Duration
	turn  int
}

// The messages between drivers beside signed ones.
type (
	bundle struct {
		job   train.Hash
		at    uint64
		epoch uint64
		msgs  []round.Message
	}
	put struct {
		job   train.Hash
		round uint64
		data  []byte
	}
	putDone struct {
		job   train.Hash
		round uint64
	}
	get struct {
		job, result train.Hash
	}
	got struct {
		job, result train.Hash
		data        []byte
	}
	askChain struct {
		job  train.Hash
		from uint64
	}
	hereChain struct {
		job   train.Hash
		certs []*train.Certificate
	}
	askState struct {
		job, root train.Hash
	}
	hereState struct {
		job, root train.Hash
		data      []byte
	}
)

const small = 80 // bytes of a question or of an answer without data

func newDriver(n *node, job train.Hash, first *train.Certificate, m model) *driver {
	return &driver{n: n, job: job, model: m, saved: round.Begin(first), chain: []*train.Certificate{first}, results: map[train.Hash][]byte{}}
}

// start makes the machine from what is durable.
func (d *driver) start() {
	data, err := d.saved.Encode()
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	saved, err := round.DecodeSaved(data)
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	d.workOf, d.reveal, d.fetch, d.state, d.drafts = 0, nil, nil, nil, map[train.Hash]any{}
	if d.m, err = round.New(d.cfg, saved, d.model.root()); err != nil {
		panic(fmt.Sprintf("sim: restart of %d: %v", d.n.id, err))
	}
	if d.partsOf == d.m.Round() {
		for i, p := range d.parts {
			if p != nil && i < len(d.m.Members()) {
				d.m.Slice(d.partsOf, d.m.Members()[i])
			}
		}
	}
	d.pump()
}

// tick passes time to the machine and tries again what was not answered.
func (d *driver) tick() {
	d.m.Tick()
	d.pump()
	w := d.n.w
	due := func(tried time.Duration) bool { return tried < 0 || w.now-tried >= w.cfg.Retry }
	d.reveal = slices.DeleteFunc(d.reveal, func(h handover) bool { return h.round < d.m.Round() })
	for i := range d.reveal {
		if h := &d.reveal[i]; due(h.tried) {
			h.tried = w.now
			w.sendPeer(d.n, h.to, bulk, len(h.data)+small, put{d.job, h.round, h.data})
		}
	}
	d.fetch = slices.DeleteFunc(d.fetch, func(f wanted) bool { return f.Round < d.m.Round() })
	members := d.m.Members()
	for i := range d.fetch {
		f := &d.fetch[i]
		if !due(f.tried) {
			continue
		}
		who := f.Owner
		if f.turn > 1 { // the owner was asked twice
			who = members[(f.Slice+f.turn)%len(members)]
		}
		f.tried = w.now
		f.turn++
		w.sendPeer(d.n, who, bulk, small, get{d.job, f.Result})
	}
	if d.state != nil && due(d.stateAt) {
		d.stateAt = w.now
		d.asks++
		if k := len(d.state.Peers); k > 0 {
			w.sendPeer(d.n, d.state.Peers[(d.asks+d.n.id)%k], bulk, small, askState{d.job, d.state.Root})
		}
	}
}

// pump carries out what the machine asks until it asks nothing.
func (d *driver) pump() {
	for !d.dead {
		r := d.m.Ready()
		if r.Empty() {
			break
		}
		if r.Persist != nil {
			d.saved = r.Persist
		}
		for _, s := range r.Send {
			d.send(s)
		}
		d.data(&r)
		if r.Chain != nil {
			d.n.w.sendPeer(d.n, r.Chain.Peer, votes, small, askChain{d.job, r.Chain.From})
		}
		if r.FetchState != nil {
			d.state, d.stateAt = r.FetchState, -1
		}
		if r.Commit != nil {
			d.commit(r.Commit)
		}
	}
	d.labour()
}

// labour begins the work of the round, once.
func (d *driver) labour() {
	r := d.m.Round()
	if d.dead || d.workOf == r || d.m.Status().Phase != round.Work {
		return
	}
	d.workOf = r
	d.model.begin(r)
	d.n.later(d.work(), func() { d.worked(r) })
}

// worked ends it.
func (d *driver) worked(r uint64) {
	if d.dead || d.m.Round() != r || d.m.Header() != nil {
		return
	}
	data, u := d.model.update(r, len(d.m.Members()))
	u.Slices = make([]train.Hash, len(data))
	for i, b := range data {
		u.Slices[i] = train.HashOf(b)
	}
	if d.m.Update(r, u) == nil {
		d.own, d.ownOf = data, r
		d.parts, d.partsOf = d.partsFor(r), r
		if i := train.Place(d.m.Members(), d.n.peer); i >= 0 {
			d.parts[i] = data[i]
		}
		d.pump()
	}
}

func (d *driver) partsFor(r uint64) [][]byte {
	if d.partsOf == r && d.parts != nil {
		return d.parts
	}
	return make([][]byte, len(d.m.Members()))
}

// send signs nothing: it brings signed messages on their way.
func (d *driver) send(s round.Send) {
	b := bundle{job: d.job, at: d.at}
	if d.epoch != nil {
		b.epoch = d.epoch()
	}
	size, what := 0, headers
	for _, x := range s.Messages {
		msg, err := d.n.w.open(x)
		if err != nil {
			d.n.w.violate("%d sends what does not open: %v", d.n.id, err)
			continue
		}
		b.msgs = append(b.msgs, msg)
		size += len(x.Payload) + len(x.Signature) + 8
		if x.Kind >= train.KindReduced {
			what = votes
		}
	}
	if s.To != "" {
		d.n.w.sendPeer(d.n, s.To, what, size, b)
		return
	}
	for _, to := range d.to() {
		if to != d.n {
			d.n.w.send(d.n, to, what, size, b)
		}
	}
}

// data does what is asked about updates and results.
func (d *driver) data(r *round.Ready) {
	for _, p := range r.Reveal {
		if i := train.Place(d.m.Members(), p); d.ownOf == d.m.Round() && i < len(d.own) {
			d.reveal = append(d.reveal, handover{d.ownOf, p, d.own[i], d.n.w.now})
			d.n.w.sendPeer(d.n, p, bulk, len(d.own[i])+small, put{d.job, d.ownOf, d.own[i]})
		}
	}
	if q := r.Reduce; q != nil {
		parts := make([][]byte, len(d.m.Members()))
		for i := range parts {
			if q.From.Has(i) && d.partsOf == q.Round {
				parts[i] = d.parts[i]
			}
		}
		result, bad := d.model.reduce(q.Round, q.Slice, len(parts), parts)
		if result != nil {
			h := train.HashOf(result)
			d.keep(h, result)
			if err := d.m.Reduced(q.Round, h, uint64(len(result)), q.From, bad); err != nil {
				d.n.w.say("%d: result of round %d: %v", d.n.id, q.Round, err)
			}
		}
	}
	for _, f := range r.Fetch {
		if d.results[f.Result] != nil {
			d.m.Fetched(f.Round, f.Result)
			continue
		}
		d.fetch = append(d.fetch, wanted{Fetch: f, tried: d.n.w.now, turn: 1})
		d.n.w.sendPeer(d.n, f.Owner, bulk, small, get{d.job, f.Result})
	}
	for _, a := range r.Apply {
		results := make([][]byte, len(a.Outcome.Slices))
		for i, h := range a.Outcome.Slices {
			if !h.IsZero() {
				results[i] = d.results[h]
			}
		}
		root, end, next := d.model.apply(a.Outcome, results)
		d.drafts[a.Draft] = next
		d.m.Applied(a.Draft, root, end)
	}
}

func (d *driver) keep(h train.Hash, data []byte) {
	if d.results[h] == nil {
		d.kept[0] = append(d.kept[0], h)
	}
	d.results[h] = data
}

// commit puts state and certificate in place, in one step.
func (d *driver) commit(c *round.Commit) {
	w, o := d.n.w, &c.Certificate.Outcome
	again := o.Round <= d.chain[len(d.chain)-1].Outcome.Round
	if !again {
		d.chain = append(d.chain, c.Certificate)
		for _, h := range d.kept[1] {
			delete(d.results, h)
		}
		d.kept[1], d.kept[0] = d.kept[0], nil
	}
	var next any
	if !c.Draft.IsZero() {
		if next = d.drafts[c.Draft]; d.appliedR >= o.Round || d.model.root() != o.Base {
			w.violate("%d applies round %d after round %d", d.n.id, o.Round, d.appliedR)
		}
		d.appliedR = o.Round
	}
	d.model.commit(c.Certificate, next)
	if !again {
		w.commits(d, c.Certificate)
	}
	d.reveal, d.fetch, d.state = nil, nil, nil
	clear(d.drafts)
	d.m.Committed(o.Round)
}

// receive takes a message of the job.
func (d *driver) receive(from *node, msg any) {
	w := d.n.w
	switch v := msg.(type) {
	case bundle:
		if err := d.m.Step(v.msgs...); err != nil && !from.liar && !from.twin {
			w.violate("%d refuses a message of %d: %v", d.n.id, from.id, err)
		}
	case put:
		d.took(from, v)
	case putDone:
		d.reveal = slices.DeleteFunc(d.reveal, func(h handover) bool { return h.round == v.round && h.to == from.peer })
	case get:
		if data := d.results[v.result]; data != nil {
			w.send(d.n, from, bulk, len(data)+small, got{d.job, v.result, data})
		}
		return
	case got:
		i := slices.IndexFunc(d.fetch, func(f wanted) bool { return f.Result == v.result })
		if i >= 0 && train.HashOf(v.data) == v.result {
			d.keep(v.result, v.data)
			d.m.Fetched(d.fetch[i].Round, v.result)
			d.fetch = slices.Delete(d.fetch, i, i+1)
		}
	case askChain:
		d.tell(from, v.from)
		return
	case hereChain:
		if err := d.m.Learn(v.certs...); err != nil && !from.liar && !from.twin {
			w.violate("%d refuses certificates of %d: %v", d.n.id, from.id, err)
		}
	case askState:
		if d.model.root() == v.root {
			data := d.model.full()
			w.send(d.n, from, bulk, len(data)+small, hereState{d.job, v.root, data})
		}
		return
	case hereState:
		if d.state != nil && d.state.Root == v.root && d.model.adopt(v.data, v.root) {
			d.state = nil
			d.m.Stated(v.root)
		}
	}
	d.pump()
}

// took takes a slice if its sender has committed to it.
func (d *driver) took(from *node, p put) {
	r, h := d.m.Round(), d.m.HeaderOf(from.peer)
	me, place := train.Place(d.m.Members(), d.n.peer), train.Place(d.m.Members(), from.peer)
	if p.round == r && (h == nil || me < 0 || place < 0 || h.Slices[me] != train.HashOf(p.data)) || p.round > r {
		return
	}
	d.n.w.send(d.n, from, bulk, small, putDone{d.job, p.round})
	if p.round == r {
		d.parts, d.partsOf = d.partsFor(r), r
		d.parts[place] = p.data
		d.m.Slice(r, from.peer)
	}
}

// tell answers a question for certificates.
func (d *driver) tell(to *node, from uint64) {
	var certs []*train.Certificate
	size := small
	for _, c := range d.chain {
		if c.Outcome.Round >= from && len(certs) < 64 {
			certs = append(certs, c)
			size += certSize(c)
		}
	}
	if len(certs) > 0 {
		d.n.w.send(d.n, to, votes, size, hereChain{d.job, certs})
	}
}

func certSize(c *train.Certificate) int {
	b, err := wire.Encode(c)
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	return len(b)
}
