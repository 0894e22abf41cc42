package wire

import (
	"crypto/sha256"

	cid "github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/covey-network/covey/protocol"
)

// Priority orders requests at the server: higher first.
type Priority uint8

// The priorities of a blocks request.
const (
	PriorityBulk   Priority = 0 // replication
	PriorityLoad   Priority = 1 // a stage waits for it
	PriorityUrgent Priority = 2 // a running session waits for it
)

// BlocksRequest asks for blocks. The server answers each one, in any order, by a block
// frame or in a BlocksMissing. Requests on one stream add up.
type BlocksRequest struct {
	ID       uint64    `cbor:"1,keyasint"` // chosen by the client, echoed in BlocksMissing
	CIDs     []cid.Cid `cbor:"2,keyasint"`
	Priority Priority  `cbor:"3,keyasint,omitempty"`
}

// Validate checks form.
func (r *BlocksRequest) Validate() error {
	if r.Priority > PriorityUrgent {
		return invalid("priority %d", r.Priority)
	}
	return validCIDs(r.CIDs)
}

func validCIDs(cids []cid.Cid) error {
	if len(cids) == 0 || len(cids) > protocol.MaxBlockCIDs {
		return invalid("%d content identifiers, 1 to %d", len(cids), protocol.MaxBlockCIDs)
	}
	for _, c := range cids {
		if err := ValidCID(c); err != nil {
			return err
		}
	}
	return nil
}

// BlocksMissing tells which blocks of a request will not come, and why.
type BlocksMissing struct {
	ID   uint64    `cbor:"1,keyasint"`
	CIDs []cid.Cid `cbor:"2,keyasint"`
	Code Code      `cbor:"3,keyasint"` // CodeNotHosting, CodeBusy or CodeForbidden
}

// Validate checks form.
func (m *BlocksMissing) Validate() error {
	switch m.Code {
	case CodeNotHosting, CodeBusy, CodeForbidden:
	default:
		return invalid("code %s for missing blocks", m.Code)
	}
	return validCIDs(m.CIDs)
}

// BlockHeadSize is the length of the SHA-256 digest in front of a block's bytes.
const BlockHeadSize = sha256.Size

// BlockHead returns the head of a block frame; the frame is written as
// w.Write(TypeBlock, head, data). c must be valid for ValidCID.
func BlockHead(c cid.Cid) []byte {
	h := c.Hash()
	return h[len(h)-BlockHeadSize:]
}

// BlockCID returns the identifier that a block frame's head names. The caller hashes the
// data that follows and compares: a head proves nothing.
func BlockCID(head []byte) (cid.Cid, error) {
	if len(head) != BlockHeadSize {
		return cid.Undef, invalid("block head of %d bytes", len(head))
	}
	h, err := multihash.Encode(head, multihash.SHA2_256)
	if err != nil {
		return cid.Undef, invalid("block head: %v", err)
	}
	return cid.NewCidV1(cid.Raw, h), nil
}

// CIDOf returns the identifier of a block's bytes.
func CIDOf(data []byte) cid.Cid {
	sum := sha256.Sum256(data)
	h, _ := multihash.Encode(sum[:], multihash.SHA2_256) // errs only for unknown codes
	return cid.NewCidV1(cid.Raw, h)
}
