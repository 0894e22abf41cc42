//go:build !amd64 || noasm

package kernel

func peakReadISA(_ ISA, data []byte) { peakReadGeneric(data) }

func peakRoundsISA(_ ISA, w PeakWork, rounds int) { peakRoundsGeneric(w, rounds) }
