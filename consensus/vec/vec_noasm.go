//go:build !amd64 || noasm

package vec

// assembled says whether the program has vector code.
const assembled = false
