package chat

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	tokData kind = iota
	tokBlockBegin
	tokBlockEnd
	tokVarBegin
	tokVarEnd
	tokName
	tokInt
	tokFloat
	tokString
	tokOp
	tokEOF
)

type token struct {
	kind kind
	text string // decoded for strings, digits without underscores for numbers
	line int
}

// String describes the token in an error message.
func (t token) String() string {
	switch t.kind {
	case tokEOF:
		return "end of template"
	case tokBlockBegin, tokBlockEnd:
		return "end of statement block"
	case tokVarBegin, tokVarEnd:
		return "end of print statement"
	case tokData:
		return "template text"
	case tokString:
		return "a string"
	}
	return fmt.Sprintf("%q", t.text)
}

// lexer splits a template in text and the tokens of its tags.
type lexer struct {
	src          string
	pos, line    int
	lineStarting bool // what was consumed last ended with a newline
	tokens       []token
}

func lex(src string) ([]token, error) {
	src = strings.ReplaceAll(src, "\r\n", "\n")
	src = strings.ReplaceAll(src, "\r", "\n")
	src = strings.TrimSuffix(src, "\n") // one trailing newline is not part of a template
	l := &lexer{src: src, line: 1, lineStarting: true}
	for l.pos < len(l.src) {
		if err := l.root(); err != nil {
			return nil, err
		}
	}
	l.emit(tokEOF, "")
	return l.tokens, nil
}

func (l *lexer) emit(k kind, text string) {
	l.tokens = append(l.tokens, token{kind: k, text: text, line: l.line})
}

func (l *lexer) fail(format string, args ...any) error {
	return &Error{Line: l.line, Msg: fmt.Sprintf(format, args...), Err: ErrSyntax}
}

// advance consumes n bytes.
func (l *lexer) advance(n int) {
	s := l.src[l.pos : l.pos+n]
	l.line += strings.Count(s, "\n")
	if n > 0 {
		l.lineStarting = s[n-1] == '\n'
	}
	l.pos += n
}

// root consumes text up to the next tag, and the tag.
func (l *lexer) root() error {
	rest := l.src[l.pos:]
	at := nextTag(rest)
	if at < 0 {
		l.emit(tokData, rest)
		l.advance(len(rest))
		return nil
	}
	open, sign := rest[at:at+2], signAt(rest, at+2)
	if text := l.trimmed(rest[:at], sign, open != "{{"); text != "" {
		l.emit(tokData, text)
	}
	l.advance(at)
	switch open {
	case "{#":
		return l.comment()
	case "{%":
		if n := rawBegin(l.src[l.pos:]); n > 0 {
			l.advance(n)
			return l.raw()
		}
	}
	l.advance(2 + len(sign))
	if open == "{%" {
		l.emit(tokBlockBegin, "")
		return l.tag(tokBlockEnd, "%}")
	}
	l.emit(tokVarBegin, "")
	return l.tag(tokVarEnd, "}}")
}

// nextTag finds the next "{{", "{%" or "{#".
func nextTag(s string) int {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '{')
		if i < 0 || from+i+1 >= len(s) {
			return -1
		}
		switch s[from+i+1] {
		case '{', '%', '#':
			return from + i
		}
		from += i + 1
	}
}

func signAt(s string, i int) string {
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		return s[i : i+1]
	}
	return ""
}

// trimmed applies to the text before a tag what the tag asks for: "-" takes all blanks
// before it, and a block tag takes the indentation of its own line unless it has a "+".
func (l *lexer) trimmed(text, sign string, block bool) string {
	if sign == "-" {
		return strings.TrimRightFunc(text, isSpace)
	}
	if sign == "+" || !block {
		return text
	}
	start := strings.LastIndexByte(text, '\n') + 1
	if (start > 0 || l.lineStarting) && strings.TrimLeftFunc(text[start:], isSpace) == "" {
		return text[:start]
	}
	return text
}

// closing gives the length of a closing tag at the start of s with the blanks it takes, or 0.
func closing(s, tag string, trim bool) int {
	if strings.HasPrefix(s, "-"+tag) {
		rest := s[1+len(tag):]
		return len(s) - len(strings.TrimLeftFunc(rest, isSpace))
	}
	if trim && strings.HasPrefix(s, "+"+tag) {
		return 1 + len(tag)
	}
	if !strings.HasPrefix(s, tag) {
		return 0
	}
	if trim && strings.HasPrefix(s[len(tag):], "\n") {
		return len(tag) + 1
	}
	return len(tag)
}

