package gguf_test

import (
	"fmt"
	"log"
	"os"

	"github.com/covey-network/covey/engine/format/gguf"
)

func ExampleOpen() {
	tmp, err := os.CreateTemp("", "*.gguf")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(small()); err != nil {
		log.Fatal(err)
	}
	if err := tmp.Close(); err != nil {
		log.Fatal(err)
	}
	f, err := gguf.Open(tmp.Name())
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	fmt.Println(f.Meta["general.architecture"].V)
	for _, t := range f.Tensors {
		fmt.Println(t.Name, t.DType, t.Shape, t.Bytes)
	}
	// Output:
	// llama
	// m.weight Q8_0 [2 32] 68
	// n.weight F32 [4] 16
}
