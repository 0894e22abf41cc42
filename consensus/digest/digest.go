// Package digest hashes several messages at once, which takes little longer than one where the
// processor has instructions for it: what it waits for in the one it does in the others.
//
// The functions are safe for concurrent use. Package consensus/checkpoint and whoever commits to
// long vectors may import it.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
)

// Lanes is how many messages are hashed at once at most.
const Lanes = 16

// AtOnce is how many messages of one length are best given to [Many].
func AtOnce() int {
	switch {
	case sixteen:
		return Lanes
	case pairs:
		return 2
	}
	return 1
}

// fewest is from how many messages on sixteen at once take less long than two at once.
const fewest = 8

// Many writes the SHA-256 of each message to sums, which is as long.
func Many(sums [][32]byte, messages [][]byte) {
	for len(messages) > 0 {
		n := 1
		for n < min(Lanes, len(messages)) && len(messages[n]) == len(messages[0]) {
			n++
		}
		switch {
		case sixteen && n >= fewest:
			addAll(sums[:n], messages[:n])
		case len(messages) > 1:
			n = 2
			sums[0], sums[1] = Pair(messages[0], messages[1])
		default:
			sums[0] = sha256.Sum256(messages[0])
		}
		sums, messages = sums[n:], messages[n:]
	}
}

// Pair returns the SHA-256 of two messages. What both have in length costs little more than one.
func Pair(a, b []byte) (x, y [32]byte) {
	if !pairs {
		return sha256.Sum256(a), sha256.Sum256(b)
	}
	return pair(a, b)
}

// state is that of two messages, of each F, E, B, A, H, G, D, C.
type state [16]uint32

// initial is the initial state of FIPS 180-4, section 5.3.3.
var initial = [8]uint32{0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667, 0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372}

// order is where A to H are in a state.
var order = [8]int{3, 2, 7, 6, 1, 0, 5, 4}

// pair is Pair with the instructions.
func pair(a, b []byte) (x, y [32]byte) {
	var s state
	copy(s[:8], initial[:])
	copy(s[8:], initial[:])
	both := min(len(a), len(b)) &^ (block - 1)
	s.add(a[:both], b[:both])
	return finish(s[:8], a, both), finish(s[8:], b, both)
}

const block = 64 // bytes

// add adds messages of one length, a multiple of block.
func (s *state) add(a, b []byte) {
	if len(a) > 0 {
		addPair(a, b, s)
	}
}

// finish returns the hash of a message of which some bytes are in the state.
func finish(from []uint32, m []byte, done int) (sum [32]byte) {
	var s state // both halves do the same
	copy(s[:8], from)
	copy(s[8:], from)
	whole := len(m) &^ (block - 1)
	s.add(m[done:whole], m[done:whole])
	var room [2 * block]byte
	tail := padded(&room, m)
	s.add(tail, tail)
	for k, at := range order {
		binary.BigEndian.PutUint32(sum[4*k:], s[at])
	}
	return sum
}

// padded writes the last blocks of a message: what is left of it, a bit, zeros, and the length in bits.
func padded(room *[2 * block]byte, m []byte) []byte {
	rest := m[len(m)&^(block-1):]
	n := block
	if len(rest) >= block-8 {
		n = 2 * block
	}
	room[copy(room[:], rest)] = 0x80
	binary.BigEndian.PutUint64(room[n-8:], 8*uint64(len(m)))
	return room[:n]
}

// states are those of sixteen messages: A of each, then B of each, to H.
type states [8 * Lanes]uint32

// addAll writes the SHA-256 of up to sixteen messages of one length. Lanes without one do the first.
func addAll(sums [][32]byte, messages [][]byte) {
	var s states
	for i := range s {
		s[i] = initial[order[i/Lanes]]
	}
	var rooms [Lanes][2 * block]byte
	var whole, tails [Lanes][]byte
	for i := range Lanes {
		m := messages[0]
		if i < len(messages) {
			m = messages[i]
		}
		whole[i], tails[i] = m[:len(m)&^(block-1)], padded(&rooms[i], m)
	}
	s.add(&whole)
	s.add(&tails)
	for i := range sums {
		for k := range 8 {
			binary.BigEndian.PutUint32(sums[i][4*k:], s[k*Lanes+i])
		}
	}
}

// add adds messages of one length, a multiple of block.
func (s *states) add(messages *[Lanes][]byte) {
	if len(messages[0]) > 0 {
		addSixteen(messages, s)
	}
}
