package data

import (
	"fmt"
	"math"
)

// Years, of which a table may have one in each row.
const (
	firstYear = 1800
	lastYear  = 2200
)

// counter is what a column tells whose numbers are all different and hardly leave one out.
type counter struct {
	from, to int
	others   seen // values that are no numbers
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
		but := ""
		if n.others.count > 0 {
			but = fmt.Sprintf(", but for %s, such as %s", count(n.others.count, "row"), n.others.at())
		}
		switch {
		case !ok:
		case n.steps && !years && t.inputs() > 1:
			col.Kind, col.Notation = Ignore, Notation{}
			t.warn("column %q counts the rows, from %d to %d%s: it is left out, as it is likely to be a number of theirs and no measurement; columns = [{name = %[1]q, kind = \"number\"}] in [data.csv] takes it in", col.Name, n.from, n.to, but)
		case !years:
			t.warn("column %q seems to number the rows, from %d to %d%s: if it is no measurement, columns = [{name = %[1]q, kind = \"ignore\"}] in [data.csv] leaves it out", col.Name, n.from, n.to, but)
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
// One value in twenty may be no number, or break the order.
func (t *Table) counts(rows []Row, c int) (n counter, ok bool) {
	found, steps := map[int]bool{}, map[int]int{}
	last, low, high := 0, math.MaxInt, math.MinInt
	for i := range rows {
		if rows[i].Err != nil {
			continue
		}
		v, number := t.columns[c].parse(rows[i].Fields[c])
		whole := int(max(-1e15, min(v, 1e15)))
		switch {
		case !number:
			n.others.add(rows[i].Fields[c], rows[i].Line)
			continue
		case v != float64(whole) || found[whole]:
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
	if len(found) <= fewValues || 19*n.others.count > len(found) {
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
	few := len(found) / 20
	back := min(up, down) // each is two steps: away and back
	n.steps = 2*back <= few && max(steps[1], steps[-1])+back >= len(found)-1-few
	span := high - low + 1
	return n, n.steps || back == 0 && span <= 2*len(found) || span == len(found)
}
