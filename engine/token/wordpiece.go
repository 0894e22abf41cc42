package token

import "unicode/utf8"

// wordPiece takes the longest token at each place of a word; a word that does not come out
// even is one unknown token.
type wordPiece struct {
	start    *trie  // tokens at the start of a word
	inner    *trie  // tokens further on, without their mark
	lead     string // put before each word (llama.cpp: U+2581)
	maxChars int    // longer words are unknown; 0 = no limit
	unk      int32
	special  []bool
}

func (w *wordPiece) encode(sc *scratch, word string) {
	if w.maxChars > 0 && len(word) > w.maxChars && utf8.RuneCountInString(word) > w.maxChars {
		sc.ids = append(sc.ids, w.unk)
		return
	}
	if w.lead != "" {
		sc.buf = append(append(sc.buf[:0], w.lead...), word...)
		word = string(sc.buf)
	}
	var ok func(int32) bool
	if sc.plain {
		ok = func(id int32) bool { return !w.special[id] }
	}
	from := len(sc.ids)
	for i, t := 0, w.start; i < len(word); t = w.inner {
		id, n := t.longest(word[i:], ok)
		if n == 0 {
			sc.ids = append(sc.ids[:from], w.unk)
			return
		}
		sc.ids = append(sc.ids, id)
		i += n
	}
}
