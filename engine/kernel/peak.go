package kernel

import "encoding/binary"

// PeakWork is a piece of work that shows what the machine can do at most.
type PeakWork int

// The kinds of work. They use the instructions that the kernels use.
const (
	PeakRead PeakWork = iota // read memory; counted in bytes
	PeakDot                  // multiply and add bytes, the core of quantised products
	PeakFMA                  // multiply and add float32
)

// peakReadSlice is what a thread reads at a time; peakRounds is how many rounds of 24
// instructions each thread does, about 0.1 ms.
const (
	peakReadSlice = 1 << 20
	peakRounds    = 20000
)

// Peak does a kind of work once on all threads of the pool, and returns how many bytes or
// operations that were; the caller takes the time. PeakRead goes once over data, which
// should be far larger than the caches; the other kinds ignore it.
func Peak(p *Pool, w PeakWork, data []byte) int64 { return peak(current, p, w, data) }

func peak(isa ISA, p *Pool, w PeakWork, data []byte) int64 {
	if w == PeakRead {
		slices := len(data) / peakReadSlice
		p.For(slices, 1, func(lo, hi int) { peakReadISA(isa, data[lo*peakReadSlice:hi*peakReadSlice]) })
		return int64(slices) * peakReadSlice
	}
	p.For(p.Threads(), 1, func(lo, hi int) {
		for range hi - lo {
			peakRoundsISA(isa, w, peakRounds)
		}
	})
	return int64(p.Threads()) * peakRounds * peakOps(isa, w)
}

// peakOps returns the operations of a round: 24 instructions, two for each element.
func peakOps(isa ISA, w PeakWork) int64 {
	elems := int64(1) // pure Go
	switch {
	case isa == AVX512 && w == PeakDot:
		elems = 64
	case isa == AVX512:
		elems = 16
	case isa == AVX2 && w == PeakDot:
		elems = 32
	case isa == AVX2:
		elems = 8
	}
	return 24 * 2 * elems
}

// The results of the pure Go loops are returned so that the compiler keeps the work.

func peakReadGeneric(data []byte) uint64 {
	var all uint64
	for i := 0; i+8 <= len(data); i += 8 {
		all |= binary.LittleEndian.Uint64(data[i:])
	}
	return all
}

// peakRoundsGeneric does 24 operations a round in eight chains.
func peakRoundsGeneric(w PeakWork, rounds int) float32 {
	var dots [8]int32
	var floats [8]float32
	for r := range rounds {
		for i := range 3 * len(dots) {
			if w == PeakDot {
				dots[i%8] += int32(int8(r)) * int32(int8(i))
			} else {
				floats[i%8] = float32(floats[i%8]*0.5) + 1
			}
		}
	}
	sum := float32(0)
	for i := range dots {
		sum += float32(dots[i]) + floats[i]
	}
	return sum
}
