package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// stringFunc is a method of texts.
type stringFunc func(r *run, s string, a *args) (any, error)

// isSpace tells what Python takes as a blank in a text.
func isSpace(c rune) bool { return unicode.IsSpace(c) || c >= 0x1c && c <= 0x1f }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func upper(s string) string {
	if isASCII(s) {
		return strings.ToUpper(s)
	}
	return cases.Upper(language.Und).String(s)
}

func lower(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	return cases.Lower(language.Und).String(s)
}

func capitalize(s string) string {
	c, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToTitle(c)) + lower(s[n:])
}

// stringMethods are the methods of texts that templates may call.
func stringMethods() map[string]stringFunc {
	m := map[string]stringFunc{
		"strip":      stripper(strings.TrimFunc, strings.Trim),
		"lstrip":     stripper(strings.TrimLeftFunc, strings.TrimLeft),
		"rstrip":     stripper(strings.TrimRightFunc, strings.TrimRight),
		"split":      splitMethod,
		"rsplit":     rsplitMethod,
		"splitlines": splitlinesMethod,
		"partition":  partitionMethod(strings.Index),
		"rpartition": partitionMethod(strings.LastIndex),
		"replace":    replaceMethod,
		"startswith": affixMethod(strings.HasPrefix),
		"endswith":   affixMethod(strings.HasSuffix),
		"find":       findMethod(strings.Index, false),
		"rfind":      findMethod(strings.LastIndex, false),
		"index":      findMethod(strings.Index, true),
		"rindex":     findMethod(strings.LastIndex, true),
		"count":      countMethod,
		"join":       joinMethod,
		"format":     formatMethod,
		"zfill":      zfillMethod,
		"center":     padMethod("center"),
		"ljust":      padMethod("ljust"),
		"rjust":      padMethod("rjust"),
		"removeprefix": plain2(func(s, t string) string {
			return strings.TrimPrefix(s, t)
		}),
		"removesuffix": plain2(func(s, t string) string {
			return strings.TrimSuffix(s, t)
		}),
	}
	for name, f := range map[string]func(string) string{
		"upper": upper, "lower": lower, "casefold": func(s string) string { return cases.Fold().String(s) },
		"capitalize": capitalize, "title": titleMethod, "swapcase": swapcase,
	} {
		m[name] = func(r *run, s string, a *args) (any, error) {
			if _, err := a.bind(0); err != nil {
				return nil, err
			}
			return f(s), r.text(3 * len(s))
		}
	}
	for name, f := range predicates() {
		m[name] = func(r *run, s string, a *args) (any, error) {
			_, err := a.bind(0)
			if err != nil {
				return nil, err
			}
			return f(s), r.use(len(s))
		}
	}
	return m
}

// predicates are the is… methods.
func predicates() map[string]func(string) bool {
	every := func(f func(rune) bool) func(string) bool {
		return func(s string) bool {
			return s != "" && strings.IndexFunc(s, func(c rune) bool { return !f(c) }) < 0
		}
	}
	cased := func(bad func(rune) bool) func(string) bool {
		return func(s string) bool {
			return strings.IndexFunc(s, isCased) >= 0 && strings.IndexFunc(s, bad) < 0
		}
	}
	number := func(c rune) bool { return unicode.IsNumber(c) }
	return map[string]func(string) bool{
		"isspace":   every(isSpace),
		"isalpha":   every(unicode.IsLetter),
		"isdecimal": every(unicode.IsDigit),
		"isdigit":   every(unicode.IsDigit),
		"isnumeric": every(number),
		"isalnum":   every(func(c rune) bool { return unicode.IsLetter(c) || number(c) }),
		"isupper":   cased(func(c rune) bool { return unicode.IsLower(c) || unicode.IsTitle(c) }),
		"islower":   cased(func(c rune) bool { return unicode.IsUpper(c) || unicode.IsTitle(c) }),
		"isascii":   isASCII,
		"istitle":   func(s string) bool { return strings.IndexFunc(s, isCased) >= 0 && titleMethod(s) == s },
		"isidentifier": func(s string) bool {
			c, _ := utf8.DecodeRuneInString(s)
			return s != "" && !unicode.IsDigit(c) && every(func(c rune) bool { return c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c) })(s)
		},
		"isprintable": func(s string) bool { return s == "" || every(unicode.IsPrint)(s) },
	}
}

func isCased(c rune) bool { return unicode.IsUpper(c) || unicode.IsLower(c) || unicode.IsTitle(c) }

// titleMethod begins every run of cased letters with a capital.
func titleMethod(s string) string {
	var b strings.Builder
	inWord := false
	for _, c := range s {
		switch {
		case !isCased(c):
			inWord = false
			b.WriteRune(c)
		case inWord:
			b.WriteRune(unicode.ToLower(c))
		default:
			inWord = true
			b.WriteRune(unicode.ToTitle(c))
		}
	}
	return b.String()
}

