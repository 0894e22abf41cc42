package trainer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/covey-network/covey/consensus/checkpoint"
	"github.com/covey-network/covey/consensus/vec"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/graph"
	proto "github.com/covey-network/covey/protocol/train"
)

// mode is how a member learns in a round and how the members' updates become the next state.
// An update is one vector: a number for each parameter, then one for each running statistic.
// All methods are called by the goroutine of the run.
//
// Between begin and commit a round may be applied several times, each time anew from the state
// that begin kept.
type mode interface {
	// begin keeps the trainer's state as that of the next round's beginning.
	begin()
	// gradient is called when a gradient is there that has not been applied.
	gradient()
	// stepped is called after each step that was applied, with its learning rate.
	stepped(lr float64)
	// update writes what was learned since begin: the numbers of the update from lo on. Several
	// goroutines may call it at once.
	update(dst []float32, lo int)
	// apply sets the trainer to the state that a result makes of that of begin. What is not in
	// one of the ranges, ascending, stays as it was. counted tells whether this member's update
	// has a part in the result.
	apply(result []float32, changed []span, counted bool) error
	// alone takes what this member has learned as the result: it is the only member.
	alone()
	// commit makes the state that apply or alone set that of the next round's beginning.
	commit()
	// vectors returns the state that apply or alone set: what a root is of. They are valid until
	// the next call of another method.
	vectors() [][]float32
	// work copies what the trainer has of the round's work, and resume puts it back.
	work() savedWork
	resume(w savedWork) error
	// kept returns the state of the round's beginning, in the same layout.
	kept() [][]float32
	// take sets the trainer and the beginning of the next round to a state of the same layout.
	take(vectors [][]float32) error
}

// inParts is a mode that applies a result part after part, each while it is in the cache: after applying,
// each number is in one part or unchanged. Several goroutines may call the last two at once.
type inParts interface {
	applying(counted bool)
	applyPart(part []float32, lo int)
	unchanged(s span)
}

// model is what a mode needs of what learns: a *train.Trainer is one.
type model interface {
	Params() *graph.Params
	Stats() []float32
	Moments() [][]float32
	Steps() int
	SetSteps(n int) error
	Apply() (train.Result, error)
}

var _ model = (*train.Trainer)(nil)

// span is the numbers of a vector from lo to hi, hi left out.
type span struct{ lo, hi int }

// within returns the part of a span that lies between lo and hi, counted from lo.
func (s span) within(lo, hi int) span {
	return span{max(s.lo, lo) - lo, max(min(s.hi, hi), max(s.lo, lo)) - lo}
}

// savedWork is the trainer's numbers in the middle of a round.
type savedWork struct {
	vectors [][]float32
	steps   int
}

func saveWork(t model, vectors [][]float32) savedWork {
	w := savedWork{steps: t.Steps()}
	for _, v := range vectors {
		w.vectors = append(w.vectors, slices.Clone(v))
	}
	return w
}

// newMode returns the mode of a job.
func newMode(s *proto.Settings, t model) (mode, error) {
	switch s.Mode {
	case proto.DiLoCo:
		d := newDiLoCo(t, float32(s.OuterLR), float32(s.OuterMomentum))
		d.drift.forget = forgets(s.Rule)
		return d, nil
	case proto.AllReduce:
		return newAllReduce(t), nil
	case proto.Gossip:
		return newGossipMode(t), nil
	}
	return nil, fmt.Errorf("training in mode %q is not possible with this version", s.Mode)
}

// dilocoMode: each member does steps of its own. The mean of the ways that they went is the
// gradient of an outer step: SGD with Nesterov's momentum as PyTorch does it (DiLoCo, Douillard
// et al. 2023, arXiv 2311.08105, algorithm 1). Running statistics go the mean way.
//
//	m' = momentum m + g
//	p' = p - lr (g + momentum m')
//
// The inner optimiser's state stays each member's own.
type dilocoMode struct {
	t            model
	lr, momentum float32
	base         []float32 // parameters, then running statistics, at the beginning of the round
	moment       []float32 // of the outer step, then; none without momentum
	next         []float32 // and after the round
	drift        drift
}

func newDiLoCo(t model, lr, momentum float32) *dilocoMode {
	n := len(t.Params().Values)
	d := &dilocoMode{t: t, lr: lr, momentum: momentum, base: make([]float32, n+len(t.Stats())), drift: drift{forget: forgetMean}}
	if momentum != 0 {
		d.moment, d.next = make([]float32, n), make([]float32, n)
	}
	return d
}

