package chat

import "strings"

// part is s[start:end] with Python's idea of both, and where it begins.
func part(s string, b bound, at int) (string, int, bool, error) {
	if !b.given(at) && !b.given(at+1) {
		return s, 0, true, nil
	}
	n := runeCount(s)
	from, err := b.integer(at, 0)
	if err != nil {
		return "", 0, false, err
	}
	to, err := b.integer(at+1, n)
	if err != nil {
		return "", 0, false, err
	}
	clamp := func(i int) int {
		if i < 0 {
			i += n
		}
		return max(i, 0)
	}
	from, to = clamp(from), min(clamp(to), n)
	if from > to {
		return "", 0, false, nil
	}
	runes := []rune(s)
	return string(runes[from:to]), from, true, nil
}

func affixMethod(has func(s, fix string) bool) stringFunc {
	return func(r *run, s string, a *args) (any, error) {
		b, err := a.bind(1, "affix", "start", "end")
		if err != nil {
			return nil, err
		}
		if err := r.use(len(s)); err != nil {
			return nil, err
		}
		s, _, ok, err := part(s, b, 1)
		if err != nil {
			return nil, err
		}
		fixes := []any{b[0]}
		if several, ok := b[0].(tuple); ok {
			fixes = several
		}
		for _, f := range fixes {
			fix, isText := text(f)
			if !isText {
				if u, ok := f.(undefined); ok {
					return nil, undefinedError(u)
				}
				return nil, errorf("%s first arg must be str or a tuple of str, not %s", a.fn, typeName(f))
			}
			if ok && has(s, fix) {
				return true, nil
			}
		}
		return false, nil
	}
}

func findMethod(find func(s, sub string) int, must bool) stringFunc {
	return func(r *run, s string, a *args) (any, error) {
		b, err := a.bind(1, "sub", "start", "end")
		if err != nil {
			return nil, err
		}
		sub, err := b.text(0, "")
		if err != nil {
			return nil, err
		}
		if err := r.use(4 * len(s)); err != nil {
			return nil, err
		}
		s, from, ok, err := part(s, b, 1)
		if err != nil {
			return nil, err
		}
		if i := find(s, sub); ok && i >= 0 {
			return int64(from + runeCount(s[:i])), nil
		}
		if must {
			return nil, errorf("substring not found")
		}
		return int64(-1), nil
	}
}

func countMethod(r *run, s string, a *args) (any, error) {
	b, err := a.bind(1, "sub", "start", "end")
	if err != nil {
		return nil, err
	}
	sub, err := b.text(0, "")
	if err != nil {
		return nil, err
	}
	if err := r.use(4 * len(s)); err != nil {
		return nil, err
	}
	s, _, ok, err := part(s, b, 1)
	if err != nil || !ok {
		return int64(0), err
	}
	return int64(strings.Count(s, sub)), nil
}
