package exchange

import (
	"fmt"
	"slices"
	"sync"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// work shares the blocks of one fetch out to its providers.
type work struct {
	mu      sync.Mutex
	blocks  map[cid.Cid]*block
	order   []*block // as wanted
	left    int      // not received
	living  []*provider
	over    bool          // nothing more can come
	stop    func()        // called once at the end, with mu held
	changed chan struct{} // closed and replaced when an idle provider may find something
}

// block is a wanted block. It is pending while nobody is asked for it and it has not come.
type block struct {
	cid      cid.Cid
	received bool
	asked    int         // providers that owe it
	refused  []*provider // that do not have it
}

// path is how a provider is reached.
type path int

const (
	unknown path = iota // counts as direct for a moment
	away                // not reached yet, and not expected to be
	direct
	relayed
)

// provider is a peer of one fetch. The fields below the line belong to work.mu.
type provider struct {
	id host.ID

	path     path
	owed     []*block // asked for and not answered, in order
	cursor   int      // work.order before it has been considered
	again    []*block // became pending after the cursor had passed
	idle     bool     // waits in vain for something to do
	interval time.Duration
	last     time.Time // of an answer, or of the question if nothing was owed
}

func newWork(want []cid.Cid, from []host.ID, stop func()) *work {
	w := &work{blocks: make(map[cid.Cid]*block, len(want)), changed: make(chan struct{}), left: len(want), stop: stop}
	for _, c := range want {
		b := &block{cid: c}
		w.blocks[c] = b
		w.order = append(w.order, b)
	}
	for _, id := range from {
		w.living = append(w.living, &provider{id: id})
	}
	w.over = len(want) == 0 || len(from) == 0
	return w
}

// wake tells idle providers to look again. Until they have, they do not count as idle: what
// one of them was offered must not be given up before it has looked. w.mu is held.
func (w *work) wake() {
	for _, p := range w.living {
		p.idle = false
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// reached notes by which path p is reached now.
func (w *work) reached(p *provider, by path) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.move(p, by)
}

// settle ends the moment for which providers that are not reached yet count as direct.
func (w *work) settle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.living {
		if p.path == unknown {
			w.move(p, away)
		}
	}
}

// move is reached with w.mu held.
func (w *work) move(p *provider, by path) {
	if p.path == by {
		return
	}
	if p.path == relayed || by == relayed {
		p.cursor, p.again = 0, nil
	}
	p.path = by
	w.wake()
}

// may reports whether p may be asked for b. A relay carries only what no peer that is
// reached directly may have. w.mu is held.
func (w *work) may(p *provider, b *block) bool {
	if b.received || slices.Contains(b.refused, p) {
		return false
	}
	return p.path != relayed || !slices.ContainsFunc(w.living, func(q *provider) bool {
		return (q.path == direct || q.path == unknown) && !slices.Contains(b.refused, q)
	})
}

// relayTakesOver is after how long without a block what a direct provider owes is asked of a
// relayed one, too.
const relayTakesOver = 20 * time.Second

// window is how many blocks a provider may owe: over a relay one, as answers of models wait
// behind it on the same connection. w.mu is held.
func (p *provider) window() int {
	if p.path == relayed {
		return 1
	}
	if p.interval <= 0 {
		return firstWindow
	}
	return int(min(max(2, windowOf/p.interval), maxWindow))
}

// take returns the blocks to ask p for now, which it then owes. If p owes nothing and there
// is nothing for it, it gets a channel that closes when it should look again. over tells
// that the fetch has ended.
func (w *work) take(p *provider, now time.Time) (ask []cid.Cid, wait <-chan struct{}, over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return nil, nil, true
	}
	p.idle = false
	if window := p.window(); len(p.owed) <= window/2 {
		if len(p.owed) == 0 {
			p.last = now
		}
		for len(p.owed) < window {
			b := w.next(p)
			if b == nil {
				break
			}
			ask = append(ask, w.owe(p, b))
		}
	}
	if len(p.owed) > 0 {
		return ask, nil, false
	}
	if ask = w.steal(p, now); len(ask) > 0 {
		return ask, nil, false
	}
	p.idle = true
	if !slices.ContainsFunc(w.living, func(q *provider) bool { return !q.idle }) {
		w.finish()
		return nil, nil, true
	}
	return nil, w.changed, false
}

func (w *work) owe(p *provider, b *block) cid.Cid {
	b.asked++
	p.owed = append(p.owed, b)
	return b.cid
}

