package kernel_test

import (
	"encoding/binary"
	"fmt"
	"log"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/tensor"
)

func ExampleMatMul() {
	var data []byte // (2, 3), as a file has it
	for _, w := range []float32{1, 2, 3, 4, 5, 6} {
		data, _ = binary.Append(data, binary.LittleEndian, w)
	}
	m, err := kernel.NewMatrix(tensor.F32, 2, 3, data)
	if err != nil {
		log.Fatal(err)
	}
	pool := kernel.NewPool(0)
	defer pool.Close()
	x := []float32{1, 0, -1, 1, 1, 1} // two rows
	dst := make([]float32, 2*m.Rows())
	var scratch kernel.Acts
	kernel.MatMul(pool, dst, x, 2, m, &scratch)
	fmt.Println(dst)
	// Output: [-2 -2 6 15]
}
