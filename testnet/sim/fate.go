package sim

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/covey-network/covey/consensus/agree"
	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/toy"
)

// epoch is what clocks say when a run begins.
const epoch = 1_800_000_000

// clockSlack is how wrong a clock may be before signed times are refused.
const clockSlack = 2 * time.Minute

// looks is how often the loss is measured.
const looks = 5 * time.Second

func newWorld(cfg Config) *world {
	w := &world{
		cfg: cfg, log: cfg.Log, byPeer: map[wire.PeerID][]*node{}, opened: map[string]round.Message{}, certified: map[string]train.Hash{},
		net: rand.New(rand.NewPCG(cfg.Seed, 3)), fate: rand.New(rand.NewPCG(cfg.Seed, 4)), task: newTask(cfg.Seed, cfg.Sorted),
		report: &Report{Config: cfg, Best: math.Inf(1)}, swarm: keyOf(cfg.Seed, -1), losses: map[train.Hash]float64{}, rosters: map[rosterRound][][]wire.PeerID{},
	}
	w.report.Config.Log = nil
	roles := w.fate.Perm(cfg.Nodes)
	for i := range cfg.Nodes {
		n := w.add(i)
		switch role := slices.Index(roles, i); {
		case role < cfg.Liars:
			n.liar = true
			n.task = w.task.worker(i, cfg.Attack)
		case role < cfg.Liars+cfg.Slow:
			n.step *= 100
		case role < cfg.Liars+cfg.Slow+cfg.Skewed:
			n.skew = time.Hour * time.Duration(1-2*(role%2))
		}
	}
	for i := range cfg.Twins {
		a := w.add(cfg.Nodes + 2*i)
		b := w.add(cfg.Nodes + 2*i + 1)
		a.twin, b.twin, b.key, b.peer = true, true, a.key, a.peer
	}
	var members []wire.PeerID
	for _, n := range w.nodes {
		members = append(members, n.peer)
		w.byPeer[n.peer] = append(w.byPeer[n.peer], n)
	}
	slices.Sort(members)
	members = slices.Compact(members)
	w.first = members
	for _, n := range w.nodes {
		n.actor = w.newActor(n, true)
	}
	for _, n := range w.nodes {
		w.boot(n)
	}
	w.schedule()
	return w
}

func keyOf(seed uint64, id int) ed25519.PrivateKey {
	b := make([]byte, ed25519.SeedSize)
	binary.LittleEndian.PutUint64(b, seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(id)+1)
	return ed25519.NewKeyFromSeed(b)
}

// add makes a node that is not up yet.
func (w *world) add(id int) *node {
	n := &node{w: w, id: id, key: keyOf(w.cfg.Seed, id), since: w.now, rng: rand.New(rand.NewPCG(w.cfg.Seed, 1<<33+uint64(id)))}
	n.peer = wire.PeerIDOf(n.key.Public().(ed25519.PublicKey))
	n.step = time.Duration(float64(w.cfg.Step) * (0.75 + 0.75*n.rng.Float64()))
	n.task = w.task.worker(id, "")
	at := epoch + int64(w.now/time.Second)
	g := &wire.Grant{
		Swarm: wire.SwarmIDOf(w.swarm.Public().(ed25519.PublicKey)), ID: bytes.Repeat([]byte{byte(id + 1), byte(id >> 8)}, wire.GrantIDSize/2), Scopes: wire.Scopes(),
		NotBefore: at, Expires: at + 30*24*3600, Peer: n.peer,
	}
	s, err := wire.SignGrant(w.swarm, g)
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	n.grant = wire.Membership{Grant: s}
	w.nodes = append(w.nodes, n)
	return n
}

