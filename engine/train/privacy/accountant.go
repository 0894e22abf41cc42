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
	list   []Steps
	orders []float64
	sums   []float64 // of each order, of all steps
	last   Steps     // Count 1: the kind that each is of
	each   []float64 // of each order, of a step of that kind
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
	if err := s.Validate(); err != nil {
		return err
	}
	if s.Count == 0 {
		return nil
	}
	a.know(s)
	for i, v := range a.each {
		a.sums[i] += float64(s.Count) * v
	}
	if n := len(a.list); n > 0 && a.list[n-1].Rate == s.Rate && a.list[n-1].Noise == s.Noise {
		if a.list[n-1].Count += s.Count; a.list[n-1].Count > maxSteps {
			return errors.New("privacy: too many steps")
		}
		return nil
	}
	a.list = append(a.list, s)
	return nil
}

// know computes what a step of a kind costs, if that is not known.
func (a *Accountant) know(s Steps) {
	if a.orders == nil {
		a.orders = Orders()
		a.sums, a.each = make([]float64, len(a.orders)), make([]float64, len(a.orders))
	}
	if s.Count = 1; a.last == s {
		return
	}
	a.last = s
	for i, order := range a.orders {
		a.each[i] = sampled(s.Rate, s.Noise, order)
	}
}

// Steps returns what was counted. The slice is the caller's.
func (a *Accountant) Steps() []Steps { return append([]Steps(nil), a.list...) }

// Count returns how many steps were counted.
func (a *Accountant) Count() int {
	n := 0
	for _, s := range a.list {
		n += s.Count
	}
	return n
}

// Epsilon returns the least epsilon that holds with delta, over 0 and below 1, for all steps
// together: 0 without one, infinite if there is none.
func (a *Accountant) Epsilon(delta float64) float64 { return a.With(Steps{}, delta) }

// With returns what Epsilon would be with more steps.
func (a *Accountant) With(s Steps, delta float64) float64 {
	if len(a.list) == 0 && s.Count == 0 {
		return 0
	}
	if s.Count > 0 {
		a.know(s)
	}
	least := math.Inf(1)
	for i, order := range a.orders {
		sum := a.sums[i]
		if s.Count > 0 {
			sum += float64(s.Count) * a.each[i]
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
