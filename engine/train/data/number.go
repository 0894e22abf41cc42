package data

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NoThousands is the [Format.Thousands] of numbers without anything between their digits.
const NoThousands = "none"

// Notation says how the numbers of a column are written. The zero value is that of
// programs: a decimal point and nothing else.
type Notation struct {
	Decimal   string `json:"decimal,omitempty"`   // , or empty for a point
	Thousands string `json:"thousands,omitempty"` // between groups of three digits: . , ' or a blank; empty: nothing
	Unit      string `json:"unit,omitempty"`      // a currency or % that may stand before or after, or what may stand after, such as m²
	// TrailingMinus says that 12- is -12. Numbers with decimals, thousands or a unit may have their
	// minus behind them anyway.
	TrailingMinus bool `json:"trailing_minus,omitempty"`
}

// valid reports whether a notation can be one.
func (n Notation) valid() bool {
	ok := n.Decimal == "" || n.Decimal == ","
	switch n.Thousands {
	case "", " ", "'":
	case ".", ",":
		ok = ok && n.Thousands != n.decimal()
	default:
		ok = false
	}
	unit, size := unitOf(n.Unit)
	return ok && (n.Unit == "" || unit != "" && size == len(n.Unit) || unit == "" && measure("1"+n.Unit) == n.Unit)
}

func (n Notation) decimal() string {
	if n.Decimal == "" {
		return "."
	}
	return n.Decimal
}

// numeral is text that reads as a number, taken apart.
type numeral struct {
	negative bool
	trailing bool // the minus is behind the number, as some programs write it
	unit     string
	exponent string // with its e, or empty

	whole     string // digits before the decimals, without anything between them
	decimals  string
	decimal   string // what stands before the decimals: . or , or empty
	thousands string // what stands between the groups before them, or empty
	// either is a . or , of which the text does not tell whether decimals follow it or a
	// group of three digits: 1,234. Then whole and decimals are what is around it.
	either string
}

// codes are currencies as they are written without a sign of their own.
var codes = []string{"CHF", "JPY", "CNY", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "CAD", "AUD"}

// currencies are other ways to write a currency, longer ones before their beginnings.
var currencies = []struct{ text, unit string }{
	{"EUR", "€"}, {"USD", "$"}, {"US$", "$"}, {"GBP", "£"}, {"Fr.", "CHF"}, {"Fr", "CHF"},
}

// unitOf returns the unit with which s begins and how many bytes it has, or nothing. A currency
// is one unit, however it is written.
func unitOf(s string) (unit string, size int) {
	for _, c := range currencies {
		if strings.HasPrefix(s, c.text) {
			return c.unit, len(c.text)
		}
	}
	r, size := utf8.DecodeRuneInString(s)
	if r == '%' || r == '‰' || unicode.Is(unicode.Sc, r) {
		return s[:size], size
	}
	for _, c := range codes {
		if strings.HasPrefix(s, c) {
			return c, len(c)
		}
	}
	return "", 0
}

// namedUnit is a unit at the end of the name of a column: in brackets, or behind a comma or "in".
var namedUnit = regexp.MustCompile(`(?:[(\[]\s*(?:in\s+)?([^\s()\[\]]+)\s*[)\]]|[\s,]in\s+(\S+)|,\s*([^\s,]+))$`)

// unitOfName returns the unit in the name of a column, such as m² of "Fläche (m²)" or € of "Miete in
// €/Monat", "" if there is none.
func unitOfName(name string) string {
	m := namedUnit.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	text := m[1] + m[2] + m[3]
	if unit, size := unitOf(text); unit != "" {
		if size == len(text) || text[size] == '/' {
			return unit
		}
		return ""
	}
	if measure("1"+text) == text {
		return text
	}
	return ""
}

// sameUnit reports whether a number in a unit belongs into a column in another. The unit of a
// column may be written as older programs kept it.
func (n Notation) sameUnit(unit string) bool {
	own, _ := unitOf(n.Unit)
	return unit == own
}

