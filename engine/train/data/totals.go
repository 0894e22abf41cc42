package data

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Bounds of what is taken for a total.
const (
	totalShare    = 4       // one row in so many may be a total
	totalRows     = 3       // a total is the sum of so many rows at least
	fullTotalRows = 5       // likewise where no input is missing
	totalError    = 1e-9    // of a sum, relative to that of the magnitudes: rounding of float64
	totalWords    = 1 << 16 // words of a column that are counted
)

// A Total is a row that is the total of others, by the line where it begins.
type Total struct {
	Line int
	Sums int   // numbers that are the sums of their columns; 0: it has no inputs
	Err  error // why it is taken for one
}

// Totals finds the rows of a table that are totals of others and no samples, as they stand below a
// table or its parts:
//   - rows of which all inputs are missing, or all but a word that no other row has;
//   - rows whose numbers are each the sum of their column, with no input but such a word beside
//     them. At least one other input is missing, or two numbers are sums.
//
// From the former nothing is to be learned, the latter are far from all samples. Every row is given
// to Count first, then to Add. One goroutine uses it.
type Totals struct {
	columns []Column
	label   int
	words   []map[string]int // rows by the word that they have, by column
	known   []map[string]int // categories of another file, by column
	numbers []float64        // of the row that is added, NaN without

	rows  int
	above section // all rows but totals
	part  section // those since the last total
	found []Total
	// open are the numbers of the last row, if that is a total as long as no other row comes.
	open []float64
}

// section is the sums of some rows.
type section struct {
	rows int
	sums []runningSum // by column
}

// runningSum is the sum of a column.
type runningSum struct {
	sum, size float64 // size is the sum of the magnitudes
	terms     int     // that are not 0
}

// NewTotals returns a Totals of rows with such columns, which it keeps: until the first Add the
// caller may set their notation. label is the column that is predicted, -1 if it is not among them.
// Categories that columns have are known from another file: a row with one of them is no total.
func NewTotals(columns []Column, label int) *Totals {
	n := len(columns)
	t := &Totals{columns: columns, label: label, numbers: make([]float64, n), above: section{sums: make([]runningSum, n)}, part: section{sums: make([]runningSum, n)}}
	for i := range columns {
		t.words = append(t.words, map[string]int{})
		t.known = append(t.known, columns[i].numbers())
	}
	return t
}

// word reports whether an input is a word: a category, or no number where numbers are.
func (t *Totals) word(c int, s string) bool {
	switch t.columns[c].Kind {
	case Category:
		return !isMissing(s)
	case Number:
		return !noNumber(s) && !numeric(s)
	}
	return false
}

// Count looks at the words of a row, whose fields are without blanks around them.
func (t *Totals) Count(fields []string) {
	for c, s := range fields {
		if c == t.label || !t.word(c, s) {
			continue
		}
		if words := t.words[c]; words[s] > 0 || len(words) < totalWords {
			words[strings.Clone(s)]++ // without the rest of its row
		}
	}
}

// Add looks at a row for totals.
func (t *Totals) Add(line int, fields []string) {
	t.rows++
	switch sums, open, err := t.total(fields); {
	case err != nil:
		t.found = append(t.found, Total{line, sums, err})
		t.part = section{sums: make([]runningSum, len(t.columns))}
		if t.open = nil; open {
			t.open = slices.Clone(t.numbers)
		}
	default:
		if t.open != nil { // other rows come, so it was none
			t.found = t.found[:len(t.found)-1]
			t.sum(t.open)
			t.open = nil
		}
		t.sum(t.numbers)
	}
}

// Found returns the totals, in their order, and whether they are so few that they can be such.
func (t *Totals) Found() (list []Total, few bool) {
	return t.found, totalShare*len(t.found) <= t.rows
}

