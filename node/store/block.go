package store

import (
	"crypto/sha256"
	"fmt"

	cid "github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/covey-network/covey/protocol"
)

// digest is the key of a block: the SHA-256 of its bytes.
type digest [sha256.Size]byte

func (d digest) cid() cid.Cid {
	h, err := multihash.Encode(d[:], multihash.SHA2_256)
	if err != nil {
		panic(err) // the code and the length are right
	}
	return cid.NewCidV1(cid.Raw, h)
}

// digestOf returns the key of an identifier, or an error for anything but CIDv1 raw
// sha2-256: identity would let a sender choose the key, SHA-1 is broken.
func digestOf(c cid.Cid) (digest, error) {
	if !c.Defined() {
		return digest{}, fmt.Errorf("%w: no identifier", ErrUnsupported)
	}
	p := c.Prefix()
	if p.Version != 1 || p.Codec != cid.Raw || p.MhType != multihash.SHA2_256 || p.MhLength != sha256.Size {
		return digest{}, fmt.Errorf("%w: %s is not CIDv1 raw sha2-256", ErrUnsupported, c)
	}
	h := c.Hash()
	return digest(h[len(h)-sha256.Size:]), nil
}

// Block is bytes whose hash is known to be right. The zero value is no block.
type Block struct {
	key  digest
	data []byte
}

// NewBlock hashes data, which must have 1 to protocol.MaxBlock bytes. The block refers to
// data: it must not change while the block is in use.
func NewBlock(data []byte) (Block, error) {
	if len(data) == 0 || len(data) > protocol.MaxBlock {
		return Block{}, fmt.Errorf("%w: %d bytes, 1 to %d", ErrUnsupported, len(data), protocol.MaxBlock)
	}
	return Block{key: sha256.Sum256(data), data: data}, nil
}

// Check hashes data and returns it as a block if it is the one that c names; otherwise the
// error wraps ErrUnsupported or says that the bytes are others.
func Check(c cid.Cid, data []byte) (Block, error) {
	want, err := digestOf(c)
	if err != nil {
		return Block{}, err
	}
	b, err := NewBlock(data)
	if err != nil {
		return Block{}, err
	}
	if b.key != want {
		return Block{}, fmt.Errorf("check block: %d bytes hash to %s, want %s", len(data), b.CID(), c)
	}
	return b, nil
}

// CID returns the block's identifier.
func (b Block) CID() cid.Cid { return b.key.cid() }

// Data returns the block's bytes; they must not be changed.
func (b Block) Data() []byte { return b.data }
