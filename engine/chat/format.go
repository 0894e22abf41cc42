package chat

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// spec says how a value is written in a field of a format.
type spec struct {
	left, zero, alt bool
	align           byte // of str.format: '<' '>' '^' '=' or 0
	fill            string
	sign            byte // '+', ' ' or 0
	comma           bool
	width           int
	precision       int // -1: not given
	verb            byte
}

// percent is Python's format % values.
func (r *run) percent(format string, v any) (string, error) {
	values, isTuple := v.(tuple)
	if !isTuple {
		values = tuple{v}
	}
	names, _ := v.(*dict)
	var b strings.Builder
	used := 0
	next := func() (any, error) {
		if used >= len(values) {
			return nil, errorf("not enough arguments for format string")
		}
		used++
		return values[used-1], nil
	}
	for i := 0; i < len(format); {
		end := strings.IndexByte(format[i:], '%')
		if end < 0 {
			end = len(format) - i
		}
		b.WriteString(format[i : i+end])
		if i += end; i >= len(format) {
			break
		}
		n, field, err := r.percentField(format[i+1:], names, next)
		if err != nil {
			return "", err
		}
		if err := r.text(b.Len() + len(field)); err != nil {
			return "", err
		}
		b.WriteString(field)
		i += 1 + n
	}
	if used < len(values) && names == nil && (isTuple || !isMappingLike(v)) {
		return "", errorf("not all arguments converted during string formatting")
	}
	return b.String(), r.use(len(format))
}

// isMappingLike tells which single values Python lets a format ignore.
func isMappingLike(v any) bool {
	switch v.(type) {
	case []any, *dict, undefined:
		return true
	}
	return false
}

// percentField writes one field, whose "%" is gone, and gives its length.
func (r *run) percentField(s string, names *dict, next func() (any, error)) (int, string, error) {
	sp := spec{precision: -1, fill: " "}
	i := 0
	var v any
	named := false
	if strings.HasPrefix(s, "(") {
		end := strings.IndexByte(s, ')')
		if end < 0 || names == nil {
			return 0, "", errorf("format requires a mapping")
		}
		var ok bool
		if v, ok = names.getString(s[1:end]); !ok {
			return 0, "", errorf("format key %q is missing", s[1:end])
		}
		named, i = true, end+1
	}
	for ; i < len(s) && strings.IndexByte("-+ #0", s[i]) >= 0; i++ {
		switch s[i] {
		case '-':
			sp.left = true
		case '+':
			sp.sign = '+'
		case ' ':
			if sp.sign == 0 {
				sp.sign = ' '
			}
		case '#':
			sp.alt = true
		case '0':
			sp.zero = true
		}
	}
	var err error
	if i, sp.width, sp.precision, err = widths(s, i, next); err != nil {
		return 0, "", err
	}
	if i >= len(s) {
		return 0, "", errorf("incomplete format")
	}
	if s[i] == '%' {
		return i + 1, "%", nil
	}
	sp.verb = s[i]
	if !named {
		if v, err = next(); err != nil {
			return 0, "", err
		}
	}
	out, err := r.percentValue(sp, v)
	return i + 1, out, err
}

// widths reads [width][.precision], where * takes an argument.
func widths(s string, i int, next func() (any, error)) (at, width, precision int, err error) {
	number := func() (int, error) {
		if i < len(s) && s[i] == '*' {
			i++
			v, err := next()
			if err != nil {
				return 0, err
			}
			n, ok := integer(v)
			if !ok {
				return 0, errorf("* wants an integer")
			}
			return int(max(min(n, 1<<30), 0)), nil
		}
		n := 0
		for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
			n = min(n*10+int(s[i]-'0'), 1<<30)
		}
		return n, nil
	}
	if width, err = number(); err != nil {
		return 0, 0, 0, err
	}
	precision = -1
	if i < len(s) && s[i] == '.' {
		i++
		if precision, err = number(); err != nil {
			return 0, 0, 0, err
		}
	}
	return i, width, precision, nil
}

