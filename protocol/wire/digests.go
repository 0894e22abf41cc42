package wire

import (
	"crypto/sha256"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/protocol"
)

// Digests is a list of block identifiers in manifests: their SHA-256 digests one after
// another, 32 bytes each. All blocks are CIDv1 raw sha2-256, so nothing more is needed.
type Digests []byte

// DigestsOf gathers the digests of identifiers that are valid for ValidCID.
func DigestsOf(cids ...cid.Cid) Digests {
	d := make(Digests, 0, len(cids)*sha256.Size)
	for _, c := range cids {
		d = append(d, BlockHead(c)...)
	}
	return d
}

// Len returns the number of identifiers.
func (d Digests) Len() int { return len(d) / sha256.Size }

// At returns identifier i.
func (d Digests) At(i int) cid.Cid {
	c, err := BlockCID(d[i*sha256.Size : (i+1)*sha256.Size])
	if err != nil {
		panic(err) // the length is right
	}
	return c
}

// CIDs returns all identifiers.
func (d Digests) CIDs() []cid.Cid {
	out := make([]cid.Cid, d.Len())
	for i := range out {
		out[i] = d.At(i)
	}
	return out
}

// validFor checks that the list has exactly the blocks that size bytes are cut into.
func (d Digests) validFor(what string, size int64) error {
	if size < 0 || size > protocol.MaxModelBytes {
		return invalid("%s of %d bytes", what, size)
	}
	if want := BlocksOf(size); len(d) != want*sha256.Size {
		return invalid("%s of %d bytes has %d bytes of digests, want %d blocks", what, size, len(d), want)
	}
	return nil
}

// BlocksOf returns into how many blocks size bytes are cut: all are of protocol.MaxBlock
// bytes but the last.
func BlocksOf(size int64) int {
	return int((size + protocol.MaxBlock - 1) / protocol.MaxBlock)
}

// BlockLen returns the length of block i of size bytes.
func BlockLen(size int64, i int) int {
	return int(min(protocol.MaxBlock, size-int64(i)*protocol.MaxBlock))
}

// Blob is a run of bytes cut into blocks. The zero value is none.
type Blob struct {
	Kind   string  `cbor:"1,keyasint,omitempty"`
	Bytes  int64   `cbor:"2,keyasint,omitempty"`
	Blocks Digests `cbor:"3,keyasint,omitempty"`
}
