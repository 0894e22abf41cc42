package token

import "unicode/utf8"

// unkPenalty is what an unknown character costs below the worst token (SentencePiece).
const unkPenalty = 10

// unigram takes the most likely split of a word into tokens (Viterbi over log
// probabilities; the first found wins a tie, as in the reference).
type unigram struct {
	trie     *trie
	ids      map[string]int32
	scores   []float64
	unkScore float64
	unk      int32 // -1: unknown characters give nothing
	fallback *[256]int32
	special  []bool
}

// pathNode is the best way to reach a place in the word.
type pathNode struct {
	score float64
	from  int32 // -1: not reached
	id    int32
}

func (u *unigram) encode(sc *scratch, word string) {
	path := sc.path[:0]
	for range len(word) + 1 {
		path = append(path, pathNode{from: -1})
	}
	path[0].from = 0
	sc.path = path
	for i := 0; i < len(word); {
		_, width := utf8.DecodeRuneInString(word[i:])
		here, single := path[i].score, false
		at, n := u.trie.next(0, word[i:])
		for j := i + n; n > 0; j += n {
			if id := u.trie.nodes[at].value; id >= 0 && !(sc.plain && u.special[id]) {
				path[j].offer(u.scores[id]+here, i, id)
				single = single || j == i+width
			}
			at, n = u.trie.next(at, word[j:])
		}
		if !single {
			path[i+width].offer(u.unkScore+here, i, -1)
		}
		i += width
	}
	u.emit(sc, word, path)
}

func (p *pathNode) offer(score float64, from int, id int32) {
	if p.from < 0 || score > p.score {
		*p = pathNode{score: score, from: int32(from), id: id}
	}
}

// emit walks the best path, unknown characters in a row as one.
func (u *unigram) emit(sc *scratch, word string, path []pathNode) {
	// Turn the backward links into a forward list of ends, in sc.sym.
	ends := sc.sym[:0]
	for at := len(word); at > 0; at = int(path[at].from) {
		ends = append(ends, int32(at))
	}
	sc.sym = ends
	start := 0
	for i := len(ends) - 1; i >= 0; i-- {
		end := int(ends[i])
		if !u.unknown(path[end].id) {
			sc.ids = append(sc.ids, path[end].id)
			start = end
			continue
		}
		for i > 0 && u.unknown(path[ends[i-1]].id) {
			i--
			end = int(ends[i])
		}
		u.emitUnknown(sc, word[start:end])
		start = end
	}
}

func (u *unigram) unknown(id int32) bool { return id < 0 || id == u.unk }

func (u *unigram) emitUnknown(sc *scratch, s string) {
	if id, ok := u.ids[s]; ok && !(sc.plain && u.special[id]) {
		sc.ids = append(sc.ids, id)
		return
	}
	if u.fallback != nil {
		all := true
		for i := 0; i < len(s); i++ {
			all = all && u.fallback[s[i]] >= 0
		}
		if all {
			for i := 0; i < len(s); i++ {
				sc.ids = append(sc.ids, u.fallback[s[i]])
			}
			return
		}
	}
	if u.unk >= 0 {
		sc.ids = append(sc.ids, u.unk)
	}
}
