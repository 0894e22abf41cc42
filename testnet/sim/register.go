package sim

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/covey-network/covey/consensus/agree"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	committee = 13 // members of a roster that agree on the next one
	lasts     = 2  // rounds after a roster's begin before the next one is agreed on
	spreads   = 4  // to how many others each passes a new roster on
	wishTries = 6
)

// roster is who takes part from one round on.
type roster struct {
	epoch   uint64
	begins  uint64     // round
	id      train.Hash // of the change that made it
	members []wire.PeerID
	cert    *agree.Certificate // nil: the first one
}

// change makes a roster of the one before it.
type change struct {
	Epoch  uint64        `json:"epoch"`
	Begins uint64        `json:"begins"`
	Parent train.Hash    `json:"parent"`
	Come   []wire.PeerID `json:"come"`
	Go     []wire.PeerID `json:"go"`
}

// The messages of the committee and around it.
type (
	wish struct { // signed: the peer wants to be on the roster after the one of its epoch
		sealed *train.Sealed
		body   *train.Join
	}
	wishDone struct{ epoch uint64 }
	proof    struct{ against train.Expelled }
	ballot   struct { // between committee members
		epoch uint64
		send  agree.Send
	}
	askRosters  struct{ from uint64 }
	hereRosters struct{ list []roster } // what the changes say is worked out again
)

// registrar is a node's part in who takes part.
type registrar struct {
	self      *node
	rosters   []roster // by epoch; durable
	heard     map[wire.PeerID]uint64
	banned    map[wire.PeerID]bool // who was shown to contradict itself in a group; durable
	machine   *agree.Machine
	saved     *agree.State // durable, of savedOf
	savedOf   uint64
	asked     []agree.Question
	askedAt   time.Duration
	silentNow bool // it wants to be on no further roster

	wishOf    uint64 // epoch
	wishLeft  []wire.PeerID
	wishAt    time.Duration
	wishTried int
}

func newRegistrar(n *node) *registrar {
	r := &registrar{self: n, heard: map[wire.PeerID]uint64{}, banned: map[wire.PeerID]bool{}}
	r.rosters = []roster{{id: train.HashOf([]byte("first roster")), begins: 1, members: n.w.first}}
	return r
}

func (r *registrar) newest() *roster { return &r.rosters[len(r.rosters)-1] }

// rosterOf is the one that counts in a round.
func (r *registrar) rosterOf(round uint64) *roster {
	for i := len(r.rosters) - 1; i > 0; i-- {
		if r.rosters[i].begins <= round {
			return &r.rosters[i]
		}
	}
	return &r.rosters[0]
}

// electors are the members that agree on the roster after this one.
func (ro *roster) electors() []wire.PeerID {
	type place struct {
		key  [32]byte
		peer wire.PeerID
	}
	list := make([]place, len(ro.members))
	for i, p := range ro.members {
		list[i] = place{sha256.Sum256(append(slices.Clone(ro.id[:]), p...)), p}
	}
	slices.SortFunc(list, func(a, b place) int { return bytes.Compare(a.key[:], b.key[:]) })
	var out []wire.PeerID
	for _, p := range list[:min(committee, len(list))] {
		out = append(out, p.peer)
	}
	slices.Sort(out)
	return out
}

func (r *registrar) start(round uint64) {
	r.machine, r.asked = nil, nil
	r.convene(round)
}

// convene begins to agree on the next roster, where this node has a vote.
func (r *registrar) convene(round uint64) {
	ro := r.newest()
	if r.machine != nil || round < ro.begins+lasts {
		return
	}
	electors := ro.electors()
	me := train.Place(electors, r.self.peer)
	if me < 0 {
		return
	}
	if r.savedOf != ro.epoch+1 {
		r.saved, r.savedOf = nil, ro.epoch+1
	}
	m, err := agree.New(agree.Config{
		Me: me, N: len(electors), Quorum: agree.TwoThirds(len(electors)),
		Leader:   func(view int) int { return (int(ro.epoch) + view) % len(electors) },
		Sign:     func(m agree.Msg) []byte { return ed25519.Sign(r.self.key, ballotText(ro.id, m)) },
		Timeouts: agree.Timeouts{Propose: 8, Prevote: 6, Precommit: 6, Grow: 2, Max: 30, Resend: 4},
	}, r.saved)
	if err != nil {
		panic("sim: " + err.Error())
	}
	r.machine, r.asked = m, nil
	m.Start()
	r.pump(round)
}

