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
