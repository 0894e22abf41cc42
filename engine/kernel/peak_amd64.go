//go:build !noasm

package kernel

func peakReadISA(isa ISA, data []byte) {
	switch isa {
	case AVX512:
		peakReadAVX512(&data[0], len(data))
	case AVX2:
		peakReadAVX2(&data[0], len(data))
	default:
		_ = peakReadGeneric(data)
	}
}

func peakRoundsISA(isa ISA, w PeakWork, rounds int) {
	switch {
	case isa == AVX512 && w == PeakDot:
		peakDotAVX512(rounds)
	case isa == AVX512:
		peakFMAAVX512(rounds)
	case isa == AVX2 && w == PeakDot:
		peakDotAVX2(rounds)
	case isa == AVX2:
		peakFMAAVX2(rounds)
	default:
		_ = peakRoundsGeneric(w, rounds)
	}
}
