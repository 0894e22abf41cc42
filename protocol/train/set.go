package train

import (
	"math/bits"

	"github.com/covey-network/covey/protocol"
)

// Set is a set of members by their places in the sorted list of a round's members: bit i
// stands for place i.
type Set uint64

var _ [64 - protocol.MaxTrainMembers]struct{} // every place has a bit

// Has reports whether place i is in the set.
func (s Set) Has(i int) bool { return s>>i&1 == 1 }

// With returns the set with place i.
func (s Set) With(i int) Set { return s | 1<<i }

// Without returns the set without place i.
func (s Set) Without(i int) Set { return s &^ (1 << i) }

// Len returns how many members are in the set.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

// Within reports whether all members of the set are among n.
func (s Set) Within(n int) bool { return n >= 64 || s>>n == 0 }

// All returns the set of n members.
func All(n int) Set {
	if n >= 64 {
		return ^Set(0)
	}
	return 1<<n - 1
}
