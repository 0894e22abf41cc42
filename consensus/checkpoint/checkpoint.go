// Package checkpoint names the state of a training: all numbers that the members of a job have
// in common after a round. Equal numbers have equal names, and the blocks that a state is cut
// into can be checked one by one.
//
// A state is a list of vectors of float32. Each is cut into blocks of BlockBytes, little
// endian; the last block of a vector may be shorter. A leaf is the SHA-256 of a block, which is
// also the digest of the block's identifier in the store. The root is the SHA-256 of a domain,
// the number of vectors, the length of each, and the leaves in their order.
//
// All functions are safe for concurrent use.
package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/covey-network/covey/consensus/digest"
	"github.com/covey-network/covey/consensus/vec"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
)

const (
	// BlockBytes is the size of a block.
	BlockBytes = protocol.MaxBlock
	// MaxVectors bounds the vectors of a state.
	MaxVectors = 16

	blockFloats = BlockBytes / 4
	domain      = "covey/train/state/1\x00"
)

// ErrMismatch is the error of leaves or blocks that are not those of a root.
var ErrMismatch = errors.New("not part of the state")

// Layout is the length of each vector of a state, in floats.
type Layout []int

// LayoutOf returns the layout of vectors.
func LayoutOf(vectors [][]float32) Layout {
	l := make(Layout, len(vectors))
	for i, v := range vectors {
		l[i] = len(v)
	}
	return l
}

// Blocks returns how many blocks a state has.
func (l Layout) Blocks() int {
	n := 0
	for _, v := range l {
		n += blocksOf(v)
	}
	return n
}

func blocksOf(floats int) int { return (floats + blockFloats - 1) / blockFloats }

// place returns which vector block i is of, and its floats there.
func (l Layout) place(i int) (vector, from, to int) {
	for v, n := range l {
		if b := blocksOf(n); i >= b {
			i -= b
			continue
		}
		return v, i * blockFloats, min((i+1)*blockFloats, n)
	}
	return -1, 0, 0
}

// Hash returns the root and the leaves of a state. It uses up to workers goroutines, which have
// ended when it returns; at least one.
func Hash(vectors [][]float32, workers int) (root train.Hash, leaves []train.Hash) {
	l := LayoutOf(vectors)
	leaves = make([]train.Hash, l.Blocks())
	var next atomic.Int64
	var wg sync.WaitGroup
	size := digest.AtOnce()
	groups := (len(leaves) + size - 1) / size
	for range max(1, min(workers, groups)) {
		wg.Go(func() {
			var bufs, blocks [digest.Lanes][]byte
			var sums [digest.Lanes][32]byte
			for g := int(next.Add(1)) - 1; g < groups; g = int(next.Add(1)) - 1 {
				group := leaves[size*g : min(size*(g+1), len(leaves))]
				for k := range group {
					v, from, to := l.place(size*g + k)
					bufs[k] = vec.Bytes(bufs[k], vectors[v][from:to])
					blocks[k] = bufs[k]
				}
				digest.Many(sums[:len(group)], blocks[:len(group)])
				for k := range group {
					group[k] = sums[k]
				}
			}
		})
	}
	wg.Wait()
	return l.root(leaves), leaves
}

// Block returns the bytes of block i of a state.
func Block(vectors [][]float32, i int) []byte {
	v, from, to := LayoutOf(vectors).place(i)
	if v < 0 {
		return nil
	}
	b := make([]byte, 4*(to-from))
	vec.F32(b, vectors[v][from:to])
	return b
}

// Check reports whether leaves are those of a root, for a state of this layout.
func (l Layout) Check(root train.Hash, leaves []train.Hash) error {
	if len(l) > MaxVectors || len(leaves) != l.Blocks() {
		return fmt.Errorf("%d hashes for %d blocks: %w", len(leaves), l.Blocks(), ErrMismatch)
	}
	if l.root(leaves) != root {
		return fmt.Errorf("hashes of another root: %w", ErrMismatch)
	}
	return nil
}

// Decode reads block i, whose hash is the leaf, into the vectors, which have this layout.
func (l Layout) Decode(vectors [][]float32, i int, leaf train.Hash, block []byte) error {
	v, from, to := l.place(i)
	if v < 0 || len(block) != 4*(to-from) {
		return fmt.Errorf("block %d has %d bytes: %w", i, len(block), ErrMismatch)
	}
	if train.HashOf(block) != leaf {
		return fmt.Errorf("block %d has another hash: %w", i, ErrMismatch)
	}
	vec.FromF32(vectors[v][from:to], block)
	return nil
}

func (l Layout) root(leaves []train.Hash) train.Hash {
	h := sha256.New()
	h.Write([]byte(domain))
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(l))))
	for _, n := range l {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	}
	for i := range leaves {
		h.Write(leaves[i][:])
	}
	return train.Hash(h.Sum(nil))
}
