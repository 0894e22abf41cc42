// Command conv writes the assembly of the kernels for images: the tile that all three
// products of a convolution are computed with, transposition, batch norm and pooling. Each
// has the same operations in the same order as its twin in package kernel (conv_*.go,
// batchnorm.go, pool2d_*.go).
//
// Usage: go generate ./..., or go run . -isa avx512|avx2 -out FILE.s -stubs FILE.go -pkg kernel
package main

//go:generate go run . -isa avx2 -out ../../gen_c_avx2_amd64.s -stubs ../../gen_c_avx2_amd64.go -pkg kernel
//go:generate go run . -isa avx512 -out ../../gen_c_avx512_amd64.s -stubs ../../gen_c_avx512_amd64.go -pkg kernel
