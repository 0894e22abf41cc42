package sample

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

// random returns 64 random bits for a position in the stream of a seed.
func random(seed uint64, position int) uint64 {
	p := uint64(position)
	out := philox([4]uint32{uint32(p), uint32(p >> 32)}, [2]uint32{uint32(seed), uint32(seed >> 32)})
	return uint64(out[1])<<32 | uint64(out[0])
}

// below maps random bits to a number from 0 to n-1, evenly but for n parts in 2^64.
func below(n int64, r uint64) int64 {
	hi, _ := bits.Mul64(uint64(n), r)
	return int64(hi)
}
