package group

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// Drawn reports whether a member sends to another one at a turn of the gossip without groups
// and without an agreed list of members. Of n members each sends to degree others in the
// mean, by a hash of the two, so that peers who differ in some members differ in the edges of
// those alone, where [Neighbours] would give them another graph. Nobody chooses whom it sends
// to, except by choosing its own key. With degree or fewer others, everyone sends to all.
func Drawn(job train.Hash, turn uint64, from, to wire.PeerID, n int, degree float64) bool {
	if from == to {
		return false
	}
	if float64(n-1) <= degree {
		return true
	}
	b := make([]byte, 0, 256)
	b = append(b, "covey/train/drawn/1\x00"...)
	b = append(b, job[:]...)
	b = binary.BigEndian.AppendUint64(b, turn)
	b = binary.BigEndian.AppendUint64(b, uint64(len(from)))
	b = append(append(b, from...), to...)
	h := sha256.Sum256(b)
	return float64(binary.BigEndian.Uint64(h[:])) < degree/float64(n-1)*math.MaxUint64
}
