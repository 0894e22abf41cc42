package data

import (
	"fmt"
	"math"
)

// convert fills the rows.
func (t *Table) convert(rows []Row, name string) error {
	numbers := make([]map[string]int, len(t.columns)) // of categories
	for c := range t.columns {
		numbers[c] = t.columns[c].numbers()
	}
	row := make([]float64, len(t.columns))
	words := make([]map[string]int, len(t.columns)) // that stand for missing values
	t.firstMissing = make([]int, len(t.columns))
	lines := make([]int, 0, len(rows)) // of the rows that are kept
	for i := range rows {
		r := &rows[i]
		err := r.Err
		if err == nil {
			err = t.fill(row, r, numbers, words)
		}
		if err == nil && t.text >= 0 {
			err = t.encode(r.Fields[t.text])
		}
		if err != nil {
			t.bad.add(fmt.Sprintf("%s:%d", name, r.Line), err)
		} else {
			t.cells = append(t.cells, row...)
			t.rows++
			lines = append(lines, r.Line)
		}
		r.Fields = nil
	}
	t.noteMissing(words)
	t.noteClasses()
	t.noteFar(lines)
	if n := t.bad.count; 2*n > len(rows) && t.rows > 0 {
		t.warn("%d of %d rows are left out", n, len(rows))
	}
	if t.rows == 0 {
		err := fmt.Errorf("%w in %d rows", ErrNoSamples, len(rows))
		if len(t.bad.list) > 0 {
			err = fmt.Errorf("%w, the first: %w", err, &t.bad.list[0])
		}
		return err
	}
	return nil
}

// fill converts the fields of a row, or says why it cannot be used.
func (t *Table) fill(row []float64, r *Row, numbers, words []map[string]int) error {
	fields := r.Fields
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	for c := range t.columns {
		col := &t.columns[c]
		if col.Kind == Ignore {
			continue
		}
		v, err := col.value(fields[c], numbers[c])
		if err != nil {
			note(err)
			continue
		}
		if math.IsNaN(v) {
			if t.missing[c]++; words[c] == nil {
				words[c] = map[string]int{}
				t.firstMissing[c] = r.Line
			}
			if len(words[c]) < maxCategories || words[c][fields[c]] > 0 {
				words[c][fields[c]]++
			}
			if c == t.label || !t.cfg.FillMissing || col.Kind == Sentence {
				note(col.missing(fields[c]))
			}
		}
		row[c] = v
	}
	return first
}

// value returns a number, the number of a category or, of a text, 0; NaN if the value is
// missing or no category. A category of a model may be one of the words for missing values
// that were none when it was made.
func (c *Column) value(s string, numbers map[string]int) (float64, error) {
	i, known := numbers[s]
	switch {
	case c.Kind == Category && known:
		return float64(i), nil
	case c.Kind == Category, isMissing(s), c.Kind == Number && noNumber(s):
		return math.NaN(), nil
	case c.Kind != Number:
		return 0, nil
	}
	v, ok := c.parse(s)
	if !ok {
		return 0, c.refused("%.40q is not a number%s", s, c.hint(s))
	}
	return v, nil
}

// hint says why a number is none here.
func (c *Column) hint(s string) string {
	n, ok := parseNumeral(s)
	_, here := c.rewrite(s)
	switch unit := measure(s); {
	case !ok && unit != "" && c.Unit != "":
		return fmt.Sprintf(": it is in %s, and the column in %s", unit, c.Unit)
	case !ok && unit != "":
		return fmt.Sprintf(": it is in %s, and the column has no unit", unit)
	case !ok:
		return ""
	case here:
		return fmt.Sprintf(" of -%.2g to %.2[1]g, which are those of 32 bits", math.MaxFloat32)
	case n.trailing && !n.amount() && !c.TrailingMinus:
		return fmt.Sprintf(": its minus is behind it, which not only numbers have: write -%s if it is one", n.whole)
	case n.unit != "" && !c.sameUnit(n.unit) && c.Unit != "":
		return ": the column is in " + c.Unit
	case n.unit != "" && !c.sameUnit(n.unit):
		return ": the column has no unit"
	case c.Decimal == ",":
		return " with a decimal comma, as the column has: write " + n.as(",")
	}
	return " with a decimal point, as the column has: write " + n.as(".")
}

func (c *Column) missing(s string) error {
	return &ValueError{c.Name, fmt.Sprintf("value missing or unknown: %.40q", s), true}
}

// ValueError is the error of a value for which its row cannot be used.
type ValueError struct {
	Column  string // its name
	Text    string // what is wrong with the value
	Missing bool   // there is none, or none that is known
}

// Error implements error.
func (e *ValueError) Error() string { return fmt.Sprintf("column %q: %s", e.Column, e.Text) }

func (c *Column) refused(format string, args ...any) error {
	return &ValueError{Column: c.Name, Text: fmt.Sprintf(format, args...)}
}

// numbers returns the number of each category.
func (c *Column) numbers() map[string]int {
	out := make(map[string]int, len(c.Categories))
	for i, v := range c.Categories {
		out[v] = i
	}
	return out
}

// encode appends the tokens of a text.
func (t *Table) encode(text string) error {
	ids, err := t.cfg.Encoder.Encode(text)
	if err != nil {
		return fmt.Errorf("encode text: %w", err)
	}
	for _, id := range ids {
		if id < 0 || id > math.MaxInt32 {
			return fmt.Errorf("token id %d is out of range", id)
		}
	}
	n := min(len(ids), t.cfg.Length)
	for i := range t.cfg.Length {
		switch {
		case i >= n:
			t.tokens = append(t.tokens, t.cfg.Pad)
		default:
			t.tokens = append(t.tokens, int32(ids[i]))
		}
	}
	t.lengths = append(t.lengths, int32(n))
	return nil
}
