package token

import (
	"hash/maphash"
	"math/bits"
)

const (
	freeKey = ^uint64(0)
	noRank  = ^uint32(0)
)

// pairTable maps a pair of ids to a rank and a third id, by open addressing. The seed is
// random, so a file cannot be made whose keys collide; results do not depend on it.
type pairTable struct {
	slots []pairSlot
	mask  uint64
	seed  uint64
	mul   uint64
}

type pairSlot struct {
	key  uint64
	rank uint32
	id   int32
}

// newPairTable makes a table for at most n pairs.
func newPairTable(n int) *pairTable {
	size := 16
	for size < 2*n {
		size *= 2
	}
	seed := maphash.MakeSeed()
	p := &pairTable{
		slots: make([]pairSlot, size), mask: uint64(size - 1),
		seed: maphash.String(seed, "seed"), mul: maphash.String(seed, "mul") | 1,
	}
	for i := range p.slots {
		p.slots[i].key = freeKey
	}
	return p
}

func pairKey(a, b int32) uint64 { return uint64(uint32(a))<<32 | uint64(uint32(b)) }

func (p *pairTable) slot(key uint64) *pairSlot {
	hi, lo := bits.Mul64(key^p.seed, p.mul)
	for i := (hi ^ lo) & p.mask; ; i = (i + 1) & p.mask {
		s := &p.slots[i]
		if s.key == key || s.key == freeKey {
			return s
		}
	}
}

// put stores a pair; with keep an existing one stays.
func (p *pairTable) put(a, b int32, rank uint32, id int32, keep bool) {
	key := pairKey(a, b)
	s := p.slot(key)
	if s.key == key && keep {
		return
	}
	*s = pairSlot{key: key, rank: rank, id: id}
}

// get returns the rank and id of a pair, noRank if there is none.
func (p *pairTable) get(a, b int32) (uint32, int32) {
	key := pairKey(a, b)
	if s := p.slot(key); s.key == key {
		return s.rank, s.id
	}
	return noRank, -1
}

// trie finds the tokens that are prefixes of a text.
type trie struct {
	edges *pairTable
	root  [256]int32 // 0 = none
	value []int32    // by node; -1 = no token ends here
}

// newTrie makes a trie for tokens of n bytes in all.
func newTrie(n int) *trie {
	return &trie{edges: newPairTable(n), value: []int32{-1}}
}

// add stores value under a key of at least one byte; the last one put wins.
func (t *trie) add(key string, value int32) {
	at := t.root[key[0]]
	if at == 0 {
		at = t.node()
		t.root[key[0]] = at
	}
	for i := 1; i < len(key); i++ {
		next := t.step(at, key[i])
		if next == 0 {
			next = t.node()
			t.edges.put(at, int32(key[i]), 0, next, false)
		}
		at = next
	}
	t.value[at] = value
}

func (t *trie) node() int32 {
	t.value = append(t.value, -1)
	return int32(len(t.value) - 1)
}

// step follows one byte; 0 means there is no such edge.
func (t *trie) step(at int32, b byte) int32 {
	if at == 0 {
		return t.root[b]
	}
	if r, id := t.edges.get(at, int32(b)); r != noRank {
		return id
	}
	return 0
}

// longest returns the value and the length of the longest key that is a prefix of s and
// that ok accepts (nil accepts all); length 0 means none.
func (t *trie) longest(s string, ok func(int32) bool) (value int32, length int) {
	at := int32(0)
	for i := 0; i < len(s); i++ {
		if at = t.step(at, s[i]); at == 0 {
			break
		}
		if v := t.value[at]; v >= 0 && (ok == nil || ok(v)) {
			value, length = v, i+1
		}
	}
	return value, length
}
