// Command quant writes the assembly of the quantised matrix products: for each block type
// one function, with a section for each number of tokens computed together. The packed
// layout and the order of the arithmetic are described in package kernel, quantFormat
// and multiplyGroupGeneric.
//
// Usage: go run ./quant -isa avx512|avx2 -out FILE.s -stubs FILE.go -pkg kernel
package main
