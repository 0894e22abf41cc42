// Package digest hashes two messages at once, which takes little longer than one where the
// processor has instructions for it: what it waits for in the one it does in the other.
//
// The functions are safe for concurrent use. Package consensus/checkpoint and whoever commits to
// long vectors may import it.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
)

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
	var tail [2 * block]byte // what is left, a bit, zeros, and the length in bits
	n := block
	if len(m)-whole >= block-8 {
		n = 2 * block
	}
	tail[copy(tail[:], m[whole:])] = 0x80
	binary.BigEndian.PutUint64(tail[n-8:], 8*uint64(len(m)))
	s.add(tail[:n], tail[:n])
	for k, at := range []int{3, 2, 7, 6, 1, 0, 5, 4} {
		binary.BigEndian.PutUint32(sum[4*k:], s[at])
	}
	return sum
}
