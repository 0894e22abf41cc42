package chat

import (
	"errors"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// number consumes an integer or float literal. A number right after a dot is an index
// ("a.0.1"), so it is never a float there.
func (l *lexer) number(rest string) error {
	afterDot := l.pos > 0 && l.src[l.pos-1] == '.'
	if n := baseLiteral(rest); n > 0 {
		b, ok := new(big.Int).SetString(rest[:n], 0)
		if !ok || n > 1000 {
			return l.fail("bad number %q", rest[:min(n, 40)])
		}
		l.emit(tokInt, b.String())
		l.advance(n)
		return nil
	}
	n, float := digits(rest), false
	if !afterDot {
		end := n
		if end < len(rest) && rest[end] == '.' {
			if d := digits(rest[end+1:]); d > 0 {
				end, float = end+1+d, true
			}
		}
		if d := exponent(rest[end:]); d > 0 {
			end, float = end+d, true
		}
		if float {
			l.emit(tokFloat, strings.ReplaceAll(rest[:end], "_", ""))
			l.advance(end)
			return nil
		}
	}
	text := strings.ReplaceAll(rest[:n], "_", "")
	if text[0] == '0' && strings.Trim(text, "0") != "" {
		return l.fail("bad number %q: leading zero", text)
	}
	l.emit(tokInt, text)
	l.advance(n)
	return nil
}

// baseLiteral gives the length of a 0x, 0o or 0b literal, or 0.
func baseLiteral(s string) int {
	if len(s) < 3 || s[0] != '0' {
		return 0
	}
	set := map[byte]string{'x': "0123456789abcdefABCDEF_", 'o': "01234567_", 'b': "01_"}[s[1]|0x20]
	if set == "" {
		return 0
	}
	n := 2
	for n < len(s) && strings.IndexByte(set, s[n]) >= 0 {
		n++
	}
	if n == 2 || s[n-1] == '_' {
		return 0
	}
	return n
}

// digits gives the length of a run of digits that may have single underscores inside.
func digits(s string) int {
	n := 0
	for n < len(s) {
		switch {
		case s[n] >= '0' && s[n] <= '9':
			n++
		case s[n] == '_' && n > 0 && n+1 < len(s) && s[n+1] >= '0' && s[n+1] <= '9':
			n++
		default:
			return n
		}
	}
	return n
}

func exponent(s string) int {
	if s == "" || s[0]|0x20 != 'e' {
		return 0
	}
	i := 1
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	d := digits(s[i:])
	if d == 0 {
		return 0
	}
	return i + d
}

func isRangeError(err error) bool { return errors.Is(err, strconv.ErrRange) }

// str consumes a string literal.
func (l *lexer) str(rest string) error {
	quote := rest[0]
	end := 1
	for {
		if end >= len(rest) {
			return l.fail("string without end")
		}
		if rest[end] == quote {
			break
		}
		if rest[end] == '\\' {
			end++
		}
		end++
	}
	text, err := unescape(rest[1:end])
	if err != nil {
		return l.fail("%s", message(err))
	}
	l.emit(tokString, text)
	l.advance(end + 1)
	return nil
}

// unescape resolves the escapes of a Python string literal; unknown ones stay as they are.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if at := strings.IndexByte("abfnrtv\\'\"", s[i]); at >= 0 {
			b.WriteByte("\a\b\f\n\r\t\v\\'\""[at])
			continue
		}
		n, err := unescapeCode(&b, s[i:])
		if err != nil {
			return "", err
		}
		i += n - 1
	}
	return b.String(), nil
}

// unescapeCode writes the character of a numeric escape whose backslash is gone, and gives its length.
func unescapeCode(b *strings.Builder, s string) (int, error) {
	width, base, skip := 0, 16, 1
	switch {
	case s[0] == '\n':
		return 1, nil
	case s[0] == 'x':
		width = 2
	case s[0] == 'u':
		width = 4
	case s[0] == 'U':
		width = 8
	case s[0] >= '0' && s[0] <= '7':
		base, skip = 8, 0
		for width < 3 && width < len(s) && s[width] >= '0' && s[width] <= '7' {
			width++
		}
	case s[0] == 'N':
		return 0, errorf("named characters (\\N{…}) are not supported")
	default:
		_, size := utf8.DecodeRuneInString(s)
		b.WriteByte('\\')
		b.WriteString(s[:size])
		return size, nil
	}
	if skip+width > len(s) {
		return 0, errorf("truncated escape \\%s", s)
	}
	code, err := strconv.ParseUint(s[skip:skip+width], base, 32)
	if err != nil || code > utf8.MaxRune {
		return 0, errorf("bad escape \\%s", s[:skip+width])
	}
	b.WriteRune(rune(code))
	return skip + width, nil
}
