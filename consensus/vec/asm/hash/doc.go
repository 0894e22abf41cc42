// Command hash generates SHA-256 of two messages at once with the instructions that x86 has for
// it: an instruction for two rounds takes four cycles but a processor can begin one every other
// cycle, so that the second message costs next to nothing. The algorithm is that of Intel's white
// paper "Intel SHA Extensions" (Gulley and others, 2013).
package main

//go:generate go run . -out ../../../digest/gen_hash_amd64.s -stubs ../../../digest/gen_hash_amd64.go -pkg digest