// params returns how many parameters there are.
func (d *dilocoMode) params() int { return len(d.t.Params().Values) }

func (d *dilocoMode) begin() {
	n := copy(d.base, d.t.Params().Values)
	copy(d.base[n:], d.t.Stats())
}

func (*dilocoMode) gradient() {}

func (d *dilocoMode) stepped(lr float64) { d.drift.step(d.t.Params().Values, lr) }

func (d *dilocoMode) update(dst []float32, lo int) {
	n, part := d.params(), span{lo, lo + len(dst)}
	if p := part.within(0, n); p.lo < p.hi {
		difference(dst[:p.hi-p.lo], d.base[p.lo:p.hi], d.t.Params().Values[p.lo:p.hi])
		d.drift.went(dst[:p.hi-p.lo], p.lo)
	}
	if q := part.within(n, len(d.base)); q.lo < q.hi {
		difference(dst[len(dst)-(q.hi-q.lo):], d.base[n+q.lo:n+q.hi], d.t.Stats()[q.lo:q.hi])
	}
}

// inCache is how many numbers are worked on at a time where it takes more than one pass.
const inCache = 1 << 14

func difference(dst, a, b []float32) {
	for lo := 0; lo < len(dst); lo += inCache {
		hi := min(lo+inCache, len(dst))
		copy(dst[lo:hi], a[lo:hi])
		vec.SubFrom(dst[lo:hi], b[lo:hi])
	}
}

var _ inParts = (*dilocoMode)(nil)

func (d *dilocoMode) apply(result []float32, changed []span, counted bool) error {
	d.applying(counted)
	at := 0
	for _, c := range append(slices.Clone(changed), span{len(d.base), len(d.base)}) {
		d.unchanged(span{at, c.lo})
		for at = c.lo; at < c.hi; at += inCache {
			d.applyPart(result[at:min(at+inCache, c.hi)], at)
		}
		at = c.hi
	}
	return nil
}

func (d *dilocoMode) applying(counted bool) { d.drift.sees(counted) }

func (d *dilocoMode) unchanged(s span) {
	n := d.params()
	if p := s.within(0, n); p.lo < p.hi {
		copy(d.t.Params().Values[p.lo:p.hi], d.base[p.lo:p.hi])
		if d.moment != nil {
			copy(d.next[p.lo:p.hi], d.moment[p.lo:p.hi])
		}
	}
	if q := s.within(n, len(d.base)); q.lo < q.hi {
		copy(d.t.Stats()[q.lo:q.hi], d.base[n+q.lo:n+q.hi])
	}
}

func (d *dilocoMode) applyPart(part []float32, lo int) {
	d.drift.saw(part, lo)
	n, s := d.params(), span{lo, lo + len(part)}
	if p := s.within(0, n); p.lo < p.hi {
		d.outer(part[:p.hi-p.lo], p)
	}
	if q := s.within(n, len(d.base)); q.lo < q.hi {
		difference(d.t.Stats()[q.lo:q.hi], d.base[n+q.lo:n+q.hi], part[len(part)-(q.hi-q.lo):])
	}
}

// outer does the outer step on a span of the parameters.
func (d *dilocoMode) outer(result []float32, p span) {
	values, base := d.t.Params().Values[p.lo:p.hi], d.base[p.lo:p.hi]
	if d.moment == nil {
		copy(values, base)
		vec.AddScaled(values, -d.lr, result)
		return
	}
	moment, next := d.moment[p.lo:p.hi], d.next[p.lo:p.hi]
	for i, g := range result {
		// Each product is rounded: no processor may fuse it with the sum that follows.
		m := float32(d.momentum*moment[i]) + g
		next[i] = m
		values[i] = base[i] - float32(d.lr*(g+float32(d.momentum*m)))
	}
}

func (d *dilocoMode) alone() {
	clear(d.next)
	d.drift.rest, d.drift.then = nil, false // what others have does not count
}

func (d *dilocoMode) commit() {
	d.moment, d.next = d.next, d.moment
	d.drift.begin()
	d.begin()
}

func (d *dilocoMode) vectors() [][]float32 {
	return d.with([][]float32{d.t.Params().Values, d.t.Stats()}, d.next)
}

// with appends the momentum, if there is one.
func (d *dilocoMode) with(vectors [][]float32, moment []float32) [][]float32 {
	if moment == nil {
		return vectors
	}
	return append(vectors, moment)
}

