// Command float writes the assembly of the float kernels: elementwise functions,
// reductions over 16 lanes, conversions, and matrix products. Each has the same
// operations in the same order as its twin in package kernel (f_math.go, f_norm.go,
// f_product.go).
//
// Usage: go run ./float -isa avx512|avx2 -out FILE.s -stubs FILE.go -pkg kernel
package main