// admit is where a clock matters: a membership counts from one time to another one.
func (n *node) admit(j *train.Join) error {
	var g wire.Grant
	if err := wire.Decode(j.Membership.Grant.Payload, &g); err != nil {
		return err
	}
	now := time.Duration(epoch)*time.Second + n.w.now + n.skew
	if now+clockSlack < time.Duration(g.NotBefore)*time.Second || now-clockSlack >= time.Duration(g.Expires)*time.Second {
		return errors.New("the membership is not yet valid, or no longer")
	}
	return nil
}

// newActor puts a mode on a node; first: it is a member from the beginning.
func (w *world) newActor(n *node, first bool) actor {
	cfg := &w.cfg
	c, err1 := codec.New(cfg.Codec, codec.Flat(toy.Params))
	results, err2 := codec.New("f16", codec.Flat(toy.Params))
	rule, err3 := robust.Parse(cfg.Rule)
	if err := errors.Join(err1, err2, err3); err != nil {
		panic("sim: " + err.Error()) // they were checked
	}
	l := learner{n: n, codec: c, results: results, rule: rule}
	switch cfg.Mode {
	case Groups:
		return newGrouper(l, first)
	case Gossip:
		return newMixer(l, first)
	}
	m := &diloco{learner: l, encoder: c.Encoder(cfg.Codec != "int8" && cfg.Codec != "f16")}
	genesis := &outer{params: w.task.first, speed: make([]float32, toy.Params)}
	genesis.root = train.HashOf(genesis.bytes())
	if first {
		m.state = genesis
	}
	d := newDriver(n, jobOf(cfg.Seed), &train.Certificate{Peer: w.first[0], Outcome: train.Outcome{Job: jobOf(cfg.Seed), State: genesis.root, Members: w.first}}, m)
	d.cfg = round.Config{
		Job: d.job, Me: n.peer, Quorum: cfg.Quorum, Sign: n.sign, Admit: n.admit, Times: times(),
	}
	d.to = func() []*node {
		return slices.DeleteFunc(slices.Clone(w.nodes), func(to *node) bool { return to.gone })
	}
	d.work = func() time.Duration { return time.Duration(cfg.Inner) * n.step }
	return &roundsActor{driver: d, model: m}
}

// times are of all machines, in ticks.
func times() round.Times {
	return round.Times{
		Headers: round.Span{Floor: 8, Cap: 80}, Slices: round.Span{Floor: 8, Cap: 24}, Results: round.Span{Floor: 8, Cap: 24},
		Votes: agree.Timeouts{Propose: 8, Prevote: 5, Precommit: 5, Grow: 2, Max: 30}, Resend: 4,
	}
}

// schedule draws what will befall the nodes.
func (w *world) schedule() {
	w.every(w.cfg.Churn, w.churn)
	w.every(w.cfg.Kills, w.kill)
	for _, c := range w.cfg.Cuts {
		w.after(c.At, func() {
			w.cut = true
			order := w.fate.Perm(len(w.nodes))
			for k, i := range order {
				if w.nodes[i].side = 0; float64(k) < c.Part*float64(len(order)) {
					w.nodes[i].side = 1
				}
			}
			w.say("the network is cut, %.0f %% on one side", 100*c.Part)
		})
		w.after(c.At+c.For, func() {
			w.cut = false
			w.say("the network is whole again")
		})
	}
	w.measure()
}

func (w *world) measure() {
	w.after(looks, func() {
		w.look()
		w.measure()
	})
}

// every lets something happen at a rate of each node in an hour.
func (w *world) every(rate float64, do func()) {
	if rate <= 0 {
		return
	}
	pause := w.fate.ExpFloat64() / (rate * float64(w.cfg.Nodes)) * float64(time.Hour)
	w.after(time.Duration(pause), func() {
		do()
		w.every(rate, do)
	})
}

// victim is an honest node that is up.
func (w *world) victim() *node {
	var list []*node
	for _, n := range w.nodes {
		if n.up && !n.liar && !n.twin {
			list = append(list, n)
		}
	}
	if len(list) < 2 {
		return nil
	}
	return list[w.fate.IntN(len(list))]
}

