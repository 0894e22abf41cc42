package vision_test

import (
	"fmt"
	"log"

	"github.com/covey-network/covey/engine/model/vision"
)

// The layers of a ResNet-18 for images of 32 x 32 pixels.
func ExampleResNet() {
	layers, err := vision.ResNet(18, 64, 2, true)
	if err != nil {
		log.Fatal(err)
	}
	cfg := vision.Config{
		Input: []int{3, 32, 32}, Prepare: vision.Prepare{Resize: 36, Filter: "bilinear", Mean: []float32{0.5}, Std: []float32{0.25}},
		Layers: layers, Eps: 1e-5, Labels: []string{"cat", "dog"},
	}
	fmt.Println(cfg.Validate(), len(layers), layers[0].Name, layers[1].Name, cfg.ScratchBytes()>>20, "MiB")
	// Output: <nil> 11 conv1 layer1.0 3 MiB
}