// ballotText is what an elector signs.
func ballotText(parent train.Hash, m agree.Msg) []byte {
	b := append([]byte("sim/roster"), parent[:]...)
	b = append(b, byte(m.Kind))
	b = binary.BigEndian.AppendUint64(b, uint64(m.View))
	b = binary.BigEndian.AppendUint64(b, uint64(m.ValidView))
	return append(b, m.ID[:]...)
}

func (r *registrar) tick(round uint64) {
	r.wishes()
	r.convene(round)
	if r.machine != nil {
		r.machine.Tick()
		r.pump(round)
	}
}

// wishes says to the electors, until they have heard it, that this node wants to take part.
func (r *registrar) wishes() {
	ro, w := r.newest(), r.self.w
	if r.silentNow {
		return
	}
	if r.wishLeft == nil || r.wishOf != ro.epoch {
		r.wishOf, r.wishLeft, r.wishTried, r.wishAt = ro.epoch, ro.electors(), 0, -time.Hour
		r.heard[r.self.peer] = ro.epoch + 1
	}
	if w.now-r.wishAt < w.cfg.Retry || r.wishTried >= wishTries {
		return
	}
	r.wishAt = w.now
	r.wishTried++
	j := &train.Join{Job: jobOf(w.cfg.Seed), Peer: r.self.peer, Round: ro.epoch, Samples: samples, Membership: r.self.grant}
	s := r.self.sign(j)
	for _, p := range r.wishLeft {
		if p != r.self.peer {
			w.sendPeer(r.self, p, headers, len(s.Payload)+len(s.Signature), wish{s, j})
		}
	}
}

// receive takes a message, or reports that it is not about who takes part.
func (r *registrar) receive(from *node, msg any, round uint64) bool {
	w := r.self.w
	switch v := msg.(type) {
	case proof:
		r.accuse(v.against)
	case wish:
		if r.banned[v.body.Peer] || v.body.Round > r.newest().epoch || r.self.admit(v.body) != nil {
			break
		}
		if v.body.Round < r.newest().epoch { // it does not know of this roster
			r.show(from, v.body.Round+1)
			break
		}
		r.heard[v.body.Peer] = v.body.Round + 1
		w.send(r.self, from, headers, small, wishDone{v.body.Round})
	case wishDone:
		if v.epoch == r.wishOf {
			r.wishLeft = slices.DeleteFunc(r.wishLeft, func(p wire.PeerID) bool { return p == from.peer })
		}
	case ballot:
		r.vote(from, v, round)
	case askRosters:
		r.show(from, v.from)
	case hereRosters:
		for i := range v.list {
			r.learn(&v.list[i])
		}
		r.convene(round)
	default:
		return false
	}
	return true
}

// expelled shows the electors whom a group has expelled, and why.
func (r *registrar) expelled(list []train.Expelled) {
	for _, e := range list {
		if !r.accuse(e) {
			continue
		}
		for _, p := range r.newest().electors() {
			size := len(e.First.Payload) + len(e.Second.Payload) + 2*ed25519.SignatureSize + small
			r.self.w.sendPeer(r.self, p, votes, size, proof{e})
		}
	}
}

// accuse bans who is proven to contradict itself in a group's round, and reports whether that is
// new.
func (r *registrar) accuse(e train.Expelled) bool {
	m, err := r.self.w.open(&e.First)
	if err != nil || r.banned[e.Peer] {
		return false
	}
	job := train.Hash{}
	switch v := m.Body.(type) {
	case *train.Header:
		job = v.Job
	case *train.Reduced:
		job = v.Job
	case *train.Proposal:
		job = v.Job
	case *train.Vote:
		job = v.Job
	}
	if p, _, err := round.Contradiction(job, &e.First, &e.Second); err != nil || p != e.Peer {
		return false
	}
	r.banned[e.Peer] = true
	delete(r.heard, e.Peer)
	return true
}