func (d *dilocoMode) work() savedWork {
	return saveWork(d.t, [][]float32{d.t.Params().Values, d.t.Stats()})
}

func (d *dilocoMode) resume(w savedWork) error {
	copyAll([][]float32{d.t.Params().Values, d.t.Stats()}, w.vectors)
	return nil
}

func (d *dilocoMode) kept() [][]float32 {
	n := d.params()
	return d.with([][]float32{d.base[:n], d.base[n:]}, d.moment)
}

func (d *dilocoMode) take(vectors [][]float32) error {
	if err := fits(d.vectors(), vectors); err != nil {
		return err
	}
	copyAll(d.with([][]float32{d.t.Params().Values, d.t.Stats()}, d.moment), vectors)
	d.drift.then = false
	d.drift.begin()
	d.begin()
	return nil
}

// allReduceMode: the mean of the members' gradients is the gradient of the one step of a round,
// and the mean of their running statistics what they become. The optimiser's state is part of
// the state, so that all members stay equal in every bit.
type allReduceMode struct {
	t     model
	base  [][]float32 // parameters, running statistics, moments at the beginning of the round
	steps int         // done then
	grads []float32   // of this member
	stats []float32   // of this member after its gradient
}

func newAllReduce(t model) *allReduceMode {
	a := &allReduceMode{t: t, grads: make([]float32, len(t.Params().Values)), stats: make([]float32, len(t.Stats()))}
	for _, v := range a.numbers() {
		a.base = append(a.base, make([]float32, len(v)))
	}
	return a
}

func (a *allReduceMode) begin() {
	copyAll(a.base, a.numbers())
	a.steps = a.t.Steps()
}

func (a *allReduceMode) gradient() {
	copy(a.grads, a.t.Params().Grads)
	copy(a.stats, a.t.Stats())
}

func (*allReduceMode) stepped(float64) {}

func (a *allReduceMode) update(dst []float32, lo int) {
	n, part := len(a.grads), span{lo, lo + len(dst)}
	if p := part.within(0, n); p.lo < p.hi {
		copy(dst, a.grads[p.lo:p.hi])
	}
	if q := part.within(n, n+len(a.stats)); q.lo < q.hi {
		copy(dst[len(dst)-(q.hi-q.lo):], a.stats[q.lo:q.hi])
	}
}

func (a *allReduceMode) apply(result []float32, changed []span, _ bool) error {
	copyAll(a.numbers(), a.base)
	if err := a.t.SetSteps(a.steps); err != nil {
		return err
	}
	if len(changed) == 0 { // a round without a result: no step
		return nil
	}
	n := copy(a.t.Params().Grads, result)
	copy(a.t.Stats(), result[n:])
	_, err := a.t.Apply()
	return err
}

func (*allReduceMode) alone() {}

func (a *allReduceMode) commit() { a.begin() }

func (a *allReduceMode) vectors() [][]float32 {
	return append(a.numbers(), writeSteps(a.t.Steps()))
}

// numbers are those of the trainer.
func (a *allReduceMode) numbers() [][]float32 {
	return append([][]float32{a.t.Params().Values, a.t.Stats()}, a.t.Moments()...)
}

func (a *allReduceMode) work() savedWork { return saveWork(a.t, a.numbers()) }

func (a *allReduceMode) resume(w savedWork) error {
	copyAll(a.numbers(), w.vectors)
	return a.t.SetSteps(w.steps)
}

func (a *allReduceMode) kept() [][]float32 { return append(slices.Clone(a.base), writeSteps(a.steps)) }

func (a *allReduceMode) take(vectors [][]float32) error {
	if err := fits(a.vectors(), vectors); err != nil {
		return err
	}
	last := len(vectors) - 1
	if err := a.t.SetSteps(readSteps(vectors[last])); err != nil {
		return err
	}
	copyAll(a.numbers(), vectors[:last])
	a.begin()
	return nil
}

// writeSteps writes a number of steps as a vector of a state: schedule and optimiser go by it.
func writeSteps(n int) []float32 { return []float32{float32(n >> 20), float32(n & (1<<20 - 1))} }

func readSteps(v []float32) int { return int(v[0])<<20 + int(v[1]) }

var errLayout = errors.New("a state of another layout")

func fits(own, other [][]float32) error {
	if !slices.Equal(checkpoint.LayoutOf(own), checkpoint.LayoutOf(other)) {
		return errLayout
	}
	return nil
}

func copyAll(dst, src [][]float32) {
	for i := range dst {
		copy(dst[i], src[i])
	}
}
