package round_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/covey-network/covey/consensus/agree"
	"github.com/covey-network/covey/consensus/group"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

var job = train.HashOf([]byte("job"))

// keys are fixed, in the order of their peer ids, so that node i is the member at place i of
// the first members.
var keys = func() (list []ed25519.PrivateKey) {
	for i := range 12 {
		list = append(list, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize)))
	}
	slices.SortFunc(list, func(a, b ed25519.PrivateKey) int { return strings.Compare(string(peerOf(a)), string(peerOf(b))) })
	return list
}()

func peerOf(k ed25519.PrivateKey) wire.PeerID { return wire.PeerIDOf(k.Public().(ed25519.PublicKey)) }

// disk is what a node has after a crash.
type disk struct {
	saved   *round.Saved // encoded and decoded when the node comes back
	root    train.Hash
	applied map[uint64]train.Hash // by round: root after it, of rounds whose change was made here
	chain   []*train.Certificate
	updates map[uint64][]train.Hash // own slices by round, once committed to
	results map[train.Hash]bool
	nonce   int
}

// trap stops a node at one point of one event.
type trap struct {
	event string // header, reveal, reduce, reduced, prevote, precommit, proposal, commit
	when  string // before, while, after
	round uint64 // 0: the next one that comes
}

type node struct {
	id, key  int // node; its key
	peer     wire.PeerID
	cfg      round.Config
	m        *round.Machine // nil while down
	disk     disk
	trap     *trap
	work     int             // ticks that its own work takes
	mute     map[string]bool // what it never does: header, reveal, reduce
	joining  bool
	odd      bool                  // its arithmetic gives other bits
	claim    func(u *round.Update) // changes what it says of its work
	workAt   int                   // tick at which its update of workOf is ready
	workOf   uint64
	reveal   map[wire.PeerID]train.Hash // own slices to be delivered
	revealOf uint64
	fetch    map[train.Hash]round.Fetch
	state    *round.FetchState
	drafts   map[train.Hash]train.Hash
	slow     bool // keeps what it is asked to apply in asked
	asked    []round.Apply
}

type packet struct {
	from, to, at, seq int
	msgs              []round.Message
}

type world struct {
	nodes   []*node
	genesis *train.Certificate
	now     int
	seq     int
	wire    []packet
	cut     map[[2]int]bool
	route   func(packet) []packet
	rounds  uint64 // after which the job ends; 0: never
	log     strings.Builder
	verbose bool
	terse   bool // no messages in the log
	fail    func(string, ...any)

	opened    map[string]round.Message                 // by signature: each is verified once
	signed    map[string][]byte                        // by peer, round and place: what honest peers sent
	last      map[wire.PeerID]map[string]round.Message // by peer and event
	certified map[uint64]train.Hash
	roots     map[uint64]train.Hash
	liars     map[wire.PeerID]bool
	seen      map[string]int // how often what happened
}

func newWorld(n int, tune func(*round.Config)) *world {
	w := &world{
		cut: map[[2]int]bool{}, opened: map[string]round.Message{}, signed: map[string][]byte{}, last: map[wire.PeerID]map[string]round.Message{}, certified: map[uint64]train.Hash{}, roots: map[uint64]train.Hash{},
		liars: map[wire.PeerID]bool{}, seen: map[string]int{},
		fail: func(f string, a ...any) { panic(fmt.Sprintf(f, a...)) },
	}
	var members []wire.PeerID
	for i := range n {
		members = append(members, peerOf(keys[i]))
	}
	w.genesis = &train.Certificate{Peer: members[0], Outcome: train.Outcome{Job: job, State: train.HashOf([]byte("genesis")), Members: members}}
	for i := range n {
		w.add(i, tune)
	}
	return w
}

