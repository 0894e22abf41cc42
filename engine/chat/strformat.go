package chat

import (
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// formatMethod is str.format, with the sandbox's rules for attributes.
func formatMethod(r *run, s string, a *args) (any, error) {
	f := &formatter{r: r, args: a}
	var b strings.Builder
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			i = len(s)
		}
		b.WriteString(s[:i])
		if s = s[i:]; s == "" {
			break
		}
		if strings.HasPrefix(s, "{{") || strings.HasPrefix(s, "}}") {
			b.WriteByte(s[0])
			s = s[2:]
			continue
		}
		end := strings.IndexByte(s, '}')
		if s[0] == '}' || end < 0 {
			return nil, errorf("single %q in format string", rune(s[0]))
		}
		field := s[1:end]
		if strings.ContainsRune(field, '{') {
			return nil, errorf("fields inside fields of a format are not supported")
		}
		t, err := f.field(field)
		if err != nil {
			return nil, err
		}
		if err := r.text(b.Len() + len(t)); err != nil {
			return nil, err
		}
		b.WriteString(t)
		s = s[end+1:]
	}
	return b.String(), r.text(b.Len())
}

type formatter struct {
	r    *run
	args *args
	auto int
	// Which of "{}" and "{0}" was used; Python refuses a mix.
	numbered, counted bool
}

// field formats "name!conversion:spec".
func (f *formatter) field(field string) (string, error) {
	name, format, _ := strings.Cut(field, ":")
	name, conversion, converted := strings.Cut(name, "!")
	v, err := f.lookup(name)
	if err != nil {
		return "", err
	}
	if converted {
		switch conversion {
		case "s":
			v, err = f.r.str(v)
		case "r":
			v, err = f.r.repr(v)
		default:
			err = errorf("unknown conversion %q", conversion)
		}
		if err != nil {
			return "", err
		}
	}
	return f.r.formatValue(v, format)
}

// lookup resolves a field's name: "", "0", "name", "name.attr", "name[key]".
func (f *formatter) lookup(name string) (any, error) {
	end := strings.IndexAny(name, ".[")
	if end < 0 {
		end = len(name)
	}
	v, err := f.first(name[:end])
	for rest := name[end:]; rest != "" && err == nil; {
		if rest[0] == '.' {
			next := strings.IndexAny(rest[1:], ".[")
			if next < 0 {
				next = len(rest) - 1
			}
			v, err = f.r.attr(v, rest[1:1+next])
			rest = rest[1+next:]
			continue
		}
		end := strings.IndexByte(rest, ']')
		if end < 0 {
			return nil, errorf("missing ']' in format string")
		}
		var key any = rest[1:end]
		if n, e := strconv.ParseInt(rest[1:end], 10, 64); e == nil {
			key = n
		}
		v, err = f.r.item(v, key)
		if rest = rest[end+1:]; rest != "" && rest[0] != '.' && rest[0] != '[' {
			return nil, errorf("only '.' or '[' may follow ']' in a format field")
		}
	}
	return v, err
}

func (f *formatter) first(name string) (any, error) {
	index := -1
	if name == "" {
		index = f.auto
		f.auto++
		f.counted = true
	} else if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		index = int(n)
		f.numbered = true
	}
	if f.numbered && f.counted {
		return nil, errorf("a format cannot mix {} and {0}")
	}
	if index >= 0 {
		if index >= len(f.args.pos) {
			return nil, errorf("format index %d out of range", index)
		}
		return f.args.pos[index], nil
	}
	for i, n := range f.args.names {
		if n == name {
			return f.args.named[i], nil
		}
	}
	return nil, errorf("format key %q is missing", name)
}

// formatValue is Python's format(v, spec).
func (r *run) formatValue(v any, format string) (string, error) {
	if format == "" {
		return r.str(v)
	}
	sp, err := parseSpec(format)
	if err != nil {
		return "", err
	}
	number := false
	switch v.(type) {
	case int64, float64, *big.Int:
		number = true
	case bool:
		number = sp.verb != 0 && sp.verb != 's'
	}
	if !number {
		s, ok := text(v)
		if _, isBool := v.(bool); isBool {
			s, err = r.str(v)
			ok = true
		}
		if err != nil || !ok || sp.verb != 0 && sp.verb != 's' {
			return "", errorf("format %q does not suit a %s", format, typeName(v))
		}
		if sp.align == 0 {
			sp.align = '<'
		}
		return r.padded(sp, "", cut(s, sp.precision))
	}
	if f, ok := v.(float64); ok && sp.verb == 0 {
		if sp.precision >= 0 {
			return "", errorf("format %q without a letter is not supported for a float", format)
		}
		return r.padded(sp, sp.signed(f < 0), strings.TrimPrefix(floatRepr(f), "-"))
	}
	switch sp.verb {
	case 0, 'd', 'x', 'X', 'o', 'b':
		n, ok := integer(v)
		if !ok || sp.precision >= 0 {
			return "", errorf("format %q does not suit a %s", format, typeName(v))
		}
		return r.intField(sp, n)
	case '%':
		f, _ := float(v)
		sp.verb = 'f'
		if sp.width > 0 {
			sp.width--
		}
		out, err := r.floatField(sp, f*100)
		return out + "%", err
	case 'f', 'F', 'e', 'E', 'g', 'G':
		f, _ := float(v)
		return r.floatField(sp, f)
	}
	return "", errorf("unknown format %q", format)
}

// parseSpec reads [[fill]align][sign][#][0][width][,][.precision][type].
func parseSpec(s string) (spec, error) {
	sp := spec{precision: -1, fill: " "}
	whole := s
	if _, n := utf8.DecodeRuneInString(s); n < len(s) && strings.IndexByte("<>^=", s[n]) >= 0 {
		sp.fill, sp.align, s = s[:n], s[n], s[n+1:]
	} else if strings.IndexByte("<>^=", s[0]) >= 0 {
		sp.align, s = s[0], s[1:]
	}
	if s != "" && strings.IndexByte("+- ", s[0]) >= 0 {
		if s[0] != '-' {
			sp.sign = s[0]
		}
		s = s[1:]
	}
	if strings.HasPrefix(s, "#") {
		sp.alt, s = true, s[1:]
	}
	if strings.HasPrefix(s, "0") {
		sp.zero = sp.align == 0
		s = s[1:]
	}
	n := 0
	for ; n < len(s) && s[n] >= '0' && s[n] <= '9'; n++ {
		sp.width = min(sp.width*10+int(s[n]-'0'), 1<<30)
	}
	s = s[n:]
	if strings.HasPrefix(s, ",") {
		sp.comma, s = true, s[1:]
	}
	if strings.HasPrefix(s, ".") {
		n, sp.precision = 1, 0
		for ; n < len(s) && s[n] >= '0' && s[n] <= '9'; n++ {
			sp.precision = min(sp.precision*10+int(s[n]-'0'), 1<<30)
		}
		if n == 1 {
			return sp, errorf("format %q lacks a precision", whole)
		}
		s = s[n:]
	}
	if len(s) > 1 {
		return sp, errorf("invalid format %q", whole)
	}
	if s != "" {
		sp.verb = s[0]
	}
	return sp, nil
}
