package sample_test

import (
	"fmt"
	"log"

	"github.com/covey-network/covey/engine/sample"
)

func ExampleSample() {
	logits := []float32{0.5, 3, 2.5, -1} // of a vocabulary of four
	p := sample.Params{Temperature: 0.8, TopP: 0.9, Seed: 7, Logprobs: 2}
	history := []int32{0} // the prompt
	for range 5 {
		r, err := sample.Sample(p, logits, history, 1)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("token %d, log-probability %.3f, likeliest %d\n", r.Token, r.Logprob, r.Top[0].Token)
		history = append(history, r.Token)
	}
	// Output:
	// token 2, log-probability -1.035, likeliest 1
	// token 1, log-probability -0.535, likeliest 1
	// token 1, log-probability -0.535, likeliest 1
	// token 2, log-probability -1.035, likeliest 1
	// token 1, log-probability -0.535, likeliest 1
}

func ExampleStopMatcher() {
	m := sample.NewStopMatcher([]string{"\nUser:"})
	for _, piece := range []string{"Hello.", "\n", "Us", "ed to it?\n", "User", ": yes"} {
		safe, stopped := m.Next(piece)
		fmt.Printf("%q %v\n", safe, stopped)
	}
	fmt.Printf("%q\n", m.Flush())
	// Output:
	// "Hello." false
	// "" false
	// "" false
	// "\nUsed to it?" false
	// "" false
	// "" true
	// ""
}
