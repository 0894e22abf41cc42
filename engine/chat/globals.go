package chat

import (
	"fmt"
	"strings"
	"time"
)

// maxRange bounds range(), as the sandbox of Jinja does.
const maxRange = 100000

// builtins are the names that every template finds.
func (r *run) builtins() *scope {
	s := newScope(nil)
	for name, fn := range map[string]func(*run, *args) (any, error){
		"range": makeRange, "namespace": makeNamespace, "joiner": makeJoiner, "cycler": makeCycler,
		"raise_exception": raise,
	} {
		s.set(name, &builtin{name, fn})
	}
	s.set("dict", &builtin{"dict", func(r *run, a *args) (any, error) { return makeDict(r, a) }})
	if r.now != nil {
		s.set("strftime_now", &builtin{"strftime_now", func(r *run, a *args) (any, error) {
			b, err := a.bind(1, "format")
			if err != nil {
				return nil, err
			}
			format, err := b.text(0, "")
			if err != nil {
				return nil, err
			}
			if err := r.text(32 * len(format)); err != nil {
				return nil, err
			}
			return strftime(r.now(), format), nil
		}})
	}
	return s
}

func raise(r *run, a *args) (any, error) {
	b, err := a.bind(1, "message")
	if err != nil {
		return nil, err
	}
	t, err := r.str(b[0])
	if err != nil {
		return nil, err
	}
	return nil, &Error{Msg: t, Err: ErrRaised}
}

func makeRange(_ *run, a *args) (any, error) {
	var n [3]int64
	if len(a.pos) < 1 || len(a.pos) > 3 || len(a.names) > 0 {
		return nil, errorf("range takes 1 to 3 arguments")
	}
	for i, v := range a.pos {
		var ok bool
		if n[i], ok = integer(v); !ok {
			return nil, errorf("range needs integers, not %q", typeName(v))
		}
	}
	out := span{start: n[0], step: 1}
	end := n[1]
	if len(a.pos) == 1 {
		out.start, end = 0, n[0]
	}
	if len(a.pos) == 3 {
		out.step = n[2]
	}
	out.stop = end
	const far = 1 << 60
	if out.start < -far || out.start > far || end < -far || end > far || out.step < -far || out.step > far {
		return nil, limitf("range with a number beyond 60 bits")
	}
	switch {
	case out.step == 0:
		return nil, errorf("range with a step of zero")
	case out.step > 0 && end > out.start:
		out.n = (end - out.start + out.step - 1) / out.step
	case out.step < 0 && end < out.start:
		out.n = (out.start - end - out.step - 1) / -out.step
	}
	if out.n > maxRange {
		return nil, limitf("range of more than %d numbers", maxRange)
	}
	return out, nil
}

