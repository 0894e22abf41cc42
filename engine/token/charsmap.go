package token

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// charsMap is SentencePiece's compiled normalisation: a double-array trie from byte strings
// to offsets in a text of zero-terminated replacements.
type charsMap struct {
	units []uint32
	text  string
}

func newCharsMap(blob []byte) (*charsMap, error) {
	if len(blob) == 0 {
		return &charsMap{}, nil
	}
	if len(blob) < 4 {
		return nil, errors.New("character map is shorter than its header")
	}
	size := binary.LittleEndian.Uint32(blob)
	if size%4 != 0 || uint64(size) > uint64(len(blob)-4) {
		return nil, errors.New("character map's trie is longer than the map")
	}
	c := &charsMap{units: make([]uint32, size/4), text: string(blob[4+size:])}
	for i := range c.units {
		c.units[i] = binary.LittleEndian.Uint32(blob[4+4*i:])
	}
	return c, nil
}

// find returns the replacement of the shortest key that is a prefix of s, as the reference
// does (which so loses what follows the prefix).
func (c *charsMap) find(s string) (string, bool) {
	if len(c.units) == 0 {
		return "", false
	}
	offset := func(u uint32) uint32 { return (u >> 10) << ((u & (1 << 9)) >> 6) }
	pos := offset(c.units[0])
	for i := 0; i < len(s) && s[i] != 0; i++ {
		pos ^= uint32(s[i])
		if uint64(pos) >= uint64(len(c.units)) {
			return "", false
		}
		u := c.units[pos]
		if u&(1<<31|0xFF) != uint32(s[i]) {
			return "", false
		}
		pos ^= offset(u)
		if u>>8&1 != 0 {
			if uint64(pos) >= uint64(len(c.units)) {
				return "", false
			}
			return c.at(c.units[pos] &^ (1 << 31))
		}
	}
	return "", false
}

func (c *charsMap) at(i uint32) (string, bool) {
	if uint64(i) > uint64(len(c.text)) {
		return "", false
	}
	t := c.text[i:]
	if n := strings.IndexByte(t, 0); n >= 0 {
		t = t[:n]
	}
	if len(t) > maxTokenBytes {
		return "", false
	}
	return t, true
}

// normalize replaces character by character, but clusters below 6 bytes as a whole.
func (c *charsMap) normalize(s string, at place) string {
	var b strings.Builder
	b.Grow(len(s))
	for len(s) > 0 {
		if b.Len() > at.limit {
			b.WriteString(s)
			break
		}
		n := cluster(s)
		if n < 6 {
			if t, ok := c.find(s[:n]); ok {
				b.WriteString(t)
				s = s[n:]
				continue
			}
		}
		for i, r := range s[:n] {
			w := utf8.RuneLen(r)
			if t, ok := c.find(s[i : i+w]); ok {
				b.WriteString(t)
			} else {
				b.WriteString(s[i : i+w])
			}
		}
		s = s[n:]
	}
	return b.String()
}

// cluster returns the length of the first grapheme cluster of s. Only clusters shorter
// than 6 bytes matter here, so rules that join longer ones (Hangul syllables, flags,
// emoji sequences, Indic conjuncts) are left out where they change nothing.
func cluster(s string) int {
	r, n := utf8.DecodeRuneInString(s)
	if r == '\r' && strings.HasPrefix(s[n:], "\n") {
		return n + 1
	}
	if isBreak(r) {
		return n
	}
	for prepended(r) && n < len(s) {
		next, w := utf8.DecodeRuneInString(s[n:])
		if isBreak(next) {
			return n
		}
		r, n = next, n+w
	}
	for n < len(s) {
		next, w := utf8.DecodeRuneInString(s[n:])
		if next < 0x300 || !extends(next) {
			break
		}
		n += w
	}
	return n
}

func isBreak(r rune) bool {
	return unicode.Is(unicode.Cc, r) || r == 0x2028 || r == 0x2029 ||
		unicode.Is(unicode.Cf, r) && !prepended(r) && r != 0x200C && r != 0x200D && (r < 0xE0020 || r > 0xE007F)
}

func prepended(r rune) bool {
	switch {
	case r < 0x600:
		return false
	case r <= 0x605, r == 0x6DD, r == 0x70F, r == 0x890, r == 0x891, r == 0x8E2, r == 0xD4E, r == 0x110BD, r == 0x110CD:
		return true
	}
	return unicode.Is(unicode.Prepended_Concatenation_Mark, r)
}

func extends(r rune) bool {
	switch {
	case r == 0x200C, r == 0x200D, r == 0xE33, r == 0xEB3, r >= 0x1F3FB && r <= 0x1F3FF, r >= 0xE0020 && r <= 0xE007F:
		return true
	case r == 0x102B, r == 0x102C, r == 0x1038, r >= 0x1062 && r <= 0x1064, r >= 0x1067 && r <= 0x106D, r == 0x1083,
		r >= 0x1087 && r <= 0x108C, r == 0x108F, r >= 0x109A && r <= 0x109C, r == 0x1A61, r == 0x1A63, r == 0x1A64,
		r == 0xAA7B, r == 0xAA7D, r == 0x11720, r == 0x11721:
		return false // spacing marks that do not extend
	}
	return unicode.In(r, unicode.M, unicode.Other_Grapheme_Extend)
}
