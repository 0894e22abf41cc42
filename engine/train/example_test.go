package train_test

import (
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/net"
)

// A perceptron learns when exactly one of two inputs is set. The numbers are the same on
// every machine.
func ExampleTrainer() {
	pool := kernel.NewPool(0)
	defer pool.Close()
	t, err := train.New(train.Config{
		Model:     net.Config{Kind: net.KindMLP, MLP: &net.MLP{Input: 2, Hidden: []int{8}, Output: 2, Activation: "tanh"}},
		Optimizer: train.Optimizer{Kind: train.Adam, LR: 0.05},
		Seed:      1,
	}, pool)
	if err != nil {
		fmt.Println(err)
		return
	}
	batch := &train.Batch{N: 4, Floats: []float32{0, 0, 0, 1, 1, 0, 1, 1}, Labels: []int32{0, 1, 1, 0}}
	for t.Steps() < 100 {
		r, err := t.Step(batch)
		if err != nil {
			fmt.Println(err)
			return
		}
		if t.Steps()%50 == 0 {
			fmt.Printf("step %d: loss %.3f\n", t.Steps(), r.Loss)
		}
	}
	score, err := t.Evaluate(batch)
	fmt.Printf("accuracy %.2f %v\n", score.Accuracy(), err)
	// Output:
	// step 50: loss 0.002
	// step 100: loss 0.001
	// accuracy 1.00 <nil>
}