// makeDict is Python's dict(mapping or pairs, name=value).
func makeDict(r *run, a *args) (*dict, error) {
	d := newDict(len(a.names))
	if len(a.pos) > 1 {
		return nil, errorf("%s takes not more than 1 argument", a.fn)
	}
	if len(a.pos) == 1 {
		if err := r.fillDict(d, a.pos[0]); err != nil {
			return nil, err
		}
	}
	for i, name := range a.names {
		if err := r.put(d, name, a.named[i]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (r *run) fillDict(d *dict, from any) error {
	if m, ok := from.(*dict); ok {
		for i, k := range m.keys {
			if err := r.put(d, k, m.values[i]); err != nil {
				return err
			}
		}
		return nil
	}
	items, err := r.collect(from)
	if err != nil {
		return err
	}
	for _, item := range items {
		pair, err := r.collect(item)
		if err != nil {
			return err
		}
		if len(pair) != 2 {
			return errorf("a dict is made of pairs, got %d values", len(pair))
		}
		if err := r.put(d, pair[0], pair[1]); err != nil {
			return err
		}
	}
	return nil
}

func dictFromKeys(r *run, a *args) (any, error) {
	b, err := a.bind(1, "iterable", "value")
	if err != nil {
		return nil, err
	}
	keys, err := r.collect(b[0])
	if err != nil {
		return nil, err
	}
	d := newDict(len(keys))
	for _, k := range keys {
		if err := r.put(d, k, b.or(1, nil)); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func makeNamespace(r *run, a *args) (any, error) {
	d, err := makeDict(r, a)
	if err != nil {
		return nil, err
	}
	for _, k := range d.keys {
		if name, ok := text(k); ok && strings.HasPrefix(name, "_") {
			return nil, errorf("a namespace attribute cannot begin with an underscore: %q", name)
		}
	}
	return &namespace{d}, nil
}

// makeJoiner gives a function that gives nothing at first and then the separator.
func makeJoiner(_ *run, a *args) (any, error) {
	b, err := a.bind(0, "sep")
	if err != nil {
		return nil, err
	}
	used := false
	return &builtin{"joiner", func(*run, *args) (any, error) {
		if !used {
			used = true
			return "", nil
		}
		return b.or(0, ", "), nil
	}}, nil
}

// makeCycler gives a mapping-like value with next, reset and current.
func makeCycler(_ *run, a *args) (any, error) {
	if len(a.pos) == 0 {
		return nil, errorf("at least one item has to be provided")
	}
	i := 0
	d := newDict(3)
	d.setString("next", &builtin{"next", func(*run, *args) (any, error) {
		v := a.pos[i%len(a.pos)]
		i++
		return v, nil
	}})
	d.setString("reset", &builtin{"reset", func(*run, *args) (any, error) { i = 0; return nil, nil }})
	return &namespace{d}, nil
}

// strftime formats a time by the directives of C, in the C locale.
func strftime(t time.Time, format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		pad := byte(0)
		if c := format[i]; (c == '-' || c == '_') && i+1 < len(format) {
			pad = c
			i++
		}
		text, ok := directive(t, format[i], pad)
		if !ok {
			text = "%" + format[i:i+1]
		}
		b.WriteString(text)
	}
	return b.String()
}

// directive formats one field; pad is '-' for no padding, '_' for blanks, 0 for the default.
func directive(t time.Time, c, pad byte) (string, bool) {
	num := func(v, width int, fill byte) (string, bool) {
		if pad == '-' {
			return fmt.Sprintf("%d", v), true
		}
		if pad == '_' || fill == ' ' {
			return fmt.Sprintf("%*d", width, v), true
		}
		return fmt.Sprintf("%0*d", width, v), true
	}
	if layout, ok := map[byte]string{
		'a': "Mon", 'A': "Monday", 'b': "Jan", 'h': "Jan", 'B': "January", 'p': "PM", 'Z': "MST", 'z': "-0700",
		'D': "01/02/06", 'x': "01/02/06", 'F': "2006-01-02", 'T': "15:04:05", 'X': "15:04:05", 'R': "15:04",
		'c': "Mon Jan _2 15:04:05 2006", 'r': "03:04:05 PM",
	}[c]; ok {
		return t.Format(layout), true
	}
	_, week := t.ISOWeek()
	isoYear, _ := t.ISOWeek()
	weekday := int(t.Weekday())
	switch c {
	case 'd':
		return num(t.Day(), 2, '0')
	case 'e':
		return num(t.Day(), 2, ' ')
	case 'm':
		return num(int(t.Month()), 2, '0')
	case 'y':
		return num(t.Year()%100, 2, '0')
	case 'Y':
		return num(t.Year(), 1, '0')
	case 'C':
		return num(t.Year()/100, 2, '0')
	case 'G':
		return num(isoYear, 1, '0')
	case 'V':
		return num(week, 2, '0')
	case 'H':
		return num(t.Hour(), 2, '0')
	case 'k':
		return num(t.Hour(), 2, ' ')
	case 'I':
		return num((t.Hour()+11)%12+1, 2, '0')
	case 'l':
		return num((t.Hour()+11)%12+1, 2, ' ')
	case 'M':
		return num(t.Minute(), 2, '0')
	case 'S':
		return num(t.Second(), 2, '0')
	case 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000), true
	case 'j':
		return num(t.YearDay(), 3, '0')
	case 'w':
		return num(weekday, 1, '0')
	case 'u':
		return num((weekday+6)%7+1, 1, '0')
	case 'U':
		return num((t.YearDay()+6-weekday)/7, 2, '0')
	case 'W':
		return num((t.YearDay()+6-(weekday+6)%7)/7, 2, '0')
	case 'n':
		return "\n", true
	case 't':
		return "\t", true
	case '%':
		return "%", true
	}
	return "", false
}
