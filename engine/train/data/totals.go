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
	titleShare    = 20      // one row in so many may have the same title
	totalRows     = 3       // a total is the sum of so many rows at least
	fullTotalRows = 5       // likewise where no input is missing
	totalError    = 1e-9    // of a sum, relative to that of the magnitudes: rounding of float64
	roundingShare = 1e-3    // of a sum, by which it may be off where numbers are rounded
	meansByChance = 1e-3    // rows of a table that may have the means of their columns by chance
	totalWords    = 1 << 16 // words of a column that are counted
)

// A Total is a row that is the total of others, by the line where it begins.
type Total struct {
	Line int
	// Told is whether more than missing inputs tell it: numbers that are the sums or the means of
	// their columns, or its title.
	Told bool
	Err  error // why it is taken for one
}

// Totals finds the rows of a table that are totals of others and no samples, as they stand below a
// table or its parts:
//   - rows of which all inputs are missing, or all but a word that no other row has;
//   - rows whose numbers are each the sum of their column, or each the mean, with no input but such
//     a word beside them. At least one other input is missing, or two numbers are sums. Numbers are
//     as the table shows them, so that sums may be off by what rounding makes of them;
//   - rows with a title such as Total, in a column of numbers or dates, or in the first field that
//     is filled of a row that lacks inputs and has no other word.
//
// From the first nothing is to be learned, the others are far from all samples. Every row is given
// to Count first, then to Add. One goroutine uses it.
type Totals struct {
	columns []Column
	label   int
	missing absent
	titles  *titles
	words   []map[string]int // rows by the word that they have, by column
	known   []map[string]int // categories of another file, by column
	numbers []shown          // of the row that is added

	counted, rows int     // given to Count and to Add
	above         section // all rows but totals
	part          section // those since the last total
	found         []Total
	// open are the numbers of the last row, if that is a total as long as no other row comes.
	open []shown
}

// NewTotals returns a Totals of rows of a file with such columns, all that it has, in its order. It
// keeps them: until the first Add the caller may set their notation. Of those that are no inputs
// the kind is Ignore. label is the column that is predicted, -1 if it is not among them.
// Categories that columns have are known from another file: a row with one of them is no total.
// missing are words for missing values beside those that are built in.
func NewTotals(columns []Column, label int, missing ...string) *Totals {
	n := len(columns)
	t := &Totals{columns: columns, label: label, missing: newAbsent(missing), titles: newTitles(n), numbers: make([]shown, n), above: newSection(n), part: newSection(n)}
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
		return !t.missing.any(s)
	case Number:
		return !t.missing.number(s) && !numeric(s)
	}
	return false
}

