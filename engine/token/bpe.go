package token

import (
	"sync/atomic"
	"unicode/utf8"
)

// model encodes one word, appending to sc.ids. With sc.plain it gives no special id.
type model interface {
	encode(sc *scratch, word string)
}

// bpe merges the symbols of a word pairwise, lowest rank first and leftmost among equals,
// until no pair has a rank. It serves byte-level BPE and SentencePiece's kind: there the
// score of the merged token is the rank.
type bpe struct {
	pairs   *pairTable
	words   map[string]int32 // whole words by their raw text, byte-level or not
	self    []uint32         // by id: what merging the token's own text gives, see whole
	special []bool

	bytes  *[256]int32 // byte level: the symbol of each byte, -1 if none
	chars  map[rune]int32
	suffix map[rune]int32 // the last character of a word, nil without end_of_word_suffix
	inner  map[rune]int32 // characters after the first, nil without continuing_subword_prefix

	fallback     *[256]int32 // ids of <0x00>..<0xFF>, -1 if missing; nil without byte fallback
	unk          int32
	fuseUnk      bool
	ignoreMerges bool
	cuts         *cutTable // nil: a word may not be cut

	virtual [][]int32 // symbols with ids from len(special) that are no tokens: their bytes' ids
}

const (
	selfUnknown = iota
	selfYes
	selfNo

	// linearLimit is the number of symbols up to which a linear search for the best pair
	// beats a heap.
	linearLimit = 40
)

// node is a symbol of a long word, in a list.
type node struct{ id, prev, next int32 }

// pair is an entry of the heap: a rank, a place and the symbols it was made for.
type pair struct {
	rank        uint32
	pos         int32
	left, right int32
}

func (p pair) less(q pair) bool {
	return p.rank < q.rank || p.rank == q.rank && p.pos < q.pos
}

func (b *bpe) encode(sc *scratch, word string) {
	sc.lastUnk = false
	if b.ignoreMerges {
		if id, ok := b.words[word]; ok && !(sc.plain && b.special[id]) {
			sc.ids = append(sc.ids, id)
			return
		}
	}
	if b.cuts == nil {
		b.segment(sc, word)
		return
	}
	start := 0
	prev, n := utf8.DecodeRuneInString(word)
	for i := n; i < len(word); {
		r, n := utf8.DecodeRuneInString(word[i:])
		if !b.cuts.joined(prev, r) {
			b.segment(sc, word[start:i])
			start = i
		}
		prev, i = r, i+n
	}
	b.segment(sc, word[start:])
}

// segment encodes a part of a word that no merge leaves.
func (b *bpe) segment(sc *scratch, s string) {
	id, known := b.words[s]
	if known && sc.plain && b.special[id] {
		known = false
	}
	if known {
		switch atomic.LoadUint32(&b.self[id]) {
		case selfYes:
			sc.ids = append(sc.ids, id)
			sc.lastUnk = false
			return
		case selfNo:
			known = false
		}
	}
	from := len(sc.ids)
	b.symbols(sc, s)
	if len(sc.sym) <= linearLimit {
		b.mergeLinear(sc)
	} else {
		b.mergeHeap(sc)
	}
	if known && !sc.plain { // remember what merging gives; the same for every caller
		state := uint32(selfNo)
		if len(sc.ids) == from+1 && sc.ids[from] == id {
			state = selfYes
		}
		atomic.StoreUint32(&b.self[id], state)
	}
}

// symbols fills sc.sym with the initial symbols of s.
func (b *bpe) symbols(sc *scratch, s string) {
	sc.sym = sc.sym[:0]
	if b.bytes != nil {
		for i := 0; i < len(s); i++ {
			b.symbol(sc, b.bytes[s[i]], s[i:i+1])
		}
		return
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		table := b.chars
		if i > 0 && b.inner != nil {
			table = b.inner
		}
		if i+n == len(s) && b.suffix != nil {
			table = b.suffix
		}
		id, ok := table[r]
		if !ok {
			id = -1
		}
		b.symbol(sc, id, s[i:i+n])
		i += n
	}
}

// symbol appends one symbol, or what stands for an unknown character.
func (b *bpe) symbol(sc *scratch, id int32, text string) {
	if id >= 0 && !(sc.plain && int(id) < len(b.special) && b.special[id]) {
		sc.lastUnk = false
		sc.sym = append(sc.sym, id)
		return
	}
	if b.fallback != nil {
		all := true
		for i := 0; i < len(text); i++ {
			all = all && b.fallback[text[i]] >= 0
		}
		if all {
			sc.lastUnk = false
			for i := 0; i < len(text); i++ {
				sc.sym = append(sc.sym, b.fallback[text[i]])
			}
			return
		}
	}
	if b.unk < 0 || b.fuseUnk && sc.lastUnk {
		return
	}
	sc.lastUnk = true
	sc.sym = append(sc.sym, b.unk)
}

// lookup returns the rank and the merged symbol of a pair.
func (b *bpe) lookup(sc *scratch, left, right int32) (uint32, int32) {
	rank, id := b.pairs.get(left, right)
	if rank != noRank && sc.plain && int(id) < len(b.special) && b.special[id] {
		return noRank, -1
	}
	return rank, id
}