// churn lets one node go and another one come.
func (w *world) churn() {
	if n := w.victim(); n != nil {
		w.report.Left++
		if w.fate.IntN(2) == 0 {
			w.say("%d leaves", n.id)
			n.actor.leave()
		} else {
			w.say("%d dies", n.id)
			w.bury(n)
		}
		w.changed(n)
	}
	n := w.add(len(w.nodes))
	w.byPeer[n.peer] = append(w.byPeer[n.peer], n)
	n.actor = w.newActor(n, false)
	w.report.Joined++
	w.say("%d comes", n.id)
	w.boot(n)
	w.changed(n)
}

// kill stops a node for a while.
func (w *world) kill() {
	n := w.victim()
	if n == nil {
		return
	}
	w.report.Killed++
	w.say("%d is killed", n.id)
	w.stop(n)
	w.after(5*time.Second+time.Duration(w.fate.Float64()*55*float64(time.Second)), func() {
		w.say("%d is back", n.id)
		w.boot(n)
	})
}

// changed lets the others know, some time later, that a node came or went.
func (w *world) changed(n *node) {
	if w.cfg.Mode != Gossip {
		return
	}
	for _, other := range w.nodes {
		m := other.actor.(*mixer)
		delay := time.Second + time.Duration(w.fate.Float64()*float64(4*time.Second))
		if n.gone {
			delay = 5*time.Second + time.Duration(w.fate.Float64()*float64(25*time.Second))
		}
		w.after(delay, func() { m.learnOf(n) })
	}
}

// commits is told of each certificate that a member commits.
func (w *world) commits(d *driver, c *train.Certificate) {
	o := &c.Outcome
	id, err := o.ID()
	if err != nil {
		w.violate("certificate of round %d: %v", o.Round, err)
		return
	}
	w.trace.add(uint64(w.now), uint64(d.n.id), binary.LittleEndian.Uint64(id[:]))
	if d.n.twin {
		return
	}
	place := fmt.Sprintf("%s %d", d.job, o.Round)
	if old, ok := w.certified[place]; ok {
		if old != id {
			w.violate("%d: round %d of job %s has two certified outcomes", d.n.id, o.Round, d.job.Short())
		}
		return
	}
	w.certified[place] = id
	w.count(d, c)
}

// count takes a new certificate into the figures.
func (w *world) count(d *driver, c *train.Certificate) {
	o, r := &c.Outcome, w.report
	last := d.chain[max(0, len(d.chain)-2)].Outcome
	r.Rounds++
	filled := 0
	for i, s := range o.Slices {
		if o.Senders.Has(i) {
			r.Slices++
			if s.IsZero() {
				r.Partial++
			}
		}
		if !s.IsZero() {
			filled++
		}
	}
	if last.Round+1 == o.Round {
		for i, p := range last.Members {
			n := w.byPeer[p][0]
			if !n.up || n.liar || n.twin || n.step > 10*w.cfg.Step {
				continue
			}
			if o.Senders.Has(i) {
				w.counted++
			} else {
				w.missed++
			}
		}
		r.Silent += len(last.Members) + len(o.Joined) - len(o.Left) - len(o.Expelled) - len(o.Members)
	}
	for _, e := range o.Expelled {
		n := w.byPeer[e.Peer][0]
		if !slices.Contains(r.Expelled, n.id) {
			r.Expelled = append(r.Expelled, n.id)
		}
		if !n.twin {
			w.violate("honest member %d is expelled", n.id)
		}
	}
	if w.cfg.Mode == Rounds {
		r.Tries++
		if filled == 0 {
			r.Failed++
		}
		w.spans = append(w.spans, w.now-w.lastRound)
		w.lastRound = w.now
	}
	w.say("round %d of %s: %d of %d senders, %d slices, view %d, next %d members, %d expelled", o.Round, d.job.Short(), o.Senders.Len(), len(o.Slices), filled, c.View, len(o.Members), len(o.Expelled))
}