func (r *run) percentValue(sp spec, v any) (string, error) {
	switch sp.verb {
	case 's', 'r', 'a':
		t, err := r.str(v)
		if sp.verb != 's' {
			t, err = r.repr(v)
		}
		if err != nil {
			return "", err
		}
		sp.zero = false
		return r.padded(sp, "", cut(t, sp.precision))
	case 'c':
		if t, ok := text(v); ok && runeCount(t) == 1 {
			return r.padded(sp, "", t)
		}
		if n, ok := integer(v); ok && n >= 0 && n <= utf8.MaxRune {
			return r.padded(sp, "", string(rune(n)))
		}
		return "", errorf("%%c requires an integer or a character")
	case 'd', 'i', 'u', 'x', 'X', 'o':
		if f, ok := v.(float64); ok && strings.IndexByte("diu", sp.verb) >= 0 && math.Abs(f) < 1<<62 {
			v = int64(f)
		}
		n, ok := integer(v)
		if !ok {
			return "", errorf("%%%c format: a number is required, not %s", sp.verb, typeName(v))
		}
		return r.intField(sp, n)
	case 'f', 'F', 'e', 'E', 'g', 'G':
		f, ok := float(v)
		if !ok {
			return "", errorf("must be real number, not %s", typeName(v))
		}
		return r.floatField(sp, f)
	}
	return "", errorf("unsupported format character %q", sp.verb)
}

// cut shortens a text to a number of characters.
func cut(s string, n int) string {
	if n < 0 || n >= len(s) {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// signed gives the sign to write.
func (sp spec) signed(negative bool) string {
	if negative {
		return "-"
	}
	if sp.sign != 0 {
		return string(sp.sign)
	}
	return ""
}

func (r *run) intField(sp spec, n int64) (string, error) {
	base, prefix := 10, ""
	switch sp.verb {
	case 'x', 'X':
		base, prefix = 16, "0x"
	case 'o':
		base, prefix = 8, "0o"
	case 'b':
		base, prefix = 2, "0b"
	}
	digits := strings.TrimPrefix(strconv.FormatInt(n, base), "-")
	if sp.precision > len(digits) {
		if err := r.text(sp.precision); err != nil {
			return "", err
		}
		digits = strings.Repeat("0", sp.precision-len(digits)) + digits
	}
	if sp.verb == 'X' {
		digits, prefix = strings.ToUpper(digits), "0X"
	}
	if sp.comma {
		digits = grouped(digits)
	}
	sign := sp.signed(n < 0)
	if sp.alt {
		sign += prefix
	}
	return r.padded(sp, sign, digits)
}

func grouped(digits string) string {
	whole, rest := digits, ""
	if i := strings.IndexAny(digits, ".e"); i >= 0 {
		whole, rest = digits[:i], digits[i:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return whole + rest
}

func (r *run) floatField(sp spec, f float64) (string, error) {
	precision := sp.precision
	if precision < 0 {
		precision = 6
	}
	if precision > 1000 {
		return "", limitf("a precision of %d digits", precision)
	}
	verb := sp.verb | 0x20
	var digits string
	switch {
	case math.IsNaN(f):
		digits = "nan"
	case math.IsInf(f, 0):
		digits = "inf"
	case verb == 'g':
		digits = general(math.Abs(f), max(precision, 1), sp.alt)
	default:
		digits = strconv.FormatFloat(math.Abs(f), verb, precision, 64)
	}
	if sp.verb < 'a' {
		digits = strings.ToUpper(digits)
	}
	if sp.comma {
		digits = grouped(digits)
	}
	return r.padded(sp, sp.signed(math.Signbit(f) && !math.IsNaN(f)), digits)
}

// general is C's %g: the shorter of %e and %f without trailing zeros.
func general(f float64, precision int, keep bool) string {
	e := strconv.FormatFloat(f, 'e', precision-1, 64)
	exp, _ := strconv.Atoi(e[strings.IndexByte(e, 'e')+1:])
	mantissa, tail := e, ""
	if exp >= -4 && exp < precision {
		mantissa = strconv.FormatFloat(f, 'f', precision-1-exp, 64)
	} else {
		mantissa, tail = e[:strings.IndexByte(e, 'e')], e[strings.IndexByte(e, 'e'):]
	}
	if strings.Contains(mantissa, ".") && !keep {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	return mantissa + tail
}

// padded fills a field up to its width.
func (r *run) padded(sp spec, sign, body string) (string, error) {
	n := sp.width - runeCount(sign) - runeCount(body)
	if n <= 0 {
		return sign + body, nil
	}
	if err := r.text(len(sign) + len(body) + product(len(sp.fill), int64(n))); err != nil {
		return "", err
	}
	fill := strings.Repeat(sp.fill, n)
	switch {
	case sp.align == '^':
		left := strings.Repeat(sp.fill, n/2)
		return left + sign + body + strings.Repeat(sp.fill, n-n/2), nil
	case sp.align == '<' || sp.align == 0 && sp.left:
		return sign + body + fill, nil
	case sp.align == '=' || sp.align == 0 && sp.zero:
		if sp.align == 0 {
			fill = strings.Repeat("0", n)
		}
		return sign + fill + body, nil
	}
	return fill + sign + body, nil
}
