// Package vec holds the inner loops of package consensus over vectors of float32, in assembly
// for AVX2 and AVX-512 with a pure Go twin of each. Every result has the same bits on every
// instruction set: an order of operations depends on the index only, never on an address or on
// how many elements a register holds.
//
// Functions write into their first argument, panic on lengths that do not fit, and may be
// called at the same time on different slices. Only packages below consensus import it.
package vec