// add makes a node with a key; a second one with the same key is an equivocator.
func (w *world) add(key int, tune func(*round.Config)) *node {
	nd := &node{id: len(w.nodes), key: key, peer: peerOf(keys[key]), work: 3, mute: map[string]bool{}}
	for _, other := range w.nodes {
		if other.key == key {
			w.liars[nd.peer] = true
		}
	}
	nd.cfg = round.Config{
		Job: job, Me: nd.peer, Quorum: train.Majority, Initiator: peerOf(keys[0]),
		Sign: func(b train.Body) *train.Sealed {
			s := sign(key, b)
			w.opened[string(s.Signature)] = round.Message{Sealed: s, Body: b}
			return s
		},
		Times: round.Times{
			Headers: round.Span{Floor: 8, Cap: 60}, Slices: round.Span{Floor: 4, Cap: 20}, Results: round.Span{Floor: 4, Cap: 20},
			Votes: agree.Timeouts{Propose: 8, Prevote: 4, Precommit: 4, Grow: 1, Max: 16},
		},
	}
	if tune != nil {
		tune(&nd.cfg)
	}
	nd.disk = disk{
		saved: round.Begin(w.genesis), applied: map[uint64]train.Hash{}, chain: []*train.Certificate{w.genesis}, updates: map[uint64][]train.Hash{}, results: map[train.Hash]bool{},
	}
	if train.Place(w.genesis.Outcome.Members, nd.peer) >= 0 {
		nd.disk.root = w.genesis.Outcome.State
	}
	w.nodes = append(w.nodes, nd)
	w.boot(nd)
	return nd
}

// open is what a driver does with a message that comes.
func (w *world) open(s *train.Sealed) round.Message {
	msg, ok := w.opened[string(s.Signature)]
	if !ok || !bytes.Equal(msg.Sealed.Payload, s.Payload) {
		var err error
		if msg, err = round.Open(s); err != nil {
			w.fail("a message that does not open: %v", err)
		}
		w.opened[string(s.Signature)] = msg
	}
	return msg
}

// sealed has what was signed in other runs of the same test: signing is most of their time,
// and the same message has the same signature.
var sealed sync.Map

func sign(key int, b train.Body) *train.Sealed {
	payload, err := wire.Encode(b)
	if err != nil {
		panic(err)
	}
	name := fmt.Sprint(key, b.Kind(), string(payload))
	if s, ok := sealed.Load(name); ok {
		return s.(*train.Sealed)
	}
	s, err := train.Seal(keys[key], b)
	if err != nil {
		panic(err)
	}
	sealed.Store(name, s)
	return s
}

func (w *world) boot(nd *node) {
	data, err := nd.disk.saved.Encode()
	if err != nil {
		w.fail("restart of %d: %v", nd.id, err)
		return
	}
	saved, err := round.DecodeSaved(data)
	if err != nil {
		w.fail("restart of %d: %v", nd.id, err)
		return
	}
	nd.reveal, nd.fetch, nd.drafts, nd.state = nil, map[train.Hash]round.Fetch{}, map[train.Hash]train.Hash{}, nil
	nd.workOf = 0
	if nd.m, err = round.New(nd.cfg, saved, nd.disk.root); err != nil {
		w.fail("restart of %d: %v", nd.id, err)
	}
	if nd.joining {
		nd.m.Join(1, membership)
	}
}

func (w *world) printf(format string, args ...any) {
	if w.verbose {
		fmt.Fprintf(&w.log, format+"\n", args...)
	}
}

func (w *world) kill(nd *node, why string) {
	if nd.m != nil {
		nd.m = nil
		w.printf("%d stopped%s", nd.id, why)
	}
}

// trapped stops a node that has reached its trap.
func (w *world) trapped(nd *node, event, when string) bool {
	t := nd.trap
	if nd.m == nil || t == nil || t.event != event || t.when != when || t.round != 0 && nd.m.Round() < t.round {
		return nd.m == nil
	}
	nd.trap = nil
	w.kill(nd, fmt.Sprintf(" %s %s", when, event))
	return true
}

var events = map[train.Kind]string{
	train.KindHeader: "header", train.KindReduced: "reduced", train.KindProposal: "proposal", train.KindVote: "vote",
}

func eventOf(b train.Body) string {
	if v, ok := b.(*train.Vote); ok {
		return [...]string{"", "prevote", "precommit"}[v.Step]
	}
	return events[b.Kind()]
}

