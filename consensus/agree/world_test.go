package agree_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/covey-network/covey/consensus/agree"
)

// idOf names a value by its own text, so that scripts read well.
func idOf(value string) (id agree.ID) {
	copy(id[:], value)
	return id
}

func nameOf(id agree.ID) string {
	if id.IsNil() {
		return "nil"
	}
	return strings.TrimRight(string(id[:]), "\x00")
}

// crash says at which point of a Ready a node stops.
type crash int

const (
	crashNever   crash = iota
	crashBefore        // nothing of the Ready was done
	crashPersist       // persisted, nothing sent
	crashHalf          // persisted, sent to the members below the middle only
)

// node is one machine with its driver. Two nodes with the same index are an equivocator.
type node struct {
	m       *agree.Machine // nil while it is down
	cfg     agree.Config
	disk    *agree.State
	stop    crash // at the next Ready that sends
	invalid map[string]bool
	value   func(view int) string
	doubt   bool // finds valid only what a quorum has backed
	slow    bool // does not answer Propose and Validate
}

type packet struct {
	from, to int // nodes
	at       int // tick of arrival
	seq      int
	send     agree.Send
}

// world is a network of machines in virtual time.
type world struct {
	n     int
	nodes []*node // the first n are the members; twins follow
	now   int
	seq   int
	wire  []packet
	liars map[int]bool    // members
	cut   map[[2]int]bool // from, to
	route func(p packet) []packet
	log   strings.Builder
	quiet bool

	votes    map[string]agree.Msg // by member, kind and view: what honest members sent
	decided  map[int]agree.ID
	evidence []agree.Evidence
	fail     func(format string, args ...any)
}

func newWorld(n, quorum int, tune func(*agree.Config)) *world {
	w := &world{
		n: n, liars: map[int]bool{}, cut: map[[2]int]bool{}, votes: map[string]agree.Msg{}, decided: map[int]agree.ID{},
		fail: func(f string, a ...any) { panic(fmt.Sprintf(f, a...)) },
	}
	for i := range n {
		w.add(i, quorum, tune)
	}
	return w
}

func (w *world) add(me, quorum int, tune func(*agree.Config)) *node {
	cfg := agree.Config{
		Me: me, N: w.n, Quorum: quorum,
		Leader: func(view int) int { return view % w.n },
		Sign: func(m agree.Msg) []byte {
			return fmt.Appendf(nil, "%d:%v:%d:%x:%d", m.From, m.Kind, m.View, m.ID, m.ValidView)
		},
	}
	if tune != nil {
		tune(&cfg)
	}
	i := len(w.nodes)
	if i >= w.n {
		w.liars[me] = true
	}
	nd := &node{
		cfg: cfg, invalid: map[string]bool{},
		value: func(view int) string { return fmt.Sprintf("%c%d", 'A'+i, view) },
	}
	w.nodes = append(w.nodes, nd)
	w.boot(i)
	return nd
}

func (w *world) boot(i int) {
	nd := w.nodes[i]
	m, err := agree.New(nd.cfg, nd.disk)
	if err != nil {
		w.fail("restart of %d: %v", i, err)
		return
	}
	nd.m = m
}

func (w *world) printf(format string, args ...any) {
	if !w.quiet {
		fmt.Fprintf(&w.log, format+"\n", args...)
	}
}

// honest reports whether a member is no equivocator.
func (w *world) honest(member int) bool {
	return !w.liars[member]
}

func (w *world) kill(i int) {
	w.nodes[i].m = nil
	w.printf("%d stopped", i)
}

// pump carries out what node i is asked until it asks nothing.
func (w *world) pump(i int) {
	nd := w.nodes[i]
	for nd.m != nil {
		r := nd.m.Ready()
		if r.Persist == nil && len(r.Send) == 0 && !r.Propose && len(r.Validate) == 0 && len(r.Evidence) == 0 && r.Decided == nil {
			return
		}
		stop := crashNever
		if len(r.Send) > 0 {
			stop, nd.stop = nd.stop, crashNever
		}
		if stop == crashBefore {
			w.kill(i)
			return
		}
		if r.Persist != nil {
			nd.disk = r.Persist
		}
		if stop == crashPersist {
			w.kill(i)
			return
		}
		for _, s := range r.Send {
			w.send(i, s, stop == crashHalf)
		}
		if stop == crashHalf {
			w.kill(i)
			return
		}
		w.carry(i, &r)
	}
}

// carry does the rest of a Ready.
func (w *world) carry(i int, r *agree.Ready) {
	nd := w.nodes[i]
	for _, e := range r.Evidence {
		w.printf("%d: member %d contradicts itself: %v %s and %s of view %d", i, e.Member, e.A.Kind, nameOf(e.A.ID), nameOf(e.B.ID), e.A.View)
		w.evidence = append(w.evidence, e)
		if !agree.Contradicts(e.A, e.B) || w.honest(e.Member) {
			w.fail("evidence against honest member %d: %+v", e.Member, e)
		}
	}
	if r.Decided != nil {
		w.decide(i, r.Decided)
	}
	if nd.slow {
		return
	}
	if r.Propose {
		v := nd.value(r.View)
		if err := nd.m.Propose(r.View, idOf(v), []byte(v)); err != nil {
			w.printf("%d: %v", i, err)
		}
	}
	for _, q := range r.Validate {
		p := q.Proposal
		nd.m.Valid(p.ID, q.Backed, !nd.invalid[string(p.Value)] && !(nd.doubt && !q.Backed))
	}
}

