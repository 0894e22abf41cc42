package token

import (
	"hash/maphash"
	"math/bits"
	"strings"
)

// trie finds the keys that are prefixes of a text. An edge has a text of any length, so
// its memory grows with the number of keys and not with their bytes.
type trie struct {
	root  [256]int32 // edges of node 0; 0 = none
	edges edgeTable  // of the other nodes
	nodes []trieNode
}

// trieNode is a node. Its label, the text of the edge into it, is a part of a key.
type trieNode struct {
	label string
	value int32 // -1 = no key ends here
}

func newTrie() *trie { return &trie{edges: newEdgeTable(), nodes: []trieNode{{value: -1}}} }

// add stores value under a key of at least one byte, which is kept; the last one put wins.
func (t *trie) add(key string, value int32) {
	for at := int32(0); ; {
		next := t.child(at, key[0])
		if next == 0 {
			t.link(at, t.node(key, value))
			return
		}
		label := t.nodes[next].label
		n := common(label, key)
		if n < len(label) { // a new node in the middle of the edge
			middle := t.node(label[:n], -1)
			t.link(at, middle)
			t.nodes[next].label = label[n:]
			t.link(middle, next)
			next = middle
		}
		if key = key[n:]; key == "" {
			t.nodes[next].value = value
			return
		}
		at = next
	}
}

func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func (t *trie) node(label string, value int32) int32 {
	t.nodes = append(t.nodes, trieNode{label, value})
	return int32(len(t.nodes) - 1)
}

// link makes to a child of at, in place of the one that begins with the same byte.
func (t *trie) link(at, to int32) {
	b := t.nodes[to].label[0]
	if at == 0 {
		t.root[b] = to
		return
	}
	t.edges.put(at, b, to)
}

func (t *trie) child(at int32, b byte) int32 {
	if at == 0 {
		return t.root[b]
	}
	return t.edges.get(at, b)
}

// next follows the edge of a node that is a prefix of s: the node it leads to and its
// length. Length 0 means that there is none.
func (t *trie) next(at int32, s string) (node int32, n int) {
	if s == "" {
		return 0, 0
	}
	if node = t.child(at, s[0]); node == 0 {
		return 0, 0
	}
	label := t.nodes[node].label
	if n = len(label); n > 1 && (n > len(s) || s[1:n] != label[1:]) { // most are one byte
		return 0, 0
	}
	return node, n
}

// cursor is a place in a trie: before the last bytes of the edge into a node. The zero
// value is the root.
type cursor struct {
	rest string // of the edge
	node int32  // -1: nowhere
}

// seek returns the place a prefix of keys leads to.
func (t *trie) seek(prefix string) cursor {
	at := int32(0)
	for prefix != "" {
		node := t.child(at, prefix[0])
		if node == 0 {
			return cursor{node: -1}
		}
		label := t.nodes[node].label
		n := common(label, prefix)
		switch {
		case n == len(prefix):
			return cursor{label[n:], node}
		case n < len(label):
			return cursor{node: -1}
		}
		at, prefix = node, prefix[n:]
	}
	return cursor{node: at}
}

// longest returns the value and the length of the longest key that is a prefix of s and
// that ok accepts (nil accepts all); length 0 means none. Keys are what follows the cursor.
func (t *trie) longest(from cursor, s string, ok func(int32) bool) (value int32, length int) {
	at, n := from.node, len(from.rest)
	if at < 0 || !strings.HasPrefix(s, from.rest) {
		return 0, 0
	}
	for i := n; ; i += n {
		if v := t.nodes[at].value; i > 0 && v >= 0 && (ok == nil || ok(v)) {
			value, length = v, i
		}
		if at, n = t.next(at, s[i:]); n == 0 {
			return value, length
		}
	}
}

// edgeTable maps a node and a byte to a node, by open addressing, and grows as needed. The
// seed is random, so a file cannot be made whose keys collide.
type edgeTable struct {
	slots     []edgeSlot // at most 5/8 full
	used      int
	seed, mul uint64
}

// edgeSlot has node << 8 | byte as its key. Nodes stay below 2^24: at most two per key.
type edgeSlot struct {
	key uint32
	to  int32 // 0 = free
}

func newEdgeTable() edgeTable {
	seed := maphash.MakeSeed()
	return edgeTable{slots: make([]edgeSlot, 16), seed: maphash.String(seed, "seed"), mul: maphash.String(seed, "mul") | 1}
}

func (e *edgeTable) slot(key uint32) *edgeSlot {
	hi, lo := bits.Mul64(uint64(key)^e.seed, e.mul)
	mask := uint64(len(e.slots) - 1)
	for i := (hi ^ lo) & mask; ; i = (i + 1) & mask {
		if s := &e.slots[i]; s.key == key || s.to == 0 {
			return s
		}
	}
}

func (e *edgeTable) get(at int32, b byte) int32 { return e.slot(uint32(at)<<8 | uint32(b)).to }

func (e *edgeTable) put(at int32, b byte, to int32) {
	if (e.used+1)*8 > len(e.slots)*5 {
		old := e.slots
		e.slots = make([]edgeSlot, 2*len(old))
		for _, s := range old {
			if s.to != 0 {
				*e.slot(s.key) = s
			}
		}
	}
	s := e.slot(uint32(at)<<8 | uint32(b))
	if s.to == 0 {
		e.used++
	}
	*s = edgeSlot{uint32(at)<<8 | uint32(b), to}
}
