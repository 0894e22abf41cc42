// Command robust writes the assembly of the rules that combine updates, in package vec.
//
// Every function handles multiples of 64 elements, and each element, or lane of a sum, in the
// order of its twin in Go. Products and sums are never fused.
package main

//go:generate go run . -isa avx2 -out ../../gen_robust_avx2_amd64.s -stubs ../../gen_robust_avx2_amd64.go -pkg vec
//go:generate go run . -isa avx512 -out ../../gen_robust_avx512_amd64.s -stubs ../../gen_robust_avx512_amd64.go -pkg vec
