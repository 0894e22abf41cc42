package data

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrContinuous is the error of a class to be predicted whose values are measured numbers.
var ErrContinuous = errors.New("its values are numbers that are measured, not classes")

// Bounds of what a column may be without a word about it.
const (
	fewValues   = 20 // so many values may be categories although most are numbers
	rareClass   = 10 // a class of fewer rows is told
	manyClasses = 20 // more whole numbers than that are classes only if they come again
)

// describe settles the kinds of the columns and the categories.
func (t *Table) describe(s *Sheet) error {
	t.label, t.text, t.format = -1, -1, s.Format
	t.notes, t.warnings, t.columns = slices.Clone(s.Notes), nil, nil
	for _, name := range s.Header {
		t.columns = append(t.columns, Column{Name: name})
	}
	if t.cfg.Only {
		if err := t.pick(s); err != nil {
			return err
		}
	}
	if err := t.match(s); err != nil {
		return err
	}
	rows := s.Rows
	weighed := make([]*evidence, len(t.columns))
	t.open, t.own = nil, nil
	for c := range t.columns {
		if t.columns[c].Kind == Auto && c != t.label {
			t.open = append(t.open, c)
		}
		if k := t.columns[c].Kind; t.cfg.Fixed && k == Number || !t.cfg.Only && (k == Auto || k == Number || k == Category) {
			weighed[c] = weigh(rows, c, unitOfName(t.columns[c].Name), t.absent)
		}
	}
	file, telling := common(weighed, s.Format)
	said := s.Format.Decimal != "" || s.Format.Thousands == "." || s.Format.Thousands == ","
	var errs []error // of all columns, so that the file is mended once
	for c := range t.columns {
		others := telling
		if weighed[c].tells() != "" {
			others--
		}
		if err := t.settle(c, rows, weighed[c], others > 0 || said, file); err != nil {
			errs = append(errs, fmt.Errorf("column %q: %w", t.columns[c].Name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	t.format.Decimal, t.format.Thousands = file.Decimal, file.Thousands
	if shape := t.Shape(); shape.Values == 0 && shape.Tokens == 0 {
		return errors.New("no column is an input")
	}
	return nil
}

// match gives each column what the configuration says of it.
func (t *Table) match(s *Sheet) error {
	sentence := slices.ContainsFunc(t.cfg.Columns, func(c Column) bool { return c.Kind == Sentence })
	t.missing = make([]int, len(t.columns))
	places, said := map[string]int{}, map[string]int{}
	for i := len(t.cfg.Columns) - 1; i >= 0; i-- { // the first of a name counts
		said[t.cfg.Columns[i].Name] = i
	}
	for c := range t.columns {
		col := &t.columns[c]
		if first, ok := places[col.Name]; ok {
			return fmt.Errorf("columns %d and %d of the first line are both named %q", s.place(first), s.place(c), col.Name)
		}
		places[col.Name] = c
		if i, ok := said[col.Name]; ok {
			*col = t.cfg.Columns[i]
		} else if sentence && col.Name != t.cfg.Label {
			col.Kind = Ignore
		}
		if col.Name == t.cfg.Label {
			t.label = c
		}
	}
	for _, want := range append([]Column{{Name: t.cfg.Label}}, t.cfg.Columns...) {
		if _, ok := places[want.Name]; !ok {
			return s.noColumn(want.Name)
		}
	}
	if k := t.columns[t.label].Kind; k == Sentence || k == Ignore {
		return fmt.Errorf("column %q is to be predicted and of kind %v, want number or category", t.cfg.Label, k)
	}
	return nil
}

// pick brings the columns and the fields into the order of the configured columns.
func (t *Table) pick(s *Sheet) error {
	names := make([]string, len(t.cfg.Columns))
	for i, c := range t.cfg.Columns {
		names[i] = c.Name
	}
	at, err := s.Columns(names)
	if err != nil {
		return err
	}
	t.columns = slices.Clone(t.cfg.Columns)
	if s.whole == nil { // the first time
		s.whole = s.Header
	}
	s.Header = names
	for i := range s.Rows {
		if r := &s.Rows[i]; r.Err == nil {
			r.all = r.whole()
			r.Fields = pickFields(r.Fields, at)
		}
	}
	return nil
}

func (t *Table) settle(c int, rows []Row, e *evidence, told bool, file Notation) error {
	col := &t.columns[c]
	if col.Kind == Auto {
		if col.Kind = Category; col.Categories == nil {
			if err := t.guess(c, e); err != nil {
				return err
			}
		}
	}
	switch {
	case col.Kind == Number && e != nil && t.cfg.Fixed:
		return t.fixedNumber(c, rows, e, told, file)
	case col.Kind == Number && e != nil:
		return t.number(c, rows, e, told, file)
	case col.Kind == Category && col.Categories == nil:
		if c == t.label && t.cfg.Measured && e.continuous() {
			return fmt.Errorf("%w: %s different ones in %d rows, the first is %s", ErrContinuous, e.kinds(), e.values, e.first())
		}
		if err := col.findCategories(rows, c, t.absent); err != nil {
			return err
		}
		t.own = append(t.own, c)
		if n := len(col.Categories); c != t.label && n > fewValues && 4*n > e.values {
			t.warn("column %q: %d categories in %d rows, an input for each: is it a name or a number of the row? kind = \"ignore\" leaves it out", col.Name, n, e.values)
		}
		return nil
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

// noteStandIns tells of categories that are not taken for missing values, and may stand for such.
// words are those that do, by column.
func (t *Table) noteStandIns(c int, words []map[string]int) {
	var list []string
	elsewhere := -1
	for _, name := range t.columns[c].Categories {
		if !standsIn(name) {
			continue
		}
		list = append(list, name)
		if i := slices.IndexFunc(words, func(w map[string]int) bool { return w[name] > 0 }); elsewhere < 0 {
			elsewhere = i
		}
	}
	if len(list) == 0 || c == t.label { // of that noteClasses tells
		return
	}
	are, they := "is taken as a category", "it stands"
	if len(list) > 1 {
		are, they = "are taken as categories", "they stand"
	}
	as, keeps := "", ""
	if elsewhere >= 0 {
		as = fmt.Sprintf(", as in column %q", t.columns[elsewhere].Name)
	}
	if !t.cfg.FillMissing {
		keeps = `, and missing = "fill" keeps their rows`
	}
	t.note("column %q: %s %s: if %s for missing values%s, %s in [data.csv] says so%s", t.columns[c].Name, quoted(list, " and "), are, they, as, missingKey(t.cfg.Missing, list), keeps)
}

// quoted lists words, with another one before the last.
func quoted(words []string, and string) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = strconv.Quote(w)
	}
	if last := len(list) - 1; last > 0 {
		return strings.Join(list[:last], ", ") + and + list[last]
	}
	return strings.Join(list, "")
}

// missingKey is the key of a job that takes more words for missing values.
func missingKey(have, more []string) string {
	return "missing_values = [" + quoted(append(slices.Clone(have), more...), ", ") + "]"
}

// absentHint offers the words among the numbers of a column as missing values.
func (t *Table) absentHint(e *evidence) string {
	var words []string
	for w := range e.texts {
		words = append(words, w)
	}
	const shown = 10
	slices.SortFunc(words, func(a, b string) int { return cmp.Or(e.texts[b]-e.texts[a], strings.Compare(a, b)) })
	if len(words) == 0 {
		return ""
	}
	list := missingKey(t.cfg.Missing, words[:min(shown, len(words))])
	if t.cfg.FillMissing {
		return fmt.Sprintf("; %s in [data.csv] keeps them if these words stand for missing values", list)
	}
	return fmt.Sprintf("; %s with missing = \"fill\" in [data.csv] keeps them if these words stand for missing values", list)
}

// guess says what a column of no given kind is: numbers if all but one in twenty of its
// values are, nothing if it has none or dates, else categories. What may be either is an
// error.
func (t *Table) guess(c int, e *evidence) error {
	col := &t.columns[c]
	others := e.words.count - e.titles
	if e.numerals == 0 {
		others = e.values
	}
	switch {
	case e.values == 0 && c != t.label, e.numerals == 0 && e.values == e.noNumber.count && c != t.label:
		col.Kind = Ignore
		t.note("column %q has no values: it is left out", col.Name)
	case e.numerals > 0 && others <= e.numerals/19:
		col.Kind = Number
	case e.dates.count > 0 && e.values-e.dates.count <= e.dates.count/19 && c != t.label:
		col.Kind = Ignore
		t.note("column %q has dates such as %s: it is left out; kind = \"category\" takes each as a category", col.Name, e.dates.at())
	case !e.numeric():
	case len(e.distinct) > fewValues:
		return fmt.Errorf("%d of %d values are numbers and %d are not, such as %s: set its kind in columns: number leaves out the rows of those, or category, or ignore", e.numerals, e.values, others, e.words.at())
	default:
		t.note("column %q: %d of %d values are numbers; it is taken for one of %d categories", col.Name, e.numerals, e.values, len(e.distinct))
	}
	return nil
}

// others counts the values that are no numbers.
func (t *Table) others(rows []Row, c int) (bad seen) {
	for i := range rows {
		if rows[i].Err == nil && !t.absent.number(rows[i].Fields[c]) {
			if _, ok := t.columns[c].number(rows[i].Fields[c]); !ok {
				bad.add(rows[i].Fields[c], rows[i].Line)
			}
		}
	}
	return bad
}

// number settles the notation of a column of numbers, and tells of it what is not plain. told
// is as in [evidence.notation].
func (t *Table) number(c int, rows []Row, e *evidence, told bool, file Notation) error {
	col := &t.columns[c]
	said := slices.ContainsFunc(t.cfg.Columns, func(of Column) bool { return of.Name == col.Name && of.Kind == Number })
	if said && c != t.label && e.numerals == 0 && e.words.count > 0 {
		return fmt.Errorf("kind = \"number\" is set in columns, and none of its %d values is a number, such as %s: take that away, or set kind = \"category\"", e.values, e.words.at())
	}
	var err error
	if col.Notation, err = e.notation(file, told, t.format); err != nil {
		return err
	}
	if b := t.others(rows, c); b.count > 0 {
		hint := ""
		if said && c != t.label {
			hint = "; kind = \"category\" instead of \"number\" in columns keeps them"
		}
		t.note("column %q: %d of %d values are no numbers, such as %s: their rows are left out%s%s", col.Name, b.count, e.values, b.at(), hint, t.absentHint(e))
	}
	if n := &col.Notation; n.Unit != "" {
		text := fmt.Sprintf("column %q: %s %s, such as %s: the number counts", col.Name, values(e.units[n.Unit].count, "has", "have"), n.Unit, e.units[n.Unit].at())
		if e.bare.count > 0 && n.Unit == "%" {
			text += fmt.Sprintf("; %d have not, such as %s, and count as %%", e.bare.count, e.bare.at())
		}
		t.note("%s", text)
	}
	t.noteMinus(col, e)
	for _, either := range e.either() {
		if either.count == 0 || either.mark != "," && either.mark != col.Thousands {
			continue
		}
		what := "decimals"
		if either.mark == col.Thousands {
			what = "thousands"
		}
		v, _ := col.parse(either.value)
		t.note("column %q: %s read with %s, such as %s as %.10g", col.Name, values(either.count, "is", "are"), what, either.at(), v)
	}
	return nil
}

// noteMinus tells of numbers with a minus behind them.
func (t *Table) noteMinus(col *Column, e *evidence) {
	s := e.trailing
	if s.count == 0 {
		return
	}
	v, _ := col.parse(s.value)
	if 20*s.count >= 19*e.numerals {
		t.warn("column %q: nearly all numbers have a minus behind them, such as %s, which is read as %.10g: if it stands for something else, take it out of the file", col.Name, s.at(), v)
		return
	}
	t.note("column %q: %s a minus behind the number, such as %s, which is read as %.10g", col.Name, values(s.count, "has", "have"), s.at(), v)
}

// fixedNumber is number for a column of which all but the notation is known.
func (t *Table) fixedNumber(c int, rows []Row, e *evidence, told bool, file Notation) (err error) {
	col := &t.columns[c]
	if e.numerals == 0 && e.words.count > 0 {
		return fmt.Errorf("it has numbers, and none of these %d values is one, such as %s: take another column or file", e.values, e.words.at())
	}
	unit := col.Unit
	if col.Notation, err = e.notation(file, told, t.format); err != nil {
		return err
	}
	if own := col.Unit; own != "" && own != unit {
		want := "numbers without a unit"
		if unit != "" {
			want = "numbers in " + unit
		}
		return fmt.Errorf("%s in %s, such as %s, and the column has %s: write them so, or take the unit out if the numbers are the same", values(e.units[own].count, "is", "are"), own, e.units[own].at(), want)
	}
	t.noteMinus(col, e)
	if b := t.others(rows, c); b.count > 0 {
		t.note("column %q: %d of %d values are no numbers, such as %s: their rows are left out%s", col.Name, b.count, e.values, b.at(), t.absentHint(e))
	}
	return nil
}

// known refuses a value that is none of the categories of a column.
func (t *Table) known(rows []Row, at int) error {
	c := &t.columns[at]
	numbers := c.numbers()
	var first seen
	for i := range rows {
		if rows[i].Err != nil || t.absent.any(rows[i].Fields[at]) {
			continue
		}
		if _, ok := numbers[rows[i].Fields[at]]; !ok && (first.count == 0 || rows[i].Fields[at] == first.value) {
			first.add(rows[i].Fields[at], rows[i].Line)
		}
	}
	if first.count == 0 {
		return nil
	}
	return fmt.Errorf("%s is no category%s: correct it, or take out %s", first.at(), amongst(first.value, c.Categories), count(first.count, "row"))
}

// continuous reports whether the values of a class are measured: numbers with decimals, or
// so many whole ones that they hardly come again.
func (e *evidence) continuous() bool {
	if e == nil || e.numerals == 0 || e.values-e.numerals > e.numerals/19 {
		return false
	}
	n := len(e.distinct)
	if e.point.count+e.comma.count+e.orPoint.count+e.orTen.count > 0 {
		return n > 10
	}
	return n > maxCategories || n > manyClasses && 5*n > e.values
}

// kinds says how many different values there are, which are counted up to maxCategories.
func (e *evidence) kinds() string {
	if n := len(e.distinct); n <= maxCategories {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("more than %d", maxCategories)
}

// first names a value, one with decimals if there is one.
func (e *evidence) first() string {
	for _, s := range []seen{e.point, e.comma, e.orPoint, e.orTen, e.bare} {
		if s.count > 0 {
			return s.at()
		}
	}
	return "unknown"
}

func (c *Column) findCategories(rows []Row, at int, missing absent) error {
	found := map[string]bool{}
	for _, r := range rows {
		if r.Err != nil || missing.any(r.Fields[at]) || found[r.Fields[at]] {
			continue
		}
		if len(found) == maxCategories {
			return fmt.Errorf("more than %d categories, the last is %.40q in line %d: set its kind in columns, ignore or text", maxCategories, r.Fields[at], r.Line)
		}
		found[r.Fields[at]] = true
		c.Categories = append(c.Categories, r.Fields[at])
	}
	slices.Sort(c.Categories)
	return nil
}

// note keeps something that somebody should know of how the table was read.
func (t *Table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// noteMissing tells how many values are missing in each column, and by what word.
func (t *Table) noteMissing(words []map[string]int) {
	for c := range t.columns {
		if t.missing[c] == 0 {
			continue
		}
		var list []string
		for w := range words[c] {
			list = append(list, w)
		}
		slices.SortFunc(list, func(a, b string) int {
			if d := words[c][b] - words[c][a]; d != 0 {
				return d
			}
			return strings.Compare(a, b)
		})
		for i, w := range list {
			if list[i] = fmt.Sprintf("%.20q %d times", w, words[c][w]); words[c][w] == 1 {
				list[i] = fmt.Sprintf("%.20q once", w)
			}
		}
		if len(list) > 5 {
			list = append(list[:5], "and others")
		}
		what := "their rows are left out"
		if t.missing[c] == 1 {
			what = "its row is left out"
		}
		if t.cfg.FillMissing && c != t.label && t.columns[c].Kind == Number {
			what = "each counts as the mean"
		} else if t.cfg.FillMissing && c != t.label && t.columns[c].Kind == Category {
			what = "each counts as none of the categories"
		}
		t.note("column %q: %s missing or unknown, the first in line %d (%s): %s", t.columns[c].Name, values(t.missing[c], "is", "are"), t.firstMissing[c], strings.Join(list, ", "), what)
	}
}

// warn keeps something that is likely to spoil what is learned, or that was mended.
func (t *Table) warn(format string, args ...any) {
	t.warnings = append(t.warnings, fmt.Sprintf(format, args...))
}

// values counts values and has the verb that goes with them.
func values(n int, one, more string) string {
	if n == 1 {
		return "1 value " + one
	}
	return fmt.Sprintf("%d values %s", n, more)
}

// noteClasses tells of classes with few rows to learn from, and of such whose names stand for
// a missing value elsewhere.
func (t *Table) noteClasses() {
	if t.cfg.Only || t.columns[t.label].Kind != Category {
		return
	}
	names := t.columns[t.label].Categories
	rows := make([]int, len(names))
	for _, l := range t.Labels() {
		rows[int(l)]++
	}
	var rare []string
	for i, name := range names {
		if standsIn(name) {
			t.note("column %q: %.40q is taken for a class, of %s: if it stands for a missing value, %s in [data.csv] leaves its rows out", t.columns[t.label].Name, name, count(rows[i], "row"), missingKey(t.cfg.Missing, []string{name}))
		}
		if rows[i] < rareClass {
			rare = append(rare, fmt.Sprintf("%.40q (%s)", name, count(rows[i], "row")))
		}
	}
	if len(rare) == 0 || t.rows < rareClass*len(names) { // so few rows are known to be few
		return
	}
	const shown = 5
	if more := len(rare) - shown; more > 0 {
		rare = append(rare[:shown], fmt.Sprintf("and %d more", more))
	}
	t.note("column %q: fewer than %d rows of %s: a model hardly learns such a class", t.columns[t.label].Name, rareClass, strings.Join(rare, ", "))
}

// count counts things.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
