package chat

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// filterFunc is a filter: it makes a value from a value and arguments.
type filterFunc func(r *run, v any, a *args) (any, error)

// allFilters are the filters of Jinja and transformers, but for those that need chance or
// the network's idea of text (random, pprint, urlize, xmlattr, striptags, wordwrap, filesizeformat).
func allFilters() map[string]filterFunc {
	return map[string]filterFunc{
		"abs": absFilter, "attr": attrFilter, "batch": batchFilter, "capitalize": textFilter(capitalize),
		"center": centerFilter, "count": lengthFilter, "d": defaultFilter, "default": defaultFilter,
		"dictsort": dictsortFilter, "e": escapeFilter, "escape": escapeFilter, "first": firstFilter,
		"float": floatFilter, "forceescape": forceEscapeFilter, "format": formatFilter, "groupby": groupbyFilter,
		"indent": indentFilter, "int": intFilter, "items": itemsFilter, "join": joinFilter, "last": lastFilter,
		"length": lengthFilter, "list": listFilter, "lower": textFilter(lower), "map": mapFilter, "max": extremeFilter(true),
		"min": extremeFilter(false), "reject": selectFilter(false, false), "rejectattr": selectFilter(true, false),
		"replace": replaceFilter, "reverse": reverseFilter, "round": roundFilter, "safe": safeFilter,
		"select": selectFilter(false, true), "selectattr": selectFilter(true, true), "slice": sliceFilter,
		"sort": sortFilter, "string": stringFilter, "sum": sumFilter, "title": textFilter(titleWords),
		"tojson": toJSON, "trim": trimFilter, "truncate": truncateFilter, "unique": uniqueFilter,
		"upper": textFilter(upper), "urlencode": urlencodeFilter, "wordcount": wordcountFilter,
	}
}

// soft is a value's text that stays markup if it is.
func (r *run) soft(v any) (any, string, error) {
	s, err := r.str(v)
	if _, ok := v.(markup); ok {
		return v, s, err
	}
	return s, s, err
}

func textFilter(f func(string) string) filterFunc {
	return func(r *run, v any, a *args) (any, error) {
		if _, err := a.bind(0); err != nil {
			return nil, err
		}
		like, s, err := r.soft(v)
		if err != nil {
			return nil, err
		}
		return sameText(like, f(s)), r.text(3 * len(s))
	}
}

// titleWords begins every word with a capital, words being what blanks and opening brackets part.
func titleWords(s string) string {
	var b strings.Builder
	isBreak := func(c rune) bool { return isSpace(c) || strings.ContainsRune("-({[<", c) }
	for s != "" {
		c, _ := utf8.DecodeRuneInString(s)
		breaks := isBreak(c)
		end := strings.IndexFunc(s, func(c rune) bool { return isBreak(c) != breaks })
		if end < 0 {
			end = len(s)
		}
		if breaks {
			b.WriteString(s[:end])
		} else {
			n := utf8.RuneLen(c)
			b.WriteString(upper(s[:n]) + lower(s[n:end]))
		}
		s = s[end:]
	}
	return b.String()
}

func absFilter(_ *run, v any, a *args) (any, error) {
	if _, err := a.bind(0); err != nil {
		return nil, err
	}
	if i, ok := integer(v); ok {
		if i < 0 {
			return intArithmetic("-", 0, i)
		}
		return i, nil
	}
	if f, ok := v.(float64); ok {
		return math.Abs(f), nil
	}
	return nil, errorf("bad operand type for abs: %q", typeName(v))
}

func attrFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(1, "name")
	if err != nil {
		return nil, err
	}
	name, err := r.str(b[0])
	if err != nil {
		return nil, err
	}
	if u, ok := v.(undefined); ok {
		return nil, undefinedError(u)
	}
	if got, ok := r.attribute(v, name); ok {
		return got, nil
	}
	return undefined{"'" + typeName(v) + " object' has no attribute '" + name + "'"}, nil
}

func centerFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "width")
	if err != nil {
		return nil, err
	}
	width, err := b.integer(0, 80)
	if err != nil {
		return nil, err
	}
	like, s, err := r.soft(v)
	if err != nil {
		return nil, err
	}
	out, err := r.pad(s, "center", " ", width)
	return sameText(like, out), err
}

func defaultFilter(_ *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "default_value", "boolean")
	if err != nil {
		return nil, err
	}
	if _, no := v.(undefined); no || b.truth(1) && !truth(v) {
		return b.or(0, ""), nil
	}
	return v, nil
}

func escapeFilter(r *run, v any, a *args) (any, error) {
	if m, ok := v.(markup); ok {
		return m, nil
	}
	return forceEscapeFilter(r, v, a)
}

