package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// Kind is what a column of a table means.
type Kind int

// The kinds of columns. Auto stands for Number if every value that is not missing is one,
// else for Category.
const (
	Auto     Kind = iota
	Number        // one input, standardised where Std is set
	Category      // one input for each category: 1 for the value's own, else 0
	Sentence      // text for the encoder; one such column at most
	Ignore        // left out
)

var kindNames = [...]string{"auto", "number", "category", "text", "ignore"}

// String returns the name that [ParseKind] reads.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kindNames[k]
}

// ParseKind returns the kind of a name: auto, number, category, text or ignore.
func ParseKind(name string) (Kind, error) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("column kind %q: want one of %s", name, strings.Join(kindNames[:], ", "))
}

// Column describes one column: in a configuration what is wanted, in a [Table] what was
// found.
type Column struct {
	Name string // as in the first row of the file
	Kind Kind
	// Categories are the values of a category in the order of their numbers; nil stands
	// for those of the file in ascending order of their bytes. Others count as missing.
	Categories []string
	// Mean and Std of a number: the input, or what is to be predicted, is
	// (value - Mean) / Std. Std 0 leaves it as it is.
	Mean, Std float64
	// Notation is how numbers are written in files. It is found out, but for TableConfig.Only
	// without Fixed.
	Notation
}

// width is the number of inputs of a column.
func (c *Column) width() int {
	switch c.Kind {
	case Number:
		return 1
	case Category:
		return len(c.Categories)
	}
	return 0
}

// Limits of a [Table] where none are set.
const (
	DefaultMaxTableBytes = 256 << 20
	// MaxColumns is how many columns a table has at most. A request for a model of tables takes as
	// many inputs.
	MaxColumns    = 10_000
	maxCategories = 1000
)

// TableConfig says how a file of comma-separated values becomes samples.
type TableConfig struct {
	// Label is the column to be predicted: a Category makes it a class, a Number a target.
	Label string
	// Columns describe columns by name. Those of the file that are not among them are Auto,
	// or Ignore if one of Columns is a Sentence.
	Columns []Column
	// Only takes Columns alone, in their order, and no other of the file: to read another
	// file like one that was read before.
	Only bool
	// Fixed, with Only, is for a file by somebody else than the one that was read before: how
	// its numbers are written is found out, their unit must be the one of the column, and
	// a category that is none of the column's is an error instead of a missing value.
	Fixed bool
	// Format is how the file is written, where that is not to be found out.
	Format Format
	// Skip is how many lines are above that with the names of the columns.
	Skip int
	// Measured makes a label of kind Category whose values are measured numbers an error,
	// ErrContinuous: for where nobody said that they are classes.
	Measured bool
	// FillMissing keeps rows in which an input is missing: a number counts as its Mean
	// (0 once standardised), a category as none of them. Otherwise such rows are left out,
	// as are those without a label in any case.
	FillMissing bool
	// Missing are words that stand for missing values, beside those that are built in. Capitals and
	// blanks in them do not count.
	Missing []string
	// MaxBytes bounds the file; 0 stands for DefaultMaxTableBytes. It is held in memory
	// while it is read, afterwards each field takes 8 bytes and each token 4.
	MaxBytes int64
	// Encoder, Length and Pad are for a Sentence: its ids are cut to Length, or filled up
	// with Pad. An Encoder that puts ids behind a text cuts it itself.
	Encoder Encoder
	Length  int
	Pad     int32
}

// Table is a [Dataset] of the rows of a file, in their order. Values that are missing are
// empty, or what pandas takes for missing, or a question mark; in a column of numbers also a
// dash, n.a., infinity and what spreadsheets write for errors. Blanks around them do not count.
type Table struct {
	cfg     TableConfig
	columns []Column
	label   int   // index of its column
	text    int   // index of the Sentence, -1 if there is none
	open    []int // columns of which nobody said what they are
	own     []int // columns whose categories are those of the file
	absent  absent

	rows    int
	cells   []float64 // (rows, columns): a number or the index of a category, NaN if missing
	tokens  []int32   // (rows, Length)
	lengths []int32   // (rows)
	missing []int     // by column
	// firstMissing is the line of the first of them.
	firstMissing []int
	format       Format
	notes        []string
	warnings     []string
	bad          badList
}

var _ Digester = (*Table)(nil)

// ReadTable reads rows; name stands for the file in errors and reports. Rows that have
// another number of fields than the first one, a number that is none, or no label are left
// out, see [Table.Bad].
func ReadTable(r io.Reader, name string, cfg TableConfig) (*Table, error) {
	t := &Table{cfg: cfg, absent: newAbsent(cfg.Missing)}
	if err := CheckMissing(cfg.Missing); err != nil {
		return nil, fmt.Errorf("table %s: %w", name, err)
	}
	sheet, err := ReadSheet(r, SheetConfig{Format: cfg.Format, Want: t.wanted(), Skip: cfg.Skip, MaxBytes: cfg.MaxBytes})
	if err == nil && len(sheet.Rows) == 0 {
		err = fmt.Errorf("%w: there is no row below the names of the columns", ErrNoSamples)
	}
	if err == nil {
		err = t.describe(sheet)
	}
	if err == nil {
		err = t.leaveOutTotals(sheet)
	}
	if err == nil {
		t.leaveOutCounters(sheet.Rows, t.open)
		err = t.convert(sheet.Rows, name)
	}
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", name, err)
	}
	return t, nil
}

