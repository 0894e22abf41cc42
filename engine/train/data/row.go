package data

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Rows turns single rows into the inputs that a [Table] with the same columns gives. It is
// safe for concurrent use.
type Rows struct {
	columns []Column
	numbers []map[string]int
	fill    bool
	format  Format
	missing []string
	absent  absent
	width   int
}

// NewRows returns Rows of input columns, which are of the kinds Number and Category. With
// fill a missing value counts as it does with [TableConfig.FillMissing], else it is an error.
// format is how the file was written that the columns are from, empty if that is not known, and
// missing are the words that stood for missing values in it, beside those that are built in.
func NewRows(columns []Column, fill bool, format Format, missing ...string) (*Rows, error) {
	r := &Rows{columns: columns, fill: fill, format: format, missing: missing, absent: newAbsent(missing)}
	if err := errors.Join(format.check(), CheckMissing(missing)); err != nil {
		return nil, err
	}
	if len(columns) == 0 || len(columns) > MaxColumns {
		return nil, fmt.Errorf("%d columns, want 1 to %d", len(columns), MaxColumns)
	}
	names := map[string]bool{}
	for i := range columns {
		c := &columns[i]
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("column %.40q: %w", c.Name, err)
		}
		if names[c.Name] {
			return nil, fmt.Errorf("column %.40q twice", c.Name)
		}
		names[c.Name] = true
		r.numbers = append(r.numbers, c.numbers())
		r.width += c.width()
	}
	return r, nil
}

// check reports what a table could not have found.
func (c *Column) check() error {
	switch {
	case !c.Notation.valid() || c.Kind != Number && c.Notation != (Notation{}):
		return fmt.Errorf("numbers cannot be written as %+v says", c.Notation)
	case c.Kind == Number && len(c.Categories) > 0, c.Kind == Category && (c.Mean != 0 || c.Std != 0):
		return errors.New("categories belong to categories, mean and std to numbers")
	case c.Kind == Number:
		if !(math.Abs(c.Mean) <= math.MaxFloat32 && c.Std >= 0 && c.Std <= math.MaxFloat32) {
			return fmt.Errorf("mean %v or std %v is out of range", c.Mean, c.Std)
		}
		return nil
	case c.Kind != Category:
		return fmt.Errorf("kind is %v, want number or category", c.Kind)
	case len(c.Categories) == 0 || len(c.Categories) > maxCategories:
		return fmt.Errorf("%d categories, want 1 to %d", len(c.Categories), maxCategories)
	case len(c.numbers()) != len(c.Categories):
		return errors.New("a category twice")
	}
	return nil
}

// Names returns the names of the columns, in their order.
func (r *Rows) Names() []string {
	out := make([]string, len(r.columns))
	for i := range r.columns {
		out[i] = r.columns[i].Name
	}
	return out
}

// Numeric reports whether column i has numbers, else categories.
func (r *Rows) Numeric(i int) bool { return r.columns[i].Kind == Number }

// Categories returns the values of column i, none of one with numbers.
func (r *Rows) Categories(i int) []string { return r.columns[i].Categories }

// Missing returns the words for missing values that are not built in.
func (r *Rows) Missing() []string { return r.missing }

// Written returns in which encoding the file was that the columns are from, what separated its
// fields, and what stands before the decimals of numbers and between their thousands: empty what is
// not known, or differs, or what no number has.
func (r *Rows) Written() (encoding, separator, decimal, thousands string) {
	encoding, separator = r.format.Encoding, r.format.Separator
	for i := range r.columns {
		c := &r.columns[i]
		if c.Kind != Number {
			continue
		}
		if decimal != "" && decimal != c.decimal() {
			return encoding, separator, "", ""
		}
		decimal = c.decimal()
	}
	for i := range r.columns {
		c := &r.columns[i]
		if c.Thousands == "" {
			continue
		}
		if thousands != "" && thousands != c.Thousands {
			return encoding, separator, decimal, ""
		}
		thousands = c.Thousands
	}
	return encoding, separator, decimal, thousands
}

// Width returns the number of inputs of a row.
func (r *Rows) Width() int { return r.width }

// Inputs writes the Width inputs of a row to dst. fields has the value of each column as it
// would be in a file that is written like the one the columns are from; blanks around them do
// not count. Where plain, which may be nil, is true the value is a number with a decimal
// point, as programs write it. If decimal is not empty, the numbers have that before their
// decimals, and thousands between groups of digits, whatever the columns have.
func (r *Rows) Inputs(dst []float32, fields []string, plain []bool, decimal, thousands string) error {
	if len(fields) != len(r.columns) {
		return fmt.Errorf("%d values, want %d", len(fields), len(r.columns))
	}
	for i := range r.columns {
		c, s, set := &r.columns[i], clean(fields[i]), ""
		switch {
		case i < len(plain) && plain[i] && c.Notation != (Notation{}):
			column := *c
			column.Notation = Notation{}
			c = &column
		case decimal != "" && c.Kind == Number && (i >= len(plain) || !plain[i]):
			column := *c
			column.Decimal, column.Thousands = strings.TrimPrefix(decimal, "."), strings.TrimPrefix(thousands, NoThousands)
			c, set = &column, decimal
		}
		v, err := c.value(s, r.numbers[i], r.absent, set)
		if err != nil {
			return err
		}
		if math.IsNaN(v) && !r.fill {
			return c.refuse(s, r.absent)
		}
		c.input(dst[:c.width()], v)
		dst = dst[c.width():]
	}
	return nil
}

// Unknown reports whether a value of column i is a category that the column does not have, and is
// not missing.
func (r *Rows) Unknown(i int, field string) bool {
	s := clean(field)
	_, known := r.numbers[i][s]
	return r.columns[i].Kind == Category && !known && !r.absent.any(s)
}

// FarDeviations is how many standard deviations from the mean of training a number is far.
const FarDeviations = 10

// Far returns the columns whose numbers are far from those of training, of what Inputs wrote for a
// row. Of columns without a Std nothing is known.
func (r *Rows) Far(inputs []float32) (columns []int) {
	for i := range r.columns {
		c := &r.columns[i]
		if c.Kind == Number && c.Std != 0 && math.Abs(float64(inputs[0])) > FarDeviations {
			columns = append(columns, i)
		}
		inputs = inputs[c.width():]
	}
	return columns
}

// Moments returns mean and standard deviation of the numbers of column i in training; a deviation
// of 0 if they are not known.
func (r *Rows) Moments(i int) (mean, std float64) { return r.columns[i].Mean, r.columns[i].Std }

// refuse says what a column takes instead of s.
func (c *Column) refuse(s string, missing absent) error {
	const shown, fill = 10, "or train the model with missing = \"fill\", which takes such rows"
	switch {
	case c.Kind == Number && s != "":
		return c.refused("a value is missing (%.40q stands for none): give a number, %s", s, fill)
	case c.Kind == Number:
		return c.refused("a value is missing: give a number, %s", fill)
	case missing.any(s):
		return c.refused("a value is missing: give a category, %s", fill)
	}
	list := strings.Join(c.Categories[:min(shown, len(c.Categories))], ", ")
	if more := len(c.Categories) - shown; more > 0 {
		list = fmt.Sprintf("%s or %d others", list, more)
	}
	return c.refused("%.40q is not one of %.400s", s, list)
}
