// Command codec writes the assembly of the kernels for codecs of update vectors. Each has the
// same operations in the same order as its twin in package vec (codec_generic.go).
//
// Usage: go generate ./..., or go run . -isa avx512|avx2 -out FILE.s -stubs FILE.go -pkg vec
package main

//go:generate go run . -isa avx2 -out ../../gen_codec_avx2_amd64.s -stubs ../../gen_codec_avx2_amd64.go -pkg vec
//go:generate go run . -isa avx512 -out ../../gen_codec_avx512_amd64.s -stubs ../../gen_codec_avx512_amd64.go -pkg vec
