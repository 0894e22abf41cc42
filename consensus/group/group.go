// Package group says who averages with whom when a job has more members than average at
// once. All functions are pure: every member that knows the same members computes the same
// groups, so that nobody has to arrange them.
//
// Up to the size of a group all members are one. Above it [Of] makes groups of nearly equal
// size. Where a grid fits, with sides of half a group's size to a whole one, the members
// stand on a grid of d axes, round r averages along axis r mod d, and after d rounds what
// each member knew has reached every other one (Ryabinin et al., "Moshpit SGD",
// arXiv 2103.03239):
//
//	9 members, 2 axes       round 0: rows        round 1: columns
//
//	  a b c                 (a b c)              a b c
//	  d e f                 (d e f)             (with those below)
//	  g h i                 (g h i)
//
// Where no grid fits, each round deals the members out anew.
//
// The places of members depend on the job, the members and the round, by a hash: nobody
// chooses whom he is with, except by choosing his own key.
//
// The package may be imported by consensus and node.
package group

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// Size is how many members average at once unless a job says otherwise.
const Size = 16

// Of returns the groups of a round: every member is in exactly one. members are sorted and
// unique; size, at least 2, is the most members of a group. Groups are sorted, and their order is
// the same for all. With at least size/2 members no group is smaller than size/2-2.
func Of(job train.Hash, round uint64, members []wire.PeerID, size int) [][]wire.PeerID {
	n := len(members)
	if n <= size {
		return [][]wire.PeerID{slices.Clone(members)}
	}
	sides := grid(n, size)
	if sides == nil {
		return Dealt(job, round, members, size)
	}
	d := uint64(len(sides))
	return lines(order(job, "grid", round/d, members), sides, int(round%d))
}

// Dealt returns as few groups of a round as there can be, dealt out anew in each round: for jobs in
// which the results of all groups come together in the round, so that a grid would bring nothing.
// All else is as for Of, and no group is smaller than half of size.
func Dealt(job train.Hash, round uint64, members []wire.PeerID, size int) [][]wire.PeerID {
	n := len(members)
	if n <= size {
		return [][]wire.PeerID{slices.Clone(members)}
	}
	return deal(order(job, "deal", round, members), (n+size-1)/size)
}

// Axes returns after how many rounds what one of n members knew has reached all others by
// Of: 1 for one group, d for a grid of d axes, and 0 where members are dealt out.
func Axes(n, size int) int {
	if n <= size {
		return 1
	}
	return len(grid(n, size))
}

// Mine returns the group that a peer is in, or nothing.
func Mine(groups [][]wire.PeerID, p wire.PeerID) []wire.PeerID {
	for _, g := range groups {
		if train.Place(g, p) >= 0 {
			return g
		}
	}
	return nil
}

// Neighbours returns to whom a member sends in a round of the gossip without groups, and from
// whom it receives: the one-peer exponential graph (Ying et al., "Exponential Graph is
// Provably Efficient for Decentralized Deep Training", arXiv 2110.13363). In round k the
// distance is a power of two that runs through all of them below n, so that after log2(n)
// rounds of halves the average of a power of two of members is exact. The places are drawn
// anew after each such run. A member alone, or a peer that is none, has nobody.
func Neighbours(job train.Hash, round uint64, members []wire.PeerID, me wire.PeerID) (to, from wire.PeerID) {
	n := len(members)
	if n < 2 || train.Place(members, me) < 0 {
		return "", ""
	}
	run := uint64(bits.Len(uint(n - 1))) // ceil(log2 n)
	list := order(job, "graph", round/run, members)
	i, step := slices.Index(list, me), 1<<(round%run)
	return list[(i+step)%n], list[((i-step)%n+n)%n]
}

// order draws an order of the members.
func order(job train.Hash, what string, turn uint64, members []wire.PeerID) []wire.PeerID {
	h := sha256.New()
	h.Write([]byte("covey/train/group/1\x00" + what + "\x00"))
	h.Write(job[:])
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], turn)
	h.Write(b[:])
	for _, p := range members {
		binary.BigEndian.PutUint64(b[:], uint64(len(p)))
		h.Write(b[:])
		h.Write([]byte(p))
	}
	seed := h.Sum(nil)
	type place struct {
		key  [sha256.Size]byte
		peer wire.PeerID
	}
	places := make([]place, len(members))
	for i, p := range members {
		places[i] = place{sha256.Sum256(append(seed[:len(seed):len(seed)], p...)), p}
	}
	slices.SortFunc(places, func(a, b place) int { return bytes.Compare(a.key[:], b.key[:]) })
	list := make([]wire.PeerID, len(places))
	for i := range places {
		list[i] = places[i].peer
	}
	return list
}

// deal cuts an order into k groups whose sizes differ by at most one.
func deal(list []wire.PeerID, k int) [][]wire.PeerID {
	groups := make([][]wire.PeerID, k)
	for i := range groups {
		groups[i] = slices.Sorted(slices.Values(list[i*len(list)/k : (i+1)*len(list)/k]))
	}
	return groups
}

// grid returns the sides of the grid for n members, which differ by at most one, or nil if
// they would be below half a group's size. There are fewer empty cells than lines along any
// axis.
func grid(n, size int) []int {
	for d := 2; ; d++ {
		if power(size, d) < n {
			continue
		}
		s := 1
		for power(s, d) < n {
			s++
		}
		if s < (size+1)/2 {
			return nil
		}
		sides, cells := make([]int, d), power(s, d)
		for i := range sides {
			if sides[i] = s; cells/s*(s-1) >= n {
				sides[i], cells = s-1, cells/s*(s-1)
			}
		}
		return sides
	}
}

func power(base, exp int) int {
	p := 1
	for range exp {
		p *= base
	}
	return p
}

// lines returns the lines of a grid along an axis. The order fills cells on diagonals, so that
// the empty ones, the last, are on different lines of every axis.
func lines(list []wire.PeerID, sides []int, axis int) [][]wire.PeerID {
	cells := 1
	for _, s := range sides {
		cells *= s
	}
	groups := make([][]wire.PeerID, cells/sides[axis])
	for t, p := range list {
		line, scale, sum := 0, 1, 0
		for i, s := range sides {
			c := (t + sum) % s
			sum += c
			t /= s
			if i != axis {
				line += c * scale
				scale *= s
			}
		}
		groups[line] = append(groups[line], p)
	}
	for _, g := range groups {
		slices.Sort(g)
	}
	return groups
}
