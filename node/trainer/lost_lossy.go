//go:build lossy

package trainer

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// lossVariable is the environment variable that says which part of a member's updates is lost and
// what seeds the draws, as in 0.5/7.
const lossVariable = "COVEY_LOST_UPDATES"

// loses draws whether the update of a round is lost on its way to the others: nothing of it comes,
// and they know.
func loses(round uint64) bool {
	part, seed, _ := strings.Cut(os.Getenv(lossVariable), "/")
	share, err := strconv.ParseFloat(part, 64)
	if err != nil {
		return false
	}
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%d", seed, round))
	return float64(binary.LittleEndian.Uint64(h[:])) < share*math.MaxUint64
}
