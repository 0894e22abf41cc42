// Command hash generates SHA-256 of several messages at once. Of two with the instructions that x86 has for
// it: an instruction for two rounds takes four cycles but a processor can begin one every other
// cycle, so that the second message costs next to nothing. The algorithm is that of Intel's white
// paper "Intel SHA Extensions" (Gulley and others, 2013). Of sixteen with AVX-512, as FIPS 180-4 has it.
package main

//go:generate go run . -out ../../../digest/gen_hash_amd64.s -stubs ../../../digest/gen_hash_amd64.go -pkg digest
