// Command train writes the assembly of the kernels for training: activations and their
// gradients, norms, losses, attention, dropout and optimisers. Each has the same operations
// in the same order as its twin in package kernel (t_*.go).
//
// Usage: go generate ./..., or go run . -isa avx512|avx2 -out FILE.s -stubs FILE.go -pkg kernel
package main

//go:generate go run . -isa avx2 -out ../../gen_t_avx2_amd64.s -stubs ../../gen_t_avx2_amd64.go -pkg kernel
//go:generate go run . -isa avx512 -out ../../gen_t_avx512_amd64.s -stubs ../../gen_t_avx512_amd64.go -pkg kernel