// pump carries out what a node is asked until it asks nothing.
func (w *world) pump(nd *node) {
	for nd.m != nil {
		r := nd.m.Ready()
		if r.Empty() {
			return
		}
		var own []string
		for _, s := range r.Send {
			for _, x := range s.Messages {
				if b := w.open(x).Body; b.Signer() == nd.peer {
					own = append(own, eventOf(b))
				}
			}
		}
		for _, e := range own {
			if w.trapped(nd, e, "before") {
				return
			}
		}
		if r.Persist != nil {
			nd.disk.saved = r.Persist
		}
		half := nd.trap != nil && nd.trap.when == "while" && slices.Contains(own, nd.trap.event) && (nd.trap.round == 0 || nd.m.Round() >= nd.trap.round)
		for _, s := range r.Send {
			w.send(nd, s, half)
		}
		for _, e := range own {
			if w.trapped(nd, e, "while") || w.trapped(nd, e, "after") {
				return
			}
		}
		w.data(nd, &r)
	}
}

// data does the part of a Ready that is not messages.
func (w *world) data(nd *node, r *round.Ready) {
	if len(r.Reveal) > 0 && !nd.mute["reveal"] {
		if w.trapped(nd, "reveal", "before") {
			return
		}
		nd.reveal, nd.revealOf = map[wire.PeerID]train.Hash{}, nd.m.Round()
		for _, p := range r.Reveal {
			nd.reveal[p] = nd.disk.updates[nd.revealOf][slot(nd.m, p)]
		}
	}
	if q := r.Reduce; q != nil && !nd.mute["reduce"] {
		if w.trapped(nd, "reduce", "before") {
			return
		}
		var text []byte
		for i, p := range nd.m.Members() {
			if q.From.Has(i) {
				text = append(text, nd.m.HeaderOf(p).Slices[slot(nd.m, nd.peer)][:]...)
			}
		}
		result := train.HashOf(fmt.Append(text, "result", q.Round, q.Slice, q.From))
		nd.disk.results[result] = true
		if w.trapped(nd, "reduce", "while") {
			return
		}
		if err := nd.m.Reduced(q.Round, result, 1, q.From, 0); err != nil {
			w.fail("%d: %v", nd.id, err)
		}
		if w.trapped(nd, "reduce", "after") {
			return
		}
	}
	for _, f := range r.Fetch {
		nd.fetch[f.Result] = f
	}
	for _, a := range r.Apply {
		if nd.slow {
			nd.asked = append(nd.asked, a)
			continue
		}
		w.apply(nd, a)
	}
	for _, e := range r.Evidence {
		w.printf("%d: member %d contradicts itself: two messages of kind %s", nd.id, w.nodeOf(e.Peer), events[e.First.Kind])
		if p, _, err := round.Contradiction(job, &e.First, &e.Second); err != nil || p != e.Peer || !w.liars[e.Peer] {
			w.fail("%d: evidence against %d, who lies: %v; %v", nd.id, w.nodeOf(e.Peer), w.liars[e.Peer], err)
		}
	}
	if r.FetchState != nil {
		nd.state = r.FetchState
	}
	if c := r.Chain; c != nil {
		w.chain(nd, c)
	}
	if r.Commit != nil {
		w.commit(nd, r.Commit)
	}
}

// apply answers what an outcome makes of the state.
func (w *world) apply(nd *node, a round.Apply) {
	root, end := after(a.Outcome), train.EndNone
	if w.rounds > 0 && a.Outcome.Round >= w.rounds {
		end = train.EndRounds
	}
	if nd.odd {
		root = train.HashOf(root[:])
	}
	nd.drafts[a.Draft] = root
	nd.m.Applied(a.Draft, root, end)
}

// after is the state that an outcome makes of its base.
func after(o *train.Outcome) train.Hash {
	changed := false
	text := slices.Clone(o.Base[:])
	for _, s := range o.Slices {
		text = append(text, s[:]...)
		changed = changed || !s.IsZero()
	}
	if !changed {
		return o.Base
	}
	return train.HashOf(text)
}

func (w *world) nodeOf(p wire.PeerID) int {
	for _, nd := range w.nodes {
		if nd.peer == p {
			return nd.id
		}
	}
	return -1
}