// parseNumeral takes a number apart, and reports whether it is one in any notation.
func parseNumeral(s string) (n numeral, ok bool) {
	s, signed := n.sign(s)
	if unit, size := unitOf(s); unit != "" && unit != "%" && unit != "‰" {
		n.unit, s = unit, clean(s[size:])
		if !signed {
			s, signed = n.sign(s)
		}
	}
	end := 0
	for i, r := range s {
		if (r < '0' || r > '9') && !strings.ContainsRune("., '’\u00a0\u202f", r) {
			break
		}
		end = i + utf8.RuneLen(r)
	}
	mantissa, rest, mark := noCents(clean(s[:end]), s[end:])
	signed = signed || mark != "" // no minus comes behind it
	if strings.HasPrefix(rest, "e") || strings.HasPrefix(rest, "E") {
		digits := 1
		if len(rest) > 1 && (rest[1] == '+' || rest[1] == '-') {
			digits = 2
		}
		stop := digits
		for stop < len(rest) && rest[stop] >= '0' && rest[stop] <= '9' {
			stop++
		}
		if stop > digits {
			n.exponent, rest = rest[:stop], rest[stop:]
		}
	}
	rest = n.minus(clean(rest), signed)
	if unit, size := unitOf(rest); n.unit == "" && unit != "" {
		n.unit, rest = unit, n.minus(clean(rest[size:]), signed)
	}
	return n, rest == "" && n.group(mantissa) && (mark != "." || n.even())
}

// noCents takes off what people write behind an amount in place of its cents, as in 5,- and 5.– and
// 5,--: no minus. mark is what stands before that, . or , or nothing if there is no such thing. A
// comma stays, for decimals that are none.
func noCents(mantissa, rest string) (amount, after, mark string) {
	if !strings.HasSuffix(mantissa, ",") && !strings.HasSuffix(mantissa, ".") {
		return mantissa, rest, ""
	}
	after = rest
	for range 2 {
		if r, size := utf8.DecodeRuneInString(after); r == '-' || r == '–' || r == '—' || r == '−' {
			after = after[size:]
		}
	}
	if len(after) == len(rest) {
		return mantissa, rest, ""
	}
	last := len(mantissa) - 1
	if amount, mark = clean(mantissa[:last]), mantissa[last:]; mark == "," {
		amount += mark
	}
	return amount, after, mark
}

// even settles a number without cents: what stands in it is between thousands, as in 1.337.–, and
// not before decimals.
func (n *numeral) even() bool {
	if n.either != "" {
		n.thousands, n.whole = n.either, n.whole+n.decimals
		n.either, n.decimals = "", ""
	}
	return n.decimal == ""
}

// minus takes a minus that is behind the number off the beginning of s, if there is no sign yet.
func (n *numeral) minus(s string, signed bool) (rest string) {
	if r, size := utf8.DecodeRuneInString(s); !signed && !n.trailing && (r == '-' || r == '−') {
		n.negative, n.trailing = true, true
		return clean(s[size:])
	}
	return s
}

// amount reports whether a number has what only measured numbers have: decimals, thousands or a
// unit. 2- may be a mark of a school.
func (n *numeral) amount() bool {
	return n.decimal != "" || n.thousands != "" || n.either != "" || n.unit != ""
}

// sign takes a sign off the beginning of s.
func (n *numeral) sign(s string) (rest string, signed bool) {
	r, size := utf8.DecodeRuneInString(s)
	switch r {
	case '-', '−':
		n.negative = true
	case '+':
	default:
		return s, false
	}
	return clean(s[size:]), true
}

// as writes a number with another mark before its decimals: both that it may be, if the text does
// not tell.
func (n *numeral) as(decimal string) string {
	sign := ""
	if n.negative {
		sign = "-"
	}
	whole, with := sign+n.whole+n.exponent, sign+n.whole+decimal+n.decimals+n.exponent
	switch {
	case n.either != "":
		return with + " or " + sign + n.whole + n.decimals
	case n.decimals == "":
		return whole
	}
	return with
}

