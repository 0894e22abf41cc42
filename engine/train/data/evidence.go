package data

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// seen counts values of a kind, and keeps the first.
type seen struct {
	count, line int
	value       string
}

func (s *seen) add(value string, line int) {
	if s.count++; s.count == 1 || line < s.line {
		s.value, s.line = value, line
	}
}

// at names the first one.
func (s seen) at() string { return fmt.Sprintf("%.40q in line %d", s.value, s.line) }

// evidence is what the values of a column tell about it.
type evidence struct {
	values          int // that are not missing in a column of any kind
	numerals        int // that read as a number in some notation
	point, comma    seen
	orPoint, orTen  seen // 1.234 and 1,234: decimals or thousands
	small, large    int  // whole numbers from 1 and from 1000 without anything between
	bare            seen // numerals without a unit
	marks, units    map[string]*seen
	noNumber, dates seen
	trailing        seen           // numerals with their minus behind them
	minus           bool           // whole ones among them are numbers too
	words           seen           // that are neither numerals nor stand for missing ones
	titles          int            // of totals, among them
	texts           map[string]int // likewise those without digits, which may stand for missing values
	// measures are words that are numbers in a unit other than a currency or %; if most values are
	// in one of them, these are numerals.
	measures map[string]*seen
	distinct map[string]bool
}

// marked are values with a mark that may stand before decimals or between thousands.
type marked struct {
	mark string
	seen
}

// either returns the values whose mark may be either, of points and of commas.
func (e *evidence) either() [2]marked { return [2]marked{{".", e.orPoint}, {",", e.orTen}} }

// dates are days as tables have them, with or without a time.
var dates = regexp.MustCompile(`^(\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})|\d{4}[./-]\d{1,2}[./-]\d{1,2})([T ,]+\d{1,2}:\d{2}.*)?$`)

func newEvidence() *evidence {
	return &evidence{marks: map[string]*seen{}, units: map[string]*seen{}, measures: map[string]*seen{}, distinct: map[string]bool{}, texts: map[string]int{}}
}

// weigh looks at all values of a column. unit is that of its name.
func weigh(rows []Row, c int, unit string, missing absent) *evidence {
	e := look(rows, c, Notation{}, missing)
	switch most := e.measure(); {
	case most != "":
		unit = most
	case e.measures[unit] == nil:
		return e
	}
	return look(rows, c, Notation{Unit: unit}, missing)
}

// look takes numbers in a unit for numerals, if that is no currency or %, which always are.
func look(rows []Row, c int, in Notation, missing absent) *evidence {
	e := newEvidence()
	var open []int // rows with a number such as 12-
	for i := range rows {
		if rows[i].Err != nil || missing.any(rows[i].Fields[c]) {
			continue
		}
		s, line := rows[i].Fields[c], rows[i].Line
		e.values++
		if len(e.distinct) <= maxCategories {
			e.distinct[s] = true
		}
		if n, ok := parseNumeral(s); ok {
			if n.trailing && !n.amount() {
				open = append(open, i)
			} else {
				e.numeral(n, s, line)
			}
			continue
		}
		if bare := in.without(s); bare != s {
			if n, ok := parseNumeral(bare); ok && n.unit == "" {
				n.unit = in.Unit
				e.numeral(n, s, line)
				continue
			}
		}
		if noNumber(s) {
			e.noNumber.add(s, line)
			continue
		}
		if e.words.add(s, line); dates.MatchString(s) {
			e.dates.add(s, line)
		}
		if !strings.ContainsAny(s, "0123456789") && len(s) <= maxMissingBytes && (e.texts[s] > 0 || len(e.texts) < maxMissing) {
			e.texts[s]++
		}
		if alone, _ := titleOf(s); alone != noTitle {
			e.titles++
		}
		if unit := measure(s); unit != "" && (e.measures[unit] != nil || len(e.measures) < maxCategories) {
			tally(e.measures, unit, s, line)
		}
	}
	e.minus = e.amounts() || len(e.distinct) > fewValues
	for _, i := range open {
		s, line := rows[i].Fields[c], rows[i].Line
		if n, _ := parseNumeral(s); e.minus {
			e.numeral(n, s, line)
		} else {
			e.words.add(s, line)
		}
	}
	return e
}