func (w *world) commit(nd *node, c *round.Commit) {
	if w.trapped(nd, "commit", "before") {
		return
	}
	o := &c.Certificate.Outcome
	last := nd.disk.chain[len(nd.disk.chain)-1]
	// After a stop between the driver's commit and the machine's, it may be told again, with
	// nothing to apply.
	if again := o.Round == last.Outcome.Round && c.Draft.IsZero(); !again {
		w.check(nd, c)
		nd.disk.chain = append(nd.disk.chain, c.Certificate)
	}
	if !c.Draft.IsZero() {
		if _, twice := nd.disk.applied[o.Round]; twice || nd.disk.root != o.Base || nd.drafts[c.Draft] != o.State {
			w.fail("%d: round %d applied twice, to another base, or to another end: %v", nd.id, o.Round, twice)
		}
		nd.disk.root = nd.drafts[c.Draft]
		nd.disk.applied[o.Round] = nd.disk.root
		w.seen["applied"]++
	}
	if w.trapped(nd, "commit", "while") {
		return
	}
	w.printf("%d: round %d: %s", nd.id, o.Round, w.tell(c))
	nd.m.Committed(o.Round)
	nd.reveal = nil
	clear(nd.fetch)
	clear(nd.drafts)
	w.trapped(nd, "commit", "after")
}

// tell describes an outcome.
func (w *world) tell(c *round.Commit) string {
	o := &c.Certificate.Outcome
	var list []string
	for _, p := range o.Members {
		list = append(list, fmt.Sprint(w.nodeOf(p)))
	}
	var filled train.Set
	for i, s := range o.Slices {
		if !s.IsZero() {
			filled = filled.With(i)
		}
	}
	text := fmt.Sprintf("state %s, senders %b, slices %b, view %d, next %s", o.State.Short()[:6], o.Senders, filled, c.Certificate.View, strings.Join(list, " "))
	for _, e := range o.Expelled {
		text += fmt.Sprintf(", %d expelled", w.nodeOf(e.Peer))
	}
	if len(o.Joined) > 0 {
		text += fmt.Sprintf(", %d joined", len(o.Joined))
	}
	if len(o.Left) > 0 {
		text += fmt.Sprintf(", %d left", len(o.Left))
	}
	if o.End != train.EndNone {
		text += fmt.Sprintf(", the end %d", o.End)
	}
	if c.Draft.IsZero() {
		text += ", nothing applied"
	}
	return text
}

// check holds a certificate against those that others have committed.
func (w *world) check(nd *node, c *round.Commit) {
	cert := c.Certificate
	o := &cert.Outcome
	if w.liars[nd.peer] {
		return
	}
	last := nd.disk.chain[len(nd.disk.chain)-1]
	if o.Round < last.Outcome.Round+1 {
		w.fail("%d: commits round %d after round %d", nd.id, o.Round, last.Outcome.Round)
	}
	id, err := o.ID()
	if err != nil {
		w.fail("%d: %v", nd.id, err)
	}
	old, ok := w.certified[o.Round]
	if ok && old != id {
		w.fail("%d: round %d has two certified outcomes", nd.id, o.Round)
	}
	if !ok {
		w.count(last, cert)
	}
	w.certified[o.Round], w.roots[o.Round] = id, o.State
	if after(o) != o.State {
		w.fail("%d: round %d: certified state does not follow from its results", nd.id, o.Round)
	}
	if c.Draft.IsZero() && nd.disk.root != o.State && train.Place(o.Members, nd.peer) >= 0 {
		w.fail("%d: round %d ends with another state than the certified one", nd.id, o.Round)
	}
	for _, e := range o.Expelled {
		if !w.liars[e.Peer] {
			w.fail("%d: honest member %d expelled", nd.id, w.nodeOf(e.Peer))
		}
	}
}

// count notes what a new outcome brought.
func (w *world) count(last, cert *train.Certificate) {
	o := &cert.Outcome
	w.seen["expelled"] += len(o.Expelled)
	w.seen["joined"] += len(o.Joined)
	w.seen["left"] += len(o.Left)
	if last.Outcome.Round+1 == o.Round {
		w.seen["silent"] += len(last.Outcome.Members) + len(o.Joined) - len(o.Left) - len(o.Expelled) - len(o.Members)
	}
	if cert.View > 0 {
		w.seen["later view"]++
	}
	if slices.ContainsFunc(o.Slices, train.Hash.IsZero) {
		w.seen["slice unchanged"]++
	}
}