// show sends the rosters from an epoch on.
func (r *registrar) show(to *node, from uint64) {
	if from < uint64(len(r.rosters)) && from > 0 {
		list := r.rosters[from:]
		size := small
		for _, ro := range list {
			size += len(ro.cert.Value) + len(ro.cert.Precommits)*(ed25519.SignatureSize+8)
		}
		r.self.w.send(r.self, to, votes, size, hereRosters{slices.Clone(list)})
	}
}

// ask asks some nodes for newer rosters.
func (r *registrar) ask(n int) {
	w := r.self.w
	for range n {
		if to := w.nodes[r.self.rng.IntN(len(w.nodes))]; to != r.self && !to.gone {
			w.send(r.self, to, headers, small, askRosters{r.newest().epoch + 1})
		}
	}
}

// compare asks whoever knows of a newer roster. Who knows of an older one will ask.
func (r *registrar) compare(from *node, epoch uint64) {
	w := r.self.w
	if epoch > r.newest().epoch && w.now-r.askedAt >= w.cfg.Retry {
		r.askedAt = w.now
		w.send(r.self, from, headers, small, askRosters{r.newest().epoch + 1})
	}
}

// learn takes the roster after the newest one, if its electors have certified it.
func (r *registrar) learn(next *roster) bool {
	ro := r.newest()
	if next.epoch != ro.epoch+1 || next.cert == nil {
		return false
	}
	electors := ro.electors()
	if next.cert.Verify(len(electors), agree.TwoThirds(len(electors))) != nil || train.HashOf(next.cert.Value) != train.Hash(next.cert.ID) {
		return false
	}
	if !r.self.w.checked(next.cert, ro, electors) {
		return false
	}
	made, ok := ro.apply(next.cert.Value)
	if !ok {
		return false
	}
	w := r.self.w
	place := fmt.Sprintf("roster %d", made.epoch)
	if old, known := w.certified[place]; known && old != made.id {
		w.violate("%d: epoch %d has two rosters", r.self.id, made.epoch)
	} else if !known {
		w.certified[place] = made.id
		w.report.Epochs++
		for _, p := range ro.members {
			if train.Place(made.members, p) < 0 {
				w.report.Silent++
			}
		}
		w.say("roster %d from round %d on: %d members, %d before", made.epoch, made.begins, len(made.members), len(ro.members))
	}
	made.cert = next.cert
	r.rosters = append(r.rosters, *made)
	r.machine, r.asked = nil, nil
	for range spreads {
		p := made.members[r.self.rng.IntN(len(made.members))]
		for _, to := range w.byPeer[p] {
			if to != r.self {
				r.show(to, made.epoch)
			}
		}
	}
	return true
}

// checked verifies the signatures under a roster, once for all nodes.
func (w *world) checked(c *agree.Certificate, ro *roster, electors []wire.PeerID) bool {
	h := sha256.New()
	h.Write(ro.id[:])
	h.Write(c.ID[:])
	for _, m := range c.Precommits {
		h.Write(m.Raw)
	}
	key := "votes " + string(h.Sum(nil))
	if _, ok := w.certified[key]; ok {
		return true
	}
	for _, m := range c.Precommits {
		if !ed25519.Verify(electors[m.From].PublicKey(), ballotText(ro.id, m), m.Raw) {
			return false
		}
	}
	w.certified[key] = train.Hash(c.ID)
	return true
}

// apply works out the roster that a change makes.
func (ro *roster) apply(value []byte) (*roster, bool) {
	var c change
	if json.Unmarshal(value, &c) != nil || c.Epoch != ro.epoch+1 || c.Parent != ro.id || c.Begins <= ro.begins {
		return nil, false
	}
	members := slices.Clone(ro.members)
	for _, p := range c.Go {
		i := train.Place(members, p)
		if i < 0 {
			return nil, false
		}
		members = slices.Delete(members, i, i+1)
	}
	members = append(members, c.Come...)
	slices.Sort(members)
	if n := len(members); n == 0 || len(slices.Compact(members)) != n {
		return nil, false
	}
	return &roster{epoch: c.Epoch, begins: c.Begins, id: train.HashOf(value), members: members}, true
}

