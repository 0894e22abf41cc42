package robust

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MaxUpdates is how many updates can be combined at a time.
const MaxUpdates = 64

// The rules for jobs that name none.
const (
	// DefaultIID is for data that is spread over the senders by chance.
	DefaultIID = "nnm+trimmed:20%"
	// DefaultNonIID is for senders whose data differ, as where each brings its own. It
	// needs the last result as the reference.
	DefaultNonIID = "clip"
)

// defaultShare is the part of the senders, in percent, that may lie where a rule's name has
// no number.
const defaultShare = 20

// Rule says how updates are combined. Only [Parse] makes a useful one.
type Rule struct {
	kind   kind
	liars  count   // of kind trimmed, krum, multiKrum, and for mixing
	chosen int     // of multiKrum: how many are averaged; 0: all but the liars
	radius float64 // of clip and gossip; 0: the median distance
	mix    bool    // mix nearest neighbours first
	mixed  count   // the liars for mixing
}

type kind int

const (
	mean kind = iota
	weighted
	median
	trimmed
	krum
	multiKrum
	geoMedian
	norm
	clip
	gossip
	sign
)

var kindNames = []string{"mean", "weighted", "median", "trimmed", "krum", "multikrum", "geomedian", "norm", "clip", "gossip", "sign"}

// count is a number of senders: absolute, or in percent of those there are.
type count struct {
	n       int
	percent bool
}

func (c count) String() string {
	if c.percent {
		return strconv.Itoa(c.n) + "%"
	}
	return strconv.Itoa(c.n)
}

// of returns the number among n senders. A share is rounded up, and cut to most.
func (c count) of(n, most int) int {
	if !c.percent {
		return c.n
	}
	return max(0, min((c.n*n+99)/100, most))
}

// Parse reads a rule's name:
//
//	mean              ((u0 + u1) + u2 + …) * (1 / n), each step rounded to float32: the bits
//	                  of one machine that adds the gradients of n batches and scales them
//	weighted          mean with the weights of the senders
//	median            of each coordinate
//	trimmed:F         mean of each coordinate without its F smallest and F largest values
//	krum:F            the update with the least distance to its nearest ones
//	multikrum:F[:M]   mean of the M updates with the least; M is all but F
//	geomedian         the point with the least sum of distances
//	norm              mean of the updates, none longer than the median length
//	clip[:RADIUS]     the reference moved by the mean of the differences from it, none
//	                  longer than the radius (in units of the updates); three times. Without
//	                  a number the radius is the median distance
//	gossip[:RADIUS]   the own vector, as the reference, moved by the weights times the
//	                  differences of the neighbours from it, none longer than the radius; once
//	sign              the sign that the most have, times the median length over the root of
//	                  the dimension
//	nnm[:F]+RULE      before the rule, each update becomes the mean of the n-F nearest to it
//
// F is how many senders may lie: a number, 2, or a share of those there are, 25%. Without one
// it is 20%. A share is rounded up, but no more than the rule can bear with the updates there
// are, which is none for one or two.
func Parse(name string) (Rule, error) {
	r, err := parse(name)
	if err != nil {
		return Rule{}, fmt.Errorf("rule %q: %w", name, err)
	}
	return r, nil
}

func parse(name string) (Rule, error) {
	var r Rule
	before, after, mix := strings.Cut(name, "+")
	if mix {
		r.mix = true
		mixName, mixArg, given := strings.Cut(before, ":")
		if mixName != "nnm" {
			return r, fmt.Errorf("%q cannot stand before another rule, only nnm can", mixName)
		}
		name = after
		if err := r.parseKind(name); err != nil {
			return r, err
		}
		if r.kind == weighted || r.kind == gossip {
			return r, fmt.Errorf("%s has weights of the senders, which mixing would spread: leave nnm out", kindNames[r.kind])
		}
		r.mixed = r.liars
		if given {
			var err error
			if r.mixed, err = parseCount(mixArg); err != nil {
				return r, err
			}
		}
		return r, nil
	}
	return r, r.parseKind(name)
}

// parseKind reads a rule without what stands before it.
func (r *Rule) parseKind(name string) error {
	args := strings.Split(name, ":")
	found := false
	for i, k := range kindNames {
		if args[0] == k {
			r.kind, found = kind(i), true
		}
	}
	if !found {
		return fmt.Errorf("want one of %s, with nnm+ before it if you like", strings.Join(kindNames, ", "))
	}
	args = args[1:]
	r.liars = count{defaultShare, true}
	var err error
	switch r.kind {
	case trimmed, krum, multiKrum:
		if len(args) > 0 {
			if r.liars, err = parseCount(args[0]); err != nil {
				return err
			}
			args = args[1:]
		}
		if r.kind == multiKrum && len(args) > 0 {
			if r.chosen, err = strconv.Atoi(args[0]); err != nil || r.chosen < 1 || r.chosen > MaxUpdates {
				return fmt.Errorf("%q is not how many updates to average, 1 to %d", args[0], MaxUpdates)
			}
			args = args[1:]
		}
	case clip, gossip:
		if len(args) > 0 {
			r.radius, err = strconv.ParseFloat(args[0], 64)
			if err != nil || !(r.radius > 0) || math.IsInf(r.radius, 0) {
				return fmt.Errorf("%q is not a radius, a number above 0", args[0])
			}
			args = args[1:]
		}
	}
	if len(args) > 0 {
		return fmt.Errorf("%q is one number too many", args[0])
	}
	return nil
}