// chain answers a question for certificates, as a stream between two nodes would.
func (w *world) chain(nd *node, c *round.Chain) {
	for _, other := range w.nodes {
		if other.peer != c.Peer || other.m == nil || w.cut[[2]int{other.id, nd.id}] {
			continue
		}
		var certs []*train.Certificate
		for _, cert := range other.disk.chain {
			if cert.Outcome.Round >= c.From {
				certs = append(certs, cert)
			}
		}
		w.seen["chain asked"]++
		if err := nd.m.Learn(certs...); err != nil {
			w.fail("%d: chain of %d: %v", nd.id, other.id, err)
		}
		return
	}
}

func (w *world) send(nd *node, s round.Send, half bool) {
	var msgs []round.Message
	for _, x := range s.Messages {
		msg := w.open(x)
		w.honest(nd, msg)
		msgs = append(msgs, msg)
	}
	for _, to := range w.nodes {
		if to.peer == nd.peer || s.To != "" && to.peer != s.To || half && 2*to.id >= len(w.nodes) || w.cut[[2]int{nd.id, to.id}] {
			continue
		}
		w.seq++
		p := packet{from: nd.id, to: to.id, at: w.now, seq: w.seq, msgs: msgs}
		if w.route == nil {
			w.wire = append(w.wire, p)
		} else {
			w.wire = append(w.wire, w.route(p)...)
		}
	}
}

// honest fails if a node that is no liar signs two messages for one place.
func (w *world) honest(nd *node, msg round.Message) {
	if msg.Body.Signer() != nd.peer {
		return
	}
	if w.last[nd.peer] == nil {
		w.last[nd.peer] = map[string]round.Message{}
	}
	w.last[nd.peer][eventOf(msg.Body)] = msg
	if w.liars[nd.peer] {
		return
	}
	var place string
	switch v := msg.Body.(type) {
	case *train.Header:
		place = fmt.Sprint(v.Round)
	case *train.Reduced:
		place = fmt.Sprint(v.Round)
	case *train.Proposal:
		place = fmt.Sprint(v.Round, v.View)
	case *train.Vote:
		place = fmt.Sprint(v.Round, v.View, v.Step)
	default:
		return
	}
	place = fmt.Sprint(nd.id, msg.Body.Kind(), place)
	if old, ok := w.signed[place]; ok && !bytes.Equal(old, msg.Sealed.Payload) {
		w.fail("%d contradicts itself: %s", nd.id, place)
	} else if !ok {
		w.signed[place] = msg.Sealed.Payload
		if !w.terse {
			w.printf("%d: %s", nd.id, describe(msg))
		}
	}
}

func describe(msg round.Message) string {
	switch v := msg.Body.(type) {
	case *train.Reduced:
		return fmt.Sprintf("reduced %b", v.From)
	case *train.Proposal:
		return fmt.Sprintf("proposal %s in view %d", v.Outcome.State.Short()[:6], v.View)
	case *train.Vote:
		what := "nothing"
		if !v.Outcome.IsZero() {
			what = "the outcome"
		}
		return fmt.Sprintf("%s for %s in view %d", eventOf(v), what, v.View)
	}
	return eventOf(msg.Body)
}

// tick lets a tick pass at all nodes, and does what their drivers do meanwhile.
func (w *world) tick() {
	w.now++
	for _, nd := range w.nodes {
		if nd.m == nil {
			continue
		}
		nd.m.Tick()
		w.pump(nd)
		w.labour(nd)
		w.pump(nd)
	}
	w.settle()
}

func (w *world) settle() {
	for {
		slices.SortFunc(w.wire, func(a, b packet) int { return (a.at-b.at)*10_000_000 + a.seq - b.seq })
		if len(w.wire) == 0 || w.wire[0].at > w.now {
			return
		}
		p := w.wire[0]
		w.wire = w.wire[1:]
		if to := w.nodes[p.to]; to.m != nil {
			if err := to.m.Step(p.msgs...); err != nil && !w.liars[w.nodes[p.from].peer] {
				w.fail("%d refuses messages of %d: %v", p.to, p.from, err)
			}
			w.pump(to)
		}
	}
}

