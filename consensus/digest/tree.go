package digest

import (
	"crypto/sha256"
	"encoding/binary"
)

// PieceBytes is the size of the pieces of a long message, of which each has a hash of its own. Two
// of them stay in the cache of a core.
const PieceBytes = 64 << 10

const treeDomain = "covey/train/data/1\x00"

// Tree hashes a long message whose bytes come one after the other: each piece is hashed while it
// is in the cache, two at a time. Its root is the SHA-256 of a domain, the length of the message
// (64 bits, little endian) and the SHA-256 of each piece of PieceBytes; the last one may be shorter.
//
// The zero value has hashed nothing. A Tree is for one goroutine.
type Tree struct {
	done   int // bytes that have been hashed
	leaves []byte
}

// Add hashes what it can of the message, of which the bytes so far are given, from the first one on.
func (t *Tree) Add(message []byte) {
	for len(message)-t.done >= 2*PieceBytes {
		t.pair(message[t.done:t.done+PieceBytes], message[t.done+PieceBytes:t.done+2*PieceBytes])
	}
}

// Root hashes the rest of the whole message and returns the root.
func (t *Tree) Root(message []byte) (root [32]byte) {
	t.Add(message)
	switch rest := message[t.done:]; {
	case len(rest) > PieceBytes:
		t.pair(rest[:PieceBytes], rest[PieceBytes:])
	case len(rest) > 0:
		t.leaf(sha256.Sum256(rest), len(rest))
	}
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint64([]byte(treeDomain), uint64(len(message))))
	h.Write(t.leaves)
	return [32]byte(h.Sum(nil))
}

func (t *Tree) pair(a, b []byte) {
	x, y := Pair(a, b)
	t.leaf(x, len(a))
	t.leaf(y, len(b))
}

func (t *Tree) leaf(sum [32]byte, n int) {
	t.leaves = append(t.leaves, sum[:]...)
	t.done += n
}

// Root returns the root of a whole message.
func Root(message []byte) [32]byte { return new(Tree).Root(message) }