func (w *world) decide(i int, c *agree.Certificate) {
	nd := w.nodes[i]
	if err := c.Verify(w.n, nd.cfg.Quorum); err != nil {
		w.fail("certificate at %d: %v", i, err)
	}
	if !bytes.Equal(c.Value, bytes.TrimRight(c.ID[:], "\x00")) {
		w.fail("certificate at %d: value %q of %s", i, c.Value, nameOf(c.ID))
	}
	var signers []int
	for _, p := range c.Precommits {
		signers = append(signers, p.From)
	}
	w.printf("%d: decided %s in view %d, signed by %v", i, nameOf(c.ID), c.View, signers)
	if !w.honest(nd.cfg.Me) {
		return
	}
	for other, id := range w.decided {
		if id != c.ID {
			w.fail("%d decided %s, %d decided %s", i, nameOf(c.ID), other, nameOf(id))
		}
	}
	w.decided[i] = c.ID
}

func (w *world) send(i int, s agree.Send, half bool) {
	nd := w.nodes[i]
	for _, m := range s.Msgs {
		if m.From != nd.cfg.Me || !w.honest(m.From) {
			continue
		}
		key := fmt.Sprint(m.From, m.Kind, m.View)
		if old, ok := w.votes[key]; !ok {
			w.votes[key] = m
			w.printf("%d: %s", i, describe(&m))
		} else if agree.Contradicts(old, m) {
			w.fail("%d contradicts itself in view %d: %v for %s and for %s", i, m.View, m.Kind, nameOf(old.ID), nameOf(m.ID))
		}
	}
	for j, to := range w.nodes {
		if to.cfg.Me == nd.cfg.Me || s.To >= 0 && to.cfg.Me != s.To || half && 2*to.cfg.Me >= w.n || w.cut[[2]int{i, j}] {
			continue
		}
		w.seq++
		p := packet{from: i, to: j, at: w.now, seq: w.seq, send: s}
		if w.route == nil {
			w.wire = append(w.wire, p)
		} else {
			w.wire = append(w.wire, w.route(p)...)
		}
	}
}

func describe(m *agree.Msg) string {
	if m.Kind == agree.Proposal && m.ValidView >= 0 {
		return fmt.Sprintf("proposal %s in view %d, backed in view %d", nameOf(m.ID), m.View, m.ValidView)
	}
	return fmt.Sprintf("%v %s in view %d", m.Kind, nameOf(m.ID), m.View)
}

// settle delivers what has arrived, in order, until nothing is under way for this tick.
func (w *world) settle() {
	for i := range w.nodes {
		w.pump(i)
	}
	for {
		slices.SortFunc(w.wire, func(a, b packet) int { return (a.at-b.at)*1_000_000 + a.seq - b.seq })
		if len(w.wire) == 0 || w.wire[0].at > w.now {
			return
		}
		p := w.wire[0]
		w.wire = w.wire[1:]
		nd := w.nodes[p.to]
		if nd.m == nil {
			continue
		}
		if c := p.send.Certificate; c != nil {
			if err := nd.m.Learn(c); err != nil {
				w.fail("certificate of %d refused by %d: %v", p.from, p.to, err)
			}
		}
		for _, m := range p.send.Msgs {
			if err := nd.m.Step(m); err != nil {
				w.fail("%d refused a message of %d: %v", p.to, p.from, err)
			}
		}
		w.pump(p.to)
	}
}

func (w *world) tick() {
	w.now++
	for i, nd := range w.nodes {
		if nd.m != nil {
			nd.m.Tick()
			w.pump(i)
		}
	}
	w.settle()
}

func (w *world) start(nodes ...int) {
	for _, i := range nodes {
		if w.nodes[i].m != nil {
			w.nodes[i].m.Start()
		}
	}
}

// split cuts every link between the groups.
func (w *world) split(groups ...[]int) {
	clear(w.cut)
	for a, ga := range groups {
		for b, gb := range groups {
			if a == b {
				continue
			}
			for _, i := range ga {
				for _, j := range gb {
					w.cut[[2]int{i, j}] = true
				}
			}
		}
	}
}

// lossy makes a route that loses, delays and doubles packets.
func lossy(rng *rand.Rand, loss, dup float64, delay int) func(packet) []packet {
	return func(p packet) []packet {
		if rng.Float64() < loss {
			return nil
		}
		out := []packet{p}
		if rng.Float64() < dup {
			out = append(out, p)
		}
		for i := range out {
			out[i].at += rng.IntN(delay + 1)
		}
		return out
	}
}
