package data

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds of what is taken for a mistake.
const (
	farRanges = 20 // so many interquartile ranges from the median a number to be predicted is far
	farRows   = 20 // fewer rows do not tell what is far
	farShown  = 3  // values that are named
)

// noteFar tells of numbers that are to be predicted and far from all others: one of them counts
// more than all other rows. lines are those of the rows.
func (t *Table) noteFar(lines []int) {
	if t.columns[t.label].Kind != Number || t.rows < farRows {
		return
	}
	labels := t.Labels()
	sorted := slices.Sorted(slices.Values(labels))
	low, median, high := sorted[len(sorted)/4], sorted[len(sorted)/2], sorted[len(sorted)*3/4]
	limit := farRanges * (high - low)
	var named []string
	far := 0
	for i, v := range labels {
		if limit == 0 || v >= median-limit && v <= median+limit {
			continue
		}
		if far++; far <= farShown {
			named = append(named, fmt.Sprintf("%.10g in line %d", v, lines[i]))
		}
	}
	switch {
	case far == 0:
		return
	case far > farShown:
		named = append(named, fmt.Sprintf("and %d more", far-farShown))
	}
	t.warn("column %q: %s far from the others, of which half are from %.10g to %.10g: %s: if that is a sum or a mistake, take it out of the file, as a model learns little else beside it", t.columns[t.label].Name, values(far, "is", "are"), low, high, strings.Join(named, ", "))
}
