package privacy

import (
	"crypto/sha256"
	"math"
	"math/rand/v2"
)

// Source gives noise, and chooses samples, by a seed: whoever does not know the seed cannot tell
// what it gives from chance (ChaCha8, math/rand/v2). A seed is for one source: noise that is used
// twice hides nothing. The two streams do not depend on each other.
type Source struct {
	noise, choice *rand.ChaCha8
	spare         float64
	has           bool // spare is the next normal number
}

// NewSource returns a source.
func NewSource(seed [32]byte) *Source {
	of := func(use byte) *rand.ChaCha8 { return rand.NewChaCha8(sha256.Sum256(append(seed[:], use))) }
	return &Source{noise: of('n'), choice: of('c')}
}

// unit returns a multiple of 2^-53 in [0, 1).
func unit(r *rand.ChaCha8) float64 { return float64(r.Uint64()>>11) * 0x1p-53 }

// Normal returns a number of the normal distribution with mean 0 and deviation 1 (Box and Muller
// 1958). Its absolute value is below 8.6.
func (s *Source) Normal() float64 {
	if s.has {
		s.has = false
		return s.spare
	}
	radius := math.Sqrt(-2 * math.Log(1-unit(s.noise)))
	sin, cos := math.Sincos(2 * math.Pi * unit(s.noise))
	s.spare, s.has = radius*sin, true
	return radius * cos
}

// Chosen reports, anew in each call, true with a probability.
func (s *Source) Chosen(rate float64) bool { return unit(s.choice) < rate }
