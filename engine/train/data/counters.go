package data

import "math"

// Years, of which a table may have one in each row.
const (
	firstYear = 1800
	lastYear  = 2200
)

// counter is what a column tells whose numbers are all different and hardly leave one out.
type counter struct {
	from, to int
	steps    bool // each number is one more than that of the row before, or one less, but for a few
}

// leaveOutCounters leaves out the columns that count the rows, as numbers of customers or rows do:
// nothing is to be learned from them, and rows of other files are beyond them. Years stay, and a
// column stays if there is no other input; these and what may be such a column are told.
func (t *Table) leaveOutCounters(rows []Row, columns []int) {
	for _, c := range columns {
		col := &t.columns[c]
		if col.Kind != Number {
			continue
		}
		n, ok := t.counts(rows, c)
		years := min(n.from, n.to) >= firstYear && max(n.from, n.to) <= lastYear
		switch {
		case !ok:
		case n.steps && !years && t.inputs() > 1:
			col.Kind, col.Notation = Ignore, Notation{}
			t.warn("column %q counts the rows, from %d to %d: it is left out, as it is likely to be a number of theirs and no measurement; columns = [{name = %[1]q, kind = \"number\"}] in [data.csv] takes it in", col.Name, n.from, n.to)
		case !years:
			t.warn("column %q seems to number the rows, from %d to %d: if it is no measurement, columns = [{name = %[1]q, kind = \"ignore\"}] in [data.csv] leaves it out", col.Name, n.from, n.to)
		}
	}
}

// inputs counts the columns that are inputs.
func (t *Table) inputs() (n int) {
	for c := range t.columns {
		if k := t.columns[c].Kind; c != t.label && k != Ignore {
			n++
		}
	}
	return n
}

// counts reports whether the numbers of a column are whole ones, in order or each of a range once.
func (t *Table) counts(rows []Row, c int) (n counter, ok bool) {
	found, steps := map[int]bool{}, map[int]int{}
	last, low, high := 0, math.MaxInt, math.MinInt
	for i := range rows {
		if rows[i].Err != nil {
			continue
		}
		v, number := t.columns[c].parse(rows[i].Fields[c])
		whole := int(max(-1e15, min(v, 1e15)))
		if !number || v != float64(whole) || found[whole] {
			return n, false
		}
		if len(found) == 0 {
			n.from = whole
		} else {
			steps[whole-last]++
		}
		found[whole] = true
		last, low, high = whole, min(low, whole), max(high, whole)
	}
	n.to = last
	if len(found) <= fewValues {
		return n, false
	}
	up, down := 0, 0
	for step, rows := range steps {
		if step > 0 {
			up += rows
		} else {
			down += rows
		}
	}
	ordered := min(up, down) == 0
	n.steps = ordered && 20*max(steps[1], steps[-1]) >= 19*(len(found)-1)
	span := high - low + 1
	return n, n.steps || ordered && span <= 2*len(found) || span == len(found)
}
