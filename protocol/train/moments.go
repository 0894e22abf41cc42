package train

import (
	"math"

	"github.com/covey-network/covey/protocol"
)

// Moments are sums over the numbers of a column of a table.
type Moments struct {
	Count   uint64  `cbor:"1,keyasint"` // of rows that have one
	Mean    float64 `cbor:"2,keyasint"`
	Squares float64 `cbor:"3,keyasint"` // of the differences from the mean, summed
}

// maxCount bounds Moments.Count, so that sums of them are exact in floats.
const maxCount = 1 << 40

// ValidMoments checks what a peer tells of its columns, or what is made of that.
func ValidMoments(list []Moments) error {
	if len(list) > protocol.MaxTrainColumns {
		return invalid("moments of %d columns, at most %d", len(list), protocol.MaxTrainColumns)
	}
	for i, m := range list {
		if m.Count > maxCount || !finite(m.Mean) || !finite(m.Squares) || m.Squares < 0 || math.IsInf(m.Mean*m.Mean, 0) {
			return invalid("moments of column %d: %d numbers of mean %v, squares %v", i, m.Count, m.Mean, m.Squares)
		}
	}
	return nil
}
