package token

import (
	"fmt"
	"slices"
	"unicode"
)

// runeSet is a set of characters: a bitmap for ASCII, sorted disjoint ranges for all.
type runeSet struct {
	ascii  [2]uint64
	ranges []runeRange
}

type runeRange struct{ lo, hi rune }

func newRuneSet(ranges []runeRange) *runeSet {
	s := &runeSet{ranges: merge(ranges)}
	for r := rune(0); r < 128; r++ {
		if s.search(r) {
			s.ascii[r>>6] |= 1 << (r & 63)
		}
	}
	return s
}

func (s *runeSet) has(r rune) bool {
	if r < 128 {
		return s.ascii[r>>6]>>(r&63)&1 != 0
	}
	return s.search(r)
}

func (s *runeSet) search(r rune) bool {
	lo, hi := 0, len(s.ranges)
	for lo < hi {
		mid := (lo + hi) / 2
		if s.ranges[mid].hi < r {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(s.ranges) && s.ranges[lo].lo <= r
}

// merge sorts ranges and joins those that touch.
func merge(rs []runeRange) []runeRange {
	rs = slices.Clone(rs)
	slices.SortFunc(rs, func(a, b runeRange) int { return int(a.lo) - int(b.lo) })
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && r.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, r.hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

// negate returns all characters outside rs.
func negate(rs []runeRange) []runeRange {
	var out []runeRange
	next := rune(0)
	for _, r := range merge(rs) {
		if r.lo > next {
			out = append(out, runeRange{next, r.lo - 1})
		}
		next = r.hi + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, runeRange{next, unicode.MaxRune})
	}
	return out
}

// intersect returns the characters in both.
func intersect(a, b []runeRange) []runeRange {
	return negate(append(negate(a), negate(b)...))
}

// foldRanges adds the characters that simple case folding holds equal.
func foldRanges(rs []runeRange) []runeRange {
	out := slices.Clone(rs)
	for _, r := range merge(rs) {
		if r.hi-r.lo > 1<<13 {
			continue // whole scripts and categories are not worth it
		}
		for c := r.lo; c <= r.hi; c++ {
			for f := unicode.SimpleFold(c); f != c; f = unicode.SimpleFold(f) {
				out = append(out, runeRange{f, f})
			}
		}
	}
	return out
}

func tableRanges(ts ...*unicode.RangeTable) []runeRange {
	var out []runeRange
	for _, t := range ts {
		for _, r := range t.R16 {
			out = appendStride(out, rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range t.R32 {
			out = appendStride(out, rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
	}
	return out
}

func appendStride(out []runeRange, lo, hi, stride rune) []runeRange {
	if stride == 1 {
		return append(out, runeRange{lo, hi})
	}
	for c := lo; c <= hi; c += stride {
		out = append(out, runeRange{c, c})
	}
	return out
}

// property returns the characters of a \p{...} name: a general category, a script or one of
// a few properties.
func property(name string) ([]runeRange, error) {
	if t, ok := unicode.Categories[name]; ok {
		return tableRanges(t), nil
	}
	if t, ok := unicode.Scripts[name]; ok {
		return tableRanges(t), nil
	}
	switch name {
	case "Letter", "Alpha", "Alphabetic":
		if name == "Letter" {
			return tableRanges(unicode.L), nil
		}
		return tableRanges(unicode.L, unicode.Nl, unicode.Other_Alphabetic), nil
	case "Number":
		return tableRanges(unicode.N), nil
	case "Punctuation", "Punct":
		return tableRanges(unicode.P), nil
	case "Symbol":
		return tableRanges(unicode.S), nil
	case "Mark":
		return tableRanges(unicode.M), nil
	case "Space", "White_Space":
		return tableRanges(unicode.White_Space), nil
	}
	return nil, fmt.Errorf("unknown property %q", name)
}

// classEscape returns the characters of \s, \d, \w, \h and their negations.
func classEscape(c byte) ([]runeRange, bool) {
	var out []runeRange
	switch c | 0x20 {
	case 's':
		out = tableRanges(unicode.White_Space)
	case 'd':
		out = tableRanges(unicode.Nd)
	case 'w':
		out = append(tableRanges(unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic), runeRange{0x200C, 0x200D})
	default:
		return nil, false
	}
	if c&0x20 == 0 {
		out = negate(out)
	}
	return out, true
}