// wanted returns the names of columns that the file must have.
func (t *Table) wanted() []string {
	names := []string{t.cfg.Label}
	for _, c := range t.cfg.Columns {
		if c.Name != t.cfg.Label {
			names = append(names, c.Name)
		}
	}
	return names
}

// Len implements [Dataset].
func (t *Table) Len() int { return t.rows }

// Shape implements [Dataset].
func (t *Table) Shape() Shape {
	s := Shape{}
	for i := range t.columns {
		if i != t.label {
			s.Values += t.columns[i].width()
		}
	}
	s.Dims = []int{s.Values}
	if t.text >= 0 {
		s.Tokens = t.cfg.Length
	}
	if l := t.columns[t.label]; l.Kind == Category {
		s.Classes = l.Categories
	} else {
		s.Targets = 1
	}
	return s
}

// Sample implements [Dataset]. It draws nothing.
func (t *Table) Sample(dst *Sample, i int, _ *Rand) error {
	out := dst.Values
	row := t.cells[i*len(t.columns) : (i+1)*len(t.columns)]
	for c := range t.columns {
		col, v := &t.columns[c], row[c]
		if c == t.label {
			continue
		}
		col.input(out[:col.width()], v)
		out = out[col.width():]
	}
	dst.Label, dst.Length = -1, 0
	if t.columns[t.label].Kind == Category {
		dst.Label = int32(row[t.label])
	} else {
		dst.Targets[0] = float32(t.columns[t.label].standardise(row[t.label]))
	}
	if t.text >= 0 {
		copy(dst.Tokens, t.tokens[i*t.cfg.Length:(i+1)*t.cfg.Length])
		dst.Length = t.lengths[i]
	}
	return nil
}

// input writes the inputs of a value that parse returned.
func (c *Column) input(out []float32, v float64) {
	switch c.Kind {
	case Number:
		out[0] = float32(c.standardise(v))
	case Category:
		clear(out)
		if !math.IsNaN(v) {
			out[int(v)] = 1
		}
	}
}

func (c *Column) standardise(v float64) float64 {
	switch {
	case math.IsNaN(v) && c.Std != 0:
		return 0
	case math.IsNaN(v):
		return c.Mean
	case c.Std != 0:
		return (v - c.Mean) / c.Std
	}
	return v
}

// Digest implements [Digester]: columns and rows.
func (t *Table) Digest(w io.Writer) {
	fmt.Fprintf(w, "%q\n", fmt.Sprint(t.columns))
	_ = binary.Write(w, binary.LittleEndian, t.cells)
	_ = binary.Write(w, binary.LittleEndian, t.tokens)
}

// Columns returns what the columns were found to be. To read another file alike, give
// them as TableConfig.Columns, with Only.
func (t *Table) Columns() []Column { return t.columns }

// Missing returns the number of missing values in each column, of rows kept or left out.
func (t *Table) Missing() []int { return t.missing }

// Bad returns how many rows were left out, and the first 1000 of them.
func (t *Table) Bad() (count int, list []Bad) { return t.bad.count, t.bad.list }

// Format returns how the file is written, as set or as it was found.
func (t *Table) Format() Format { return t.format }

// Notes returns what somebody should know of how the table was read: what columns were taken
// for where that is not plain, and what is missing.
func (t *Table) Notes() []string { return t.notes }

// Warnings returns what is likely to spoil what is learned, and what was left out so that it does
// not.
func (t *Table) Warnings() []string { return t.warnings }

// Label returns the column that is to be predicted, and its number.
func (t *Table) Label() (Column, int) { return t.columns[t.label], t.label }

// Labels returns what is to be predicted in each row as it is in the file: a number, or the
// index of a category.
func (t *Table) Labels() []float64 {
	out := make([]float64, t.rows)
	for i := range out {
		out[i] = t.cells[i*len(t.columns)+t.label]
	}
	return out
}

// Standardise returns the same table with Mean and Std of each number, the label included,
// computed from the given rows, which are to be those of training: the standard deviation
// divides by their count. Where all are equal, Std is 1.
func (t *Table) Standardise(rows []int) (*Table, error) {
	if len(rows) == 0 {
		return nil, errors.New("standardise: no rows")
	}
	for _, i := range rows {
		if i < 0 || i >= t.rows {
			return nil, fmt.Errorf("standardise: row %d of %d", i, t.rows)
		}
	}
	out := *t
	out.columns = append([]Column(nil), t.columns...)
	for c := range out.columns {
		if col := &out.columns[c]; col.Kind == Number {
			col.Mean, col.Std = t.Moments(c, rows).Scale()
		}
	}
	return &out, nil
}
