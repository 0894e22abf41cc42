package graph

import "slices"

// slot is a piece of memory in a plan.
type slot struct {
	what  string // for errors
	size  int
	first int // the step that writes it
	last  int // the last step that reads it
	fixed []float32
	ints  []int32
	root  *slot // the slot whose memory this one is, nil for itself
	at    int   // offset in the arena
}

// find returns the slot whose memory s is.
func (s *slot) find() *slot {
	for s.root != nil {
		s = s.root
	}
	return s
}

// reach extends the lifetime to a step.
func (s *slot) reach(step int) {
	r := s.find()
	r.last = max(r.last, step)
}

// line is the number of elements of a cache line, to which slots are aligned.
const line = 16

// place gives each slot an offset in one arena so that no two that live at the same time
// overlap, largest first at the lowest place that is free, and returns the arena's size
// (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020,
// greedy by size).
func place(slots []*slot) int {
	order := slices.Clone(slots)
	slices.SortStableFunc(order, func(a, b *slot) int { return b.size - a.size })
	total := 0
	var placed, near []*slot // placed in order of their offset
	for _, s := range order {
		near = near[:0]
		for _, p := range placed {
			if p.first <= s.last && s.first <= p.last {
				near = append(near, p)
			}
		}
		at := 0
		for _, p := range near {
			if p.at-at >= s.size {
				break
			}
			at = max(at, p.at+roundUp(p.size))
		}
		s.at = at
		total = max(total, at+roundUp(s.size))
		i, _ := slices.BinarySearchFunc(placed, at, func(p *slot, at int) int { return p.at - at })
		placed = slices.Insert(placed, i, s)
	}
	return total
}

func roundUp(n int) int { return (n + line - 1) / line * line }
