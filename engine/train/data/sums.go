package data

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds of what is taken for a sum or a mistake.
const (
	sumRows   = 4  // one row in so many may be a sum
	farRanges = 20 // so many interquartile ranges from the median a number to be predicted is far
	farRows   = 20 // fewer rows do not tell what is far
	farShown  = 3  // values that are named
)

// A sum is a row of which all inputs are missing, or all but a category that no other row has.
type sum struct {
	row  int // its index
	name int // the column of that category, -1 without
}

// dropSums gives an error to rows without inputs, as sums below a table or its parts are: from the
// mean of each column nothing is to be learned, and the sum of a column is far from its values.
// Without [TableConfig.FillMissing] rows with missing values are left out anyway.
func (t *Table) dropSums(rows []Row) {
	if !t.cfg.FillMissing {
		return
	}
	found := t.findSums(rows)
	if len(found) == 0 {
		return
	}
	first := rows[found[0].row].Line
	if sumRows*len(found) > len(rows) {
		t.note("%d of %d rows, the first in line %d, have no inputs, or only one that no other row has: nothing is learned from them", len(found), len(rows), first)
		return
	}
	for _, f := range found {
		text := "all inputs are missing: is it a sum?"
		if f.name >= 0 {
			value := rows[f.row].Fields[f.name]
			text = fmt.Sprintf("all inputs are missing but %.40q, which no other row has: is it a sum?", value)
			t.forget(f.name, value)
		}
		rows[f.row].Err = errors.New(text)
	}
	if len(found) > 1 {
		t.note("%d rows, the first in line %d, have no inputs, or only one that no other row has: are they sums? They are left out, as nothing is learned from them", len(found), first)
		return
	}
	t.note("line %d: %v The row is left out, as nothing is learned from it", first, rows[found[0].row].Err)
}

func (t *Table) findSums(rows []Row) (found []sum) {
	known := t.knownCategories()
	var counted []map[string]int // rows by category, by column
	for i := range rows {
		given, missing := t.inputsOf(&rows[i], known)
		switch {
		case missing > 0 && len(given) == 0:
			found = append(found, sum{i, -1})
		case missing > 1 && len(given) == 1:
			if counted == nil {
				counted = t.countCategories(rows)
			}
			if c := given[0]; counted[c][rows[i].Fields[c]] == 1 {
				found = append(found, sum{i, c})
			}
		}
	}
	return found
}

// knownCategories returns the categories of the columns whose categories are not those of the file.
func (t *Table) knownCategories() []map[string]int {
	out := make([]map[string]int, len(t.columns))
	for i := range t.cfg.Columns {
		at := slices.IndexFunc(t.columns, func(c Column) bool { return c.Name == t.cfg.Columns[i].Name })
		if t.cfg.Columns[i].Categories != nil {
			out[at] = t.cfg.Columns[i].numbers()
		}
	}
	return out
}

// inputsOf returns the columns in which a row has a category of its file, and counts those in which
// it has nothing: 0 if it has a number, a text or a category that is known of another file, or no
// label.
func (t *Table) inputsOf(r *Row, known []map[string]int) (given []int, missing int) {
	if r.Err != nil {
		return nil, 0
	}
	for c := range t.columns {
		kind, s := t.columns[c].Kind, r.Fields[c]
		absent := isMissing(s) || kind == Number && noNumber(s)
		_, fixed := known[c][s]
		switch {
		case kind == Ignore || c == t.label && !absent:
		case c != t.label && absent && kind != Sentence:
			missing++
		case c != t.label && kind == Category && !fixed:
			given = append(given, c)
		default:
			return nil, 0
		}
	}
	return given, missing
}

// countCategories counts the rows of each value of the categories that are inputs.
func (t *Table) countCategories(rows []Row) []map[string]int {
	out := make([]map[string]int, len(t.columns))
	for c := range t.columns {
		if t.columns[c].Kind != Category || c == t.label {
			continue
		}
		out[c] = map[string]int{}
		for i := range rows {
			if rows[i].Fields != nil {
				out[c][rows[i].Fields[c]]++
			}
		}
	}
	return out
}

// forget takes a category that only a row had which is left out from its column.
func (t *Table) forget(c int, value string) {
	col := &t.columns[c]
	i, ok := slices.BinarySearch(col.Categories, value)
	if !ok {
		return // of another file
	}
	if col.Categories = slices.Delete(col.Categories, i, i+1); len(col.Categories) == 0 {
		col.Kind = Ignore
		t.note("column %q has no other value than %.40q: it is left out", col.Name, value)
	}
}

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
	t.note("column %q: %s far from the others, of which half are from %.10g to %.10g: %s: if that is a sum or a mistake, take it out of the file, as a model learns little else beside it", t.columns[t.label].Name, values(far, "is", "are"), low, high, strings.Join(named, ", "))
}
