package token

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is found in the text before the model sees it.
type addedToken struct {
	content    string
	id         int32
	singleWord bool
	lstrip     bool
	rstrip     bool
	special    bool
}

// fragment is a part of a text: an added token, or (id < 0) text to encode.
type fragment struct {
	start, end int
	id         int32
}

// place says where a fragment stands: at the very start of the text, after an added token
// (or at the start); and how long normalising may make it.
type place struct {
	first, after bool
	limit        int
}

// matcher finds added tokens. A nil matcher finds none.
type matcher struct {
	tokens []addedToken
	trie   *trie
	first  string // the first byte if all tokens share it
	llama  bool   // llama.cpp's order: longest token first, each over the whole text
	order  []int  // llama: tokens by length, longest first
}

// newMatcher builds a matcher, nil if there are no tokens.
func newMatcher(tokens []addedToken, llama bool) *matcher {
	m := &matcher{llama: llama}
	shared := true
	for _, a := range tokens {
		if a.content == "" {
			continue
		}
		m.tokens = append(m.tokens, a)
		shared = shared && a.content[0] == m.tokens[0].content[0]
	}
	if len(m.tokens) == 0 {
		return nil
	}
	m.trie = newTrie()
	for i, a := range m.tokens {
		m.trie.add(a.content, int32(i))
		m.order = append(m.order, i)
	}
	if shared {
		m.first = m.tokens[0].content[:1]
	}
	sort.SliceStable(m.order, func(i, j int) bool {
		return len(m.tokens[m.order[i]].content) > len(m.tokens[m.order[j]].content)
	})
	return m
}

// partition appends the fragments of text to dst.
func (m *matcher) partition(dst []fragment, text string, o Options) []fragment {
	if text == "" {
		return dst
	}
	if m == nil {
		return append(dst, fragment{0, len(text), -1})
	}
	if m.llama {
		return m.partitionLlama(dst, text, o)
	}
	return m.partitionHF(dst, text, o)
}

// allowed reports whether a special token may be read at [start, end).
func allowed(o Options, start, end int) bool {
	if !o.ParseSpecial {
		return false
	}
	i := sort.Search(len(o.Literal), func(i int) bool { return o.Literal[i].End > start })
	return i == len(o.Literal) || o.Literal[i].Start >= end
}

// next returns the first place at or after from where a token can start.
func (m *matcher) next(text string, from int) int {
	if m.first != "" {
		i := strings.IndexByte(text[from:], m.first[0])
		if i < 0 {
			return len(text)
		}
		return from + i
	}
	for from < len(text) && m.trie.root[text[from]] == 0 {
		from++
	}
	return from
}

// partitionHF takes the leftmost longest match at each place.
func (m *matcher) partitionHF(dst []fragment, text string, o Options) []fragment {
	done := 0 // text before it is in dst
	for pos := m.next(text, 0); pos < len(text); pos = m.next(text, pos) {
		v, n := m.trie.longest(cursor{}, text[pos:], nil)
		if n == 0 {
			pos++
			continue
		}
		a, start, end := m.tokens[v], pos, pos+n
		pos = end
		if a.special && !allowed(o, start, end) {
			if o.ParseSpecial {
				pos = start + 1 // a token of the template may start inside
			}
			continue
		}
		if a.singleWord && (wordBefore(text[:start]) || wordAfter(text[end:])) {
			continue
		}
		if a.lstrip {
			start = max(len(strings.TrimRightFunc(text[:start], unicode.IsSpace)), done)
		}
		if a.rstrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		if done < start {
			dst = append(dst, fragment{done, start, -1})
		}
		dst = append(dst, fragment{start, end, a.id})
		done = end
	}
	if done < len(text) {
		dst = append(dst, fragment{done, len(text), -1})
	}
	return dst
}

func wordBefore(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWord(r)
}

func wordAfter(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWord(r)
}

// partitionLlama cuts out the longest token everywhere, then the next one.
func (m *matcher) partitionLlama(dst []fragment, text string, o Options) []fragment {
	present := m.present(text)
	base := len(dst)
	dst = append(dst, fragment{0, len(text), -1})
	if len(present) == 0 {
		return dst
	}
	for _, i := range m.order {
		if !present[i] || m.tokens[i].special && !o.ParseSpecial {
			continue
		}
		next := make([]fragment, 0, len(dst)-base+2)
		for _, f := range dst[base:] {
			if f.id >= 0 {
				next = append(next, f)
				continue
			}
			next = m.cut(next, text, f, m.tokens[i], o)
		}
		dst = append(dst[:base], next...)
	}
	return dst
}

// cut appends the parts of one text fragment, cut at each occurrence of one token.
func (m *matcher) cut(dst []fragment, text string, f fragment, a addedToken, o Options) []fragment {
	from := f.start // where to search
	for from < f.end {
		i := strings.Index(text[from:f.end], a.content)
		if i < 0 {
			break
		}
		start, end := from+i, from+i+len(a.content)
		if a.special && !allowed(o, start, end) {
			from = start + 1
			continue
		}
		left, right := start, end
		if a.lstrip {
			left = f.start + len(strings.TrimRight(text[f.start:start], " \t\n\v\f\r"))
		}
		if a.rstrip {
			right = f.end - len(strings.TrimLeft(text[end:f.end], " \t\n\v\f\r"))
		}
		if f.start < left {
			dst = append(dst, fragment{f.start, left, -1})
		}
		dst = append(dst, fragment{start, end, a.id})
		f.start, from = right, right
	}
	if f.start < f.end {
		dst = append(dst, fragment{f.start, f.end, -1})
	}
	return dst
}

// present returns which tokens occur in text, nil if none.
func (m *matcher) present(text string) map[int]bool {
	var out map[int]bool
	for pos := m.next(text, 0); pos < len(text); pos = m.next(text, pos+1) {
		at, n := m.trie.next(0, text[pos:])
		for i := pos + n; n > 0; i += n {
			if v := m.trie.nodes[at].value; v >= 0 {
				if out == nil {
					out = map[int]bool{}
				}
				out[int(v)] = true
			}
			at, n = m.trie.next(at, text[i:])
		}
	}
	return out
}
