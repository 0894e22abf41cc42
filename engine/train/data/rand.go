package data

import "math/bits"

// Constants of Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
// easy as 1, 2, 3", 2011, section 4.3).
const (
	philoxM0     = 0xd2511f53
	philoxM1     = 0xcd9e8d57
	philoxW0     = 0x9e3779b9
	philoxW1     = 0xbb67ae85
	philoxRounds = 10
)

// Sample numbers that stand for other uses of a seed; no dataset is that long.
const (
	shuffleStream = 1<<62 + 1
	splitStream   = 1<<62 + 2
)

// Rand is the source of the random draws of one sample. What it gives is a function of
// (seed, epoch, sample) alone, so it does not matter which goroutine draws, or when. A
// Rand belongs to one goroutine.
type Rand struct {
	key     [2]uint32
	counter [4]uint32 // blocks drawn, sample (two words), epoch
	out     [4]uint32
	left    int // words of out not given yet
}

// NewRand returns the draws of a sample in an epoch. Samples are below 2^62, epochs below
// 2^32; a sample has 2^34 draws of 32 bits.
func NewRand(seed uint64, epoch, sample int) Rand {
	s := uint64(sample)
	return Rand{
		key:     [2]uint32{uint32(seed), uint32(seed >> 32)},
		counter: [4]uint32{0, uint32(s), uint32(s >> 32), uint32(epoch)},
	}
}

// Uint32 returns 32 random bits.
func (r *Rand) Uint32() uint32 {
	if r.left == 0 {
		r.out = philox(r.counter, r.key)
		r.counter[0]++
		r.left = len(r.out)
	}
	r.left--
	return r.out[r.left]
}

// Uint64 returns 64 random bits.
func (r *Rand) Uint64() uint64 { return uint64(r.Uint32())<<32 | uint64(r.Uint32()) }

// IntN returns a number from 0 to n-1 for n > 0, evenly but for n parts in 2^64.
func (r *Rand) IntN(n int) int {
	hi, _ := bits.Mul64(uint64(n), r.Uint64())
	return int(hi)
}

// Float64 returns a number in [0, 1), a multiple of 2^-53.
func (r *Rand) Float64() float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// Uniform returns a number in [lo, hi), or lo if they are equal.
func (r *Rand) Uniform(lo, hi float64) float64 { return float64((hi-lo)*r.Float64()) + lo }

// philox returns 128 random bits for a counter and a key.
func philox(c [4]uint32, k [2]uint32) [4]uint32 {
	for range philoxRounds {
		hi0, lo0 := bits.Mul32(philoxM0, c[0])
		hi1, lo1 := bits.Mul32(philoxM1, c[2])
		c = [4]uint32{hi1 ^ c[1] ^ k[0], lo1, hi0 ^ c[3] ^ k[1], lo0}
		k[0] += philoxW0
		k[1] += philoxW1
	}
	return c
}
