//go:build !noasm

package vec

// assembled says whether the program has vector code.
const assembled = true
