package token

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitter cuts s into words, in order. first says that s starts the whole text; it is
// passed on for the first word.
type splitter func(s string, first bool, yield func(string, bool))

// chain runs splitters one after the other.
func chain(parts []splitter) splitter {
	if len(parts) == 1 {
		return parts[0]
	}
	rest := chain(parts[1:])
	return func(s string, first bool, yield func(string, bool)) {
		parts[0](s, first, func(w string, f bool) {
			if w != "" {
				rest(w, f, yield)
			}
		})
	}
}

// finder reports the matches of something in a text, in order.
type finder func(s string, yield func(start, end int))

// behavior says what becomes of the matches of a split.
type behavior uint8

const (
	removed behavior = iota
	isolated
	mergedWithPrevious
	mergedWithNext
	contiguous
)

func parseBehavior(name string) (behavior, bool) {
	switch name {
	case "Removed":
		return removed, true
	case "Isolated":
		return isolated, true
	case "MergedWithPrevious":
		return mergedWithPrevious, true
	case "MergedWithNext":
		return mergedWithNext, true
	case "Contiguous":
		return contiguous, true
	}
	return 0, false
}

// part is a piece between two cuts: a match or what lies between matches.
type part struct {
	start, end int
	match      bool
}

// splitBy cuts at what find finds; invert takes what lies between for the matches.
func splitBy(find finder, b behavior, invert bool) splitter {
	return func(s string, first bool, yield func(string, bool)) {
		var parts []part
		add := func(start, end int, match bool) {
			if start < end {
				parts = append(parts, part{start, end, match != invert})
			}
		}
		done := 0
		find(s, func(start, end int) {
			add(done, start, false)
			add(start, end, true)
			done = end
		})
		add(done, len(s), false)
		for _, p := range b.join(parts) {
			yield(s[p.start:p.end], first && p.start == 0)
		}
	}
}

// join drops or merges parts in place as the behaviour says.
func (b behavior) join(parts []part) []part {
	out := parts[:0]
	for i := 0; i < len(parts); i++ {
		p := parts[i]
		switch b {
		case removed:
			if p.match {
				continue
			}
		case contiguous:
			for i+1 < len(parts) && parts[i+1].match == p.match {
				i++
				p.end = parts[i].end
			}
		case mergedWithPrevious:
			if !p.match && i+1 < len(parts) && parts[i+1].match {
				i++
				p.end = parts[i].end
			}
		case mergedWithNext:
			if p.match && i+1 < len(parts) && !parts[i+1].match {
				i++
				p.end = parts[i].end
			}
		}
		out = append(out, p)
	}
	return out
}

// findString finds a fixed text.
func findString(what string) finder {
	return func(s string, yield func(start, end int)) {
		if what == "" {
			return
		}
		for at := 0; ; {
			i := strings.Index(s[at:], what)
			if i < 0 {
				return
			}
			yield(at+i, at+i+len(what))
			at += i + len(what)
		}
	}
}

// findRunes finds single characters.
func findRunes(is func(rune) bool) finder {
	return func(s string, yield func(start, end int)) {
		for i := 0; i < len(s); {
			r, n := utf8.DecodeRuneInString(s[i:])
			if is(r) {
				yield(i, i+n)
			}
			i += n
		}
	}
}

// findRuns finds the longest runs of characters of the same kind; kind 0 is no match.
func findRuns(kind func(rune) int) finder {
	return func(s string, yield func(start, end int)) {
		start, last := 0, 0
		for i, r := range s {
			k := kind(r)
			if k == last {
				continue
			}
			if last != 0 {
				yield(start, i)
			}
			start, last = i, k
		}
		if last != 0 {
			yield(start, len(s))
		}
	}
}

// splitSpace drops white space.
func splitSpace(s string, first bool, yield func(string, bool)) {
	for i := 0; i < len(s); {
		n := strings.IndexFunc(s[i:], unicode.IsSpace)
		if n < 0 {
			yield(s[i:], first && i == 0)
			return
		}
		if n > 0 {
			yield(s[i:i+n], first && i == 0)
		}
		_, w := utf8.DecodeRuneInString(s[i+n:])
		i += n + w
	}
}

// isPunct is ASCII punctuation in the wide sense and the Unicode category P.
func isPunct(r rune) bool {
	if r < utf8.RuneSelf {
		return r > ' ' && r < 0x7F && classOf(r) == other
	}
	return unicode.IsPunct(r)
}

// wordKind tells apart words and other marks: \w+|[^\w\s]+.
func wordKind(r rune) int {
	switch {
	case isWord(r):
		return 1
	case unicode.IsSpace(r):
		return 0
	}
	return 2
}

// metaSplit replaces spaces by a mark, puts one in front as the scheme says, and cuts
// before each.
func metaSplit(mark, scheme string, cut bool) splitter {
	return func(s string, first bool, yield func(string, bool)) {
		s = strings.ReplaceAll(s, " ", mark)
		if (scheme == "always" || scheme == "first" && first) && !strings.HasPrefix(s, mark) {
			s = mark + s
		}
		if !cut {
			yield(s, first)
			return
		}
		for start := 0; start < len(s); {
			from := start
			if strings.HasPrefix(s[start:], mark) {
				from += len(mark)
			}
			end := len(s)
			if n := strings.Index(s[from:], mark); n >= 0 {
				end = from + n
			}
			yield(s[start:end], first && start == 0)
			start = end
		}
	}
}

// prefixSpace puts a space in front of each piece that has none.
func prefixSpace(s string, first bool, yield func(string, bool)) {
	if !strings.HasPrefix(s, " ") {
		s = " " + s
	}
	yield(s, first)
}

// spellBytes writes each byte as its character in the byte-level alphabet.
func spellBytes(s string, first bool, yield func(string, bool)) {
	yield(spell(s), first)
}

// spell is the byte-level spelling of s: printable Latin-1 stands for itself, the other
// bytes for U+0100 and up.
func spell(s string) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/4)
	for i := 0; i < len(s); i++ {
		b.WriteRune(byteRune(s[i]))
	}
	return b.String()
}

// byteRune returns the character of a byte in GPT-2's byte-level alphabet.
func byteRune(b byte) rune {
	switch {
	case b <= 0x20:
		return 0x100 + rune(b)
	case b < 0x7F:
		return rune(b)
	case b <= 0xA0:
		return 0x100 + 0x21 + rune(b-0x7F)
	case b == 0xAD:
		return 0x100 + 0x43
	}
	return rune(b)
}

// runeByte is the inverse of byteRune.
func runeByte(r rune) (byte, bool) {
	switch {
	case r >= 0x100 && r <= 0x120:
		return byte(r - 0x100), true
	case r > 0x120 && r <= 0x142:
		return byte(r - 0x121 + 0x7F), true
	case r == 0x143:
		return 0xAD, true
	case r > 0x20 && r < 0x7F || r > 0xA0 && r <= 0xFF && r != 0xAD:
		return byte(r), true
	}
	return 0, false
}

// unspell returns the bytes that a byte-level spelling stands for.
func unspell(s string) (string, bool) {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		b, ok := runeByte(r)
		if !ok {
			return "", false
		}
		out = append(out, b)
	}
	return string(out), true
}
