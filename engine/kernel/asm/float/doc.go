// Command float writes the assembly of the float kernels: elementwise functions,
// reductions over 16 lanes, conversions, and matrix products. Each has the same
// operations in the same order as its twin in package kernel (f_math.go, f_norm.go,
// f_product.go).
//
// Usage: go generate ./..., or go run . -isa avx512|avx2 -out FILE.s -stubs FILE.go -pkg kernel
package main

//go:generate go run . -isa avx2 -out ../../gen_f_avx2_amd64.s -stubs ../../gen_f_avx2_amd64.go -pkg kernel
//go:generate go run . -isa avx512 -out ../../gen_f_avx512_amd64.s -stubs ../../gen_f_avx512_amd64.go -pkg kernel