// emit appends the ids of a final symbol.
func (b *bpe) emit(sc *scratch, id int32) {
	if int(id) < len(b.special) {
		sc.ids = append(sc.ids, id)
		return
	}
	sc.ids = append(sc.ids, b.virtual[int(id)-len(b.special)]...)
}

// mergeLinear merges a short word: each round takes the best pair by a linear search.
func (b *bpe) mergeLinear(sc *scratch) {
	sym := sc.sym
	rank, made := sc.rank[:0], sc.made[:0]
	for i := 0; i+1 < len(sym); i++ {
		r, id := b.lookup(sc, sym[i], sym[i+1])
		rank, made = append(rank, r), append(made, id)
	}
	sc.rank, sc.made = rank, made
	for {
		best, at := noRank, -1
		for i, r := range rank {
			if r < best {
				best, at = r, i
			}
		}
		if at < 0 {
			break
		}
		sym[at] = made[at]
		sym = append(sym[:at+1], sym[at+2:]...)
		if at+1 < len(rank) {
			rank = append(rank[:at], rank[at+1:]...)
			made = append(made[:at], made[at+1:]...)
			rank[at], made[at] = b.lookup(sc, sym[at], sym[at+1])
		} else {
			rank, made = rank[:at], made[:at]
		}
		if at > 0 {
			rank[at-1], made[at-1] = b.lookup(sc, sym[at-1], sym[at])
		}
	}
	for _, id := range sym {
		b.emit(sc, id)
	}
}

// mergeHeap merges a long word in O(n log n): every merge removes a symbol and adds at most
// two pairs, so there are fewer than 3n heap operations of each kind.
func (b *bpe) mergeHeap(sc *scratch) {
	n := len(sc.sym)
	nodes, heap := sc.nodes[:0], sc.heap[:0]
	for i, id := range sc.sym {
		nodes = append(nodes, node{id: id, prev: int32(i) - 1, next: int32(i) + 1})
		if i+1 < n {
			if r, _ := b.lookup(sc, id, sc.sym[i+1]); r != noRank {
				heap = append(heap, pair{r, int32(i), id, sc.sym[i+1]})
			}
		}
	}
	nodes[n-1].next = -1
	for i := len(heap)/2 - 1; i >= 0; i-- {
		siftDown(heap, i)
	}
	sc.steps += len(heap)
	for len(heap) > 0 {
		top := heap[0]
		heap[0] = heap[len(heap)-1]
		heap = heap[:len(heap)-1]
		siftDown(heap, 0)
		sc.steps++
		at := &nodes[top.pos]
		if at.id != top.left || at.next < 0 || nodes[at.next].id != top.right {
			continue // one side was merged meanwhile
		}
		_, at.id = b.pairs.get(top.left, top.right)
		gone := &nodes[at.next]
		gone.id = -1
		at.next = gone.next
		if at.next >= 0 {
			nodes[at.next].prev = top.pos
			heap = b.push(sc, heap, nodes, top.pos, at.next)
		}
		if at.prev >= 0 {
			heap = b.push(sc, heap, nodes, at.prev, top.pos)
		}
	}
	for i := int32(0); i >= 0; i = nodes[i].next {
		b.emit(sc, nodes[i].id)
	}
	sc.nodes, sc.heap = nodes, heap
}

func (b *bpe) push(sc *scratch, heap []pair, nodes []node, left, right int32) []pair {
	l, r := nodes[left].id, nodes[right].id
	rank, _ := b.lookup(sc, l, r)
	if rank == noRank {
		return heap
	}
	sc.steps++
	heap = append(heap, pair{rank, left, l, r})
	for i := len(heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !heap[i].less(heap[up]) {
			break
		}
		heap[i], heap[up] = heap[up], heap[i]
		i = up
	}
	return heap
}

func siftDown(heap []pair, i int) {
	for {
		low := 2*i + 1
		if low >= len(heap) {
			return
		}
		if low+1 < len(heap) && heap[low+1].less(heap[low]) {
			low++
		}
		if !heap[low].less(heap[i]) {
			return
		}
		heap[i], heap[low] = heap[low], heap[i]
		i = low
	}
}

// cutTable knows which characters stand next to each other inside some token. Between two
// that never do, no merge can cross, so a word may be cut there without changing its ids.
type cutTable struct {
	most  int // entries of other
	ascii [128][2]uint64
	other map[uint64]struct{}
}

func newCutTable(tokens int) *cutTable {
	return &cutTable{most: maxCuts*tokens + minCuts, other: map[uint64]struct{}{}}
}

// add notes the neighbours inside one token. It reports false when the table is full: it
// then knows too little to be used.
func (c *cutTable) add(token string) bool {
	prev, n := utf8.DecodeRuneInString(token)
	for i := n; i < len(token); {
		r, n := utf8.DecodeRuneInString(token[i:])
		if prev < 128 && r < 128 {
			c.ascii[prev][r>>6] |= 1 << (r & 63)
		} else {
			c.other[pairKey(prev, r)] = struct{}{}
		}
		prev, i = r, i+n
	}
	return len(c.other) <= c.most
}

func (c *cutTable) joined(a, b rune) bool {
	if a < 128 && b < 128 {
		return c.ascii[a][b>>6]>>(b&63)&1 != 0
	}
	_, ok := c.other[pairKey(a, b)]
	return ok
}