func parseCount(s string) (count, error) {
	digits, percent := strings.CutSuffix(s, "%")
	n, err := strconv.Atoi(digits)
	switch {
	case err != nil || n < 0:
		return count{}, fmt.Errorf("%q is not a number of liars like 2, nor a share like 25%%", s)
	case percent && n >= 50:
		return count{}, fmt.Errorf("no rule holds against %s of liars: take less than 50%%", s)
	case !percent && n > MaxUpdates/2:
		return count{}, fmt.Errorf("%d liars are too many for %d updates, which is the most", n, MaxUpdates)
	}
	return count{n, percent}, nil
}

// String returns the rule's name with all its numbers; rules with the same name are equal.
func (r Rule) String() string {
	s := kindNames[r.kind]
	switch r.kind {
	case trimmed, krum, multiKrum:
		s += ":" + r.liars.String()
		if r.chosen > 0 {
			s += ":" + strconv.Itoa(r.chosen)
		}
	case clip, gossip:
		if r.radius > 0 {
			s += ":" + strconv.FormatFloat(r.radius, 'g', -1, 64)
		}
	}
	switch {
	case !r.mix:
		return s
	case r.mixed == r.liars:
		return "nnm+" + s
	default:
		return "nnm:" + r.mixed.String() + "+" + s
	}
}

// Weighted reports whether the rule needs weights: those of the senders for weighted, those of
// [Metropolis] for gossip. Others only leave out senders of weight 0.
func (r Rule) Weighted() bool { return r.kind == weighted || r.kind == gossip }

// Referenced reports whether the rule starts from a reference: for gossip that is the own
// vector; for clip the last result, or nil at the start, which stands for zeros.
func (r Rule) Referenced() bool { return r.kind == clip || r.kind == gossip }

// Radius returns the radius that the rule names; 0: the median distance.
func (r Rule) Radius() float64 { return r.radius }

// WithRadius returns a rule of kind clip or gossip with another radius.
func (r Rule) WithRadius(radius float64) Rule {
	r.radius = radius
	return r
}

// Separable reports whether each number of a result rests on the updates' numbers in the same
// place alone: then parts of the vectors give the same bits as the whole, and may be combined at
// once. All parts need the same updates: one that is not finite anywhere is to be left out of all.
func (r Rule) Separable() bool {
	return !r.mix && (r.kind == mean || r.kind == weighted || r.kind == median || r.kind == trimmed)
}

// Check reports whether n updates are enough.
func (r Rule) Check(n int) error {
	_, err := r.plan(n, 0)
	return err
}

// errTooFew is what is to do where there are not enough updates.
var errTooFew = errors.New("wait for more members, or choose a rule for fewer liars")

// limits are a rule's numbers for the updates there are.
type limits struct{ liars, mixed, chosen int }

// plan returns the numbers for n usable updates after some were dropped, each of which was one
// of the liars.
func (r Rule) plan(n, dropped int) (limits, error) {
	all := n + dropped
	if all > MaxUpdates {
		return limits{}, fmt.Errorf("combine by %v: %d updates, at most %d: make smaller groups", r, all, MaxUpdates)
	}
	if n == 0 && r.kind != gossip {
		return limits{}, fmt.Errorf("combine by %v: no usable update of %d: %w", r, all, errTooFew)
	}
	var l limits
	need := func(what string, c count, more int) (int, error) {
		f := max(0, c.of(all, (all-1-more)/2)-dropped)
		if f > 0 && n <= 2*f+more {
			return 0, fmt.Errorf("combine by %v: %s against %d liars needs %d updates, there are %d: %w", r, what, f, 2*f+more+1, n, errTooFew)
		}
		return f, nil
	}
	var err error
	switch r.kind {
	case trimmed:
		l.liars, err = need(kindNames[r.kind], r.liars, 0)
	case krum, multiKrum:
		l.liars, err = need(kindNames[r.kind], r.liars, 2)
		l.chosen = 1
		if r.kind == multiKrum {
			l.chosen = n - l.liars
			if r.chosen > 0 {
				l.chosen = min(l.chosen, r.chosen)
			}
		}
	}
	if err == nil && r.mix {
		l.mixed, err = need("nnm", r.mixed, 0)
	}
	return l, err
}
