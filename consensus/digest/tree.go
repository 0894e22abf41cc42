package digest

import (
	"crypto/sha256"
	"encoding/binary"
)

// PieceBytes is the size of the pieces of a long message, of which each has a hash of its own. As
// many as are hashed at once stay in the cache of a core.
const PieceBytes = 64 << 10

const treeDomain = "covey/train/data/1\x00"

// Tree hashes a long message whose bytes come one after the other: each piece is hashed while it
// is in the cache, several at a time. Its root is the SHA-256 of a domain, the length of the message
// (64 bits, little endian) and the SHA-256 of each piece of PieceBytes; the last one may be shorter.
//
// The zero value has hashed nothing. A Tree is for one goroutine.
type Tree struct {
	done   int // bytes that have been hashed
	leaves []byte
}

// Add hashes what it can of the message, of which the bytes so far are given, from the first one on.
func (t *Tree) Add(message []byte) {
	for n := AtOnce(); len(message)-t.done >= n*PieceBytes; {
		t.add(message[t.done : t.done+n*PieceBytes])
	}
}

// Root hashes the rest of the whole message and returns the root.
func (t *Tree) Root(message []byte) (root [32]byte) {
	t.Add(message)
	t.add(message[t.done:])
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint64([]byte(treeDomain), uint64(len(message))))
	h.Write(t.leaves)
	return [32]byte(h.Sum(nil))
}

// add hashes the next pieces, at most Lanes.
func (t *Tree) add(part []byte) {
	var pieces [Lanes][]byte
	var sums [Lanes][32]byte
	n := 0
	for ; len(part) > 0; n++ {
		size := min(PieceBytes, len(part))
		pieces[n], part, t.done = part[:size], part[size:], t.done+size
	}
	Many(sums[:n], pieces[:n])
	for i := range sums[:n] {
		t.leaves = append(t.leaves, sums[i][:]...)
	}
}

// Root returns the root of a whole message.
func Root(message []byte) [32]byte { return new(Tree).Root(message) }
