package token

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites a fragment of text before it is split into words.
type normalizer func(s string, at place) string

// mapRunes makes a normalizer that works on each character alone; -1 removes it.
func mapRunes(f func(rune) rune) normalizer {
	return func(s string, _ place) string { return strings.Map(f, s) }
}

func sequence(parts []normalizer) normalizer {
	return func(s string, at place) string {
		for _, p := range parts {
			if len(s) > at.limit {
				return s
			}
			s = p(s, at)
		}
		return s
	}
}

// maxMarks is the number of marks in a row from which golang.org/x/text may insert a
// U+034F (its stream-safe format allows 30 after a starter); from there our own loop works.
const maxMarks = 24

// unicodeForm returns s in a Unicode normal form.
func unicodeForm(f norm.Form, s string) string {
	if f.IsNormalString(s) && !manyMarks(s) {
		return s
	}
	if !manyMarks(s) {
		return f.String(s)
	}
	return longMarks(f, s)
}

func manyMarks(s string) bool {
	run := 0
	for _, r := range s {
		if r < 0x300 || !unicode.Is(unicode.M, r) && norm.NFD.PropertiesString(string(r)).CCC() == 0 {
			run = 0
			continue
		}
		if run++; run >= maxMarks {
			return true
		}
	}
	return false
}

// longMarks normalises by the definition: decompose, sort the marks, compose.
func longMarks(f norm.Form, s string) string {
	decompose := norm.NFD
	if f == norm.NFKC || f == norm.NFKD {
		decompose = norm.NFKD
	}
	var out []rune
	for _, r := range s {
		out = append(out, []rune(decompose.String(string(r)))...)
	}
	class := make([]uint8, len(out))
	for i, r := range out {
		class[i] = norm.NFD.PropertiesString(string(r)).CCC()
	}
	sortMarks(out, class)
	if f == norm.NFC || f == norm.NFKC {
		out = compose(out)
	}
	return string(out)
}

// sortMarks sorts each run of marks by combining class, stably.
func sortMarks(rs []rune, class []uint8) {
	type mark struct {
		r rune
		c uint8
	}
	for i := 0; i < len(rs); {
		j := i
		for j < len(rs) && class[j] != 0 {
			j++
		}
		run := make([]mark, 0, j-i)
		for k := i; k < j; k++ {
			run = append(run, mark{rs[k], class[k]})
		}
		slices.SortStableFunc(run, func(a, b mark) int { return int(a.c) - int(b.c) })
		for k, m := range run {
			rs[i+k] = m.r
		}
		i = j + 1
	}
}

// compose joins each starter with the marks that follow it and are not blocked.
func compose(rs []rune) []rune {
	out := rs[:0:0]
	starter, last := -1, uint8(0)
	for _, r := range rs {
		c := norm.NFD.PropertiesString(string(r)).CCC()
		if starter >= 0 && (last < c || last == 0 && len(out) == starter+1) {
			pair := []rune(norm.NFC.String(string([]rune{out[starter], r})))
			if len(pair) == 1 {
				out[starter] = pair[0]
				continue
			}
		}
		if c == 0 {
			starter = len(out)
		}
		last = c
		out = append(out, r)
	}
	return out
}

// lower is the lower case of each character by itself (no final sigma); U+0130 becomes two.
func lower(s string, _ place) string {
	if i := strings.IndexRune(s, 'İ'); i >= 0 {
		s = strings.ReplaceAll(s, "İ", "i\u0307")
	}
	return strings.Map(unicode.ToLower, s)
}

func stripMarks(table *unicode.RangeTable) normalizer {
	return mapRunes(func(r rune) rune {
		if r >= 0x300 && unicode.Is(table, r) {
			return -1
		}
		return r
	})
}

func stripSpace(left, right bool) normalizer {
	return func(s string, _ place) string {
		if left {
			s = strings.TrimLeftFunc(s, unicode.IsSpace)
		}
		if right {
			s = strings.TrimRightFunc(s, unicode.IsSpace)
		}
		return s
	}
}

// nmt is SentencePiece's cleaning for translation models.
func nmt(r rune) rune {
	switch {
	case r >= 1 && r <= 8, r == 0xB, r >= 0xE && r <= 0x1F, r == 0x7F, r == 0x8F, r == 0x9F:
		return -1
	case r == '\t', r == '\n', r == '\f', r == '\r', r == 0x1680, r >= 0x200B && r <= 0x200F,
		r == 0x2028, r == 0x2029, r == 0x2581, r == 0xFEFF, r == 0xFFFD:
		return ' '
	}
	return r
}

// bertOptions are the switches of BERT's basic tokenizer.
type bertOptions struct{ clean, chinese, accents, lower bool }

func bertNormalizer(o bertOptions) normalizer {
	var parts []normalizer
	if o.clean {
		parts = append(parts, mapRunes(bertClean))
	}
	if o.chinese {
		parts = append(parts, spaceChinese)
	}
	if o.accents {
		parts = append(parts, func(s string, _ place) string { return unicodeForm(norm.NFD, s) }, stripMarks(unicode.Mn))
	}
	if o.lower {
		parts = append(parts, lower)
	}
	return sequence(parts)
}

func bertClean(r rune) rune {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return ' '
	case r == 0 || r == 0xFFFD || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
		return -1
	case unicode.IsSpace(r):
		return ' '
	}
	return r
}

func spaceChinese(s string, _ place) string {
	if strings.IndexFunc(s, isChinese) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isChinese(r) {
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isChinese has the ranges of the reference, its slip (0x2B920) included.
func isChinese(r rune) bool {
	return r >= 0x3400 && (r <= 0x4DBF || r >= 0x4E00 && r <= 0x9FFF || r >= 0xF900 && r <= 0xFAFF ||
		r >= 0x20000 && r <= 0x2A6DF || r >= 0x2A700 && r <= 0x2B73F || r >= 0x2B740 && r <= 0x2B81F ||
		r >= 0x2B920 && r <= 0x2CEAF || r >= 0x2F800 && r <= 0x2FA1F)
}

// wpmNormalizer is llama.cpp's text clean-up for BERT: words come out separated by spaces,
// punctuation and Chinese characters as words of their own.
func wpmNormalizer(lowercase, accents bool) normalizer {
	return func(s string, _ place) string {
		var b strings.Builder
		b.Grow(len(s) + len(s)/8)
		for _, r := range s {
			if accents && r >= 0xC0 {
				r, _ = utf8.DecodeRuneInString(norm.NFD.String(string(r))) // all that llama.cpp keeps
			}
			switch {
			case unicode.IsSpace(r):
				b.WriteByte(' ')
				continue
			case r == 0 || r == 0xFFFD || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
				continue
			case accents && r >= 0x300 && unicode.Is(unicode.M, r):
				continue
			}
			c := r
			if lowercase {
				c = unicode.ToLower(r)
			}
			if unicode.IsPunct(r) || r < 0x7F && unicode.IsSymbol(r) || isChinese(r) {
				b.WriteByte(' ')
				b.WriteRune(c)
				b.WriteByte(' ')
				continue
			}
			b.WriteRune(c)
		}
		return b.String()
	}
}

// spmNormalizer is llama.cpp's escape for SentencePiece vocabularies.
func spmNormalizer(prefix bool) normalizer {
	return func(s string, at place) string {
		if prefix && at.after {
			s = " " + s
		}
		return strings.ReplaceAll(s, " ", metaspace)
	}
}

const metaspace = "\u2581"

// isWord is the \w of Unicode regular expressions.
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic) ||
		r == 0x200C || r == 0x200D
}
