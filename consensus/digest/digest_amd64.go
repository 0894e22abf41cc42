//go:build !noasm

package digest

import "github.com/klauspost/cpuid/v2"

// pairs reports whether the processor has the instructions for two messages at once.
var pairs = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3)

// addPair adds messages of one length, a multiple of block above 0.
func addPair(a, b []byte, s *state) { hashPairSHA(&a[0], &b[0], len(a)/block, (*[16]uint32)(s)) }
