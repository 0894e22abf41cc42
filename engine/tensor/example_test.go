package tensor_test

import (
	"fmt"
	"log"

	"github.com/covey-network/covey/engine/tensor"
)

func ExampleQuantize() {
	d, err := tensor.Parse("Q8_0")
	if err != nil {
		log.Fatal(err)
	}
	src := make([]float32, d.BlockLen())
	for i := range src {
		src[i] = float32(i) / 8
	}
	size, err := d.Bytes(tensor.Shape{1, len(src)})
	if err != nil {
		log.Fatal(err)
	}
	block := make([]byte, size)
	if err := tensor.Quantize(block, d, src); err != nil {
		log.Fatal(err)
	}
	back := make([]float32, len(src))
	if err := tensor.Dequantize(back, d, block); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v: %d bytes, %.3f became %.3f\n", d, size, src[9], back[9])
	// Output: Q8_0: 34 bytes, 1.125 became 1.129
}