// Count looks at the words of a row, whose fields are without blanks around them.
func (t *Totals) Count(fields []string) {
	t.counted++
	t.titles.count(fields, t.missing)
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
	switch told, open, err := t.total(fields); {
	case err != nil:
		t.found = append(t.found, Total{line, told, err})
		t.part = newSection(len(t.columns))
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

// contents are what a row has in its columns.
type contents struct {
	name           int // a column with a word, -1 if none has one
	words          int
	missing, given int  // inputs that are missing, and numbers
	other          bool // there is what no total has
	text           bool // of the kind Sentence
}

// read looks at the fields of a row.
func (t *Totals) read(fields []string) (r contents) {
	r.name = -1
	for c, s := range fields {
		kind := t.columns[c].Kind
		t.numbers[c] = shown{value: math.NaN()}
		if kind == Number && !t.missing.number(s) {
			if v, ok := t.columns[c].loose(s); ok {
				t.numbers[c] = v
			}
		}
		switch {
		case kind == Ignore || c == t.label:
		case !math.IsNaN(t.numbers[c].value):
			r.given++
		case kind == Sentence:
			r.other, r.text = true, r.text || !t.missing.any(s)
		case kind == Number && !t.missing.number(s) && numeric(s): // written in another way
			r.other = true
		case t.word(c, s):
			_, known := t.known[c][s]
			r.name, r.words, r.other = c, r.words+1, r.other || known
		default:
			r.missing++
		}
	}
	return r
}

// total says why a row is a total, nil if it is none, and whether more than missing inputs tell
// it. It is open if it is one only at the end of the table.
func (t *Totals) total(fields []string) (told, open bool, err error) {
	r := t.read(fields)
	at, title, sure := t.titles.titled(fields, t.missing)
	called := sure && !r.text
	if at >= 0 && !sure { // a word of a category, or of a column that is no input
		_, known := t.known[at][fields[at]]
		often := t.words[at][fields[at]]
		called = at != t.label && !known && !r.other && r.words <= 1 && (r.name < 0 || r.name == at) && (often <= 1 || titleShare*often <= t.counted)
	}
	if !called && (r.other || r.words > 1 || r.words == 1 && t.words[r.name][fields[r.name]] != 1) {
		return false, false, nil
	}
	switch {
	case r.given > 0 || r.missing == 0:
	case r.words == 0:
		return called, false, errors.New("all inputs are missing: is it a sum?")
	case r.words == 1 && r.missing > 1 && t.words[r.name][fields[r.name]] == 1:
		return called, false, fmt.Errorf("all inputs are missing but %.40q, which no other row has: is it a sum?", fields[r.name])
	}
	sums := max(t.above.totalled(t.numbers, r.missing, called), t.part.totalled(t.numbers, r.missing, called))
	means, which, ends := 0, "", 0
	if called && (sure || r.missing > 0) { // a firm may have the largest of all
		which, ends = t.above.extreme(t.numbers)
	}
	if sums == 0 {
		means = max(t.above.averaged(t.numbers, called), t.part.averaged(t.numbers, called))
	}
	switch {
	case sums == 1:
		err = errors.New("its number is the sum of its column: is it a total?")
	case sums > 1:
		err = fmt.Errorf("its %d numbers are the sums of their columns: is it a total?", sums)
	case means == 1:
		err = errors.New("its number is the mean of its column: is it a row of means?")
	case means > 1:
		err = fmt.Errorf("its %d numbers are the means of their columns: is it a row of means?", means)
	case ends > 0:
		err = fmt.Errorf("its %d numbers are the %s of their columns: is it a row of these?", ends, which)
	case called && (sure || r.missing > int(isTitle-title)):
		return true, false, fmt.Errorf("it is called %.40q: is it a total?", fields[at])
	}
	return err != nil, err != nil && !called && r.missing+r.words == 0, err
}

// sum adds the numbers of a row that is no total.
func (t *Totals) sum(numbers []shown) {
	t.above.add(numbers)
	t.part.add(numbers)
}

// leaveOutTotals gives an error to the rows that are totals, and describes the columns by the other
// ones. From a file for which the columns are known, categories that it may not have are refused
// then.
func (t *Table) leaveOutTotals(s *Sheet) error {
	list, few := t.totals(s)
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
func (t *Table) totals(s *Sheet) (list []Total, few bool) {
	columns, label := t.ofFile(s)
	found := NewTotals(columns, label, t.cfg.Missing...)
	for i := range s.Rows {
		if s.Rows[i].Err == nil {
			found.Count(s.Rows[i].whole())
		}
	}
	for i := range s.Rows {
		if s.Rows[i].Err == nil {
			found.Add(s.Rows[i].Line, s.Rows[i].whole())
		}
	}
	list, few = found.Found()
	if !t.cfg.FillMissing {
		list = slices.DeleteFunc(list, func(f Total) bool { return !f.Told })
	}
	return list, few
}

// ofFile returns all columns of the file in its order, those that are not used with the kind Ignore,
// and which one is predicted. Their categories are those of another file alone.
func (t *Table) ofFile(s *Sheet) (columns []Column, label int) {
	at, given := map[string]int{}, map[string]int{}
	for i := range t.columns {
		at[t.columns[i].Name] = i
	}
	for i := len(t.cfg.Columns) - 1; i >= 0; i-- {
		given[t.cfg.Columns[i].Name] = i
	}
	header := s.Header
	if s.whole != nil {
		header = s.whole
	}
	label = -1
	for i, name := range header {
		c := Column{Name: name, Kind: Ignore}
		if place, ok := at[name]; ok {
			if c = t.columns[place]; place == t.label {
				label = i
			}
		}
		c.Categories = nil
		if place, ok := given[name]; ok {
			c.Categories = t.cfg.Columns[place].Categories
		}
		columns = append(columns, c)
	}
	return columns, label
}