// total says why a row is a total, nil if it is none, and how many of its numbers are sums. It is
// open if it is one only at the end of the table.
func (t *Totals) total(fields []string) (sums int, open bool, err error) {
	name, words, missing, given := -1, 0, 0, 0
	other := false // there is what no total has
	for c, s := range fields {
		kind := t.columns[c].Kind
		t.numbers[c] = math.NaN()
		if kind == Number && !noNumber(s) {
			if v, ok := t.columns[c].loose(s); ok {
				t.numbers[c] = v
			}
		}
		switch {
		case kind == Ignore || c == t.label:
		case !math.IsNaN(t.numbers[c]):
			given++
		case kind == Sentence, kind == Number && !noNumber(s) && numeric(s): // written in another way
			other = true
		case t.word(c, s):
			_, known := t.known[c][s]
			name, words, other = c, words+1, other || known
		default:
			missing++
		}
	}
	if other || words > 1 || words == 1 && t.words[name][fields[name]] != 1 {
		return 0, false, nil
	}
	switch {
	case given > 0 || missing == 0:
	case words == 0:
		return 0, false, errors.New("all inputs are missing: is it a sum?")
	case missing > 1:
		return 0, false, fmt.Errorf("all inputs are missing but %.40q, which no other row has: is it a sum?", fields[name])
	}
	sums = max(t.above.totalled(t.numbers, missing), t.part.totalled(t.numbers, missing))
	switch {
	case sums == 1:
		err = errors.New("its number is the sum of its column: is it a total?")
	case sums > 1:
		err = fmt.Errorf("its %d numbers are the sums of their columns: is it a total?", sums)
	}
	return sums, err != nil && missing+words == 0, err
}

// sum adds the numbers of a row that is no total.
func (t *Totals) sum(numbers []float64) {
	t.above.add(numbers)
	t.part.add(numbers)
}

func (s *section) add(numbers []float64) {
	s.rows++
	for c, v := range numbers {
		if of := &s.sums[c]; v != 0 && !math.IsNaN(v) {
			of.sum, of.size, of.terms = of.sum+v, of.size+math.Abs(v), of.terms+1
		}
	}
}

// totalled returns how many numbers of a row are the sums of several others in their columns, 0 if
// one of them is not the sum of its column, or if they are too few to tell a total.
func (s *section) totalled(numbers []float64, missing int) (sums int) {
	for c, v := range numbers {
		of := &s.sums[c]
		switch {
		case math.IsNaN(v):
		case math.Abs(v-of.sum) > totalError*of.size:
			return 0
		case of.terms > 1 && of.sum != 0:
			sums++
		}
	}
	if missing == 0 && (sums < 2 || s.rows < fullTotalRows) || s.rows < totalRows {
		return 0
	}
	return sums
}

// leaveOutTotals gives an error to the rows that are totals, and describes the columns by the other
// ones. From a file for which the columns are known, categories that it may not have are refused
// then.
func (t *Table) leaveOutTotals(s *Sheet) error {
	list, few := t.totals(s.Rows)
	if few && len(list) > 0 {
		for i := range s.Rows {
			if at, ok := slices.BinarySearchFunc(list, s.Rows[i].Line, func(f Total, line int) int { return cmp.Compare(f.Line, line) }); ok {
				s.Rows[i].Err = list[at].Err
			}
		}
		if err := t.describe(s); err != nil {
			return err
		}
	}
	switch {
	case len(list) == 0:
	case !few:
		t.warn("%d of %d rows, the first in line %d, have no inputs, or only one that no other row has, or look like totals: nothing is learned from them", len(list), len(s.Rows), list[0].Line)
	case len(list) == 1:
		t.warn("line %d: %v The row is left out, as nothing is learned from it", list[0].Line, list[0].Err)
	default:
		t.warn("%d rows look like totals, the first in line %d: %v They are left out, as nothing is learned from them", len(list), list[0].Line, list[0].Err)
	}
	for c := range t.columns {
		if !t.cfg.Fixed || t.columns[c].Kind != Category {
			continue
		}
		if err := t.known(s.Rows, c); err != nil {
			return fmt.Errorf("column %q: %w", t.columns[c].Name, err)
		}
	}
	return nil
}

// totals finds the totals among the rows. Where rows with missing values are left out anyway, those
// without inputs are such.
func (t *Table) totals(rows []Row) (list []Total, few bool) {
	columns := slices.Clone(t.columns)
	for i := range columns {
		columns[i].Categories = nil // but for those of another file
		if at := slices.IndexFunc(t.cfg.Columns, func(c Column) bool { return c.Name == columns[i].Name }); at >= 0 {
			columns[i].Categories = t.cfg.Columns[at].Categories
		}
	}
	found := NewTotals(columns, t.label)
	for i := range rows {
		if rows[i].Err == nil {
			found.Count(rows[i].Fields)
		}
	}
	for i := range rows {
		if rows[i].Err == nil {
			found.Add(rows[i].Line, rows[i].Fields)
		}
	}
	list, few = found.Found()
	if !t.cfg.FillMissing {
		list = slices.DeleteFunc(list, func(f Total) bool { return f.Sums == 0 })
	}
	return list, few
}
