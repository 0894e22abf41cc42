package sim

import (
	"container/heap"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// Sort of traffic.
type sort int

const (
	headers sort = iota // commitments, wishes to join and to leave
	votes               // results told, proposals, votes, certificates
	bulk                // updates, results, states
	sorts
)

// event is what happens at a time.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}

// actor is what runs on a node: one of the modes.
type actor interface {
	start() // at first, and after a stop: what is not persisted is gone
	tick()
	receive(from *node, msg any)
	leave()            // the node is about to go for good
	params() []float32 // what it has learned; nil: nothing yet
	turn() int         // how far it is
}

// node is a machine.
type node struct {
	w     *world
	id    int
	key   ed25519.PrivateKey
	peer  wire.PeerID
	step  time.Duration // one inner step takes
	skew  time.Duration // of its clock
	grant wire.Membership
	liar  bool
	twin  bool // another node has the same key: both equivocate
	up    bool
	gone  bool // for good
	life  int  // events of an earlier life are void
	side  int  // of the partition
	rng   *rand.Rand
	sent  [sorts]uint64
	since time.Duration // when it first came up
	until time.Duration // when it went
	task  worker
	actor actor
}

// world is everything, in one goroutine.
type world struct {
	cfg    Config
	now    time.Duration
	seq    uint64
	events queue
	net    *rand.Rand // what the network does
	fate   *rand.Rand // what befalls nodes
	nodes  []*node
	byPeer map[wire.PeerID][]*node
	cut    bool
	trace  traceHash
	log    io.Writer
	opened map[string]round.Message
	swarm  ed25519.PrivateKey
	task   *task
	report *Report
	over   bool
	first  []wire.PeerID // members at the beginning, sorted
	losses map[train.Hash]float64

	spans           []time.Duration // of rounds
	lastRound       time.Duration
	counted, missed int // updates of live honest members

	certified map[string]train.Hash // by job and round
	rosters   map[rosterRound][][]wire.PeerID
}

type traceHash struct{ sum uint64 }

func (t *traceHash) add(values ...uint64) {
	h := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], t.sum)
	h.Write(b[:])
	for _, v := range values {
		binary.LittleEndian.PutUint64(b[:], v)
		h.Write(b[:])
	}
	t.sum = h.Sum64()
}

// say writes a line of the log.
func (w *world) say(format string, args ...any) {
	if w.log != nil {
		fmt.Fprintf(w.log, "%9.3f s  %s\n", w.now.Seconds(), fmt.Sprintf(format, args...))
	}
}

// violate notes what must never happen.
func (w *world) violate(format string, args ...any) {
	text := fmt.Sprintf("at %.3f s: ", w.now.Seconds()) + fmt.Sprintf(format, args...)
	w.say("VIOLATION %s", text)
	if len(w.report.Violations) < 20 {
		w.report.Violations = append(w.report.Violations, text)
	}
}

// after lets something happen later.
func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.events, event{w.now + d, w.seq, do})
}

// later lets something happen at a node unless it has stopped meanwhile.
func (n *node) later(d time.Duration, do func()) {
	life := n.life
	n.w.after(d, func() {
		if n.up && n.life == life {
			do()
		}
	})
}

// run lets all events happen up to a time, or until the world is over.
func (w *world) run(until time.Duration) {
	for len(w.events) > 0 && !w.over && w.events[0].at <= until {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
}

// send sends a message to one node. It may be lost, doubled, and overtaken.
func (w *world) send(from, to *node, what sort, size int, msg any) {
	size += overhead
	from.sent[what] += uint64(size)
	copies := 1
	if w.net.Float64() < w.cfg.Dup {
		copies = 2
	}
	for range copies {
		lost := w.net.Float64() < w.cfg.Loss
		delay := w.cfg.Latency + time.Duration(w.net.Float64()*float64(w.cfg.Jitter))
		if lost || w.cut && from.side != to.side {
			continue
		}
		if w.cfg.Rate > 0 {
			delay += time.Duration(float64(size) / w.cfg.Rate * float64(time.Second))
		}
		w.after(delay, func() {
			if !to.up || w.cut && from.side != to.side {
				return
			}
			w.trace.add(uint64(w.now), uint64(from.id), uint64(to.id), uint64(size))
			to.actor.receive(from, msg)
		})
	}
}

// overhead is what a message costs beside its own bytes.
const overhead = 40

// sendPeer sends a message to whoever has a key: more than one where they equivocate.
func (w *world) sendPeer(from *node, to wire.PeerID, what sort, size int, msg any) {
	for _, n := range w.byPeer[to] {
		if n != from {
			w.send(from, n, what, size, msg)
		}
	}
}

// sign seals a message of a node.
func (n *node) sign(b train.Body) *train.Sealed {
	s, err := train.Seal(n.key, b)
	if err != nil {
		panic(fmt.Sprintf("sim: %v", err))
	}
	n.w.remember(round.Message{Sealed: s, Body: b})
	return s
}

// remember keeps what a signed message says: each signature is verified once for all nodes.
func (w *world) remember(m round.Message) {
	if len(w.opened) > 1<<16 {
		clear(w.opened)
	}
	w.opened[string(m.Sealed.Signature)] = m
}

// open verifies a signed message.
func (w *world) open(s *train.Sealed) (round.Message, error) {
	if m, ok := w.opened[string(s.Signature)]; ok && string(m.Sealed.Payload) == string(s.Payload) {
		return m, nil
	}
	m, err := round.Open(s)
	if err == nil {
		w.remember(m)
	}
	return m, err
}

// boot starts a node, again if it was stopped.
func (w *world) boot(n *node) {
	if n.up || n.gone {
		return
	}
	n.up = true
	n.life++
	n.actor.start()
	n.beat()
}

func (n *node) beat() {
	n.later(n.w.cfg.Tick, func() {
		n.actor.tick()
		n.beat()
	})
}

// stop kills a node.
func (w *world) stop(n *node) {
	n.up = false
	n.life++
}

// go away for good.
func (w *world) bury(n *node) {
	w.stop(n)
	n.gone, n.until = true, w.now
}

// sendVector sends a header with an update in it, and counts the two apart.
func (w *world) sendVector(from *node, to wire.PeerID, head, data int, msg any) {
	w.sendPeer(from, to, bulk, head+data, msg)
	from.sent[bulk] -= uint64(head)
	from.sent[headers] += uint64(head)
}