// amounts reports whether numbers of the column have decimals, thousands or a unit.
func (e *evidence) amounts() bool {
	return e.point.count+e.comma.count+e.orPoint.count+e.orTen.count+len(e.marks)+len(e.units) > 0
}

// tally adds a value to those of a key.
func tally(in map[string]*seen, key, s string, line int) {
	if in[key] == nil {
		in[key] = new(seen)
	}
	in[key].add(s, line)
}

// measured is a number and what follows it.
var measured = regexp.MustCompile(`^[-+−]?\d[\d., \x{a0}\x{202f}]*((?:\pL|°)\S{0,11})$`)

// measure returns the unit of a value such as 750 m², "" if it is no number in a unit.
func measure(s string) string {
	if m := measured.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return ""
}

// measure returns the unit in which most values are that are numbers, if all but one in twenty of
// the others are numbers without a unit; "" if there is none.
func (e *evidence) measure() string {
	for unit, s := range e.measures {
		if others := e.words.count - s.count; s.count > e.numerals && len(e.units) == 0 && s.count+e.numerals >= 19*others {
			return unit
		}
	}
	return ""
}

func (e *evidence) numeral(n numeral, s string, line int) {
	if e.numerals++; n.trailing {
		e.trailing.add(s, line)
	}
	switch {
	case n.either == ".":
		e.orPoint.add(s, line)
	case n.either == ",":
		e.orTen.add(s, line)
	case n.decimal == ".", n.decimal == "" && n.thousands == ",":
		e.point.add(s, line)
	case n.decimal == ",", n.decimal == "" && n.thousands == ".":
		e.comma.add(s, line)
	case n.thousands == "" && len(n.whole) > 3:
		e.large++
	case strings.Trim(n.whole, "0") != "": // 0 is 0 in any notation
		e.small++
	}
	if n.thousands != "" {
		tally(e.marks, n.thousands, s, line)
	}
	if n.unit == "" {
		e.bare.add(s, line)
	} else {
		tally(e.units, n.unit, s, line)
	}
}

// numeric reports whether most values are numbers.
func (e *evidence) numeric() bool { return e.numerals > 0 && 2*e.numerals >= e.values-e.noNumber.count }

// decimal returns what the column itself tells of its decimals: . or , or nothing.
func (e *evidence) decimal() (string, error) {
	p, c := e.point.count, e.comma.count
	switch {
	case p == 0 && c == 0:
		return "", nil
	case p >= 19*c:
		return ".", nil
	case c >= 19*p:
		return ",", nil
	}
	return "", fmt.Errorf("%d values have a decimal point (%s) and %d a decimal comma (%s): mend the file, or set decimal = \".\" or decimal = \",\" in [data.csv]", p, e.point.at(), c, e.comma.at())
}

// tells returns what stands before decimals where most values are numbers and tell it.
func (e *evidence) tells() string {
	if e == nil || !e.numeric() {
		return ""
	}
	d, _ := e.decimal()
	return d
}

// common returns how the numbers of the columns are written where one of them does not tell:
// as in most of those that do, and how many these are.
func common(columns []*evidence, set Format) (n Notation, telling int) {
	points, commas := 0, 0
	for _, e := range columns {
		switch e.tells() {
		case ".":
			points++
		case ",":
			commas++
		}
	}
	switch {
	case set.Decimal == ",", set.Decimal == "" && set.Thousands == ".":
		n.Decimal = ","
	case set.Decimal == "" && set.Thousands != "," && commas > points:
		n.Decimal = ","
	}
	marks := map[string]int{}
	for _, e := range columns {
		if e == nil || !e.numeric() {
			continue
		}
		for mark, s := range e.marks {
			if mark != n.decimal() {
				marks[mark] += s.count
			}
		}
	}
	n.Thousands = most(marks)
	if set.Thousands != "" {
		n.Thousands = strings.TrimPrefix(set.Thousands, NoThousands)
	}
	return n, points + commas
}

