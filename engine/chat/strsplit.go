package chat

import (
	"strings"
	"unicode/utf8"
)

// separator binds sep and maxsplit; blank tells that no separator is given.
func separator(a *args) (sep string, blank bool, limit int, err error) {
	b, err := a.bind(0, "sep", "maxsplit")
	if err != nil {
		return "", false, 0, err
	}
	if limit, err = b.integer(1, -1); err != nil {
		return "", false, 0, err
	}
	if !b.given(0) {
		return "", true, limit, nil
	}
	if sep, err = b.text(0, ""); err == nil && sep == "" {
		err = errorf("empty separator")
	}
	return sep, false, limit, err
}

func texts(parts []string) []any {
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out
}

func splitMethod(r *run, s string, a *args) (any, error) {
	sep, blank, limit, err := separator(a)
	if err != nil {
		return nil, err
	}
	if err := r.use(len(s)); err != nil {
		return nil, err
	}
	if !blank {
		if err := r.use(32 * strings.Count(s, sep)); err != nil {
			return nil, err
		}
		if limit < 0 {
			return texts(strings.Split(s, sep)), nil
		}
		return texts(strings.SplitN(s, sep, min(limit, len(s))+1)), nil
	}
	out := []any{}
	for s = strings.TrimLeftFunc(s, isSpace); s != ""; s = strings.TrimLeftFunc(s, isSpace) {
		end := strings.IndexFunc(s, isSpace)
		if limit >= 0 && len(out) >= limit || end < 0 {
			out = append(out, s)
			break
		}
		out = append(out, s[:end])
		s = s[end:]
		if err := r.use(32); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func rsplitMethod(r *run, s string, a *args) (any, error) {
	sep, blank, limit, err := separator(a)
	if err != nil {
		return nil, err
	}
	if limit < 0 {
		return splitMethod(r, s, a)
	}
	var back []any // from the end
	if blank {
		s = strings.TrimRightFunc(s, isSpace)
	}
	for len(back) < limit {
		at, width := strings.LastIndex(s, sep), len(sep)
		if blank {
			at = strings.LastIndexFunc(s, isSpace)
			if at >= 0 {
				_, width = utf8.DecodeRuneInString(s[at:])
			}
		}
		if at < 0 {
			break
		}
		back = append(back, s[at+width:])
		if err := r.use(32 + len(s) - at); err != nil {
			return nil, err
		}
		s = s[:at]
		if blank {
			s = strings.TrimRightFunc(s, isSpace)
		}
	}
	if !blank || s != "" {
		back = append(back, s)
	}
	out := make([]any, len(back))
	for i, v := range back {
		out[len(back)-1-i] = v
	}
	return out, nil
}

// splitLines splits where Python sees the end of a line.
func splitLines(s string, keep bool) []string {
	var out []string
	start := 0
	for i, c := range s {
		if i < start || !isLineEnd(c) {
			continue
		}
		end := i + utf8.RuneLen(c)
		if c == '\r' && strings.HasPrefix(s[end:], "\n") {
			end++
		}
		if keep {
			out = append(out, s[start:end])
		} else {
			out = append(out, s[start:i])
		}
		start = end
	}
	if start < len(s) {
		out = append(out, s[start:])
	}
	return out
}

func isLineEnd(c rune) bool {
	return c >= '\n' && c <= '\r' || c >= 0x1c && c <= 0x1e || c == 0x85 || c == 0x2028 || c == 0x2029
}

func splitlinesMethod(r *run, s string, a *args) (any, error) {
	b, err := a.bind(0, "keepends")
	if err != nil {
		return nil, err
	}
	lines := 0
	for _, c := range s {
		lines += int(asInt(isLineEnd(c)))
	}
	if err := r.use(len(s) + 32*lines); err != nil {
		return nil, err
	}
	return texts(splitLines(s, b.truth(0))), nil
}

func partitionMethod(find func(s, sep string) int) stringFunc {
	return func(r *run, s string, a *args) (any, error) {
		b, err := a.bind(1, "sep")
		if err != nil {
			return nil, err
		}
		sep, err := b.text(0, "")
		if err != nil {
			return nil, err
		}
		if sep == "" {
			return nil, errorf("empty separator")
		}
		i := find(s, sep)
		if i >= 0 {
			return tuple{s[:i], sep, s[i+len(sep):]}, r.use(len(s))
		}
		if a.fn == "rpartition" {
			return tuple{"", "", s}, r.use(len(s))
		}
		return tuple{s, "", ""}, r.use(len(s))
	}
}
