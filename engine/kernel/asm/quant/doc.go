// Command quant writes the assembly of the quantised matrix products: for each block type
// one function, with a section for each number of tokens computed together. The packed
// layout and the order of the arithmetic are described in package kernel, quantFormat
// and multiplyGroupGeneric.
//
// Usage: go generate ./..., or go run . -isa avx512|avx2 -out FILE.s -stubs FILE.go -pkg kernel
package main

//go:generate go run . -isa avx2 -out ../../gen_q_avx2_amd64.s -stubs ../../gen_q_avx2_amd64.go -pkg kernel
//go:generate go run . -isa avx512 -out ../../gen_q_avx512_amd64.s -stubs ../../gen_q_avx512_amd64.go -pkg kernel
