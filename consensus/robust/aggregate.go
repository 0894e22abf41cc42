package robust

import (
	"fmt"
	"math"

	"github.com/covey-network/covey/consensus/vec"
)

// Reason says why a sender has no part in a result.
type Reason int

// The reasons.
const (
	WrongLength Reason = iota + 1 // the update has another length than the result
	NotFinite                     // the update has an infinite or undefined value
	NoWeight                      // the sender has weight 0
	Far                           // the update is farther from the others than those taken
)

// String returns the reason in words that follow a sender's name.
func (r Reason) String() string {
	switch r {
	case WrongLength:
		return "sent an update of the wrong length"
	case NotFinite:
		return "sent a value that is not finite"
	case NoWeight:
		return "has no weight"
	case Far:
		return "is far from the others"
	}
	return fmt.Sprintf("Reason(%d)", int(r))
}

// Faulty reports whether a sender that works well never gives this reason. Far is none: one
// with other data than the rest may well be far.
func (r Reason) Faulty() bool { return r == WrongLength || r == NotFinite }

// Out is a sender that has no part in a result.
type Out struct {
	Sender int // the index of its update
	Reason Reason
}

// Report says what became of the updates.
type Report struct {
	Out []Out // by sender
}

// Aggregate combines the updates by the rule and writes the result, of len(dst) values, which
// overlaps none of the arguments. The updates are in the order of their senders, the same on
// every peer. An update of another length or with a value that is not finite is dropped
// whole, and counts as one of the liars that the rule was told of.
//
// Weights, one for each update, are needed where [Rule.Weighted] says so, else they may be nil;
// they are finite and not negative, and a sender of weight 0 is left out. Those for gossip have
// a sum of at most 1; the own vector has the rest. The reference is used where
// [Rule.Referenced] says so, else it may be nil; it is finite.
//
// One usable update is the result as it is, but for the rules clip, gossip and sign. Every
// result is finite. On an error dst is unchanged; there is one where the updates are too few
// or the arguments do not fit, and the report then says who was dropped.
func (r Rule) Aggregate(dst []float32, updates [][]float32, weights []float64, reference []float32) (Report, error) {
	if err := r.fits(len(dst), len(updates), weights, reference); err != nil {
		return Report{}, err
	}
	a := job{rule: r, dst: dst, reference: reference, senders: make([]int, 0, len(updates))}
	rows := make([][]float32, 0, len(updates))
	var report Report
	dropped := 0
	for i, u := range updates {
		switch {
		case len(u) != len(dst):
			report.Out = append(report.Out, Out{i, WrongLength})
			dropped++
		case !vec.Finite(u):
			report.Out = append(report.Out, Out{i, NotFinite})
			dropped++
		case weights != nil && weights[i] == 0:
			report.Out = append(report.Out, Out{i, NoWeight})
		default:
			rows = append(rows, u)
			a.senders = append(a.senders, i)
			if weights != nil {
				a.weights = append(a.weights, weights[i])
			}
		}
	}
	var err error
	if a.limits, err = r.plan(len(rows), dropped); err != nil {
		return report, err
	}
	a.points = newPoints(rows, len(dst))
	if len(rows) > 0 || r.kind == gossip {
		a.run()
	}
	report.leave(a.senders, a.far)
	return report, nil
}

// leave adds the senders that were too far, in order.
func (r *Report) leave(senders []int, far []bool) {
	var all []Out
	at := 0
	for k, f := range far {
		for at < len(r.Out) && r.Out[at].Sender < senders[k] {
			all = append(all, r.Out[at])
			at++
		}
		if f {
			all = append(all, Out{senders[k], Far})
		}
	}
	r.Out = append(all, r.Out[at:]...)
}

// fits checks the arguments of Aggregate that are not the senders'.
func (r Rule) fits(dimension, senders int, weights []float64, reference []float32) error {
	if r.Weighted() && weights == nil {
		return fmt.Errorf("combine by %v: it needs a weight for each update", r)
	}
	if weights != nil && len(weights) != senders {
		return fmt.Errorf("combine by %v: %d weights for %d updates", r, len(weights), senders)
	}
	sum := 0.0
	for i, w := range weights {
		if !(w >= 0) || math.IsInf(w, 0) {
			return fmt.Errorf("combine by %v: the weight of update %d is %v, want a finite number from 0", r, i, w)
		}
		sum += w
	}
	switch {
	case r.kind == gossip && sum > 1+1e-9:
		return fmt.Errorf("combine by %v: the sum of the weights is %v, want at most 1", r, sum)
	case math.IsInf(sum, 0):
		return fmt.Errorf("combine by %v: the sum of the weights is too large", r)
	case r.kind == gossip && reference == nil:
		return fmt.Errorf("combine by %v: it needs the own vector as the reference", r)
	case !r.Referenced() || reference == nil:
		return nil
	case len(reference) != dimension:
		return fmt.Errorf("combine by %v: the reference has %d values, want %d", r, len(reference), dimension)
	case !vec.Finite(reference):
		return fmt.Errorf("combine by %v: the reference has a value that is not finite: start again without it", r)
	}
	return nil
}

// job is one aggregation.
type job struct {
	rule      Rule
	limits    limits
	dst       []float32
	points    *points
	senders   []int     // whose the points are
	weights   []float64 // of the points, or nil
	reference []float32
	far       []bool // of the points: has no part in the result
}

func (a *job) run() {
	n := len(a.senders)
	a.far = make([]bool, n)
	if n == 1 && a.rule.kind != clip && a.rule.kind != gossip && a.rule.kind != sign {
		copy(a.dst, a.points.rows[0])
		return
	}
	if a.rule.mix {
		a.mix()
	}
	switch a.rule.kind {
	case mean:
		a.points.mean(a.dst, a.points.all())
	case weighted:
		a.weightedMean()
	case median:
		a.points.middle(a.dst, (n-1)/2)
	case trimmed:
		a.points.middle(a.dst, a.limits.liars)
	case krum, multiKrum:
		a.krum()
	case geoMedian:
		a.geoMedian()
	case norm:
		a.norm()
	case clip:
		a.clip()
	case gossip:
		a.gossip()
	case sign:
		a.sign()
	}
}

func (a *job) weightedMean() {
	sum := 0.0
	for _, w := range a.weights {
		sum += w
	}
	c := make([]float64, len(a.weights))
	for i, w := range a.weights {
		c[i] = w / sum
	}
	a.points.combine(a.dst, c, nil, 0)
}
