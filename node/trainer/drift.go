package trainer

import (
	"sync/atomic"

	"github.com/covey-network/covey/consensus/vec"
	"github.com/covey-network/covey/engine/train/job"
)

// How much of a correction is forgotten with each round. A mean lets the corrections of all add up to
// zero, and what breaks that, a member that goes or begins anew, has to be forgotten. What another
// rule makes of ways differs from their mean in every round, and must not pile up.
const (
	forgetMean  = 1.0 / 10
	forgetOther = 1.0 / 2
)

// forgets returns how much of a correction is forgotten with each round under a rule.
func forgets(rule string) float32 {
	if rule == job.DefaultRule || rule == "weighted" {
		return forgetMean
	}
	return forgetOther
}

// drift keeps a member from going its own way: what the mean of all did beyond what this member did
// is done by it as well, a part with each step (SCAFFOLD, Karimireddy et al. 2020, arXiv 1910.06378;
// there gradients are corrected, here ways, so that any inner optimiser will do). It needs nothing
// that members do not have anyway, and is each member's own affair.
//
// Who was not counted in a round keeps the correction that it had. So the corrections of all go on
// to add up to zero, as those of the ones that were counted change by what adds up to zero, and the
// mean of some goes where the mean of all would.
type drift struct {
	forget float32
	way    []float32   // the member's own in this round; after update
	known  atomic.Bool // that
	rates  float64     // sum of the learning rates of this round's steps
	rest   []float32   // the correction, per learning rate; nil: none yet
	next   []float32   // of the next round
	then   bool        // there is a next
}

// step corrects the numbers after a step of a learning rate.
func (d *drift) step(values []float32, lr float64) {
	if d.way == nil {
		d.way = make([]float32, len(values))
	}
	d.rates += lr
	if d.rest != nil && lr != 0 {
		vec.AddScaled(values, float32(-lr), d.rest)
	}
}

// went takes the way that a member went, the numbers at the beginning of the round less those now,
// from lo on. Several goroutines may call it.
func (d *drift) went(way []float32, lo int) {
	if d.rates == 0 {
		return
	}
	copy(d.way[lo:], way)
	d.known.Store(true)
}

// sees is called before saw: the result of a round comes, in which this member's way was counted or was
// not. What is in no slice is corrected as before.
func (d *drift) sees(counted bool) {
	if d.then = counted && d.known.Load(); !d.then {
		return
	}
	if d.next == nil {
		d.next = make([]float32, len(d.way))
	}
	if clear(d.next); d.rest != nil {
		copy(d.next, d.rest)
	}
}

// saw makes the correction of the next round, from lo on, if the result is the one of this round. Several
// goroutines may call it.
func (d *drift) saw(result []float32, lo int) {
	if !d.then {
		return
	}
	scale := float32(1 / d.rates)
	for i := lo; i < min(lo+len(result), len(d.way)); i++ {
		d.next[i] += float32((result[i-lo] - d.way[i]) * scale)
		d.next[i] -= float32(d.forget * d.next[i])
	}
}

// begin begins a round.
func (d *drift) begin() {
	if d.then {
		d.rest, d.next = d.next, d.rest
	}
	d.then, d.rates = false, 0
	d.known.Store(false)
}