func forceEscapeFilter(r *run, v any, a *args) (any, error) {
	if _, err := a.bind(0); err != nil {
		return nil, err
	}
	s, err := r.str(v)
	if err != nil {
		return nil, err
	}
	if err := r.text(len(s) + 4*(strings.Count(s, "&")+strings.Count(s, "<")+strings.Count(s, ">")+strings.Count(s, "'")+strings.Count(s, `"`))); err != nil {
		return nil, err
	}
	return markup(escape(s)), nil
}

func safeFilter(r *run, v any, a *args) (any, error) {
	if _, err := a.bind(0); err != nil {
		return nil, err
	}
	s, err := r.str(v)
	return markup(s), err
}

func stringFilter(r *run, v any, a *args) (any, error) {
	if _, err := a.bind(0); err != nil {
		return nil, err
	}
	like, _, err := r.soft(v)
	return like, err
}

func trimFilter(r *run, v any, a *args) (any, error) {
	like, s, err := r.soft(v)
	if err != nil {
		return nil, err
	}
	out, err := stripper(strings.TrimFunc, strings.Trim)(r, s, a)
	if err != nil {
		return nil, err
	}
	return sameText(like, out.(string)), nil
}

func replaceFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(2, "old", "new", "count")
	if err != nil {
		return nil, err
	}
	n, err := b.integer(2, -1)
	if err != nil {
		return nil, err
	}
	var t [3]string
	for i, x := range []any{v, b[0], b[1]} {
		if t[i], err = r.str(x); err != nil {
			return nil, err
		}
	}
	return r.replace(t[0], t[1], t[2], n)
}

func indentFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "width", "first", "blank")
	if err != nil {
		return nil, err
	}
	indent, ok := text(b.or(0, nil))
	if !ok {
		width, err := b.integer(0, 4)
		if err != nil {
			return nil, err
		}
		if width > 1000 {
			return nil, limitf("an indentation of %d", width)
		}
		indent = strings.Repeat(" ", max(width, 0))
	}
	s, ok := text(v)
	if !ok {
		if u, ok := v.(undefined); ok {
			return nil, undefinedError(u)
		}
		return nil, errorf("indent needs a text, not %q", typeName(v))
	}
	lines := splitLines(s+"\n", false)
	if err := r.text(len(s) + product(len(indent)+1, int64(len(lines)))); err != nil {
		return nil, err
	}
	var out strings.Builder
	for i, line := range lines {
		if i > 0 {
			out.WriteByte('\n')
		}
		if i > 0 && (line != "" || b.truth(2)) || i == 0 && b.truth(1) {
			out.WriteString(indent)
		}
		out.WriteString(line)
	}
	return sameText(v, out.String()), nil
}

func truncateFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "length", "killwords", "end", "leeway")
	if err != nil {
		return nil, err
	}
	n, err := b.integer(0, 255)
	if err != nil {
		return nil, err
	}
	end, err := b.text(2, "...")
	if err != nil {
		return nil, err
	}
	leeway, err := b.integer(3, 5)
	if err != nil {
		return nil, err
	}
	s, ok := text(v)
	if !ok || n < runeCount(end) || leeway < 0 {
		return nil, errorf("truncate needs a text, a length of at least that of its end, and a positive leeway")
	}
	if err := r.text(4 * len(s)); err != nil {
		return nil, err
	}
	runes := []rune(s)
	if len(runes) <= n || len(runes)-n <= leeway {
		return v, nil
	}
	kept := string(runes[:n-runeCount(end)])
	if !b.truth(1) {
		if i := strings.LastIndexByte(kept, ' '); i >= 0 {
			kept = kept[:i]
		}
	}
	return sameText(v, kept+end), nil
}

func formatFilter(r *run, v any, a *args) (any, error) {
	like, s, err := r.soft(v)
	if err != nil {
		return nil, err
	}
	var values any = tuple(a.pos)
	if len(a.names) > 0 {
		if len(a.pos) > 0 {
			return nil, errorf("format cannot take positional and named arguments at the same time")
		}
		d := newDict(len(a.names))
		for i, name := range a.names {
			d.setString(name, a.named[i])
		}
		values = d
	}
	out, err := r.percent(s, values)
	return sameText(like, out), err
}

func wordcountFilter(r *run, v any, a *args) (any, error) {
	if _, err := a.bind(0); err != nil {
		return nil, err
	}
	s, err := r.str(v)
	if err != nil {
		return nil, err
	}
	words := strings.FieldsFunc(s, func(c rune) bool { return c != '_' && !unicode.IsLetter(c) && !unicode.IsNumber(c) })
	return int64(len(words)), r.use(16 * len(words))
}