// vote takes what an elector says.
func (r *registrar) vote(from *node, b ballot, round uint64) {
	if b.epoch <= r.newest().epoch {
		r.show(from, b.epoch)
		return
	}
	if r.convene(round); r.machine == nil || b.epoch != r.newest().epoch+1 {
		return
	}
	electors, parent := r.newest().electors(), r.newest().id
	if c := b.send.Certificate; c != nil {
		r.learn(&roster{epoch: b.epoch, cert: c})
		return
	}
	for _, m := range b.send.Msgs {
		if m.From < 0 || m.From >= len(electors) || !ed25519.Verify(electors[m.From].PublicKey(), ballotText(parent, m), m.Raw) || m.Kind == agree.Proposal && train.HashOf(m.Value) != train.Hash(m.ID) {
			continue
		}
		if err := r.machine.Step(m); err != nil {
			r.self.w.violate("%d refuses a ballot of %d: %v", r.self.id, from.id, err)
		}
	}
	r.pump(round)
}

// pump carries out what the agreement asks.
func (r *registrar) pump(round uint64) {
	for r.machine != nil {
		out := r.machine.Ready()
		if out.Persist != nil {
			r.saved = out.Persist
		}
		for _, s := range out.Send {
			r.cast(s)
		}
		r.asked = append(r.asked, out.Validate...)
		if out.Propose {
			value := r.propose(round)
			if err := r.machine.Propose(out.View, agree.ID(train.HashOf(value)), value); err != nil {
				r.self.w.say("%d: roster: %v", r.self.id, err)
			}
		}
		answered := r.judge(round)
		if c := out.Decided; c != nil {
			r.learn(&roster{epoch: r.newest().epoch + 1, cert: c})
			return
		}
		if out.Persist == nil && len(out.Send) == 0 && !out.Propose && !answered {
			return
		}
	}
}

// cast sends ballots.
func (r *registrar) cast(s agree.Send) {
	size := small
	for _, m := range s.Msgs {
		size += 120 + len(m.Value) + 110*len(m.Proof)
	}
	if s.Certificate != nil {
		size += len(s.Certificate.Value) + 72*len(s.Certificate.Precommits)
	}
	for i, p := range r.newest().electors() {
		if p != r.self.peer && (s.To < 0 || s.To == i) {
			r.self.w.sendPeer(r.self, p, votes, size, ballot{r.newest().epoch + 1, s})
		}
	}
}

// propose is the change that this node would make: who was not heard goes.
func (r *registrar) propose(round uint64) []byte {
	ro := r.newest()
	c := change{Epoch: ro.epoch + 1, Begins: max(ro.begins, round) + 2, Parent: ro.id, Come: []wire.PeerID{}, Go: []wire.PeerID{}}
	for _, p := range ro.members {
		if r.heard[p] != c.Epoch {
			c.Go = append(c.Go, p)
		}
	}
	for p, e := range r.heard {
		if e == c.Epoch && train.Place(ro.members, p) < 0 {
			c.Come = append(c.Come, p)
		}
	}
	slices.Sort(c.Come)
	if len(c.Go) == len(ro.members) {
		c.Go = c.Go[:0]
	}
	b, err := json.Marshal(&c)
	if err != nil {
		panic("sim: " + err.Error())
	}
	return b
}

// judge answers the questions that can be answered.
func (r *registrar) judge(round uint64) bool {
	ro, did := r.newest(), false
	r.asked = slices.DeleteFunc(r.asked, func(q agree.Question) bool {
		_, ok := ro.apply(q.Proposal.Value)
		var c change
		ok = ok && json.Unmarshal(q.Proposal.Value, &c) == nil && c.Begins <= round+8
		ok = ok && (q.Backed || !slices.ContainsFunc(c.Come, func(p wire.PeerID) bool { return r.banned[p] }))
		for _, p := range c.Go {
			ok = ok && (q.Backed || r.heard[p] != c.Epoch)
		}
		if ok && !q.Backed && slices.ContainsFunc(c.Come, func(p wire.PeerID) bool { return r.heard[p] != c.Epoch && !r.banned[p] }) {
			return false // it may still be heard
		}
		r.machine.Valid(q.Proposal.ID, q.Backed, ok)
		did = true
		return true
	})
	return did
}