func swapcase(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsUpper(c) {
			return unicode.ToLower(c)
		}
		return unicode.ToUpper(c)
	}, s)
}

func stripper(blanks func(string, func(rune) bool) string, chars func(string, string) string) stringFunc {
	return func(r *run, s string, a *args) (any, error) {
		b, err := a.bind(0, "chars")
		if err != nil {
			return nil, err
		}
		if err := r.use(len(s)); err != nil {
			return nil, err
		}
		if !b.given(0) {
			return blanks(s, isSpace), nil
		}
		set, err := b.text(0, "")
		if err != nil {
			return nil, err
		}
		if err := r.use(product(len(s), int64(len(set))) / 16); err != nil {
			return nil, err
		}
		return chars(s, set), nil
	}
}

func plain2(f func(s, t string) string) stringFunc {
	return func(r *run, s string, a *args) (any, error) {
		b, err := a.bind(1, "text")
		if err != nil {
			return nil, err
		}
		t, err := b.text(0, "")
		if err != nil {
			return nil, err
		}
		return f(s, t), r.use(len(s))
	}
}

func replaceMethod(r *run, s string, a *args) (any, error) {
	b, err := a.bind(2, "old", "new", "count")
	if err != nil {
		return nil, err
	}
	old, err := b.text(0, "")
	if err != nil {
		return nil, err
	}
	repl, err := b.text(1, "")
	if err != nil {
		return nil, err
	}
	n, err := b.integer(2, -1)
	if err != nil {
		return nil, err
	}
	return r.replace(s, old, repl, n)
}

// replace charges the result before it is made.
func (r *run) replace(s, old, repl string, n int) (string, error) {
	if err := r.use(len(s)); err != nil {
		return "", err
	}
	found := strings.Count(s, old)
	if n >= 0 {
		found = min(found, n)
	}
	if err := r.text(min(len(s)+product(len(repl), int64(found)), 1<<31-1)); err != nil {
		return "", err
	}
	return strings.Replace(s, old, repl, n), nil
}

func joinMethod(r *run, s string, a *args) (any, error) {
	b, err := a.bind(1, "iterable")
	if err != nil {
		return nil, err
	}
	items, err := r.collect(b[0])
	if err != nil {
		return nil, err
	}
	for i, item := range items {
		if _, ok := text(item); !ok {
			return nil, errorf("sequence item %d: expected str, %s found", i, typeName(item))
		}
	}
	return r.joinTexts(s, items)
}

func (r *run) joinTexts(sep string, items []any) (string, error) {
	var b strings.Builder
	for i, item := range items {
		t, err := r.str(item)
		if err != nil {
			return "", err
		}
		if i > 0 {
			t = sep + t
		}
		if b.Len()+len(t) > r.maxText {
			return "", limitf("a text longer than %d bytes", r.maxText)
		}
		if err := r.use(len(t)); err != nil {
			return "", err
		}
		b.WriteString(t)
	}
	return b.String(), nil
}

func zfillMethod(r *run, s string, a *args) (any, error) {
	b, err := a.bind(1, "width")
	if err != nil {
		return nil, err
	}
	width, err := b.integer(0, 0)
	if err != nil {
		return nil, err
	}
	n := max(width-runeCount(s), 0)
	if err := r.text(len(s) + min(n, 1<<30)); err != nil {
		return nil, err
	}
	zeros := strings.Repeat("0", n)
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[:1] + zeros + s[1:], nil
	}
	return zeros + s, nil
}

func padMethod(how string) stringFunc {
	return func(r *run, s string, a *args) (any, error) {
		b, err := a.bind(1, "width", "fillchar")
		if err != nil {
			return nil, err
		}
		width, err := b.integer(0, 0)
		if err != nil {
			return nil, err
		}
		fill, err := b.text(1, " ")
		if err != nil {
			return nil, err
		}
		if runeCount(fill) != 1 {
			return nil, errorf("the fill character must be exactly one character long")
		}
		return r.pad(s, how, fill, width)
	}
}

// pad fills a text up to a width.
func (r *run) pad(s, how, fill string, width int) (string, error) {
	n := width - runeCount(s)
	if n <= 0 {
		return s, nil
	}
	if err := r.text(len(s) + product(len(fill), int64(n))); err != nil {
		return "", err
	}
	left := 0
	switch how {
	case "center":
		left = n/2 + (n & width & 1)
	case "rjust":
		left = n
	}
	return strings.Repeat(fill, left) + s + strings.Repeat(fill, n-left), nil
}
