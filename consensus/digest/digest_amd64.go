//go:build !noasm

package digest

import (
	"github.com/klauspost/cpuid/v2"

	"github.com/covey-network/covey/consensus/vec"
)

var (
	// pairs reports whether the processor has the instructions for two messages at once.
	pairs = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3)
	// sixteen reports whether it has, and may use, those for sixteen.
	sixteen = vec.Current() >= vec.AVX512
)

// addPair adds messages of one length, a multiple of block above 0.
func addPair(a, b []byte, s *state) { hashPairSHA(&a[0], &b[0], len(a)/block, (*[16]uint32)(s)) }

// addSixteen does the same with sixteen.
func addSixteen(messages *[Lanes][]byte, s *states) {
	var at [Lanes]*byte
	for i, m := range messages {
		at[i] = &m[0]
	}
	hashSixteenAVX512(&at, len(messages[0])/block, (*[8 * Lanes]uint32)(s))
}