// next returns a pending block that p may have, or nil. w.mu is held.
func (w *work) next(p *provider) *block {
	pending := func(b *block) bool { return b.asked == 0 && w.may(p, b) }
	if p.path == relayed { // what it may be asked for changes with the others
		for p.cursor < len(w.order) && w.order[p.cursor].received {
			p.cursor++
		}
		if i := slices.IndexFunc(w.order[p.cursor:], pending); i >= 0 {
			return w.order[p.cursor+i]
		}
		return nil
	}
	for len(p.again) > 0 {
		b := p.again[0]
		p.again = p.again[1:]
		if pending(b) {
			return b
		}
	}
	for p.cursor < len(w.order) {
		b := w.order[p.cursor]
		p.cursor++
		if pending(b) {
			return b
		}
	}
	return nil
}

// steal gives p, which is out of work, half of what the slowest provider owes, its latest
// first, if that one needs much longer for it than p. w.mu is held.
func (w *work) steal(p *provider, now time.Time) []cid.Cid {
	const copies = 3 // of one block under way
	own := p.interval
	if own <= 0 {
		own = windowOf / 10
	}
	var victim *provider
	longest := 2 * own
	for _, q := range w.living {
		if len(q.owed) == 0 {
			continue
		}
		if need := max(q.interval*time.Duration(len(q.owed)), now.Sub(q.last)); q != p && need > longest {
			victim, longest = q, need
		}
	}
	if victim == nil {
		return nil
	}
	var out []cid.Cid
	most := min((len(victim.owed)+1)/2, p.window())
	for _, b := range slices.Backward(victim.owed) {
		if len(out) == most {
			break
		}
		// A direct provider that is as slow as a silent one is not waited for.
		if late := p.path == relayed && now.Sub(victim.last) > relayTakesOver; b.asked < copies && (w.may(p, b) || late && !b.received && !slices.Contains(b.refused, p)) {
			out = append(out, w.owe(p, b))
		}
	}
	return out
}

// owes reports whether p owes a block, and whether it has come from another by now.
func (w *work) owes(p *provider, c cid.Cid) (owed, received bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.blocks[c]
	if b == nil || !slices.Contains(p.owed, b) {
		return false, false
	}
	return true, b.received
}

// answered takes a block off what p owes and measures p. w.mu is held.
func (w *work) answered(p *provider, b *block, now time.Time) {
	b.asked--
	p.owed = slices.Delete(p.owed, slices.Index(p.owed, b), slices.Index(p.owed, b)+1)
	if took := now.Sub(p.last); p.interval == 0 {
		p.interval = max(took, 1)
	} else {
		p.interval = max((7*p.interval+took)/8, 1)
	}
	p.last = now
}

// deliver notes that p has sent a block that it owed, with the right bytes. It reports
// whether p was the first.
func (w *work) deliver(p *provider, c cid.Cid, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.blocks[c]
	w.answered(p, b, now)
	if b.received {
		return false
	}
	b.received = true
	if w.left--; w.left == 0 {
		w.finish()
	}
	return true
}

// refuse notes that p will not send blocks. Unless it is merely busy it is not asked for
// them again.
func (w *work) refuse(p *provider, m *wire.BlocksMissing, now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range m.CIDs {
		b := w.blocks[c]
		if b == nil || !slices.Contains(p.owed, b) {
			return fmt.Errorf("peer has not been asked for block %s", c)
		}
		b.asked--
		p.owed = slices.Delete(p.owed, slices.Index(p.owed, b), slices.Index(p.owed, b)+1)
		if m.Code != wire.CodeBusy {
			b.refused = append(b.refused, p)
		}
		w.offer(b)
	}
	p.last = now
	w.wake()
	return nil
}

// offer tells providers about a block that may be pending again. w.mu is held.
func (w *work) offer(b *block) {
	if b.received || b.asked > 0 {
		return
	}
	for _, q := range w.living {
		if q.path != relayed && !slices.Contains(b.refused, q) {
			q.again = append(q.again, b)
		}
	}
}

// release frees what p owes for others, and for p itself.
func (w *work) release(p *provider) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free(p)
	w.wake()
}

// free is release with w.mu held.
func (w *work) free(p *provider) {
	owed := p.owed
	p.owed = nil
	for _, b := range owed {
		b.asked--
		w.offer(b)
	}
}

// drop ends the part of p in the fetch.
func (w *work) drop(p *provider) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.living = slices.DeleteFunc(w.living, func(q *provider) bool { return q == p })
	w.free(p)
	if len(w.living) == 0 {
		w.finish()
		return
	}
	w.wake()
}

// finish ends the fetch. w.mu is held.
func (w *work) finish() {
	if !w.over {
		w.over = true
		w.wake()
		w.stop()
	}
}

// quiet reports whether p owes nothing.
func (w *work) quiet(p *provider) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(p.owed) == 0
}

// missing lists the blocks that have not come.
func (w *work) missing() []cid.Cid {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []cid.Cid
	for _, b := range w.order {
		if !b.received {
			out = append(out, b.cid)
		}
	}
	return out
}
