package data

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// record is a row as it is in the file.
type record struct {
	line   int
	fields []string
}

// capped is a reader that fails beyond a number of bytes.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, errors.New("file is larger than the limit")
	}
	return n, err
}

// read sets the names of the columns and returns the rows, the malformed ones left out.
func (t *Table) read(r io.Reader, name string) ([]record, error) {
	buffered := bufio.NewReader(&capped{r, t.cfg.MaxBytes})
	if b, err := buffered.Peek(3); err == nil && string(b) == "\ufeff" {
		_, _ = buffered.Discard(3) // they were peeked at
	}
	in := csv.NewReader(buffered)
	if t.cfg.Comma != 0 {
		in.Comma = t.cfg.Comma
	}
	header, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("first row: %w", err)
	}
	if len(header) > maxColumns {
		return nil, fmt.Errorf("%d columns, at most %d", len(header), maxColumns)
	}
	for _, h := range header {
		t.columns = append(t.columns, Column{Name: strings.TrimSpace(h)})
	}
	in.FieldsPerRecord = -1 // counted below, so that the line is known
	var out []record
	for {
		fields, err := in.Read()
		var syntax *csv.ParseError
		switch {
		case err == io.EOF:
			return out, nil
		case errors.As(err, &syntax) && syntax.Line > syntax.StartLine: // what it swallowed is lost
			return nil, fmt.Errorf("line %d: a quoted field goes on to line %d and does not end there: %w", syntax.StartLine, syntax.Line, syntax.Err)
		case errors.As(err, &syntax):
			t.bad.add(fmt.Sprintf("%s:%d", name, syntax.StartLine), syntax.Err)
			continue
		case err != nil:
			return nil, err
		}
		line, _ := in.FieldPos(0)
		if len(fields) != len(header) {
			t.bad.add(fmt.Sprintf("%s:%d", name, line), fmt.Errorf("%d fields, want %d", len(fields), len(header)))
			continue
		}
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		out = append(out, record{line, fields})
	}
}

func isMissing(s string) bool {
	switch s {
	case "", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?":
		return true
	}
	return false
}

// parseNumber returns a number that a float32 can hold.
func parseNumber(s string) (float64, bool) {
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && math.Abs(v) <= math.MaxFloat32 // not NaN either
}

// describe settles the kinds of the columns and the categories.
func (t *Table) describe(records []record) error {
	t.label = -1
	if t.cfg.Only {
		if err := t.pick(records); err != nil {
			return err
		}
	}
	sentence := slices.ContainsFunc(t.cfg.Columns, func(c Column) bool { return c.Kind == Sentence })
	t.missing = make([]int, len(t.columns))
	for c := range t.columns {
		col := &t.columns[c]
		if slices.ContainsFunc(t.columns[:c], func(o Column) bool { return o.Name == col.Name }) {
			return fmt.Errorf("column %q twice", col.Name)
		}
		if i := slices.IndexFunc(t.cfg.Columns, func(o Column) bool { return o.Name == col.Name }); i >= 0 {
			*col = t.cfg.Columns[i]
		} else if sentence && col.Name != t.cfg.Label {
			col.Kind = Ignore
		}
		if err := t.settle(c, records); err != nil {
			return fmt.Errorf("column %q: %w", col.Name, err)
		}
	}
	for _, want := range t.cfg.Columns {
		if !slices.ContainsFunc(t.columns, func(o Column) bool { return o.Name == want.Name }) {
			return fmt.Errorf("no column %q", want.Name)
		}
	}
	if t.label < 0 {
		return fmt.Errorf("no column %q to be predicted", t.cfg.Label)
	}
	if k := t.columns[t.label].Kind; k != Number && k != Category {
		return fmt.Errorf("column %q is to be predicted and of kind %v, want number or category", t.cfg.Label, k)
	}
	if shape := t.Shape(); shape.Values == 0 && shape.Tokens == 0 {
		return errors.New("no column is an input")
	}
	return nil
}

// pick brings the columns and the fields into the order of the configured columns.
func (t *Table) pick(records []record) error {
	at := make([]int, len(t.cfg.Columns))
	for i, want := range t.cfg.Columns {
		if at[i] = slices.IndexFunc(t.columns, func(o Column) bool { return o.Name == want.Name }); at[i] < 0 {
			return fmt.Errorf("no column %q", want.Name)
		}
	}
	t.columns = slices.Clone(t.cfg.Columns)
	for i := range records {
		fields := make([]string, len(at))
		for k, from := range at {
			fields[k] = records[i].fields[from]
		}
		records[i].fields = fields
	}
	return nil
}