// labour is the work of a driver in one tick: training, and moving slices, results, states.
func (w *world) labour(nd *node) {
	if nd.m == nil {
		return
	}
	w.train(nd)
	if nd.m == nil {
		return
	}
	if nd.revealOf != nd.m.Round() {
		nd.reveal = nil
	}
	for _, p := range slices.Sorted(maps.Keys(nd.reveal)) {
		if len(nd.reveal) < 3 && w.trapped(nd, "reveal", "while") {
			return
		}
		for _, to := range w.nodes {
			if nd.m == nil || to.peer != p || to.m == nil || w.cut[[2]int{nd.id, to.id}] || to.m.Round() != nd.revealOf {
				continue
			}
			if h := to.m.HeaderOf(nd.peer); h == nil || h.Slices[slot(to.m, p)] != nd.reveal[p] {
				continue // it has not committed to that there
			}
			to.m.Slice(nd.revealOf, nd.peer)
			w.pump(to)
			delete(nd.reveal, p)
		}
	}
	if nd.m == nil || len(nd.reveal) == 0 && nd.revealOf == nd.m.Round() && w.trapped(nd, "reveal", "after") {
		return
	}
	for _, h := range slices.SortedFunc(maps.Keys(nd.fetch), func(a, b train.Hash) int { return bytes.Compare(a[:], b[:]) }) {
		for _, other := range w.nodes {
			if other.disk.results[h] && (other == nd || other.m != nil && !w.cut[[2]int{other.id, nd.id}]) {
				nd.disk.results[h] = true
				nd.m.Fetched(nd.fetch[h].Round, h)
				delete(nd.fetch, h)
				break
			}
		}
	}
	w.pump(nd)
	w.state(nd)
}

// state fetches a state that was asked for from whoever has it.
func (w *world) state(nd *node) {
	if nd.m == nil || nd.state == nil {
		return
	}
	for _, other := range w.nodes {
		if other != nd && other.m != nil && other.disk.root == nd.state.Root && !w.cut[[2]int{other.id, nd.id}] {
			w.printf("%d: takes the state of round %d from %d", nd.id, nd.state.Round, other.id)
			nd.disk.root, nd.state = nd.state.Root, nil
			w.seen["state taken"]++
			nd.m.Stated(nd.disk.root)
			return
		}
	}
}

// slot is the place of a member in its group.
func slot(m *round.Machine, p wire.PeerID) int { return train.Place(group.Mine(m.Groups(), p), p) }

// train makes the update of the round when its time has come.
func (w *world) train(nd *node) {
	r := nd.m.Round()
	if nd.workOf != r {
		nd.workOf, nd.workAt = r, w.now+nd.work
	}
	if w.now < nd.workAt || nd.m.Header() != nil || nd.mute["header"] {
		return
	}
	nd.disk.nonce++ // training again gives another update
	u := round.Update{Samples: uint64(10 + nd.id), Steps: 1, Loss: 1 / float64(r), Measured: train.Measured{Loss: 2, Metric: 0.5, Samples: 3}}
	for i := range group.Mine(nd.m.Groups(), nd.peer) {
		u.Slices = append(u.Slices, train.HashOf(fmt.Append(nil, "slice", r, i, nd.id, nd.disk.nonce)))
	}
	if nd.claim != nil {
		nd.claim(&u)
	}
	if err := nd.m.Update(r, u); err == nil {
		nd.disk.updates[r] = u.Slices
	}
}

// members are the live honest nodes that are members of the newest certified round.
func (w *world) newest() uint64 {
	var r uint64
	for k := range w.certified {
		r = max(r, k)
	}
	return r
}

func (w *world) split(groups ...[]int) {
	clear(w.cut)
	for a, ga := range groups {
		for b, gb := range groups {
			for _, i := range ga {
				for _, j := range gb {
					if a != b {
						w.cut[[2]int{i, j}] = true
					}
				}
			}
		}
	}
}
