package token

import "unicode/utf8"

// wordPiece takes the longest token at each place of a word; a word that does not come out
// even is one unknown token.
type wordPiece struct {
	trie     *trie
	inner    cursor // where the tokens further on in a word are: behind their mark
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
	for i, at := 0, (cursor{}); i < len(word); at = w.inner {
		id, n := w.trie.longest(at, word[i:], ok)
		if n == 0 {
			sc.ids = append(sc.ids[:from], w.unk)
			return
		}
		sc.ids = append(sc.ids, id)
		i += n
	}
}
