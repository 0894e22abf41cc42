package round

import "slices"

// measured is how many waits a meter remembers: a few rounds of a group.
const measured = 64

// meter holds how long others took in a phase, and says how long to wait for them.
type meter struct {
	ticks    []int
	mid, mad int // their median, and their median absolute deviation from it
}

func (m *meter) add(ticks int) {
	if len(m.ticks) == measured {
		m.ticks = m.ticks[1:]
	}
	m.ticks = append(m.ticks, ticks)
	m.mid = median(m.ticks)
	away := make([]int, len(m.ticks))
	for i, t := range m.ticks {
		away[i] = max(t-m.mid, m.mid-t)
	}
	m.mad = median(away)
}

// deadline is median + max(k times the median absolute deviation, floor), at most cap.
func (m *meter) deadline(s Span, k float64) int {
	if len(m.ticks) == 0 {
		return s.Cap
	}
	return min(m.mid+max(int(k*float64(m.mad)), s.Floor), s.Cap)
}

// median is the upper one of an even number.
func median(list []int) int {
	s := slices.Clone(list)
	slices.Sort(s)
	return s[len(s)/2]
}