// most returns what is counted most often, the least of equal ones.
func most(counts map[string]int) string {
	best := ""
	for k, n := range counts {
		if n > counts[best] || n == counts[best] && k < best {
			best = k
		}
	}
	return best
}

// notation settles how the numbers of a column are written. told is whether other columns or the
// job tell what stands before decimals where the column does not.
func (e *evidence) notation(file Notation, told bool, set Format) (Notation, error) {
	own := ""
	if set.Decimal == "" {
		var err error
		if own, err = e.decimal(); err != nil {
			return Notation{}, err
		}
	}
	n := Notation{Decimal: strings.TrimPrefix(cmp.Or(own, file.decimal()), "."), TrailingMinus: e.minus && e.trailing.count > 0}
	switch {
	case own != "" || told:
	case e.orTen.count > 0 && e.orPoint.count > 0:
		return n, fmt.Errorf("%d values are written like %s, and %d like %s: set decimal = \".\" or decimal = \",\" in [data.csv]", e.orTen.count, e.orTen.at(), e.orPoint.count, e.orPoint.at())
	case e.orTen.count > 0 && set.Separator != "," && !(e.small > 0 && e.large == 0):
		return n, ambiguous(",", e.orTen)
	case e.orPoint.count > 0 && set.Separator != "," && set.Thousands == "":
		return n, ambiguous(".", e.orPoint)
	}
	if set.Thousands != "" {
		n.Thousands = file.Thousands
	} else if n.Thousands = e.thousands(n); n.Thousands == "" && n.Decimal == file.Decimal {
		n.Thousands = file.Thousands
	}
	if n.Thousands == n.decimal() {
		return n, fmt.Errorf("%q stands before decimals and between thousands: set decimal = \".\" with thousands = \",\" in [data.csv], or the other way round", n.Thousands)
	}
	return n, e.unit(&n)
}

// ambiguous says what numbers such as 511.000 may be, and how to say which it is.
func ambiguous(mark string, values seen) error {
	name, other := "point", ","
	if mark == "," {
		name, other = "comma", "."
	}
	decimals, _ := Notation{Decimal: strings.TrimPrefix(mark, ".")}.number(values.value)
	thousands, _ := Notation{Decimal: strings.TrimPrefix(other, "."), Thousands: mark}.number(values.value)
	return fmt.Errorf("%d values such as %s may have thousands or decimals after the %s: set decimal = %q in [data.csv] if that is %.10g, or decimal = %q with thousands = %q if it is %.10g",
		values.count, values.at(), name, mark, decimals, other, mark, thousands)
}

// thousands returns what stands between the groups of the column's numbers.
func (e *evidence) thousands(n Notation) string {
	marks := map[string]int{}
	for mark, s := range e.marks {
		if mark != n.decimal() {
			marks[mark] = s.count
		}
	}
	for _, either := range e.either() {
		if either.mark != n.decimal() && either.count > 0 {
			marks[either.mark] += either.count
		}
	}
	return most(marks)
}

// unit settles the unit of a column, which is one or none.
func (e *evidence) unit(n *Notation) error {
	var names, each []string
	for u := range e.units {
		names = append(names, u)
	}
	slices.Sort(names)
	for _, u := range names {
		each = append(each, fmt.Sprintf("%d in %s (%s)", e.units[u].count, u, e.units[u].at()))
	}
	if len(names) > 1 {
		return fmt.Errorf("values in several units: %s: bring them to one, or ignore the column", strings.Join(each, ", "))
	}
	if len(names) == 1 {
		n.Unit = names[0]
	}
	return nil
}
