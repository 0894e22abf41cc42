package data

import (
	"cmp"
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
	for _, c := range t.own {
		t.noteStandIns(c, words)
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

// fill converts the fields of a row, or says why it cannot be used. Missing values of a row that
// cannot be used for another reason do not count.
func (t *Table) fill(row []float64, r *Row, numbers, words []map[string]int) error {
	fields := r.Fields
	var first, missing error
	var absent []int // columns
	for c := range t.columns {
		col := &t.columns[c]
		if col.Kind == Ignore {
			continue
		}
		v, err := col.value(fields[c], numbers[c], t.absent, "")
		if err != nil && first == nil {
			first = err
		}
		if row[c] = v; err != nil || !math.IsNaN(v) {
			continue
		}
		absent = append(absent, c)
		if missing == nil && (c == t.label || !t.cfg.FillMissing || col.Kind == Sentence) {
			missing = col.missing(fields[c])
		}
	}
	if first != nil {
		return first
	}
	for _, c := range absent {
		if t.missing[c]++; words[c] == nil {
			words[c] = map[string]int{}
			t.firstMissing[c] = r.Line
		}
		if len(words[c]) < maxCategories || words[c][fields[c]] > 0 {
			words[c][fields[c]]++
		}
	}
	return missing
}

// value returns a number, the number of a category or, of a text, 0; NaN if the value is
// missing or no category. A category of a model may be one of the words for missing values
// that were none when it was made.
// Where the request says what stands before the decimals, that is set.
func (c *Column) value(s string, numbers map[string]int, missing absent, set string) (float64, error) {
	i, known := numbers[s]
	switch {
	case c.Kind == Category && known:
		return float64(i), nil
	case c.Kind == Category, missing.any(s), c.Kind == Number && noNumber(s):
		return math.NaN(), nil
	case c.Kind != Number:
		return 0, nil
	}
	v, ok := c.number(s)
	if !ok {
		return 0, c.refused("%.40q is not a number%s", s, c.hint(s, set))
	}
	return v, nil
}

// number returns a number of the column. In one without a unit it may be in that of its name.
func (c *Column) number(s string) (float64, bool) {
	v, ok := c.parse(s)
	if !ok && c.Unit == "" {
		if n := c.Notation; unitOfName(c.Name) != "" {
			n.Unit = unitOfName(c.Name)
			return n.parse(s)
		}
	}
	return v, ok
}

// hint says why a number is none here.
func (c *Column) hint(s, set string) string {
	n, ok := parseNumeral(s)
	_, here := c.rewrite(s)
	own := cmp.Or(c.Unit, unitOfName(c.Name))
	switch unit := measure(s); {
	case !ok && unit != "" && own != "" && own != unit:
		return fmt.Sprintf(": it is in %s, and the column in %s", unit, own)
	case !ok && unit != "" && own != "":
		return c.hint(Notation{Unit: unit}.without(s), set)
	case !ok && unit != "":
		return fmt.Sprintf(": it is in %s, and the column has no unit", unit)
	case !ok:
		return ""
	case here:
		return fmt.Sprintf(" of -%.2g to %.2[1]g, which are those of 32 bits", math.MaxFloat32)
	case n.trailing && !n.amount() && !c.TrailingMinus:
		return fmt.Sprintf(": its minus is behind it, which not only numbers have: write -%s if it is one", n.whole)
	case n.unit != "" && !(Notation{Unit: own}).sameUnit(n.unit) && own != "":
		return ": the column is in " + own
	case n.unit != "" && own == "":
		return ": the column has no unit"
	}
	mark := "point"
	if c.Decimal == "," {
		mark = "comma"
	}
	if set != "" {
		return fmt.Sprintf(" with a decimal %s, as decimal = %q of the request says: write %s, or take decimal out of it where numbers are as in training", mark, set, n.as(c.decimal()))
	}
	return fmt.Sprintf(" with a decimal %s, as the column has: write %s", mark, n.as(c.decimal()))
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
