package trainer

import (
	"sync/atomic"

	"github.com/covey-network/covey/consensus/vec"
)

// drift keeps a member from going its own way: what the mean of all did in the last round beyond
// what this member's data made of it is done again, a part with each step (SCAFFOLD, Karimireddy
// et al. 2020, arXiv 1910.06378, option II: there gradients are corrected, here ways, so that any
// inner optimiser will do). It needs nothing that members do not have anyway, and is each
// member's own affair.
//
// The corrections of all add up to zero, unless updates are lost.
type drift struct {
	way   []float32   // the member's own in this round, without the correction; after update
	known atomic.Bool // that
	rates float64     // sum of the learning rates of this round's steps
	rest  []float32   // per learning rate, of the last round
	next  []float32   // of this one
	on    bool        // there is a rest
	then  bool        // and a next
}

// step corrects the numbers after a step of a learning rate.
func (d *drift) step(values []float32, lr float64) {
	if d.way == nil {
		d.way = make([]float32, len(values))
	}
	d.rates += lr
	if d.on && lr != 0 {
		vec.AddScaled(values, float32(-lr), d.rest)
	}
}

// went takes the way that a member went, the numbers at the beginning of the round less those now,
// from lo on, and leaves what its own data made of it. That is its update: were corrections in it,
// they would add up where the updates of some members are lost. Several goroutines may call it.
func (d *drift) went(way []float32, lo int) {
	if d.rates == 0 {
		return
	}
	if d.on {
		vec.AddScaled(way, float32(-d.rates), d.rest[lo:lo+len(way)])
	}
	copy(d.way[lo:], way)
	d.known.Store(true)
}

// sees is called before saw: the result of a round comes.
func (d *drift) sees() {
	if d.then = d.known.Load(); !d.then {
		return
	}
	if d.next == nil {
		d.next = make([]float32, len(d.way))
	}
	clear(d.next)
	if d.on { // what is in no slice is corrected as before
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
		d.next[i] = float32((result[i-lo] - d.way[i]) * scale)
	}
}

// begin begins a round after one whose result was seen.
func (d *drift) begin() {
	d.rest, d.next = d.next, d.rest
	d.on = d.then
	d.then, d.rates = false, 0
	d.known.Store(false)
}

// forget begins a round after one of which nothing is known.
func (d *drift) forget() {
	d.then = false
	d.begin()
}