func (t *Table) settle(c int, records []record) error {
	col := &t.columns[c]
	if col.Name == t.cfg.Label {
		t.label = c
	}
	if col.Kind == Auto {
		col.Kind = Category
		if col.Categories == nil && numeric(records, c) {
			col.Kind = Number
		}
	}
	switch {
	case col.Kind == Category && col.Categories == nil:
		return col.findCategories(records, c)
	case col.Kind != Sentence:
		return nil
	case t.text >= 0:
		return fmt.Errorf("%q is text already", t.columns[t.text].Name)
	case t.cfg.Encoder == nil || t.cfg.Length < 1 || t.cfg.Length > 1<<20:
		return fmt.Errorf("text needs an encoder and a length of 1 to %d, not %d", 1<<20, t.cfg.Length)
	}
	t.text = c
	return nil
}

// numeric reports whether a column has numbers: of the values that are not missing all but
// one in twenty. Rows with another value are left out, and told.
func numeric(records []record, c int) bool {
	numbers, others := 0, 0
	for _, r := range records {
		if _, ok := parseNumber(r.fields[c]); ok {
			numbers++
		} else if !isMissing(r.fields[c]) {
			others++
		}
	}
	return others <= numbers/19
}

func (c *Column) findCategories(records []record, at int) error {
	seen := map[string]bool{}
	for _, r := range records {
		if v := r.fields[at]; !isMissing(v) && !seen[v] {
			if len(seen) == maxCategories {
				return fmt.Errorf("more than %d categories", maxCategories)
			}
			seen[v] = true
			c.Categories = append(c.Categories, v)
		}
	}
	slices.Sort(c.Categories)
	return nil
}

// convert fills the rows.
func (t *Table) convert(records []record, name string) error {
	numbers := make([]map[string]int, len(t.columns)) // of categories
	for c := range t.columns {
		numbers[c] = t.columns[c].numbers()
	}
	row := make([]float64, len(t.columns))
	malformed := t.bad.count
	for i := range records {
		r := &records[i]
		err := t.fill(row, r.fields, numbers)
		if err == nil && t.text >= 0 {
			err = t.encode(r.fields[t.text])
		}
		if err != nil {
			t.bad.add(fmt.Sprintf("%s:%d", name, r.line), err)
		} else {
			t.cells = append(t.cells, row...)
			t.rows++
		}
		r.fields = nil
	}
	if t.rows == 0 {
		err := fmt.Errorf("%w in %d rows", ErrNoSamples, len(records)+malformed)
		if len(t.bad.list) > 0 {
			err = fmt.Errorf("%w, the first: %w", err, &t.bad.list[0])
		}
		return err
	}
	return nil
}

// fill converts the fields of a row, or says why it cannot be used.
func (t *Table) fill(row []float64, fields []string, numbers []map[string]int) error {
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
		v, err := col.parse(fields[c], numbers[c])
		if err != nil {
			note(err)
			continue
		}
		if math.IsNaN(v) {
			t.missing[c]++
			if c == t.label || !t.cfg.FillMissing || col.Kind == Sentence {
				note(col.missing(fields[c]))
			}
		}
		row[c] = v
	}
	return first
}

// parse returns a number, the number of a category or, of a text, 0; NaN if the value is
// missing or no category.
func (c *Column) parse(s string, numbers map[string]int) (float64, error) {
	if isMissing(s) {
		return math.NaN(), nil
	}
	switch c.Kind {
	case Number:
		v, ok := parseNumber(s)
		if !ok {
			return 0, fmt.Errorf("column %q: %.40q is not a number", c.Name, s)
		}
		return v, nil
	case Category:
		i, ok := numbers[s]
		if !ok {
			return math.NaN(), nil
		}
		return float64(i), nil
	}
	return 0, nil
}

func (c *Column) missing(s string) error {
	return fmt.Errorf("column %q: value missing or unknown: %.40q", c.Name, s)
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
		case i == n-1 && t.cfg.KeepLast:
			t.tokens = append(t.tokens, int32(ids[len(ids)-1]))
		default:
			t.tokens = append(t.tokens, int32(ids[i]))
		}
	}
	t.lengths = append(t.lengths, int32(n))
	return nil
}