func urlencodeFilter(r *run, v any, a *args) (any, error) {
	if _, err := a.bind(0); err != nil {
		return nil, err
	}
	s, err := r.str(v)
	if err != nil {
		return nil, err
	}
	if err := r.text(3 * len(s)); err != nil {
		return nil, err
	}
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c < 0x80 && (unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c)) || strings.IndexByte("_.-~/", c) >= 0) {
			b.WriteByte(c)
			continue
		}
		b.WriteString("%" + strings.ToUpper(hex(rune(c), 2)))
	}
	return b.String(), nil
}

func intFilter(_ *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "default", "base")
	if err != nil {
		return nil, err
	}
	base, err := b.integer(1, 10)
	if err != nil {
		return nil, err
	}
	switch x := v.(type) {
	case undefined:
		return nil, undefinedError(x)
	case *big.Int:
		return x, nil
	case float64:
		return truncated(x, b.or(0, int64(0)))
	}
	if i, ok := integer(v); ok {
		return i, nil
	}
	s, ok := text(v)
	if !ok {
		return b.or(0, int64(0)), nil
	}
	if i, ok := parseInt(s, base); ok {
		return i, nil
	}
	if f, ok := parseFloat(s); ok && !math.IsInf(f, 0) {
		return truncated(f, b.or(0, int64(0)))
	}
	return b.or(0, int64(0)), nil
}

// truncated makes a float an integer of any size.
func truncated(f float64, def any) (any, error) {
	switch {
	case math.IsNaN(f):
		return def, nil
	case math.IsInf(f, 0):
		return nil, errorf("cannot convert float infinity to integer")
	case math.Abs(f) < 1<<62:
		return int64(f), nil
	}
	i, _ := big.NewFloat(f).Int(nil)
	return i, nil
}

// parseInt is Python's int(text, base).
func parseInt(s string, base int) (any, bool) {
	s = strings.TrimFunc(s, isSpace)
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || len(s) > 1000 || base < 0 || base == 1 || base > 36 {
		return nil, false
	}
	if base != 0 && base != 10 && len(digits) > 2 && digits[0] == '0' {
		if p := map[byte]int{'x': 16, 'o': 8, 'b': 2}[digits[1]|0x20]; p == base {
			digits = digits[2:]
		}
	}
	if base != 0 && (strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") || strings.Contains(digits, "__")) {
		return nil, false
	}
	if base != 0 {
		digits = strings.ReplaceAll(digits, "_", "")
	}
	i, ok := new(big.Int).SetString(digits, base)
	if !ok || digits == "" || digits[0] == '-' || digits[0] == '+' {
		return nil, false
	}
	if strings.HasPrefix(s, "-") {
		i.Neg(i)
	}
	if i.IsInt64() {
		return i.Int64(), true
	}
	return i, true
}

// parseFloat is Python's float(text).
func parseFloat(s string) (float64, bool) {
	s = strings.TrimFunc(s, isSpace)
	if strings.ContainsAny(s, "xXpP") || strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") || len(s) > 1000 {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	return f, err == nil || isRangeError(err)
}

func floatFilter(_ *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "default")
	if err != nil {
		return nil, err
	}
	if u, ok := v.(undefined); ok {
		return nil, undefinedError(u)
	}
	if f, ok := float(v); ok {
		return f, nil
	}
	if s, ok := text(v); ok {
		if f, ok := parseFloat(s); ok {
			return f, nil
		}
	}
	return b.or(0, 0.0), nil
}

func roundFilter(_ *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "precision", "method")
	if err != nil {
		return nil, err
	}
	precision, err := b.integer(0, 0)
	if err != nil {
		return nil, err
	}
	method, err := b.text(1, "common")
	if err != nil {
		return nil, err
	}
	f, ok := float(v)
	if !ok || precision < -300 || precision > 300 {
		return nil, errorf("round needs a number and a precision of at most 300")
	}
	scale := math.Pow(10, float64(precision))
	switch method {
	case "common":
		if i, ok := integer(v); ok {
			if precision >= 0 {
				return i, nil
			}
			return int64(math.RoundToEven(f*scale) / scale), nil
		}
		if precision < 0 || math.IsInf(f, 0) || math.IsNaN(f) {
			return math.RoundToEven(f*scale) / scale, nil
		}
		out, err := strconv.ParseFloat(strconv.FormatFloat(f, 'f', precision, 64), 64)
		return out, err
	case "ceil":
		return math.Ceil(f*scale) / scale, nil
	case "floor":
		return math.Floor(f*scale) / scale, nil
	}
	return nil, errorf("method must be common, ceil or floor")
}