// group takes the digits apart at what stands between them.
func (n *numeral) group(s string) bool {
	var groups, marks []string
	begin := 0
	for i, r := range s {
		if r >= '0' && r <= '9' {
			continue
		}
		mark := string(r)
		switch r {
		case '\u00a0', '\u202f':
			mark = " "
		case '’':
			mark = "'"
		}
		groups, marks = append(groups, s[begin:i]), append(marks, mark)
		begin = i + utf8.RuneLen(r)
	}
	groups = append(groups, s[begin:])
	count := len(marks)
	switch {
	case s == "" || strings.Trim(s, ".,' ") == "":
		return false
	case count == 0:
		n.whole = s
		return true
	}
	last := marks[count-1]
	point := last == "." || last == ","
	same := true // all marks are one kind
	for _, m := range marks[:count-1] {
		same = same && m == last
	}
	switch {
	case count == 1 && point && inGroups(groups) && n.exponent == "":
		n.either, n.whole, n.decimals = last, groups[0], groups[1]
		return true
	case count == 1 && point:
		n.decimal, n.whole, n.decimals = last, groups[0], groups[1]
		return true
	case same:
		n.thousands, n.whole = last, strings.Join(groups, "")
		return inGroups(groups)
	case !point || marks[0] == last:
		return false
	}
	for _, m := range marks[:count-1] {
		if m != marks[0] {
			return false
		}
	}
	n.thousands, n.decimal = marks[0], last
	n.whole, n.decimals = strings.Join(groups[:count], ""), groups[count]
	return inGroups(groups[:count])
}

// inGroups reports whether digits are grouped by threes, without zeros before them.
func inGroups(groups []string) bool {
	if len(groups[0]) < 1 || len(groups[0]) > 3 || groups[0][0] == '0' {
		return false
	}
	for _, g := range groups[1:] {
		if len(g) != 3 {
			return false
		}
	}
	return true
}

// plain reports whether a value is a number as programs write it and nothing else, as most
// are.
func plain(s string) bool {
	dots := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			dots++
		case c == '-' && i == 0:
		case c < '0' || c > '9':
			return false
		}
	}
	return dots <= 1
}

// parse returns a number that a float32 can hold.
func (n Notation) parse(s string) (float64, bool) {
	if n == (Notation{}) && plain(s) {
		return float(s)
	}
	text, ok := n.rewrite(s)
	if !ok {
		return 0, false
	}
	return float(text)
}

// number returns a number in any unit.
func (n Notation) number(s string) (float64, bool) {
	v, _ := parseNumeral(s)
	n.Unit = v.unit
	return n.parse(s)
}

// loose returns a number in any unit, with whatever stands between its thousands, and half a unit of
// its last digit. One with an exponent is taken for exact, as programs write it.
func (n Notation) loose(s string) (number shown, ok bool) {
	s = withoutMeasure(s)
	v, _ := parseNumeral(s)
	n.Unit, n.Thousands, n.TrailingMinus = v.unit, v.thousands, true
	if v.either != n.decimal() && v.either != "" {
		n.Thousands = v.either
	}
	if number.value, ok = n.parse(s); !ok {
		return number, false
	}
	digits := 0
	if v.decimal != "" || v.either == n.decimal() {
		digits = len(v.decimals)
	}
	if v.exponent == "" {
		number.half = 0.5 * math.Pow10(-digits)
	}
	return number, true
}

// withoutMeasure takes a unit that is no currency or % off the end of a number.
func withoutMeasure(s string) string {
	if _, ok := parseNumeral(s); ok {
		return s
	}
	return Notation{Unit: measure(s)}.without(s)
}

// numeric reports whether s is a number in some notation and unit.
func numeric(s string) bool {
	_, ok := parseNumeral(withoutMeasure(s))
	return ok
}

// without takes the unit off the end of a number, if that is no currency or %.
func (n Notation) without(s string) string {
	if unit, _ := unitOf(n.Unit); n.Unit == "" || unit != "" {
		return s
	}
	return clean(strings.TrimSuffix(s, n.Unit))
}

// rewrite returns a number as programs write it, if it is in this notation.
func (n Notation) rewrite(s string) (text string, ok bool) {
	v, ok := parseNumeral(n.without(s))
	if !ok || v.unit != "" && !n.sameUnit(v.unit) || v.trailing && !n.TrailingMinus && !v.amount() {
		return "", false
	}
	switch {
	case v.either != "" && v.either == n.decimal():
		v.decimal, v.either = v.either, ""
	case v.either != "" && v.either == n.Thousands:
		v.whole, v.decimals, v.either = v.whole+v.decimals, "", ""
	}
	if v.either != "" || v.decimal != "" && v.decimal != n.decimal() || v.thousands != "" && v.thousands != n.Thousands {
		return "", false
	}
	text = v.whole + "." + v.decimals + v.exponent
	if v.negative {
		text = "-" + text
	}
	return text, true
}

// float parses a number as programs write it.
func float(s string) (float64, bool) {
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && math.Abs(v) <= math.MaxFloat32 // not NaN either
}
