package token

import (
	"unicode"
	"unicode/utf8"
)

// Published patterns that have a hand-written scanner; all others run on the pattern
// machine, which a test holds equal to these scanners.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// class is what the scanners want to know of a character.
type class uint8

const (
	other class = iota
	letter
	number
	space
	newline // \r or \n
)

func classOf(r rune) class {
	if r < utf8.RuneSelf {
		switch {
		case r|0x20 >= 'a' && r|0x20 <= 'z':
			return letter
		case r >= '0' && r <= '9':
			return number
		case r == '\n' || r == '\r':
			return newline
		case r == ' ' || r >= '\t' && r <= '\r':
			return space
		}
		return other
	}
	switch {
	case unicode.Is(unicode.L, r):
		return letter
	case unicode.Is(unicode.N, r):
		return number
	case unicode.IsSpace(r):
		return space
	}
	return other
}

// peek returns the class and the width of the character at i; width 0 at the end.
func peek(s string, i int) (class, int) {
	if i >= len(s) {
		return other, 0
	}
	if c := s[i]; c < utf8.RuneSelf {
		return classOf(rune(c)), 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return classOf(r), n
}

// run returns the end of the characters of class c from i on.
func run(s string, i int, c class) int {
	for {
		got, n := peek(s, i)
		if n == 0 || got != c {
			return i
		}
		i += n
	}
}

// spaces returns the end of the white space from i on, the start of its last character and
// the end of its last newline (0 if none).
func spaces(s string, i int) (end, last, lines int) {
	for {
		c, n := peek(s, i)
		if n == 0 || c != space && c != newline {
			return i, last, lines
		}
		last, i = i, i+n
		if c == newline {
			lines = i
		}
	}
}

// contraction returns the length of 's, 't, 're, 've, 'm, 'll or 'd at i, 0 if none.
func contraction(s string, i int, fold, longS bool) int {
	if s[i] != '\'' || i+1 >= len(s) {
		return 0
	}
	a := s[i+1]
	var b byte
	if i+2 < len(s) {
		b = s[i+2]
	}
	if fold {
		if a|0x20 >= 'a' && a|0x20 <= 'z' {
			a |= 0x20
		}
		if b|0x20 >= 'a' && b|0x20 <= 'z' {
			b |= 0x20
		}
		if longS && a == 0xC5 && b == 0xBF { // U+017F folds to s
			return 3
		}
	}
	switch {
	case a == 's' || a == 't' || a == 'm' || a == 'd':
		return 2
	case a == 'r' && b == 'e', a == 'v' && b == 'e', a == 'l' && b == 'l':
		return 3
	}
	return 0
}

// scanGPT2 splits by GPT-2's pattern.
func scanGPT2(s string, first bool, yield func(string, bool)) {
	for i := 0; i < len(s); {
		end := nextGPT2(s, i)
		yield(s[i:end], first && i == 0)
		i = end
	}
}

func nextGPT2(s string, i int) int {
	if n := contraction(s, i, false, false); n > 0 {
		return i + n
	}
	c, n := peek(s, i)
	at := i
	if s[i] == ' ' {
		if next, w := peek(s, i+1); w > 0 && next != space && next != newline {
			at, c, n = i+1, next, w
		}
	}
	if c == letter || c == number || c == other {
		return run(s, at+n, c)
	}
	end, last, _ := spaces(s, i)
	if end < len(s) && last > i {
		return last
	}
	return end
}

// scanLlama3 makes a splitter for the Llama 3 pattern (3 digits) and Qwen2's (1 digit).
// longS: 'ſ counts as 's, as case folding has it in Hugging Face and not in llama.cpp.
func scanLlama3(digits int, longS bool) splitter {
	return func(s string, first bool, yield func(string, bool)) {
		for i := 0; i < len(s); {
			end := nextLlama3(s, i, digits, longS)
			yield(s[i:end], first && i == 0)
			i = end
		}
	}
}

func nextLlama3(s string, i, digits int, longS bool) int {
	if n := contraction(s, i, true, longS); n > 0 {
		return i + n
	}
	c, n := peek(s, i)
	switch c {
	case letter:
		return run(s, i+n, letter)
	case number:
		end := i + n
		for k := 1; k < digits; k++ {
			next, w := peek(s, end)
			if w == 0 || next != number {
				break
			}
			end += w
		}
		return end
	case other, space:
		if next, w := peek(s, i+n); w > 0 && next == letter {
			return run(s, i+n+w, letter)
		}
	}
	at := i
	if s[i] == ' ' {
		if next, w := peek(s, i+1); w > 0 && next == other {
			at, c = i+1, other
		}
	}
	if c == other {
		end := run(s, at, other)
		for end < len(s) && (s[end] == '\n' || s[end] == '\r') {
			end++
		}
		return end
	}
	end, last, lines := spaces(s, i)
	if lines > 0 {
		return lines
	}
	if end < len(s) && last > i {
		return last
	}
	return end
}