func (l *lexer) comment() error {
	rest := l.src[l.pos:]
	i := strings.Index(rest[2:], "#}")
	if i < 0 && strings.TrimLeft(rest[2:], "-+") == "" { // Jinja lets a template end so
		l.advance(len(rest))
		return nil
	}
	if i < 0 {
		return l.fail("missing end of comment tag")
	}
	end := 2 + i
	if end > 2 && (rest[end-1] == '-' || rest[end-1] == '+') {
		end--
	}
	l.advance(end)
	l.advance(closing(l.src[l.pos:], "#}", true))
	return nil
}

// rawBegin gives the length of a "{% raw %}" at the start of s, or 0.
func rawBegin(s string) int {
	i := 2 + len(signAt(s, 2))
	body := strings.TrimLeftFunc(s[i:], isSpace)
	if !strings.HasPrefix(body, "raw") {
		return 0
	}
	body = strings.TrimLeftFunc(body[3:], isSpace)
	n := closing(body, "%}", false)
	if n == 0 {
		return 0
	}
	return len(s) - len(body) + n
}

// raw consumes text up to and with "{% endraw %}".
func (l *lexer) raw() error {
	rest := l.src[l.pos:]
	if rest == "" { // Jinja lets a template end so
		return nil
	}
	for from := 0; ; {
		i := strings.Index(rest[from:], "{%")
		if i < 0 {
			return l.fail("missing end of raw directive")
		}
		at := from + i
		sign := signAt(rest, at+2)
		body := strings.TrimLeftFunc(rest[at+2+len(sign):], isSpace)
		if after, ok := strings.CutPrefix(body, "endraw"); ok {
			after = strings.TrimLeftFunc(after, isSpace)
			if n := closing(after, "%}", true); n > 0 {
				if text := l.trimmed(rest[:at], sign, true); text != "" {
					l.emit(tokData, text)
				}
				l.advance(len(rest) - len(after) + n)
				return nil
			}
		}
		from = at + 2
	}
}

// tag consumes the inside of a tag up to its end.
func (l *lexer) tag(end kind, mark string) error {
	var open []byte // brackets not closed yet: inside them "}}" is not an end
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		if len(open) == 0 {
			if n := closing(rest, mark, end == tokBlockEnd); n > 0 {
				l.emit(end, "")
				l.advance(n)
				return nil
			}
		}
		c, size := utf8.DecodeRuneInString(rest)
		var err error
		switch {
		case isSpace(c):
			l.advance(size)
		case c >= '0' && c <= '9':
			err = l.number(rest)
		case c == '_' || unicode.IsLetter(c):
			n := strings.IndexFunc(rest, func(c rune) bool {
				return c != '_' && !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.IsMark(c)
			})
			if n < 0 {
				n = len(rest)
			}
			l.emit(tokName, rest[:n])
			l.advance(n)
		case c == '\'' || c == '"':
			err = l.str(rest)
		default:
			open, err = l.operator(rest, open)
		}
		if err != nil {
			return err
		}
	}
	return l.fail("unexpected end of template inside a tag")
}

func (l *lexer) operator(rest string, open []byte) ([]byte, error) {
	for _, op := range []string{"//", "**", "==", "!=", ">=", "<="} {
		if strings.HasPrefix(rest, op) {
			l.emit(tokOp, op)
			l.advance(2)
			return open, nil
		}
	}
	c := rest[0]
	if !strings.ContainsRune("+-/*%~[](){}<>=.:|,;", rune(c)) {
		r, _ := utf8.DecodeRuneInString(rest)
		return open, l.fail("unexpected character %q", r)
	}
	switch c {
	case '(':
		open = append(open, ')')
	case '[':
		open = append(open, ']')
	case '{':
		open = append(open, '}')
	case ')', ']', '}':
		if len(open) == 0 || open[len(open)-1] != c {
			return open, l.fail("unexpected %q", rune(c))
		}
		open = open[:len(open)-1]
	}
	l.emit(tokOp, rest[:1])
	l.advance(1)
	return open, nil
}
