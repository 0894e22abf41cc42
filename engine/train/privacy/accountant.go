package privacy

import (
	"errors"
	"fmt"
	"math"
)

// maxSteps bounds what an accountant counts.
const maxSteps = 1 << 50

// Steps are steps of one kind.
type Steps struct {
	Rate  float64 `json:"rate"`  // probability with which each sample takes part in a step
	Noise float64 `json:"noise"` // deviation of the noise, in units of the largest gradient of a sample
	Count int     `json:"count"`
}

// Accountant sums up what steps tell of one sample, as Rényi divergences of many orders. The zero
// value has seen no step.
type Accountant struct {
	orders []float64
	kinds  []kind
	asked  kind // the last one that With was asked of and that is not among them
}

// kind is steps of one kind, and of each order what one of them adds.
type kind struct {
	Steps
	each []float64
}

// Orders returns the orders that are looked at: 1.1 to 10.9 in steps of a tenth, and 12 to 63. They
// are those of Opacus.
func Orders() []float64 {
	var out []float64
	for i := 1; i < 100; i++ {
		out = append(out, 1+float64(i)/10)
	}
	for i := 12; i < 64; i++ {
		out = append(out, float64(i))
	}
	return out
}

// Resume makes an accountant that has seen steps before.
func Resume(list []Steps) (*Accountant, error) {
	a := &Accountant{}
	for _, s := range list {
		if err := a.Add(s); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Validate reports what cannot be.
func (s Steps) Validate() error {
	if !(s.Rate >= 0 && s.Rate <= 1) || !(s.Noise > 0 && s.Noise <= 1e6) || s.Count < 0 || s.Count > maxSteps {
		return fmt.Errorf("privacy: %d steps with samples at a rate of %v and noise of %v", s.Count, s.Rate, s.Noise)
	}
	return nil
}

// Add counts steps.
func (a *Accountant) Add(s Steps) error {
	if err := s.Validate(); err != nil || s.Count == 0 {
		return err
	}
	if a.Count()+s.Count > maxSteps {
		return errors.New("privacy: too many steps")
	}
	for i := range a.kinds {
		if k := &a.kinds[i]; k.like(s) {
			k.Count += s.Count
			return nil
		}
	}
	a.kinds = append(a.kinds, kind{s, a.each(s)})
	return nil
}

// like reports whether steps are of the same kind.
func (s Steps) like(o Steps) bool { return s.Rate == o.Rate && s.Noise == o.Noise }

// each returns what a step adds, of each order.
func (a *Accountant) each(s Steps) []float64 {
	for _, k := range a.kinds {
		if k.like(s) {
			return k.each
		}
	}
	if a.asked.each != nil && a.asked.like(s) {
		return a.asked.each
	}
	if a.orders == nil {
		a.orders = Orders()
	}
	out := make([]float64, len(a.orders))
	for i, order := range a.orders {
		out[i] = sampled(s.Rate, s.Noise, order)
	}
	a.asked = kind{s, out}
	return out
}

// Steps returns what was counted, each kind once. The slice is the caller's.
func (a *Accountant) Steps() (out []Steps) {
	for _, k := range a.kinds {
		out = append(out, k.Steps)
	}
	return out
}

// Count returns how many steps were counted.
func (a *Accountant) Count() int {
	n := 0
	for _, k := range a.kinds {
		n += k.Count
	}
	return n
}

// Epsilon returns the least epsilon that holds with delta, over 0 and below 1, for all steps
// together: 0 without one, infinite if there is none.
func (a *Accountant) Epsilon(delta float64) float64 { return a.With(Steps{}, delta) }

// With returns what Epsilon would be with more steps.
func (a *Accountant) With(more Steps, delta float64) float64 {
	list := a.kinds
	if more.Count > 0 {
		list = append(list[:len(list):len(list)], kind{more, a.each(more)})
		for i := range a.kinds { // one product for each kind: the same bits however steps were counted
			if a.kinds[i].like(more) {
				list = append([]kind(nil), a.kinds...)
				list[i].Count += more.Count
			}
		}
	}
	if len(list) == 0 {
		return 0
	}
	least := math.Inf(1)
	for i, order := range a.orders {
		sum := 0.0
		for _, k := range list {
			sum += float64(k.Count) * k.each[i]
		}
		if e := convert(sum, order, delta); e < least {
			least = e
		}
	}
	return max(least, 0)
}

// convert returns the epsilon of a Rényi divergence (Balle et al. 2020, arXiv 1905.09982, theorem
// 21; Canonne, Kamath, Steinke 2020, arXiv 2004.00010, proposition 12).
func convert(sum, order, delta float64) float64 {
	return sum - (math.Log(delta)+math.Log(order))/(order-1) + math.Log1p(-1/order)
}
